"""Whether what comes out of the store was signed for a pinned CA (C2)."""

from dataclasses import dataclass
from typing import TypeGuard

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from _fastpath.certid import IssuerID
from _fastpath.errors import MalformedDer
from _fastpath.ocsp import split_response
from _fastpath.template import Template
from store.model import UNREADABLE, Issuer, public_key_bits, subject_name

__all__ = [
    "ALGORITHMS",
    "TrustedTemplate",
    "Untrusted",
    "responder_of",
    "trust_template",
    "verifies",
]

SignerKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

# The kind of key, and what is hashed with; nothing for Ed25519, which a private CA may have (RFC 8410).
ALGORITHMS: dict[bytes, tuple[type[SignerKey], hashes.HashAlgorithm | None]] = {
    bytes.fromhex("300506032b6570"): (ed25519.Ed25519PublicKey, None),
    bytes.fromhex("300a06082a8648ce3d040302"): (ec.EllipticCurvePublicKey, hashes.SHA256()),
    bytes.fromhex("300a06082a8648ce3d040303"): (ec.EllipticCurvePublicKey, hashes.SHA384()),
    bytes.fromhex("300a06082a8648ce3d040304"): (ec.EllipticCurvePublicKey, hashes.SHA512()),
    bytes.fromhex("300d06092a864886f70d01010b0500"): (rsa.RSAPublicKey, hashes.SHA256()),
    bytes.fromhex("300d06092a864886f70d01010c0500"): (rsa.RSAPublicKey, hashes.SHA384()),
    bytes.fromhex("300d06092a864886f70d01010d0500"): (rsa.RSAPublicKey, hashes.SHA512()),
}


class Untrusted(Exception):
    """A template whose signer does not hold for the pinned CA; the message says why."""


@dataclass(frozen=True, slots=True)
class TrustedTemplate:
    """A template whose signer may answer for the issuer, while its certificate is valid."""

    number: int
    template: Template
    public_key: SignerKey
    not_before: int
    not_after: int

    def verifies(self, body: bytes) -> bool:
        """Whether a response assembled with this template carries a signature of its signer."""
        return _is_signed_by(self.public_key, self.template.signature_algorithm, body)


def _is_signed_by(public_key: SignerKey, signature_algorithm: bytes, body: bytes) -> bool:
    """Whether a response has a signature of this algorithm by this key, which fits it."""
    _, digest = ALGORITHMS[signature_algorithm]
    try:
        tbs_response_data, algorithm, signature = split_response(body)
        if algorithm != signature_algorithm:
            return False
        if isinstance(public_key, ed25519.Ed25519PublicKey):
            public_key.verify(signature, tbs_response_data)
            return True
        assert digest is not None  # of all others
        if isinstance(public_key, rsa.RSAPublicKey):
            public_key.verify(signature, tbs_response_data, padding.PKCS1v15(), digest)
        else:
            public_key.verify(signature, tbs_response_data, ec.ECDSA(digest))
    except (InvalidSignature, MalformedDer):
        return False
    return True


def verifies(signer: x509.Certificate, signature_algorithm: bytes, body: bytes) -> bool:
    """Whether a response has a signature of this algorithm by the key of a certificate."""
    key = signer.public_key()
    return _fits(key, signature_algorithm) and _is_signed_by(key, signature_algorithm, body)


def _fits(key: object, signature_algorithm: bytes) -> TypeGuard[SignerKey]:
    kind, _ = ALGORITHMS.get(signature_algorithm, (None, None))
    return kind is not None and isinstance(key, kind)


def trust_template(issuer: Issuer, number: int, template: Template) -> TrustedTemplate:
    """Tie a template to the pinned CA certificate. Raises Untrusted.

    Its signer is the CA, or has a responder certificate that the CA issued itself (RFC 6960 section 4.2.2.2).
    """
    certificate = responder_of(issuer, template.certificates)
    signer = IssuerID(subject_name(certificate), public_key_bits(certificate))
    if signer.key_hash_sha1 != template.responder_key_hash:
        raise Untrusted("the responder ID is not that of the signer's key")
    key = certificate.public_key()
    if not _fits(key, template.signature_algorithm):
        raise Untrusted("the signature algorithm does not fit the signer's key")
    return TrustedTemplate(
        number,
        template,
        key,
        int(certificate.not_valid_before_utc.timestamp()),
        int(certificate.not_valid_after_utc.timestamp()),
    )


def responder_of(issuer: Issuer, octets: bytes) -> x509.Certificate:
    """The certificate that these octets are, if it may answer for the CA; none, or its own, is the CA. Raises Untrusted."""
    ca = issuer.certificate
    if octets in (b"", ca.public_bytes(Encoding.DER)):
        return ca
    try:
        certificate = x509.load_der_x509_certificate(octets)
        certificate.verify_directly_issued_by(ca)
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        # Read when they are asked for.
        _ = certificate.public_key(), certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except x509.ExtensionNotFound:
        raise Untrusted("the responder certificate has no extendedKeyUsage") from None
    except (*UNREADABLE, InvalidSignature) as error:
        reason = str(error) or "its signature is not the CA's"
        raise Untrusted(f"the responder certificate is not one of the CA: {reason}") from None
    if ExtendedKeyUsageOID.OCSP_SIGNING not in usages:
        raise Untrusted("the responder certificate is not for OCSP signing")
    return certificate
