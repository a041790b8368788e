"""Building one signed CRL (RFC 5280 section 5) from entries that the ledger streams."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from cryptography import x509

from _fastpath.crl import encode_crl, encode_issuing_distribution_point, encode_tbs_cert_list
from store.errors import ConfigError
from store.model import subject_name

__all__ = [
    "CrlEntry",
    "CrlFields",
    "CrlKey",
    "CrlScope",
    "CrlSigner",
    "build_shard",
    "subject_key_identifier",
]

# Serial (minimal unsigned big-endian), revocation time (seconds since 1970), reason (0: unspecified).
CrlEntry = tuple[bytes, int, int]


class CrlKey(Protocol):
    """A private key, in a file or a token."""

    @property
    def signature_algorithm(self) -> bytes:
        """DER AlgorithmIdentifier (A-01)."""

    def sign_der(self, data: bytes) -> bytes:
        """The signature as it stands in the BIT STRING."""


@dataclass(frozen=True, slots=True)
class CrlSigner:
    """The CA itself: nobody else signs its CRLs (C-02).

    Raises ConfigError unless its keyUsage has cRLSign (C-04) and there is a subjectKeyIdentifier to name (C-07).
    """

    certificate: x509.Certificate
    key: CrlKey

    def __post_init__(self) -> None:
        try:
            may_sign = self.certificate.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
        except x509.ExtensionNotFound:
            may_sign = False
        if not may_sign:
            raise ConfigError(
                f"the CA certificate {self.certificate.subject.rfc4514_string()} has no cRLSign in its keyUsage",
                remedy="CRLs are signed with the CA's own key: use the certificate of a CA that may sign them",
            )
        subject_key_identifier(self.certificate)


class CrlScope(Enum):
    """Which certificates a CRL is about."""

    USER_CERTIFICATES = "user"
    CA_CERTIFICATES = "ca"


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlFields:
    """What one CRL says beside its entries. Times are seconds since 1970."""

    crl_number: int
    this_update: int
    next_update: int
    distribution_point_url: str | None  # None: a full and complete CRL, which carries no IDP (C-12)
    scope: CrlScope = CrlScope.USER_CERTIFICATES

    def issuing_distribution_point(self) -> bytes | None:
        """DER value of the extension, which is critical."""
        if self.distribution_point_url is None:
            return None
        return encode_issuing_distribution_point(
            self.distribution_point_url,
            only_contains_user_certs=self.scope is CrlScope.USER_CERTIFICATES,
            only_contains_ca_certs=self.scope is CrlScope.CA_CERTIFICATES,
        )


def build_shard(signer: CrlSigner, fields: CrlFields, entries: Iterable[CrlEntry]) -> bytes:
    """DER of one signed CRL over `entries`, in their order and read once.

    Raises ValueError, naming the entry, for one that may not stand in a CRL.
    """
    tbs_cert_list = encode_tbs_cert_list(
        entries,
        signature_algorithm=signer.key.signature_algorithm,
        issuer_name=subject_name(signer.certificate),
        this_update=fields.this_update,
        next_update=fields.next_update,
        authority_key_identifier=subject_key_identifier(signer.certificate),
        crl_number=fields.crl_number,
        issuing_distribution_point=fields.issuing_distribution_point(),
    )
    return encode_crl(tbs_cert_list, signer.key.signature_algorithm, signer.key.sign_der(tbs_cert_list))


def subject_key_identifier(certificate: x509.Certificate) -> bytes:
    """keyIdentifier octets of a CA certificate. Raises ConfigError if it has none (RFC 5280 section 4.2.1.2)."""
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        raise ConfigError(
            f"the CA certificate {certificate.subject.rfc4514_string()} has no subjectKeyIdentifier",
            remedy="its CRLs could not name their signing key: reissue the CA certificate with the extension",
        ) from None
