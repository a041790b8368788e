from typing import Final

MARGIN: Final[int]  # seconds: nothing is sent that close to nextUpdate (H-04, R-11, B1)

# Bits of the second value of decode_get_path: what had to be tolerated (H-15), counted by the responder.
TOLERATED_SPACE: Final[int]
TOLERATED_LINE_BREAK: Final[int]
TOLERATED_PADDING: Final[int]
TOLERATED_URL_ALPHABET: Final[int]
TOLERATED_DOUBLE_ENCODING: Final[int]

def decode_get_path(raw_path: bytes, *, strict: bool = False) -> tuple[bytes, int]:
    """DER of the OCSPRequest in a GET target's path (mount prefix and query already removed), and tolerance bits.

    Percent-decodes once, strips leading slashes, keeps every inner one (H-14). Raises MalformedRequest.
    """

def imf_fixdate(seconds: int) -> bytes:
    """`Sat, 21 Nov 2026 10:00:00 GMT` (RFC 9110 section 5.6.7)."""

def refresh_deadline(this_update: int, next_update: int) -> int:
    """When a replacement must be served: this_update + min(V/2, 4 d), and for V >= 16 h not later than next_update - 8 h (R-16)."""

def max_age(now: int, this_update: int, next_update: int, cap: int) -> int:
    """Seconds a cache may keep the response: max(0, min(cap, refresh_deadline - now, next_update - now - 60)) (H-04)."""
