r"""index.txt of `openssl ca`: lines of status, notAfter, revocation, serial, file and subject, tab between.

Status is V, R or E; V is not always made E when a certificate expires. A revocation is
`date[,reason[,extra]]`. Dates are UTCTime (YYMMDDHHMMSSZ) or GeneralizedTime (YYYYMMDDHHMMSSZ). A tab inside a
field is written `\` tab. Lines that begin with # and empty lines say nothing.
"""

import binascii
from datetime import UTC, datetime

from _fastpath.certid import minimal_serial
from _fastpath.intake import Lines, read_index
from signer.intake.memo import Memo
from signer.intake.rows import ImportRow, RowError, fit_reason, fit_time, named_reason
from signer.ledger.values import KEY_COMPROMISE, UNSPECIFIED

__all__ = ["MAX_SERIAL", "OpensslIndex", "parse_serial"]

FIELDS = 6
GOOD_OR_EXPIRED = (b"V", b"E")
MAX_SERIAL = 20  # octets (RFC 5280 section 4.1.2.2)
FIRST_YEAR_OF_1900S = 50  # UTCTime: 50 to 99 are 1950 to 1999 (RFC 5280 section 4.1.2.5.1)
# What `openssl ca` writes in place of a reason when there is something extra: what it means and what is lost.
EXTENDED_REASONS = {
    "holdinstruction": (6, ""),
    "keytime": (KEY_COMPROMISE, "the time of compromise is not published (no invalidityDate)"),
    "cakeytime": (2, ""),
}


class OpensslIndex:
    """Reads lines into rows. `now` decides what is expired or in the future."""

    def __init__(self, now: int) -> None:
        self._now = now
        self._days = Memo(_day)
        self._clocks = Memo(_clock)
        self._reasons = Memo(_plain_reason)

    def plain(self, block: bytes, first: int, longest: int) -> Lines:
        """Those that are as `openssl ca` writes most of them; `parse` takes them too, and does not differ.

        `first` is the number of the first line.
        """
        return read_index(block, first, longest, self._now, self._reasons)

    def parse(self, line: bytes) -> ImportRow:
        """One line without its end. Raises RowError."""
        fields = line.split(b"\t", FIELDS - 1)
        if len(fields) != FIELDS or b"\t" in fields[-1].replace(b"\\\t", b""):
            raise RowError("line", f"not {FIELDS} fields with tabs between")
        status, end, revocation, serial, _, _ = fields
        number = parse_serial(serial)
        not_after = self._time("notAfter", end)
        if status == b"R":
            time, reason, adjusted = self._revocation(revocation)
            return ImportRow(number, not_after, time, reason, False, adjusted)
        if status not in GOOD_OR_EXPIRED:
            raise RowError("status", f"{_show(status)} is not V, R or E")
        if revocation:
            raise RowError("revocation", f"a certificate of status {status.decode()} has a revocation date")
        return ImportRow(number, not_after, None, UNSPECIFIED, status == b"E" or not_after < self._now, "")

    def _revocation(self, field: bytes) -> tuple[int, int, str]:
        date, _, rest = field.partition(b",")
        name = rest.partition(b",")[0].decode("ascii", "replace")
        time, clamped = fit_time(self._time("revocation", date), self._now)
        reason, adjusted = _reason(name)
        return time, reason, "; ".join(filter(None, (clamped, adjusted)))

    def _time(self, field: str, text: bytes) -> int:
        """Seconds since 1970. Millions of rows share few days, so a day is worked out once."""
        if len(text) not in (13, 15) or text[-1:] != b"Z" or not text[:-1].isdigit():
            raise RowError(field, f"{_show(text)} is not YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ")
        try:
            day = self._days[text[:-7]]
        except KeyError:
            raise RowError(field, f"{_show(text[:-7])} is no date") from None
        try:
            return day + self._clocks[text[-7:]]
        except KeyError:
            raise RowError(field, f"{_show(text)} is no time of day") from None


def parse_serial(text: bytes) -> bytes:
    """Minimal unsigned octets of hex digits in either case, odd or even in number. Raises RowError."""
    try:
        octets = binascii.unhexlify(text if len(text) % 2 == 0 else b"0" + text)
    except ValueError:
        octets = b""
    if not octets:
        what = "is negative" if text.startswith(b"-") else "is not hexadecimal"
        raise RowError("serial", f"{_show(text)} {what}")
    serial = minimal_serial(octets)
    if len(serial) > MAX_SERIAL:
        raise RowError("serial", f"{_show(text)} has {len(serial)} octets, more than {MAX_SERIAL}")
    return serial


def _reason(name: str) -> tuple[int, str]:
    extended = EXTENDED_REASONS.get(name.lower())
    if extended is None:
        return named_reason(name)
    number, lost = extended
    reason, adjusted = fit_reason(number)
    return reason, adjusted or lost


def _plain_reason(name: bytes) -> int | None:
    """CRLReason of what stands behind the date, unless there is something to tell of it."""
    reason, adjusted = _reason(name.partition(b",")[0].decode("ascii"))
    return None if adjusted else reason


def _day(date: bytes) -> int | None:
    """YYMMDD or YYYYMMDD in seconds since 1970."""
    if len(date) not in (6, 8) or not date.isdigit():
        return None
    year = int(date[:-4])
    if len(date) == 6:
        year += 1900 if year >= FIRST_YEAR_OF_1900S else 2000
    return int(datetime(year, int(date[-4:-2]), int(date[-2:]), tzinfo=UTC).timestamp())


def _clock(text: bytes) -> int | None:
    """HHMMSSZ in seconds."""
    if len(text) != 7 or text[-1:] != b"Z" or not text[:-1].isdigit():
        return None
    hours, minutes, seconds = int(text[:2]), int(text[2:4]), int(text[4:6])
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    return hours * 3600 + minutes * 60 + seconds


def _show(text: bytes) -> str:
    """A field as it may be printed: short, ASCII, no control characters."""
    return repr(text[:48].decode("ascii", "backslashreplace"))
