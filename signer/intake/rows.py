"""What every import format is read into: one row a certificate, or one problem a row that cannot be read."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from signer.ledger.values import ALLOWED_REASONS, REASON_NAMES, UNSPECIFIED, Placement
from store.text import printable

__all__ = [
    "REASONS",
    "ImportRow",
    "Note",
    "Notes",
    "RowError",
    "fit_reason",
    "fit_time",
    "named_reason",
    "printable",
    "reason_number",
]

# CRLReason by its name in lower case: `openssl ca` spells some otherwise than RFC 5280.
REASONS = {name.lower(): number for number, name in REASON_NAMES.items()}
MAX_REASON_DIGITS = 3
MAX_NOTES = 1_000  # kept of each kind; all are counted


class ImportRow(NamedTuple):
    """One certificate. `adjusted` says what of its revocation had to be changed to be allowed, "" for nothing."""

    serial: bytes  # minimal unsigned big-endian
    not_after: int
    revocation_time: int | None
    reason: int
    expired: bool
    adjusted: str
    placement: Placement | None = None
    warning: str = ""  # what of the certificate itself is against the rules


class RowError(ValueError):
    """A row that says nothing certain: which field of it, and why."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")


@dataclass(frozen=True, slots=True)
class Note:
    """Something to tell of one row. `line` counts from 1; None where a file has no lines."""

    file: str
    line: int | None
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.message}"


@dataclass(slots=True)
class Notes:
    """The first notes of a kind and the number of all, so that a bad file of any size is told in bounded memory."""

    count: int = 0
    first: list[Note] = field(default_factory=list)

    def add(self, place: Callable[[], tuple[str, int | None]], message: str) -> None:
        """`place` is asked for file and line if the note is kept."""
        self.count += 1
        if len(self.first) < MAX_NOTES:
            self.first.append(Note(*place(), message))


def reason_number(name: str) -> int | None:
    """CRLReason of a name in any case or of a number; None for anything else."""
    if name.isascii() and name.isdigit() and len(name) <= MAX_REASON_DIGITS:
        return int(name)
    return REASONS.get(name.lower())


def fit_reason(reason: int) -> tuple[int, str]:
    """The reason that may be published and what was changed: a revocation is never refused for its reason (C-15)."""
    if reason in ALLOWED_REASONS:
        return reason, ""
    return UNSPECIFIED, f"reason {reason} is not allowed on subscriber certificates: taken as unspecified"


def named_reason(name: str) -> tuple[int, str]:
    """The same for a name in any case or a number, known or not; "" is unspecified."""
    number = reason_number(name) if name else UNSPECIFIED
    if number is None:
        return UNSPECIFIED, f"reason {name[:40]!r} is not known: taken as unspecified"
    return fit_reason(number)


def fit_time(time: int, now: int) -> tuple[int, str]:
    """The revocation time that may be published and what was changed: never after now (C-17), nor before 1970.

    A record holds seconds since 1970, and UTCTime in a CRL begins at 1950.
    """
    if time < 0:
        return 0, "revocation time before 1970: taken as 1970-01-01"
    if time > now:
        return now, "revocation time in the future: taken as now"
    return time, ""
