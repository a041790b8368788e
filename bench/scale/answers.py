"""A sample of answers through HTTP, each held against what index.txt says."""

import http.client
from collections.abc import Iterable
from contextlib import closing

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp

from bench.scale.corpus import Drawn
from bench.scale.watched import Failed

__all__ = ["check_answers"]

ALGORITHMS = (hashes.SHA1(), hashes.SHA256())


def check_answers(
    port: int, ca: x509.Certificate, responder: x509.Certificate, drawn: Iterable[Drawn]
) -> int:
    """Ask about each under both CertIDs; how many answers there were. Raises Failed for one that is not right."""
    count = 0
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        for one in drawn:
            for algorithm in ALGORITHMS:
                _check(_ask(connection, ca, one.serial, algorithm), one, algorithm, responder)
                count += 1
    return count


def _ask(
    connection: http.client.HTTPConnection, ca: x509.Certificate, serial: int, algorithm: hashes.HashAlgorithm
) -> ocsp.OCSPResponse:
    name, key = (_digest(data, algorithm) for data in (ca.subject.public_bytes(), _key_bits(ca)))
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(name, key, serial, algorithm)
    connection.request("POST", "/", builder.build().public_bytes(Encoding.DER))
    return ocsp.load_der_ocsp_response(connection.getresponse().read())


def _check(
    response: ocsp.OCSPResponse, one: Drawn, algorithm: hashes.HashAlgorithm, responder: x509.Certificate
) -> None:
    what = f"serial {one.serial:x}, {algorithm.name}"
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise Failed(f"{what}: {response.response_status}")
    wanted = ocsp.OCSPCertStatus.REVOKED if one.revoked else ocsp.OCSPCertStatus.GOOD
    if (response.serial_number, response.certificate_status) != (one.serial, wanted):
        raise Failed(f"{what}: {response.serial_number:x} is {response.certificate_status}, not {wanted}")
    if response.hash_algorithm.name != algorithm.name:
        raise Failed(f"{what}: the answer is of {response.hash_algorithm.name}")
    key = responder.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(hashes.SHA256()))


def _key_bits(ca: x509.Certificate) -> bytes:
    key = ca.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _digest(data: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
    digest = hashes.Hash(algorithm)
    digest.update(data)
    return digest.finalize()
