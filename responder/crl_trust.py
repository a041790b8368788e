"""Whether a CRL that lies in the object store may be served at its path (conformance U-06): the responder's own check."""

import hashlib
from dataclasses import dataclass

from cryptography import x509

from _fastpath import der
from store.model import Issuer, subject_name

__all__ = ["CrlVersion", "UntrustedCrl", "verify_crl"]

INTEGER_TAG = 0x02


class UntrustedCrl(Exception):
    """A CRL that must not be served; the message says why."""


@dataclass(frozen=True, slots=True)
class CrlVersion:
    """What one version of a CRL says of itself; times are seconds since 1970, `sha256` is hex over the DER."""

    crl_number: int
    this_update: int
    next_update: int
    sha256: str


def verify_crl(data: bytes, issuer: Issuer, before: CrlVersion | None) -> CrlVersion:
    """Tie a CRL to the pinned CA and hold it against the version served before. Raises UntrustedCrl; may take long."""
    try:
        crl = x509.load_der_x509_crl(data)
        version = _version(crl, data)
        if _issuer_name(crl) != subject_name(issuer.certificate):
            raise UntrustedCrl(
                "it is another CA's: its issuer is not the subject of the configured certificate"
            )
        # The key of a CA certificate is one that signs, or this raises TypeError.
        if not crl.is_signature_valid(issuer.certificate.public_key()):  # type: ignore[arg-type]
            raise UntrustedCrl("its signature is not the CA's")
    except UntrustedCrl:
        raise
    except Exception as error:  # the decoders raise many kinds, and none may end in serving it
        raise UntrustedCrl(f"it cannot be read: {error}") from error
    if before is not None and version.crl_number < before.crl_number:
        raise UntrustedCrl(f"its number {version.crl_number} is below {before.crl_number}, which was served")
    if before is not None and version.this_update < before.this_update:
        raise UntrustedCrl("its thisUpdate is before that of the version served")
    return version


def _version(crl: x509.CertificateRevocationList, data: bytes) -> CrlVersion:
    if crl.next_update_utc is None:
        raise UntrustedCrl("it has no nextUpdate")
    return CrlVersion(
        crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number,
        int(crl.last_update_utc.timestamp()),
        int(crl.next_update_utc.timestamp()),
        hashlib.sha256(data).hexdigest(),
    )


def _issuer_name(crl: x509.CertificateRevocationList) -> bytes:
    """DER of the issuer Name, octet for octet: TBSCertList is version, signature, issuer (RFC 5280 section 5.1)."""
    fields = der.read(crl.tbs_certlist_bytes)[1]
    if fields[0] == INTEGER_TAG:
        fields = der.read(fields)[2]
    fields = der.read(fields)[2]
    return fields[: len(fields) - len(der.read(fields)[2])]
