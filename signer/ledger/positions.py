"""How far signing has come: the change log, the tail's position in it, the schedule's checkpoint, a confirmed clock."""

from sqlalchemy import Connection, Table, func, insert, select, update

from signer.ledger import schema
from signer.ledger.values import Change, ChangeKind

__all__ = [
    "CLOCK_CONFIRMED",
    "changed_at",
    "changes",
    "checkpoint",
    "confirmed_clock",
    "pending",
    "set_checkpoint",
    "set_tail",
    "tail",
    "waiting_since",
]

CLOCK_CONFIRMED = "clock confirmed"  # event of the journal: its time is what the wall clock said


def changes(connection: Connection, issuer_id: int, after: int, limit: int) -> list[Change]:
    c = schema.change.c
    statement = (
        select(c.generation, c.kind, c.first_hash32, c.last_hash32, c.serial)
        .where(c.issuer_id == issuer_id, c.generation > after)
        .order_by(c.generation)
        .limit(limit)
    )
    return [
        Change(row.generation, ChangeKind(row.kind), row.first_hash32, row.last_hash32, row.serial)
        for row in connection.execute(statement)
    ]


def tail(connection: Connection, issuer_id: int) -> int:
    c = schema.tail.c
    return int(connection.execute(select(c.generation).where(c.issuer_id == issuer_id)).scalar() or 0)


def pending(connection: Connection, issuer_id: int) -> int:
    c = schema.change.c
    after = tail(connection, issuer_id)
    statement = select(func.count()).where(c.issuer_id == issuer_id, c.generation > after)
    return int(connection.execute(statement).scalar_one())


def waiting_since(connection: Connection, issuer_id: int) -> int | None:
    """When the oldest change after the tail's position was recorded."""
    c = schema.change.c
    after = tail(connection, issuer_id)
    statement = select(c.recorded_at).where(c.issuer_id == issuer_id, c.generation > after)
    return connection.execute(statement.order_by(c.generation).limit(1)).scalar()


def changed_at(connection: Connection, issuer_id: int) -> int | None:
    """When the newest change was recorded."""
    c = schema.change.c
    statement = select(c.recorded_at).where(c.issuer_id == issuer_id)
    return connection.execute(statement.order_by(c.generation.desc()).limit(1)).scalar()


def confirmed_clock(connection: Connection) -> tuple[int, int] | None:
    """Number and time of the last entry of the journal with which somebody confirmed the wall clock."""
    c = schema.journal.c
    statement = select(c.seq, c.recorded_at).where(c.event == CLOCK_CONFIRMED)
    row = connection.execute(statement.order_by(c.seq.desc()).limit(1)).first()
    return (row.seq, row.recorded_at) if row else None


def set_tail(connection: Connection, issuer_id: int, generation: int) -> None:
    _put(connection, schema.tail, issuer_id, {"generation": generation})


def checkpoint(connection: Connection, issuer_id: int) -> tuple[int, int] | None:
    c = schema.checkpoint.c
    row = connection.execute(select(c.cycle_start, c.next_page).where(c.issuer_id == issuer_id)).first()
    return (row.cycle_start, row.next_page) if row else None


def set_checkpoint(connection: Connection, issuer_id: int, cycle_start: int, next_page: int) -> None:
    _put(connection, schema.checkpoint, issuer_id, {"cycle_start": cycle_start, "next_page": next_page})


def _put(connection: Connection, table: Table, issuer_id: int, values: dict[str, int]) -> None:
    """Update the issuer's only row, or insert it: portable where upserts are not."""
    changed = connection.execute(update(table).where(table.c.issuer_id == issuer_id).values(values))
    if changed.rowcount == 0:
        connection.execute(insert(table).values(issuer_id=issuer_id, **values))
