"""`journal export` and `journal verify`: who did what, for people, for copies elsewhere and for auditors."""

import sys
from collections import deque
from contextlib import closing
from pathlib import Path

from signer.commands.output import print_json, print_text, remark
from signer.config import load_settings
from signer.journal import followed, user
from signer.journal_file import compare, extend, line_of
from signer.ledger.ledger import Ledger
from store.clock import Clock, SystemClock
from store.errors import UsageError
from store.text import moment, rfc3339

__all__ = ["export", "verify"]


def export(
    file: Path,
    *,
    since: str | None,
    until: str | None,
    to: Path | None,
    as_json: bool,
    clock: Clock | None = None,
) -> None:
    """Print entries, or bring the copy at `to` up to date."""
    if to is not None and (since or until):
        raise UsageError("--to takes the whole journal", remedy="leave out --since and --until")
    first, last = _moment("--since", since), _moment("--until", until)
    with closing(Ledger.open(load_settings(file).ledger_url)) as ledger:
        if to is not None:
            _extend(ledger, to, (clock or SystemClock()).now(), as_json)
            return
        for entry in ledger.journal_entries(since=first, until=last):
            if as_json:
                sys.stdout.write(line_of(entry))
            else:
                print_text(
                    f"{entry.seq} {rfc3339(entry.recorded_at)} {entry.actor} {entry.event} {entry.text}"
                )


def _extend(ledger: Ledger, path: Path, now: int, as_json: bool) -> None:
    written, torn = extend(ledger, path, now, user())
    if torn:
        remark(f"{path}: its last line had been cut off, as by a crash: {torn} octets replaced")
    if as_json:
        print_json({"file": str(path), "written": written, "recovered_octets": torn})
    else:
        print_text(f"{path}: {written} entries written")


def verify(file: Path, *, against: Path | None, as_json: bool) -> None:
    """Follow the chain, and compare it with an export. Raises LedgerError or BrokenExport naming the entry."""
    with closing(Ledger.open(load_settings(file).ledger_url)) as ledger:
        shared: int | None = None
        if against is not None:
            last, shared = compare(ledger.journal_entries(), against)
        else:
            last = next(iter(deque(followed(ledger.journal_entries()), maxlen=1)), None)
    found = {
        "entries": last.seq if last else 0,
        "last_time": rfc3339(last.recorded_at) if last else None,
        "last_hash": last.entry_hash.hex() if last else None,
        "compared": shared,
    }
    if as_json:
        print_json(found)
        return
    print_text(f"{found['entries']} entries, unbroken; the last has hash {found['last_hash']}")
    if shared is not None:
        print_text(f"{shared} of them are in {against} too")


def _moment(option: str, text: str | None) -> int | None:
    """Seconds of an RFC 3339 time. Raises UsageError."""
    if text is None:
        return None
    found = moment(text)
    if found is None:
        raise UsageError(f"{option}: {text[:40]!r} is not a time such as 2026-11-21T10:00:00Z")
    return int(found.timestamp())
