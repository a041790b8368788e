from typing import Literal, final

from _fastpath.certid import IssuerID
from _fastpath.template import Template

@final
class Entry:
    """One signed response, ready to be sent. Times are seconds since 1970, UTC."""

    @property
    def this_update(self) -> int: ...
    @property
    def produced_at(self) -> int: ...
    @property
    def next_update(self) -> int: ...
    @property
    def revoked(self) -> bool: ...
    @property
    def body(self) -> bytes:
        """The OCSPResponse."""

    @property
    def entity_tag(self) -> bytes:
        """ETag with its quotes: lower-case hex of the raw signature's first 32 octets, then of the template number in
        the fewest octets, big-endian, one at least (H-07)."""

    def fault(self, now: int) -> Fault | None:
        """Why the answer may not be sent at `now`, or None: not valid yet or no more, by its own times less a
        minute, or by those of its signer's certificate (R-06, R-11, B1, C2)."""

    def response(self, now: int, cap: int) -> bytes:
        """A whole HTTP 200 with the freshness of H-02 to H-08; `cap` is the longest max-age in seconds."""

Fault = Literal["expired", "not_yet_valid", "template_untrusted"]

def assemble(
    template: Template,
    template_number: int,
    issuer: IssuerID,
    hash_algorithm: int,
    serial_number: bytes,
    record: bytes,
    not_before: int,
    not_after: int,
) -> Entry | None:
    """Check the record's checksum and make the answer to (issuer, hash_algorithm, serial_number).

    `not_before` and `not_after` are the times of the signer's certificate, in seconds since 1970. None when the
    record has no signature for that algorithm. Raises RecordDamaged, UnknownFormat.
    """

def error_response(body: bytes, now: int) -> bytes:
    """A whole HTTP 200 with an OCSPResponse of 5 octets, which no cache keeps (H-01, H-06). Raises ValueError."""
