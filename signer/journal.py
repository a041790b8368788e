"""The journal of administration: append-only rows of the ledger, each bound to the one before by SHA-256."""

import hashlib
import json
import os
import pwd
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from signer.ledger.errors import LedgerError
from signer.ledger.schema import journal

__all__ = [
    "GENESIS",
    "JournalEntry",
    "append",
    "canonical",
    "entries",
    "fault_after",
    "followed",
    "newest",
    "user",
    "verify",
]

GENESIS = bytes(32)  # previous_hash of the first entry
ROWS = 1_000  # read at a time


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """Who did what, when (seconds since 1970), with the hash that binds it to everything before."""

    seq: int
    recorded_at: int
    actor: str
    event: str
    text: str  # of the detail, as it was hashed: JSON with sorted keys, without spaces
    previous_hash: bytes
    entry_hash: bytes

    @property
    def detail(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text)
        return found

    @property
    def expected_hash(self) -> bytes:
        """What `entry_hash` is, unless the entry was changed."""
        return _hash(self.previous_hash, self.seq, self.recorded_at, self.actor, self.event, self.text)


def user() -> str:
    """Whom an entry names for a command: the user of this process."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def canonical(detail: dict[str, Any]) -> str:
    """The only spelling of a detail that is hashed."""
    return json.dumps(detail, sort_keys=True, separators=(",", ":"))


def append(connection: Connection, *, now: int, actor: str, event: str, detail: dict[str, Any]) -> None:
    """Add an entry in the caller's write transaction, so that it is there exactly when its deed is."""
    newest = select(journal.c.seq, journal.c.entry_hash).order_by(journal.c.seq.desc()).limit(1)
    last = connection.execute(newest).first()
    seq, previous = (last.seq + 1, last.entry_hash) if last else (1, GENESIS)
    text = canonical(detail)
    connection.execute(
        insert(journal).values(
            seq=seq,
            recorded_at=now,
            actor=actor,
            event=event,
            detail=text,
            previous_hash=previous,
            entry_hash=_hash(previous, seq, now, actor, event, text),
        )
    )


def entries(
    connection: Connection, *, since: int | None = None, until: int | None = None, after: int = 0
) -> Iterator[JournalEntry]:
    """Oldest first, one by one: those with a higher seq than `after`, recorded from `since` to `until`."""
    statement = select(journal).where(journal.c.seq > after).order_by(journal.c.seq)
    if since is not None:
        statement = statement.where(journal.c.recorded_at >= since)
    if until is not None:
        statement = statement.where(journal.c.recorded_at <= until)
    for row in connection.execution_options(yield_per=ROWS).execute(statement):
        yield JournalEntry(*row)


def newest(connection: Connection, events: Collection[str]) -> JournalEntry | None:
    """The last entry of one of these events."""
    statement = select(journal).where(journal.c.event.in_(events)).order_by(journal.c.seq.desc()).limit(1)
    row = connection.execute(statement).first()
    return None if row is None else JournalEntry(*row)


def fault_after(before: JournalEntry | None, entry: JournalEntry) -> str | None:
    """What is wrong with an entry that comes after `before` (None: first of all), None if it follows."""
    expected, previous = (1, GENESIS) if before is None else (before.seq + 1, before.entry_hash)
    if entry.seq > expected:
        missing = (
            f"entry {expected} is"
            if entry.seq == expected + 1
            else f"entries {expected} to {entry.seq - 1} are"
        )
        return f"{missing} missing before it"
    if entry.seq < expected:
        return f"it comes after entry {expected - 1}: out of order, or put in"
    if entry.expected_hash != entry.entry_hash:
        return "it was changed"
    if entry.previous_hash != previous:
        return "it does not follow from the one before: one of the two was replaced"
    return None


def followed(found: Iterable[JournalEntry], before: JournalEntry | None = None) -> Iterator[JournalEntry]:
    """The same entries, each once it is seen to follow. Raises LedgerError naming the first that does not."""
    for entry in found:
        if fault := fault_after(before, entry):
            raise LedgerError(
                f"journal entry {entry.seq}: {fault}: the journal was altered",
                remedy="keep the file as it is and compare it with a backup and with exports of the journal",
            )
        yield entry
        before = entry


def verify(connection: Connection) -> int:
    """Follow the chain and return its length. Raises LedgerError naming the first entry that does not fit."""
    return sum(1 for _ in followed(entries(connection)))


def _hash(previous: bytes, seq: int, now: int, actor: str, event: str, detail: str) -> bytes:
    content = json.dumps([seq, now, actor, event, detail], separators=(",", ":"))
    return hashlib.sha256(previous + content.encode()).digest()
