"""What the ledger keeps for CRLs: series, shard entries in order, numbers and publications."""

from collections.abc import Iterator
from contextlib import closing
from typing import cast

from sqlalchemy import Connection, Select, and_, func, insert, not_, select, tuple_, update
from sqlalchemy.sql.compiler import SQLCompiler

from _fastpath.page import hash32
from signer.ledger import generations, schema
from signer.ledger.errors import LedgerError
from signer.ledger.values import PlacedBy, Publication, SeriesRow, SeriesSpec, ShardSnapshot

__all__ = [
    "add_publication",
    "first_series",
    "latest_publication",
    "may_vanish",
    "open_series",
    "planned",
    "publications",
    "reserve_number",
    "series",
    "shard_snapshot",
]

MAX_NUMBER = 2**63 - 1  # the column's; BR 7.2.2 allows 159 bits (C-08)


def series(connection: Connection, issuer_id: int) -> list[SeriesRow]:
    """All series of an issuer, oldest first; the last one is open for new certificates."""
    table = schema.crl_series
    statement = select(table).where(table.c.issuer_id == issuer_id).order_by(table.c.number)
    return [SeriesRow(*row) for row in connection.execute(statement)]


def open_series(connection: Connection, issuer_id: int, issuer: str, spec: SeriesSpec, now: int) -> SeriesRow:
    """The open series, or a new one when the specification is another: shards are for ever (C-19).

    Raises LedgerError if a URL of the new one is a shard's already: one URL is one shard (C-09).
    """
    known = series(connection, issuer_id)
    row = planned(known, issuer_id, issuer, spec, now)[-1]
    if row.number == len(known):
        connection.execute(
            insert(schema.crl_series).values(
                issuer_id=issuer_id,
                number=row.number,
                url_pattern=row.url_pattern,
                shard_count=row.shard_count,
                opened_at=now,
            )
        )
    return row


def first_series(spec: SeriesSpec, now: int) -> list[SeriesRow]:
    """The only one of an issuer that is not in the ledger yet."""
    return planned([], 0, "", spec, now)


def planned(
    known: list[SeriesRow], issuer_id: int, issuer: str, spec: SeriesSpec, now: int
) -> list[SeriesRow]:
    """`known`, and a new series after it when the specification is another than that of its last."""
    if known and SeriesSpec(known[-1].url_pattern, known[-1].shard_count) == spec:
        return known
    row = SeriesRow(issuer_id, len(known), spec.url_pattern, spec.shard_count, now)
    taken = {url for one in known for url in one.urls(issuer)} & row.urls(issuer)
    if taken:
        raise LedgerError(
            f"issuer {issuer}: {min(taken)} is the URL of another set of shards already",
            remedy="write {series} in `crl.url`, or put `crl.url` and `crl.shards` back",
        )
    return [*known, row]


def shard_snapshot(
    connection: Connection, issuer_id: int, series: int, index: int, after: Publication | None
) -> ShardSnapshot:
    """The generation and the entries of one shard, good as long as the connection's transaction.

    An entry that was in `after`, when its certificate had already expired, is left out (C-18).
    """
    statement = _entries(issuer_id, series, index, after)
    return ShardSnapshot(generations.current(connection, issuer_id), lambda: _tuples(connection, statement))


def _tuples(connection: Connection, statement: Select[bytes, int, int]) -> Iterator[tuple[bytes, int, int]]:
    """The driver's own, one by one: making SQLAlchemy's rows of them costs as much again as reading them."""
    compiled = statement.compile(connection)
    assert isinstance(compiled, SQLCompiler)
    parameters = compiled.construct_params()
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute(str(compiled), [parameters[name] for name in compiled.positiontup or ()])
        yield from cast(Iterator[tuple[bytes, int, int]], cursor)  # PEP 249 lets a cursor be iterated over


