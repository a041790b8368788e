"""An issuer as both processes know it: its short name, its CA certificate and what CertIDs say of it."""

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from _fastpath import der
from _fastpath.certid import IssuerID
from store.errors import ConfigError

__all__ = [
    "REASON_NUMBERS",
    "UNREADABLE",
    "Issuer",
    "load_certificate",
    "load_issuer",
    "public_key_bits",
    "subject_name",
    "validity_fault",
]

# CRLReason (RFC 5280 section 5.3.1), which cryptography knows by name alone.
REASON_NUMBERS = {
    x509.ReasonFlags.unspecified: 0,
    x509.ReasonFlags.key_compromise: 1,
    x509.ReasonFlags.ca_compromise: 2,
    x509.ReasonFlags.affiliation_changed: 3,
    x509.ReasonFlags.superseded: 4,
    x509.ReasonFlags.cessation_of_operation: 5,
    x509.ReasonFlags.certificate_hold: 6,
    x509.ReasonFlags.remove_from_crl: 8,
    x509.ReasonFlags.privilege_withdrawn: 9,
    x509.ReasonFlags.aa_compromise: 10,
}


VERSION_TAG = 0xA0

# What cryptography raises for octets that are no certificate or response, or of a kind that it does not know.
UNREADABLE = (
    ValueError,
    TypeError,  # a BIT STRING in a Name, and a key that signs nothing
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True)
class Issuer:
    """A CA whose certificates are answered for."""

    name: str
    certificate: x509.Certificate
    id: IssuerID


def _after(content: bytes, skipped: int) -> bytes:
    for _ in range(skipped):
        content = der.read(content)[2]
    return content


def _from_subject(certificate: x509.Certificate) -> bytes:
    """The TBSCertificate from its subject on: the exact octets, where a re-encoding might differ."""
    fields = der.read(certificate.tbs_certificate_bytes)[1]
    has_version = fields[0] == VERSION_TAG
    return _after(fields, 5 if has_version else 4)  # version, serialNumber, signature, issuer, validity


def subject_name(certificate: x509.Certificate) -> bytes:
    """DER of the subject Name, octet for octet as in the certificate (Q-04, C-02)."""
    rest = _from_subject(certificate)
    return rest[: len(rest) - len(_after(rest, 1))]


def public_key_bits(certificate: x509.Certificate) -> bytes:
    """Content of the subjectPublicKey BIT STRING without its unused-bits octet (RFC 6960 section 4.1.1)."""
    info = der.read(_after(_from_subject(certificate), 1))[1]
    return der.read(_after(info, 1))[1][1:]


def validity_fault(certificate: x509.Certificate, now: int) -> str | None:
    """Why nobody trusts at `now` what is signed under a certificate (RFC 5280 section 6.1.3 (a)(2)); None: it is in force."""
    if now < int(certificate.not_valid_before_utc.timestamp()):
        return f"begins at {certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
    if now > int(certificate.not_valid_after_utc.timestamp()):
        return f"ended at {certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    return None


def load_certificate(path: Path) -> x509.Certificate:
    """Read one PEM or DER certificate. Raises ConfigError naming the file."""
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # the second: a path that no file can have
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"{path}: the certificate cannot be read: {reason}",
            remedy="check the path (`certificate` in the configuration, or the option) and its permissions",
        ) from None
    try:
        pem = b"-----BEGIN" in data
        found = x509.load_pem_x509_certificate(data) if pem else x509.load_der_x509_certificate(data)
        # Read when they are asked for.
        _ = found.issuer, found.subject, found.public_key()
    except UNREADABLE as error:
        raise ConfigError(
            f"{path}: not a PEM or DER certificate: {error}",
            remedy="`openssl x509 -in FILE -noout -text` must read it",
        ) from None
    return found


def load_issuer(name: str, path: Path) -> Issuer:
    """The CA certificate as an issuer. Raises ConfigError when it is not the certificate of a CA."""
    certificate = load_certificate(path)
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        is_ca = constraints.ca
    except x509.ExtensionNotFound:
        is_ca = False
    except UNREADABLE as error:
        raise ConfigError(f"{path}: issuer {name}: unreadable extensions: {error}") from None
    if not is_ca:
        raise ConfigError(
            f"{path}: issuer {name}: not a CA certificate (basicConstraints CA is not set)",
            remedy="name the certificate of the CA that issued the certificates, not a responder's or a subscriber's",
        )
    return Issuer(name, certificate, IssuerID(subject_name(certificate), public_key_bits(certificate)))
