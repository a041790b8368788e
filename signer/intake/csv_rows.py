"""Comma-separated values (RFC 4180): a header that names the columns, then one certificate a line.

No field may hold a line break, so that a stray quote spoils one row and not the rest of the file.
"""

import csv

from _fastpath.intake import Lines, read_csv
from signer.intake.fields import STATUSES, Fields, row_of
from signer.intake.memo import Memo
from signer.intake.rows import ImportRow, RowError, named_reason, printable
from signer.intake.scope import Scope
from signer.ledger.staging import EXPIRED, GOOD, RANK, REVOKED
from signer.ledger.values import PlacedBy

__all__ = ["CsvRows"]

REQUIRED = ("serial", "not_after")
SHOWN = 48
# In this order the compiled reader wants to know where they are.
COLUMNS = ("serial", "not_after", "not_before", "status", "revoked_at", "reason", "crl_url")
KINDS = {"good": GOOD, "revoked": REVOKED, "expired": EXPIRED}
WORDS = {word.encode(): KINDS[status] for word, status in STATUSES.items()}
NO_PLACE = (0, 0, 0)


class CsvRows:
    """Reads lines into rows. `begin` takes the header."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._columns: list[str] = []
        self._at: tuple[int, ...] = ()
        self._reasons = Memo(_plain_reason)
        self._places = Memo(self._place)

    def begin(self, line: bytes) -> None:
        """Raises RowError naming an unknown, doubled or missing column."""
        self._columns = [name.strip() for name in _split(line)]
        for name in self._columns:
            if name not in Fields.__struct_fields__:
                known = ", ".join(Fields.__struct_fields__)
                raise RowError("header", f"column '{printable(name[:SHOWN])}' is not known; known: {known}")
            if self._columns.count(name) > 1:
                raise RowError("header", f"column '{name}' is there twice")
        for name in REQUIRED:
            if name not in self._columns:
                raise RowError("header", f"column '{name}' is missing")
        self._at = tuple(self._columns.index(name) if name in self._columns else -1 for name in COLUMNS)

    def plain(self, block: bytes, first: int, longest: int) -> Lines:
        """Those without quotes and odd values; `parse` takes them too, and does not differ.

        `first` is the number of the first line.
        """
        return read_csv(
            block,
            first,
            longest,
            self._scope.now,
            self._at,
            len(self._columns),
            WORDS,
            self._reasons,
            self._places,
        )

    def _place(self, url: bytes) -> tuple[int, int, int] | None:
        """Rank, series and index. Raises RowError."""
        place = self._scope.shards.place("crl_url", [url.decode()], PlacedBy.FILE)
        return (RANK[place.placed_by], place.series, place.shard_index) if place else NO_PLACE

    def parse(self, line: bytes) -> ImportRow:
        """Raises RowError."""
        values = _split(line)
        if len(values) != len(self._columns):
            raise RowError("line", f"{len(values)} fields, but the header names {len(self._columns)}")
        return row_of(Fields(**dict(zip(self._columns, values, strict=True))), self._scope)


def _plain_reason(name: bytes) -> int | None:
    """CRLReason of a name or number, unless there is something to tell of it."""
    reason, adjusted = named_reason(name.decode())
    return None if adjusted else reason


def _split(line: bytes) -> list[str]:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RowError("line", f"not UTF-8 at octet {error.start + 1}") from None
    if '"' not in text and "\r" not in text:
        return text.split(",")
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise RowError("line", f"not comma-separated values: {error}") from None
