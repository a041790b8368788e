"""What is to be revoked, as people write it: serials, reasons by name or number, RFC 3339 times, or a file of them."""

import re
from binascii import unhexlify
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path

from _fastpath.certid import minimal_serial
from signer.intake.lines import BYTE_ORDER_MARK
from signer.intake.openssl_index import MAX_SERIAL, parse_serial
from signer.intake.rows import REASONS, RowError, fit_time, reason_number
from signer.ledger.values import ALLOWED_REASONS, REASON_NAMES, Revocation
from store.errors import UsageError
from store.text import moment, printable

__all__ = ["allowed_reason", "fit_date", "parse_date", "read_revocations", "typed_serial"]

ALLOWED_NAMES = ", ".join(REASON_NAMES[number] for number in sorted(ALLOWED_REASONS))
SHOWN = 20  # bad lines
BLOCK = 1 << 16  # octets read at a time
MAX_LINE = 4_096  # octets, with what ends it: room for a remark

# Nothing but serials of whole octets: most lines of the longest files.
_PLAIN = re.compile(rf"(?:(?:[0-9A-Fa-f]{{2}}){{1,{MAX_SERIAL}}}\r?\n)+".encode()).fullmatch


def typed_serial(text: str) -> bytes:
    """A serial as people copy it: plain hex, `0x` before it, `serial=`, or colons between octets. Raises RowError."""
    plain = text.strip().lower().removeprefix("serial=").removeprefix("0x")
    return parse_serial(plain.replace(":", "").encode(errors="replace"))


def allowed_reason(text: str) -> int:
    """CRLReason of a name or number that subscriber certificates may have (C-15). Raises RowError."""
    number = reason_number(text)
    if number is None:
        raise RowError("reason", f"{text[:40]!r} is not a CRLReason; allowed: {ALLOWED_NAMES}")
    if number not in ALLOWED_REASONS:
        name = next((name for name, value in REASONS.items() if value == number), "")
        raise RowError(
            "reason",
            f"{number} {name}".rstrip() + f" is not for subscriber certificates; allowed: {ALLOWED_NAMES}",
        )
    return number


def fit_date(text: str, now: int, latest: float) -> tuple[int, str]:
    """Seconds of an RFC 3339 time, and what was changed: one after `now` is now. Raises RowError after `latest`."""
    return fit_time(parse_date(text, latest), now)


def parse_date(text: str, now: float) -> int:
    """Seconds of an RFC 3339 time that has passed. Raises RowError."""
    found = moment(text)
    if found is None:
        raise RowError("date", f"{text[:40]!r} is not a time such as 2026-11-21T10:00:00Z")
    if found.timestamp() > now:
        raise RowError("date", f"{text[:40]!r} is in the future; revocation is at once and for ever")
    if found.timestamp() < 0:
        raise RowError("date", f"{text[:40]!r} is before 1970, which no answer can say")
    return int(found.timestamp())


def read_revocations(
    path: Path, reason: int, time: int, now: int, latest: float, progress: Callable[[int], None]
) -> Iterator[Revocation]:
    """Lines of `serial[,reason[,date]]`; `reason` and `time` are for lines without. # begins a remark.

    A date between `now` and `latest` is taken as now.

    `progress` is told octets. Raises UsageError at the end of the file naming every bad line, up to twenty, and at once
    for a line that is too long: then nothing is to be revoked.
    """
    bad: list[str] = []
    count = 0
    parse = partial(_parse, reason=reason, time=time, now=now, latest=latest)
    for first, block in _blocks(path):
        plain = block.removeprefix(BYTE_ORDER_MARK) if first == 1 else block
        if _PLAIN(plain):
            yield from [Revocation(minimal_serial(unhexlify(one)), time, reason) for one in plain.split()]
        else:
            for number, line in enumerate(BytesIO(plain), first):
                where = f"{printable(str(path))}:{number}"
                try:
                    if text := _text(where, line):
                        yield parse(text)
                except RowError as error:
                    count += 1
                    if count <= SHOWN:
                        bad.append(f"{where}: {error}")
        progress(len(block))
    if bad:
        more = [f"... and {count - SHOWN} more"] if count > SHOWN else []
        raise UsageError("\n".join(bad + more), remedy="mend these lines; nothing was revoked")


def _blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    """Many lines at a time, with the number of the first, from 1.

    What has no end of line is not read on to look for one: it may have none at all.
    """
    number = 1
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                block += file.readline(MAX_LINE + 1)
                yield number, block
                number += block.count(b"\n")
    except (OSError, ValueError) as error:  # the second: a path that no file can have
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"{printable(str(path))}: cannot be read: {reason}", remedy="check the path; nothing was revoked"
        ) from None


def _text(where: str, line: bytes) -> str:
    """Without remark. Raises UsageError for a line that is too long."""
    if len(line) > MAX_LINE:
        raise UsageError(
            f"{where}: line: longer than {MAX_LINE} octets",
            remedy="write one serial[,reason[,date]] a line; nothing was revoked",
        )
    return line.decode(errors="replace").partition("#")[0].strip()


def _parse(text: str, reason: int, time: int, now: int, latest: float) -> Revocation:
    fields = [field.strip() for field in text.split(",")]
    if len(fields) > 3:
        raise RowError("line", "not serial[,reason[,date]]")
    serial, own_reason, own_date = fields + [""] * (3 - len(fields))
    return Revocation(
        typed_serial(serial),
        fit_date(own_date, now, latest)[0] if own_date else time,
        allowed_reason(own_reason) if own_reason else reason,
    )
