from typing import Final, final

OTHER: Final[int]  # a hash algorithm this service does not answer for
SHA1: Final[int]
SHA256: Final[int]

@final
class CertID:
    """One CertID of a request (RFC 6960 section 4.1.1)."""

    @property
    def hash_algorithm(self) -> int: ...  # SHA1, SHA256 or OTHER
    @property
    def issuer_name_hash(self) -> bytes: ...
    @property
    def issuer_key_hash(self) -> bytes: ...
    @property
    def serial_number(self) -> bytes: ...  # minimal unsigned big-endian, b"\0" for zero

@final
class IssuerID:
    """What identifies an issuer in CertIDs and record checksums: its Name and its public key.

    `name` is the DER of the subject Name, `public_key_bits` the content of the subjectPublicKey BIT STRING
    without its unused-bits octet (RFC 6960 section 4.1.1).
    """

    def __init__(self, name: bytes, public_key_bits: bytes) -> None: ...
    @property
    def name(self) -> bytes: ...
    @property
    def fingerprint(self) -> bytes: ...  # SHA-256 name hash then key hash, 64 octets; seeds record CRCs
    @property
    def key_hash_sha1(self) -> bytes: ...  # the issuer's own byKey ResponderID when it signs directly
    def matches(self, cert_id: CertID) -> bool: ...
    def lookup_key(self, hash_algorithm: int) -> bytes:
        """Name hash then key hash, for a dict of issuers. Raises ValueError for another algorithm."""

    def encode_cert_id(self, hash_algorithm: int, serial_number: bytes) -> bytes:
        """DER CertID, parameters NULL. Raises ValueError for another algorithm or a serial that is not minimal."""

def minimal_serial(value: bytes) -> bytes:
    """Minimal unsigned big-endian form of any unsigned octets; `b"\\0"` for zero or nothing."""

def serial_from_int(value: int) -> bytes:
    """Minimal unsigned big-endian form. Raises ValueError for a negative value or one above 20 octets."""
