"""A certificate authority that signs OCSP responses with our codec, for the tests that hold it against others."""

import dataclasses
import datetime
import functools
import hashlib
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from _fastpath.certid import IssuerID
from _fastpath.ocsp import SingleResponse, encode_response, encode_tbs_response_data, signature_to_raw
from _fastpath.template import Template

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Digest = hashes.SHA256 | hashes.SHA384 | hashes.SHA512

NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "OCSP test CA")])
START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
THIS_UPDATE = 1_790_000_000
VALIDITY = 345_599

# Conformance A-01, and the octets of a raw signature.
ECDSA: dict[str, tuple[ec.EllipticCurve, Digest, bytes, int]] = {
    "secp256r1": (ec.SECP256R1(), hashes.SHA256(), bytes.fromhex("300a06082a8648ce3d040302"), 64),
    "secp384r1": (ec.SECP384R1(), hashes.SHA384(), bytes.fromhex("300a06082a8648ce3d040303"), 96),
    "secp521r1": (ec.SECP521R1(), hashes.SHA512(), bytes.fromhex("300a06082a8648ce3d040304"), 132),
}
RSA: dict[str, tuple[Digest, bytes, int]] = {
    "rsa-sha256": (hashes.SHA256(), bytes.fromhex("300d06092a864886f70d01010b0500"), 256),
    "rsa-sha384": (hashes.SHA384(), bytes.fromhex("300d06092a864886f70d01010c0500"), 256),
    "rsa-sha512": (hashes.SHA512(), bytes.fromhex("300d06092a864886f70d01010d0500"), 256),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Authority:
    """A key, its self-signed certificate, and the issuer and template that the codec knows them by."""

    key: PrivateKey
    hash_algorithm: Digest
    certificate: x509.Certificate
    issuer: IssuerID
    template: Template

    def sign(self, data: bytes) -> bytes:
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(data, padding.PKCS1v15(), self.hash_algorithm)
        return self.key.sign(data, ec.ECDSA(self.hash_algorithm))

    def respond(self, response: SingleResponse, hash_algorithm: int) -> bytes:
        """A whole signed OCSPResponse."""
        tbs = encode_tbs_response_data(self.template, self.issuer, hash_algorithm, response)
        raw = signature_to_raw(self.template, self.sign(tbs))
        return encode_response(self.template, self.issuer, hash_algorithm, response, raw)


def public_key_bits(key: PrivateKey) -> bytes:
    """Content of the subjectPublicKey BIT STRING without its unused-bits octet."""
    if isinstance(key, rsa.RSAPrivateKey):
        return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    return key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )


def issue(
    key: PrivateKey, hash_algorithm: Digest, name: x509.Name, serial: int, *, filler: int = 0
) -> x509.Certificate:
    """A self-signed certificate, as large as `filler` octets make it."""
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=serial,
        not_valid_before=START,
        not_valid_after=START + datetime.timedelta(days=3650),
    ).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    if filler:
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.999.1"), bytes(filler))
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, hash_algorithm)


@functools.cache
def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    """One key for all tests that do not compare keys: making one takes a while."""
    return rsa.generate_private_key(65537, bits)


def make_authority(kind: str = "secp256r1", *, secret: int = 7, embed: bool = True) -> Authority:
    """An authority of one of the kinds above that signs directly, with its certificate in `certs` or without."""
    key: PrivateKey
    if kind in ECDSA:
        curve, hash_algorithm, algorithm, size = ECDSA[kind]
        key = ec.derive_private_key(secret, curve)
    else:
        hash_algorithm, algorithm, size = RSA[kind]
        key = rsa_key(8 * size)
    certificate = issue(key, hash_algorithm, NAME, 1)
    template = Template(
        signature_algorithm=algorithm,
        signature_size=size,
        responder_key_hash=hashlib.sha1(public_key_bits(key), usedforsecurity=False).digest(),
        certificates=certificate.public_bytes(serialization.Encoding.DER) if embed else b"",
        validity=VALIDITY,
    )
    return Authority(
        key, hash_algorithm, certificate, IssuerID(NAME.public_bytes(), public_key_bits(key)), template
    )


def make_template(**changes: Any) -> Template:
    """A P-256 template without a certificate, but for the fields named."""
    fields: dict[str, Any] = {
        "signature_algorithm": ECDSA["secp256r1"][2],
        "signature_size": 64,
        "responder_key_hash": b"k" * 20,
        "certificates": b"",
        "validity": VALIDITY,
    }
    return Template(**fields | changes)


def good(serial_number: bytes, *, this_update: int = THIS_UPDATE) -> SingleResponse:
    return SingleResponse(
        serial_number,
        this_update=this_update,
        produced_at=this_update + 2,
        next_update=this_update + VALIDITY,
    )


def revoked(serial_number: bytes, revocation_time: int, reason: int) -> SingleResponse:
    return SingleResponse(
        serial_number,
        this_update=THIS_UPDATE,
        produced_at=THIS_UPDATE + 2,
        next_update=THIS_UPDATE + VALIDITY,
        revocation_time=revocation_time,
        reason=reason,
    )
