"""The newest change of every page, for a store that may lack some."""

from collections.abc import Iterator

from sqlalchemy import Connection, func, select

from signer.ledger import schema

__all__ = ["newest_changes"]


def newest_changes(
    connection: Connection, issuer_id: int, after: int, up_to: int, shift: int
) -> Iterator[tuple[int, int, int]]:
    """First page, last page and generation of the newest change of just these pages; page = hash32 >> `shift`."""
    c = schema.change.c
    first, last = c.first_hash32.op(">>")(shift), c.last_hash32.op(">>")(shift)
    statement = (
        select(first, last, func.max(c.generation))
        .where(c.issuer_id == issuer_id, c.generation > after, c.generation <= up_to)
        .group_by(first, last)
    )
    for row in connection.execute(statement):
        yield row[0], row[1], row[2]
