"""Numbers for changes, in commit order: taken under the issuer's row lock, which is held until commit."""

from contextlib import closing
from functools import cache

from sqlalchemy import Connection, bindparam, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine.interfaces import DBAPICursor

from _fastpath.staged import ROW_SIZE, change_parameters
from signer.ledger import schema
from signer.ledger.errors import LedgerError
from signer.ledger.values import Change, ChangeKind

__all__ = ["current", "epoch_of", "read", "record", "record_issued", "take", "taken_since"]

ROWS_PER_STATEMENT = 50

_CURRENT = str(
    select(schema.issuer.c.generation)
    .where(schema.issuer.c.id == bindparam("issuer"))
    .compile(dialect=sqlite.dialect(paramstyle="named"))
)

_INTO = "INSERT OR FAIL INTO change (issuer_id, generation, kind, first_hash32, last_hash32, serial, recorded_at) VALUES "
_LOG = _INTO + "(?, ?, ?, ?, ?, ?, ?)"


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


def record_issued(connection: Connection, issuer_id: int, rows: bytes, first: int, now: int) -> None:
    """The same for packed rows (`_fastpath.staged`), each a change with a generation of its own from `first` on."""
    whole = len(rows) - len(rows) % (ROWS_PER_STATEMENT * ROW_SIZE)
    for some, together, generation in (
        (rows[:whole], ROWS_PER_STATEMENT, first),
        (rows[whole:], 1, first + whole // ROW_SIZE),
    ):
        if some:
            connection.exec_driver_sql(
                _issued(issuer_id, together), change_parameters(some, together, generation, now)
            )


@cache
def _issued(issuer_id: int, rows: int) -> str:
    """Its first two parameters are the first generation and the time; then come hash32 and serial of each row."""
    kind = ChangeKind.ISSUE.value
    return _INTO + ", ".join(
        f"({issuer_id}, ?1 + {at}, '{kind}', ?{3 + 2 * at}, ?{3 + 2 * at}, ?{4 + 2 * at}, ?2)"
        for at in range(rows)
    )
