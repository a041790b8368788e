"""The journal of administration: append-only rows of the ledger, each bound to the one before by SHA-256."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from signer.ledger.errors import LedgerError
from signer.ledger.schema import journal

__all__ = ["GENESIS", "JournalEntry", "append", "entries", "verify"]

GENESIS = bytes(32)  # previous_hash of the first entry


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """Who did what, when (seconds since 1970), with the hash that binds it to everything before."""

    seq: int
    recorded_at: int
    actor: str
    event: str
    detail: dict[str, Any]
    previous_hash: bytes
    entry_hash: bytes


def append(connection: Connection, *, now: int, actor: str, event: str, detail: dict[str, Any]) -> None:
    """Add an entry in the caller's write transaction, so that it is there exactly when its deed is."""
    newest = select(journal.c.seq, journal.c.entry_hash).order_by(journal.c.seq.desc()).limit(1)
    last = connection.execute(newest).first()
    seq, previous = (last.seq + 1, last.entry_hash) if last else (1, GENESIS)
    text = json.dumps(detail, sort_keys=True, separators=(",", ":"))
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


def entries(connection: Connection) -> Iterator[JournalEntry]:
    """All entries, oldest first."""
    for row in connection.execute(select(journal).order_by(journal.c.seq)):
        yield JournalEntry(
            row.seq,
            row.recorded_at,
            row.actor,
            row.event,
            json.loads(row.detail),
            row.previous_hash,
            row.entry_hash,
        )


def verify(connection: Connection) -> int:
    """Follow the chain and return its length. Raises LedgerError naming the first entry that does not fit."""
    previous = GENESIS
    seq = 0
    for row in connection.execute(select(journal).order_by(journal.c.seq)):
        seq += 1
        expected = _hash(previous, seq, row.recorded_at, row.actor, row.event, row.detail)
        if (row.seq, row.previous_hash, row.entry_hash) != (seq, previous, expected):
            raise LedgerError(
                f"journal entry {row.seq} does not follow from the one before: the journal was altered",
                remedy="keep the file as it is and compare it with a backup",
            )
        previous = expected
    return seq


def _hash(previous: bytes, seq: int, now: int, actor: str, event: str, detail: str) -> bytes:
    content = json.dumps([seq, now, actor, event, detail], separators=(",", ":"))
    return hashlib.sha256(previous + content.encode()).digest()
