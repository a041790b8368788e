from typing import Final, final

from _fastpath.certid import IssuerID
from _fastpath.template import Template

# Whole OCSPResponses that carry no responseBytes (RFC 6960 section 4.2.1; R-02).
MALFORMED_REQUEST: Final[bytes]
INTERNAL_ERROR: Final[bytes]
TRY_LATER: Final[bytes]
UNAUTHORIZED: Final[bytes]

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
