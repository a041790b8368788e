"""Asks with pyca/cryptography and urllib: `ask.py GET|POST sha1|sha256 ISSUER SUBJECT URL` prints the status."""

import base64
import sys
import urllib.request
from pathlib import Path
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

HASHES: dict[str, type[hashes.HashAlgorithm]] = {"sha1": hashes.SHA1, "sha256": hashes.SHA256}


def exchange(method: str, url: str, request: bytes) -> bytes:
    """The body of the answer."""
    if method == "GET":
        asked = urllib.request.Request(f"{url}/{quote(base64.b64encode(request), safe='')}")
    else:
        asked = urllib.request.Request(url, request, {"Content-Type": "application/ocsp-request"})
    with urllib.request.urlopen(asked, timeout=20) as answer:
        return bytes(answer.read())


def verify(response: ocsp.OCSPResponse, issuer: x509.Certificate) -> None:
    """The responder certificate is the issuer's, and the response is its holder's."""
    (responder,) = response.certificates
    responder.verify_directly_issued_by(issuer)
    key, digest = responder.public_key(), response.signature_hash_algorithm
    assert digest is not None
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(response.signature, response.tbs_response_bytes, padding.PKCS1v15(), digest)
    else:
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(digest))


def main(method: str, digest: str, issuer_file: str, subject_file: str, url: str) -> str:
    """Ask, verify, and give the status."""
    issuer, subject = (
        x509.load_pem_x509_certificate(Path(file).read_bytes()) for file in (issuer_file, subject_file)
    )
    builder = ocsp.OCSPRequestBuilder().add_certificate(subject, issuer, HASHES[digest]())
    response = ocsp.load_der_ocsp_response(exchange(method, url, builder.build().public_bytes(Encoding.DER)))
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        return response.response_status.name
    verify(response, issuer)
    assert response.serial_number == subject.serial_number
    return response.certificate_status.name


if __name__ == "__main__":
    sys.stdout.write(main(*sys.argv[1:]) + "\n")
