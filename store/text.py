"""How values from outside and times are written for people, in results, logs and the journal."""

from datetime import UTC, datetime
from typing import overload

__all__ = ["moment", "printable", "rfc3339"]

FIRST, LAST = -62_135_596_800, 253_402_300_799  # years 1 and 9999


def printable(text: str) -> str:
    """A name or value as it may be printed and logged: without what steers a terminal, ends a line or is no character."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


@overload
def rfc3339(seconds: int) -> str: ...
@overload
def rfc3339(seconds: int | None) -> str | None: ...
def rfc3339(seconds: int | None) -> str | None:
    """`2026-11-21T10:00:00Z`; the first or last second that has this form for one before or after."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(max(FIRST, min(seconds, LAST)), UTC).isoformat()[:19] + "Z"


def moment(text: str) -> datetime | None:
    """A time of RFC 3339; None for anything else, and for one without a zone."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if found.tzinfo is None else found