def _entries(issuer_id: int, series: int, index: int, after: Publication | None) -> Select[bytes, int, int]:
    c = schema.certificate.c
    statement = (
        select(c.serial, c.revocation_time, c.reason)
        .where(c.issuer_id == issuer_id, c.series == series, c.shard_index == index)
        .where(c.revocation_time.is_not(None))
        .order_by(c.serial)
    )
    if after is None:
        return statement
    seen = and_(c.not_after < after.this_update, c.revoked_generation <= after.generation)
    return statement.where(not_(seen))


def may_vanish(
    connection: Connection, issuer_id: int, shard: tuple[int, int], serial: bytes, live_this_update: int
) -> bool:
    """Whether an entry of the live CRL may be absent from the next: it expired before the live one's thisUpdate (C-18),
    or something better than the hash put the certificate into another shard (C-19).
    """
    c = schema.certificate.c
    statement = select(c.not_after, c.series, c.shard_index, c.placed_by).where(
        c.issuer_id == issuer_id, c.hash32 == hash32(serial), c.serial == serial
    )
    row = connection.execute(statement).first()
    if row is None:
        return False
    moved = row.placed_by != PlacedBy.HASH.value and (row.series, row.shard_index) != shard
    return moved or bool(row.not_after < live_this_update)


def latest_publication(connection: Connection, issuer_id: int, series: int, index: int) -> Publication | None:
    """The published CRL with the highest number of a shard."""
    table = schema.crl_publication
    statement = (
        select(table)
        .where(table.c.issuer_id == issuer_id, table.c.series == series, table.c.shard_index == index)
        .order_by(table.c.crl_number.desc())
        .limit(1)
    )
    row = connection.execute(statement).first()
    return Publication(*row) if row else None


def publications(connection: Connection, issuer_id: int) -> list[Publication]:
    """The latest publication of every shard that has one."""
    table = schema.crl_publication
    shard = (table.c.issuer_id, table.c.series, table.c.shard_index)
    newest = select(*shard, func.max(table.c.crl_number)).where(table.c.issuer_id == issuer_id)
    statement = (
        select(table)
        .where(tuple_(*shard, table.c.crl_number).in_(newest.group_by(*shard)))
        .order_by(table.c.series, table.c.shard_index)
    )
    return [Publication(*row) for row in connection.execute(statement)]


def reserve_number(connection: Connection, issuer_id: int, series: int, index: int, at_least: int) -> int:
    """A number above every one published or reserved for the shard, and not below `at_least`."""
    table = schema.crl_number
    shard = and_(table.c.issuer_id == issuer_id, table.c.series == series, table.c.shard_index == index)
    reserved = connection.execute(select(table.c.reserved).where(shard)).scalar()
    number = max((reserved or 0) + 1, _highest(connection, issuer_id, series, index) + 1, at_least)
    if number > MAX_NUMBER:
        raise LedgerError(f"crlNumber {number} of shard {series}-{index} is above {MAX_NUMBER}")
    if reserved is None:
        row = {"issuer_id": issuer_id, "series": series, "shard_index": index, "reserved": number}
        connection.execute(insert(table).values(row))
    else:
        connection.execute(update(table).where(shard).values(reserved=number))
    return number


def _highest(connection: Connection, issuer_id: int, series: int, index: int) -> int:
    c = schema.crl_publication.c
    statement = select(func.coalesce(func.max(c.crl_number), 0)).where(
        c.issuer_id == issuer_id, c.series == series, c.shard_index == index
    )
    return int(connection.execute(statement).scalar_one())


def add_publication(connection: Connection, publication: Publication) -> None:
    """Record a published CRL. Refuses a number that is not the highest, and times or a generation that go back."""
    shard = (publication.issuer_id, publication.series, publication.shard_index)
    latest = latest_publication(connection, *shard)
    if latest is not None:
        for name in ("crl_number", "this_update", "generation"):
            old, new = getattr(latest, name), getattr(publication, name)
            if new < old or (name == "crl_number" and new == old):
                raise LedgerError(
                    f"shard {publication.series}-{publication.shard_index}: {name} {new} does not follow {old}",
                    remedy="build the CRL again from the ledger as it is now",
                )
    values = {name: getattr(publication, name) for name in Publication.__dataclass_fields__}
    connection.execute(insert(schema.crl_publication).values(values))
