"""What is to be revoked, as people write it: serials, reasons by name or number, RFC 3339 times, or a file of them."""

from datetime import datetime
from pathlib import Path

from signer.intake.openssl_index import parse_serial
from signer.intake.rows import REASONS, RowError, reason_number
from signer.ledger.values import ALLOWED_REASONS, Revocation
from store.errors import UsageError

__all__ = ["allowed_reason", "parse_date", "read_revocations", "typed_serial"]

ALLOWED_NAMES = (
    "unspecified, keyCompromise, affiliationChanged, superseded, cessationOfOperation, privilegeWithdrawn"
)
SHOWN = 20  # bad lines


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


def parse_date(text: str, now: int) -> int:
    """Seconds of an RFC 3339 time that has passed. Raises RowError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise RowError("date", f"{text[:40]!r} is not a time such as 2026-11-21T10:00:00Z")
    if moment.timestamp() > now:
        raise RowError("date", f"{text[:40]!r} is in the future; revocation is at once and for ever")
    if moment.timestamp() < 0:
        raise RowError("date", f"{text[:40]!r} is before 1970, which no answer can say")
    return int(moment.timestamp())


def read_revocations(path: Path, reason: int, time: int, now: int) -> list[Revocation]:
    """Lines of `serial[,reason[,date]]`; `reason` and `time` are for lines without. # begins a remark.

    Raises UsageError naming every bad line, up to twenty: then nothing is to be revoked.
    """
    asked: list[Revocation] = []
    bad: list[str] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}", remedy="check the path") from None
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            asked.append(_parse(text, reason, time, now))
        except RowError as error:
            bad.append(f"{path}:{number}: {error}")
    if bad:
        more = [f"... and {len(bad) - SHOWN} more"] if len(bad) > SHOWN else []
        raise UsageError("\n".join(bad[:SHOWN] + more), remedy="mend these lines; nothing was revoked")
    return asked


def _parse(text: str, reason: int, time: int, now: int) -> Revocation:
    fields = [field.strip() for field in text.split(",")]
    if len(fields) > 3:
        raise RowError("line", "not serial[,reason[,date]]")
    serial, own_reason, own_date = fields + [""] * (3 - len(fields))
    return Revocation(
        typed_serial(serial),
        parse_date(own_date, now) if own_date else time,
        allowed_reason(own_reason) if own_reason else reason,
    )
