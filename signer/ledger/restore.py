"""Putting a ledger back from a backup: made ready beside the present one, then in its place at one stroke."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, insert, select, text, update

from signer.files import sync_directory
from signer.ledger import layouts, schema
from signer.ledger.backup import beside, copy, is_database, opened
from signer.ledger.engine import WRITE, open_engine, translated
from signer.ledger.errors import LedgerError
from signer.ledger.generations import epoch_of
from signer.ledger.values import Layout

__all__ = ["Restored", "prepared", "put_in_place"]

MAX_EPOCH = (1 << 16) - 1
TEMPLATE_GAP = 256  # numbers given out after the backup, more than there are slots: none is given twice


@contextmanager
def prepared(backup: Path, ledger: Path, progress: Callable[[int, int], None]) -> Iterator[Path]:
    """A copy of the backup beside the ledger, with this release's schema, until the end. Raises LedgerError."""
    made = ledger.with_name(f"{ledger.name}.restoring")
    _remove(made)  # what a killed one left
    try:
        copy(backup, made, progress)
        open_engine(f"sqlite:///{made}", upgrade=True).dispose()
        yield made
    finally:
        _remove(made)


def _remove(path: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


class Restored:
    """What only a restore may write to a ledger. For the copy that `prepared` gives. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        self._engine: Engine = open_engine(f"sqlite:///{path}")
        self._writer = self._engine.execution_options(**{WRITE: True})

    def __enter__(self) -> "Restored":
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.dispose()

    def raise_epoch(self, issuer_id: int, above: int) -> int:
        """Have the issuer's generations go on in an epoch above its own and `above`; returns it."""
        column = schema.issuer.c
        with translated(self._engine), self._writer.begin() as connection:
            generation = connection.execute(
                select(column.generation).where(column.id == issuer_id)
            ).scalar_one()
            epoch = max(epoch_of(generation), above) + 1
            if epoch > MAX_EPOCH:
                raise LedgerError(f"ledger epoch {epoch} is above {MAX_EPOCH}: none is left")
            connection.execute(
                update(schema.issuer)
                .where(column.id == issuer_id)
                .values(generation=epoch << schema.EPOCH_SHIFT)
            )
        return epoch

    def take_over_layout(self, issuer_id: int, stored: Layout) -> None:
        """Have the store's layout of pages in force unless the ledger has a newer one. Raises LedgerError."""
        with translated(self._engine), self._writer.begin() as connection:
            layouts.take_over(connection, issuer_id, stored)

    def put_template(self, issuer_id: int, slot: int, number: int, content: bytes) -> bool:
        """Record a template that the store has; False if it was there. Raises LedgerError if another one is."""
        column = schema.template.c
        with translated(self._engine), self._writer.begin() as connection:
            found = connection.execute(
                select(column.number, column.issuer_id, column.slot, column.content).where(
                    (column.number == number) | ((column.issuer_id == issuer_id) & (column.slot == slot))
                )
            ).first()
            if found is None:
                values = {"number": number, "issuer_id": issuer_id, "slot": slot, "content": content}
                connection.execute(insert(schema.template).values(values))
                return True
        if tuple(found) != (number, issuer_id, slot, content):
            raise LedgerError(
                f"the store has another template {number} in slot {slot} than the backup: it is another ledger's",
                remedy="point store.url at this ledger's own store, or restore --without-store",
            )
        return False

    def skip_template_numbers(self) -> None:
        """Leave out those that may have been given since the backup: responders keep templates by number."""
        with translated(self._engine), self._writer.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO sqlite_sequence (name, seq) SELECT 'template', 0 "
                    "WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'template')"
                )
            )
            statement = "UPDATE sqlite_sequence SET seq = seq + :gap WHERE name = 'template'"
            connection.execute(text(statement), {"gap": TEMPLATE_GAP})


def put_in_place(made: Path, ledger: Path, now: int) -> Path | None:
    """Replace the ledger, which is kept under another name: returned, None if there was none.

    Whatever moment it is killed at, one whole ledger is there. Raises LedgerError if another process has it open.
    """
    _close_wal(made)
    aside = None
    if ledger.exists():
        if is_database(ledger):
            _close_wal(ledger, damaged=True)
        aside = beside(ledger, "before-restore", now)
        os.link(ledger, aside)
        for ending in ("-wal", "-shm"):  # of a damaged one; never to be taken for the new one's
            rest = ledger.with_name(ledger.name + ending)
            if rest.exists():
                rest.rename(aside.with_name(aside.name + ending))
    os.replace(made, ledger)
    sync_directory(ledger.parent)
    return aside


def _close_wal(path: Path, *, damaged: bool = False) -> None:
    """Bring a database into its one file. Only who has it for himself can. `damaged`: it need not be one any more."""
    try:
        with opened(path, seconds=1) as connection:
            mode = connection.execute("PRAGMA journal_mode = DELETE").fetchone()
    except sqlite3.OperationalError as error:
        if "locked" not in str(error) and damaged:
            return
        raise LedgerError(
            f"{path}: another process uses the ledger: {error}",
            remedy="stop every `ocsp-signer` that uses it; nothing was replaced",
        ) from None
    except sqlite3.DatabaseError:
        if not damaged:
            raise
        return
    if mode != ("delete",) and not damaged:
        raise LedgerError(f"{path}: its write-ahead log cannot be closed")
