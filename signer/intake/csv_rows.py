"""Comma-separated values (RFC 4180): a header that names the columns, then one certificate a line.

No field may hold a line break, so that a stray quote spoils one row and not the rest of the file.
"""

import binascii
import csv
from datetime import datetime
from operator import itemgetter

from _fastpath.certid import minimal_serial
from _fastpath.page import hash32
from signer.intake.fields import STATUSES, Fields, row_of
from signer.intake.memo import Memo
from signer.intake.openssl_index import MAX_SERIAL
from signer.intake.rows import ImportRow, PlainRows, RowError, named_reason, printable
from signer.intake.scope import Scope
from signer.ledger.staging import EXPIRED, GOOD, RANK, REVOKED, TIME_BIAS
from signer.ledger.values import UNSPECIFIED, PlacedBy

__all__ = ["CsvRows"]

REQUIRED = ("serial", "not_after")
SHOWN = 48
# In this order `plain` takes a line apart; an absent column is empty.
COLUMNS = ("serial", "not_after", "not_before", "status", "revoked_at", "reason", "crl_url")
MISSING = [b""]
WORDS = {word.encode(): status for word, status in STATUSES.items()} | {b"": ""}
NO_PLACE = (0, 0, 0)
MIDNIGHT = "00:00:00Z"
SOME_DAY = "1970-01-02T"
SOME_MIDNIGHT = datetime(1970, 1, 2)


class CsvRows:
    """Reads lines into rows. `begin` takes the header."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._columns: list[str] = []
        self._pick = itemgetter(*range(len(COLUMNS)))
        self._days = Memo(_day)
        self._clocks = Memo(_clock)
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
        places = {name: at for at, name in enumerate(self._columns)}
        self._pick = itemgetter(*(places.get(name, len(places)) for name in COLUMNS))

    def plain(self, lines: list[bytes], first: int) -> PlainRows:
        """Those without quotes and odd values; `parse` takes them too, and does not differ.

        `first` is the number of the first line.
        """
        found = PlainRows()
        add, now, days, clocks = found.rows.append, self._scope.now, self._days, self._clocks
        width, pick = len(self._columns), self._pick
        for at, line in enumerate(lines):
            try:
                values = line.split(b",")
                if len(values) != width:
                    raise ValueError
                digits, end, begin, status, revoked_at, name, url = pick(values + MISSING)
                serial = binascii.unhexlify(digits)
                if not serial[0]:
                    serial = minimal_serial(serial)
                size = len(serial)
                not_after = days[end[:11]] + clocks[end[11:]]
                said = WORDS[status]
                place = self._places[url] if url else NO_PLACE
                reason = self._reasons[name] if name else UNSPECIFIED
                if size > MAX_SERIAL or (begin and days[begin[:11]] + clocks[begin[11:]] > not_after):
                    raise ValueError
                if revoked_at:
                    time = days[revoked_at[:11]] + clocks[revoked_at[11:]]
                    if said == "good" or not 0 <= time <= now:
                        raise ValueError
                    kind, time = REVOKED, time + TIME_BIAS
                    found.revoked += 1
                elif said == "revoked" or reason != UNSPECIFIED:
                    raise ValueError
                elif said == "expired" or not_after < now:
                    kind, time = EXPIRED, 0
                    found.expired += 1
                else:
                    kind, time = GOOD, 0
            except (ValueError, LookupError):
                found.left.append(at)
                continue
            add((hash32(serial), serial, size, kind, time, reason, not_after, *place, first + at))
        found.placed = bool(self._places)
        return found

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


def _day(text: bytes) -> int | None:
    """`2026-11-21T` in seconds since 1970."""
    if len(text) != 11 or text[-1:] != b"T":
        return None
    return int(datetime.fromisoformat(text.decode("ascii") + MIDNIGHT).timestamp())


def _clock(text: bytes) -> int | None:
    """`10:00:00Z`, or with another zone, in seconds since midnight UTC, fractions cut off."""
    moment = datetime.fromisoformat(SOME_DAY + text.decode("ascii"))
    offset = moment.utcoffset()
    if offset is None or offset.microseconds:
        return None
    return int((moment.replace(tzinfo=None, microsecond=0) - SOME_MIDNIGHT - offset).total_seconds())


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
