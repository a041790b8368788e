"""Numbers for changes, in commit order: taken under the issuer's row lock, which is held until commit."""

from contextlib import closing

from sqlalchemy import Connection, bindparam, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine.interfaces import DBAPICursor

from signer.ledger import schema
from signer.ledger.errors import LedgerError
from signer.ledger.values import Change

__all__ = ["current", "epoch_of", "read", "record", "take", "taken_since"]

_CURRENT = str(
    select(schema.issuer.c.generation)
    .where(schema.issuer.c.id == bindparam("issuer"))
    .compile(dialect=sqlite.dialect(paramstyle="named"))
)

_LOG = (
    "INSERT INTO change (issuer_id, generation, kind, first_hash32, last_hash32, serial, recorded_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)


def epoch_of(generation: int) -> int:
    """The ledger epoch that a generation is of."""
    return generation >> schema.EPOCH_SHIFT


def take(connection: Connection, issuer_id: int, count: int = 1) -> int:
    """Advance by `count` in this write transaction; returns the first of the numbers taken."""
    table = schema.issuer
    statement = (
        update(table)
        .where(table.c.id == issuer_id)
        .values(generation=table.c.generation + count)
        .returning(table.c.generation)
    )
    return int(connection.execute(statement).scalar_one()) - count + 1


def current(connection: Connection, issuer_id: int) -> int:
    """Generation of the newest committed change, as this transaction sees it."""
    with closing(connection.connection.cursor()) as cursor:
        return read(cursor, issuer_id)


def read(cursor: DBAPICursor, issuer_id: int) -> int:
    """The same, asked of the driver itself."""
    cursor.execute(_CURRENT, {"issuer": issuer_id})
    found = cursor.fetchone()
    if found is None:
        raise LedgerError(f"the ledger has no issuer with id {issuer_id}")
    return int(found[0])


def taken_since(connection: Connection, issuer_id: int, before: int) -> dict[str, int]:
    """The generations after `before` as the journal names them; empty if there are none."""
    after = current(connection, issuer_id)
    return {"first_generation": before + 1, "last_generation": after} if after > before else {}


def record(connection: Connection, issuer_id: int, changes: list[Change], now: int) -> None:
    """Write rows of the change log, by the driver itself: there can be millions."""
    rows = [
        (
            issuer_id,
            change.generation,
            change.kind.value,
            change.first_hash32,
            change.last_hash32,
            change.serial,
            now,
        )
        for change in changes
    ]
    connection.exec_driver_sql(_LOG, rows)
