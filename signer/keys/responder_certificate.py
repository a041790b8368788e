"""Who signs an issuer's responses: a delegated responder with a fit certificate, or the CA itself (group D)."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID

from _fastpath.certid import IssuerID
from signer.keys.file import SigningKey
from store.errors import ConfigError
from store.model import UNREADABLE, Issuer, public_key_bits, subject_name

__all__ = ["OcspSigner", "check_ca_as_signer", "check_responder_certificate", "key_matches"]

OCSP_SIGNING_ONLY = bytes.fromhex("300a06082b06010505070309")
NOCHECK_VALUE = b"\x05\x00"
DIGITAL_SIGNATURE_ONLY = bytes.fromhex("03020780")
EMPTY_CONSTRAINTS = b"\x30\x00"
FORBIDDEN = {
    ExtensionOID.CRL_DISTRIBUTION_POINTS: "cRLDistributionPoints",
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME: "subjectAltName",
    ExtensionOID.NAME_CONSTRAINTS: "nameConstraints",
}


@dataclass(frozen=True, slots=True)
class OcspSigner:
    """A key with the certificate it signs under, and what responses embed of it."""

    key: SigningKey
    certificate: x509.Certificate
    embedded: bytes  # DER for `certs`, empty when the CA signs

    @property
    def key_hash(self) -> bytes:
        """byKey ResponderID: SHA-1 over the signer's public key bits (R-04)."""
        return IssuerID(subject_name(self.certificate), public_key_bits(self.certificate)).key_hash_sha1

    @property
    def not_after(self) -> int:
        return int(self.certificate.not_valid_after_utc.timestamp())


class _Unfit(ConfigError):
    """A responder certificate that must not sign (G3)."""

    def __init__(self, path: Path, row: str, problem: str) -> None:
        super().__init__(
            f"{path}: unfit as a responder certificate: {problem} ({row})",
            remedy="issue a new one with the CA's own key; see docs/operations.md, responder certificates",
        )


def key_matches(key: SigningKey, certificate: x509.Certificate) -> bool:
    """Whether the private key is the certificate's."""
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return key.public_key.public_bytes(*form) == certificate.public_key().public_bytes(*form)


def check_responder_certificate(path: Path, certificate: x509.Certificate, issuer: Issuer, now: int) -> None:
    """Every defect that would make clients refuse, or make the certificate dangerous. Raises ConfigError."""
    _check_issued_by(path, certificate, issuer)
    try:
        len(certificate.extensions)
    except UNREADABLE as error:
        raise _Unfit(path, "D-06", f"its extensions cannot be read: {error}") from None
    _check_usage(path, certificate)
    _check_profile(path, certificate)
    _check_time(path, certificate, now)


def _check_issued_by(path: Path, certificate: x509.Certificate, issuer: Issuer) -> None:
    if certificate.issuer != issuer.certificate.subject:
        raise _Unfit(path, "D-01", f"issued by another name than issuer {issuer.name}'s")
    try:
        certificate.verify_directly_issued_by(issuer.certificate)
    except (InvalidSignature, ValueError, TypeError):
        raise _Unfit(path, "D-01", f"not signed by the key of issuer {issuer.name}") from None


def _value(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> tuple[bytes, bool] | None:
    """DER value and criticality of an extension."""
    try:
        extension = certificate.extensions.get_extension_for_oid(oid)
    except x509.ExtensionNotFound:
        return None
    return extension.value.public_bytes(), extension.critical


def _check_usage(path: Path, certificate: x509.Certificate) -> None:
    usage = _value(certificate, ExtensionOID.EXTENDED_KEY_USAGE)
    if usage is None or usage[0] != OCSP_SIGNING_ONLY:
        raise _Unfit(path, "D-02", "extendedKeyUsage must be OCSPSigning and nothing else")
    nocheck = _value(certificate, ExtensionOID.OCSP_NO_CHECK)
    if nocheck is None or nocheck != (NOCHECK_VALUE, False):
        raise _Unfit(path, "D-03", "id-pkix-ocsp-nocheck must be there, not critical")
    key_usage = _value(certificate, ExtensionOID.KEY_USAGE)
    if key_usage is None or key_usage != (DIGITAL_SIGNATURE_ONLY, True):
        raise _Unfit(path, "D-04", "keyUsage must be critical and digitalSignature alone")
    constraints = _value(certificate, ExtensionOID.BASIC_CONSTRAINTS)
    if constraints is not None and constraints != (EMPTY_CONSTRAINTS, True):
        raise _Unfit(path, "D-05", "basicConstraints must be absent, or critical and empty")


def _check_profile(path: Path, certificate: x509.Certificate) -> None:
    identifier = _value(certificate, ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
    if identifier is None:
        raise _Unfit(path, "D-06", "authorityKeyIdentifier is missing")
    authority = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    if authority.key_identifier is None or authority.authority_cert_serial_number is not None:
        raise _Unfit(path, "D-06", "authorityKeyIdentifier must have the keyIdentifier alone")
    for oid, name in FORBIDDEN.items():
        if _value(certificate, oid) is not None:
            raise _Unfit(path, "D-06", f"{name} must not be there")
    if not 0 < certificate.serial_number < 1 << 159:
        raise _Unfit(path, "D-07", "the serial number must be positive and below 2^159")


def _check_time(path: Path, certificate: x509.Certificate, now: int) -> None:
    if int(certificate.not_valid_before_utc.timestamp()) > now:
        raise _Unfit(path, "D-08", f"not valid before {certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}")
    if int(certificate.not_valid_after_utc.timestamp()) <= now:
        raise _Unfit(path, "D-08", f"expired at {certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}")


def check_ca_as_signer(path: Path, certificate: x509.Certificate, now: int) -> None:
    """A CA that signs responses itself needs digitalSignature (D-09, BR 7.1.2.10.7). Raises ConfigError."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        usage = None
    if usage is None or not usage.digital_signature:
        raise ConfigError(
            f"{path}: the CA may not sign OCSP responses: keyUsage lacks digitalSignature (D-09)",
            remedy="use a delegated responder: `signer.key` and `signer.certificate`",
        )
    if certificate.not_valid_after_utc <= datetime.fromtimestamp(now, UTC):
        raise ConfigError(f"{path}: the CA certificate has expired", remedy="nothing can be signed under it")
