"""Exports of the journal: one entry a line, whole and canonical, so that a copy elsewhere proves what the ledger says.

A line is a JSON object: seq, time (RFC 3339), actor, event, detail, previous_hash and entry_hash (hex). entry_hash is
SHA-256 over previous_hash and the JSON array [seq, time in seconds since 1970, actor, event, detail as compact JSON
text with sorted keys], itself compact and in ASCII.
"""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

import msgspec

from signer.intake.lines import bounded_lines
from signer.intake.rows import RowError
from signer.journal import JournalEntry, canonical, fault_after, followed
from signer.ledger.errors import LedgerError
from signer.ledger.ledger import Ledger
from store.errors import OcspeedError, UsageError
from store.text import printable, rfc3339

__all__ = ["BrokenExport", "ExportedLine", "compare", "extend", "line_of", "read_export"]


class BrokenExport(OcspeedError):
    """An exported journal that is not as it was written, or not of this ledger."""


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    seq: int
    time: datetime
    actor: str
    event: str
    detail: dict[str, object]
    previous_hash: str
    entry_hash: str


@dataclass(frozen=True, slots=True)
class ExportedLine:
    """An entry of an export, or the last line that a crash cut off (None). `end` is where it ends in the file."""

    number: int
    entry: JournalEntry | None
    end: int


def line_of(entry: JournalEntry) -> str:
    """One line, with its end."""
    fields = {
        "seq": entry.seq,
        "time": rfc3339(entry.recorded_at),
        "actor": entry.actor,
        "event": entry.event,
        "detail": entry.detail,
        "previous_hash": entry.previous_hash.hex(),
        "entry_hash": entry.entry_hash.hex(),
    }
    return json.dumps(fields, separators=(",", ":")) + "\n"


def read_export(path: Path) -> Iterator[ExportedLine]:
    """Lines in order, each seen to follow on the one before. Raises BrokenExport naming file and line, UsageError.

    The first may be any entry: an export need not begin with the first.
    """
    before: JournalEntry | None = None
    end = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(bounded_lines(file), start=1):
                if isinstance(line, bytes) and not line.endswith(b"\n"):
                    yield ExportedLine(number, None, end)
                    return
                entry = _entry(path, number, line)
                _check_follows(path, number, before, entry)
                end += len(line) if isinstance(line, bytes) else 0
                before = entry
                yield ExportedLine(number, entry, end)
    except OSError as error:
        raise UsageError(
            f"{printable(str(path))}: cannot be read: {error.strerror}", remedy="check the path"
        ) from None


def _entry(path: Path, number: int, line: bytes | RowError) -> JournalEntry:
    if isinstance(line, RowError):
        raise _broken(path, number, str(line))
    try:
        read = msgspec.json.decode(line, type=_Line)
        return JournalEntry(
            read.seq,
            int(read.time.timestamp()),
            read.actor,
            read.event,
            canonical(read.detail),
            bytes.fromhex(read.previous_hash),
            bytes.fromhex(read.entry_hash),
        )
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise _broken(path, number, f"no entry of a journal: {error}") from None


def _check_follows(path: Path, number: int, before: JournalEntry | None, entry: JournalEntry) -> None:
    if before is None and entry.seq > 1:
        fault = None if entry.expected_hash == entry.entry_hash else "it was changed"
    else:
        fault = fault_after(before, entry)
    if fault:
        raise _broken(path, number, f"entry {entry.seq}: {fault}")


def _broken(path: Path, number: int, message: str) -> BrokenExport:
    return BrokenExport(
        f"{printable(str(path))}:{number}: {message}",
        remedy="keep the file; `ocsp-signer journal export` writes another from the ledger",
    )


def compare(ledger: Iterable[JournalEntry], path: Path) -> tuple[JournalEntry | None, int]:
    """Follow the ledger's journal beside an export; its last entry and how many of the export's are in it.

    Raises LedgerError for a fault of the ledger's own chain, or for an entry of the export that it has otherwise, or
    not at all: then its journal was cut off or written anew.
    """
    entries, shared = followed(ledger), 0
    last: JournalEntry | None = None
    for exported in read_export(path):
        wanted = exported.entry
        if wanted is None:
            continue
        while (last is None or last.seq < wanted.seq) and (following := next(entries, None)) is not None:
            last = following
        if last is None or last.seq < wanted.seq:
            raise _rewritten(path, exported.number, f"the ledger's journal ends before entry {wanted.seq}")
        if last.entry_hash != wanted.entry_hash:
            raise _rewritten(path, exported.number, f"the ledger has another entry {wanted.seq}")
        shared += 1
    for following in entries:
        last = following
    return last, shared


def _rewritten(path: Path, number: int, message: str) -> LedgerError:
    return LedgerError(
        f"{printable(str(path))}:{number}: {message}: its journal was altered, or it was restored from a backup",
        remedy="a restored ledger has an entry `restore`; otherwise keep both files and find out who wrote to the ledger",
    )


def extend(ledger: Ledger, path: Path, now: int, actor: str) -> tuple[int, int]:
    """Append to an export what the ledger has more, durably; entries written, and octets of a cut line removed.

    A line that a crash cut off is removed first, and journalled. Raises as `compare` does if the export is not the
    beginning of the ledger's journal, and BrokenExport for an end that no crash can have left.
    """
    last, torn = _tail_of(path) if path.exists() else (None, b"")
    before = last.entry if last else None
    after = before.seq if before else 0
    if last is not None:
        _check_there(ledger, path, last)
    if torn:
        _check_torn(ledger, path, last.number + 1 if last else 1, after, torn)
        ledger.journal("export recovered", {"file": printable(str(path)), "octets": len(torn)}, now, actor)
    added = ledger.journal_entries(after=after)
    with _opened(path) as file:
        file.truncate(last.end if last else 0)
        file.seek(0, os.SEEK_END)
        count = 0
        for entry in followed(added, before):
            file.write(line_of(entry).encode())
            count += 1
        file.flush()
        os.fsync(file.fileno())
    return count, len(torn)


def _check_there(ledger: Ledger, path: Path, last: ExportedLine) -> None:
    """Raises LedgerError unless the ledger has the entry of that line."""
    assert last.entry is not None
    known = next(ledger.journal_entries(after=last.entry.seq - 1), None)
    if known is None or known.entry_hash != last.entry.entry_hash:
        found = "another" if known else "no"
        raise _rewritten(path, last.number, f"the ledger has {found} entry {last.entry.seq}")


def _check_torn(ledger: Ledger, path: Path, number: int, after: int, torn: bytes) -> None:
    """Raises BrokenExport unless the line of the ledger's next entry begins so: else it is dear to somebody."""
    following = next(ledger.journal_entries(after=after), None)
    if following is None or not line_of(following).encode().startswith(torn):
        raise _broken(path, number, f"neither an entry nor the beginning of the ledger's entry {after + 1}")


def _tail_of(path: Path) -> tuple[ExportedLine | None, bytes]:
    """The last whole line of a verified export, and what follows it."""
    last = None
    for line in read_export(path):
        last = line if line.entry is not None else last
    with path.open("rb") as file:
        file.seek(last.end if last else 0)
        return last, file.read()


def _opened(path: Path) -> IO[bytes]:
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
    except OSError as error:
        raise UsageError(
            f"{printable(str(path))}: cannot be written: {error.strerror}", remedy="check the path"
        ) from None
