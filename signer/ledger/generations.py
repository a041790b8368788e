"""Numbers for changes, in commit order: taken under the issuer's row lock, which is held until commit."""

from sqlalchemy import Connection, insert, select, update

from signer.ledger import schema
from signer.ledger.errors import LedgerError
from signer.ledger.values import Change

__all__ = ["current", "record", "take"]


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
    statement = select(schema.issuer.c.generation).where(schema.issuer.c.id == issuer_id)
    generation = connection.execute(statement).scalar()
    if generation is None:
        raise LedgerError(f"the ledger has no issuer with id {issuer_id}")
    return int(generation)


def record(connection: Connection, issuer_id: int, changes: list[Change], now: int) -> None:
    """Write rows of the change log."""
    connection.execute(
        insert(schema.change),
        [
            {
                "issuer_id": issuer_id,
                "generation": change.generation,
                "kind": change.kind.value,
                "first_hash32": change.first_hash32,
                "last_hash32": change.last_hash32,
                "serial": change.serial,
                "recorded_at": now,
            }
            for change in changes
        ],
    )
