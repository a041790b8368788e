from collections.abc import Iterable

def encode_issuing_distribution_point(
    url: str | None, *, only_contains_user_certs: bool = False, only_contains_ca_certs: bool = False
) -> bytes:
    """DER IssuingDistributionPoint (RFC 5280 section 5.2.5), one uniformResourceIdentifier at most. KAT: C-09."""

def encode_tbs_cert_list(
    entries: Iterable[
        tuple[bytes, int, int]
    ],  # serial (minimal unsigned), revocation time, reason (0: omitted)
    *,
    signature_algorithm: bytes,  # DER AlgorithmIdentifier
    issuer_name: bytes,  # DER Name
    this_update: int,
    next_update: int,
    authority_key_identifier: bytes,  # keyIdentifier octets
    crl_number: int,
    issuing_distribution_point: bytes | None,  # DER value; the extension is critical
) -> bytes:
    """DER TBSCertList in one pass over `entries`; revokedCertificates is absent when there are none (C-13)."""

def encode_crl(tbs_cert_list: bytes, signature_algorithm: bytes, signature: bytes) -> bytes: ...
