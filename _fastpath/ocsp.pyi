from typing import Final, final

from _fastpath.certid import CertID, IssuerID

# Whole OCSPResponses that carry no responseBytes (RFC 6960 section 4.2.1; R-02).
MALFORMED_REQUEST: Final[bytes]
INTERNAL_ERROR: Final[bytes]
TRY_LATER: Final[bytes]
UNAUTHORIZED: Final[bytes]

@final
class OCSPRequest:
    """A parsed OCSPRequest (RFC 6960 section 4.1.1)."""

    @property
    def cert_ids(self) -> tuple[CertID, ...]: ...  # at least one, in order
    @property
    def nonce(self) -> bytes | None: ...  # inner OCTET STRING content; answered without it

def parse_request(data: bytes) -> OCSPRequest:
    """Raises MalformedRequest, also for an unknown critical extension (Q-06) and for octets after the end.

    Bounding the size (Q-12) is the caller's part.
    """

@final
class Template:
    """What is the same in all responses of one signer. Immutable; numbered by the ledger, stored under its number.

    Raises ValueError for an algorithm outside A-01 or a size that does not go with it.
    """

    def __init__(
        self,
        *,
        signature_algorithm: bytes,  # DER AlgorithmIdentifier, one of A-01
        signature_size: int,  # octets of the raw signature in a record (ECDSA: r then s, both full width)
        responder_key_hash: bytes,  # 20 octets, SHA-1 of the signer's public key bits
        certificates: bytes,  # DER of the responder certificate, b"" for none
        validity: int,  # seconds, nextUpdate - thisUpdate unless clamped
    ) -> None: ...
    @property
    def signature_algorithm(self) -> bytes: ...
    @property
    def signature_size(self) -> int: ...
    @property
    def is_ecdsa(self) -> bool: ...
    @property
    def responder_key_hash(self) -> bytes: ...
    @property
    def certificates(self) -> bytes: ...
    @property
    def validity(self) -> int: ...
    def encode(self) -> bytes:
        """DER, readable with `openssl asn1parse`; starts with a format number."""
    @staticmethod
    def decode(data: bytes) -> Template:
        """Raises RecordDamaged, or UnknownFormat for a format or an algorithm of another release."""

@final
class SingleResponse:
    """What is said of one certificate, whatever the CertID algorithm. Times are whole seconds since 1970, UTC.

    Raises ValueError for a serial that is not minimal or above 20 octets, unless this_update <= produced_at <
    next_update (R-06), and for a reason that is no CRLReason or goes with no revocation.
    """

    def __init__(
        self,
        serial_number: bytes,
        *,
        this_update: int,
        produced_at: int,
        next_update: int,
        revocation_time: int | None = None,  # None: good
        reason: int = 0,  # CRLReason; 0 is expressed by omission
    ) -> None: ...
    @property
    def serial_number(self) -> bytes: ...
    @property
    def this_update(self) -> int: ...
    @property
    def produced_at(self) -> int: ...
    @property
    def next_update(self) -> int: ...
    @property
    def revocation_time(self) -> int | None: ...
    @property
    def reason(self) -> int: ...

def encode_tbs_response_data(
    template: Template, issuer: IssuerID, hash_algorithm: int, response: SingleResponse
) -> bytes:
    """DER of the ResponseData to sign, with exactly one SingleResponse and no responseExtensions (R-03, R-24)."""

def signature_to_raw(template: Template, signature: bytes) -> bytes:
    """The signature as stored in a record: Ecdsa-Sig-Value becomes r then s, RSA stays. Raises ValueError."""

def encode_response(
    template: Template, issuer: IssuerID, hash_algorithm: int, response: SingleResponse, raw_signature: bytes
) -> bytes:
    """A successful OCSPResponse: what `page.assemble` makes of a record, before there is one."""

def split_response(body: bytes) -> tuple[bytes, bytes, bytes]:
    """`(tbs_response_data, signature AlgorithmIdentifier, signature)` of our own successful response.

    The signature is as `cryptography` verifies it. Raises MalformedDer.
    """
