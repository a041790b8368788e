"""What the ledger keeps for CRLs: series, shard entries in order, numbers and publications."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from functools import cache
from typing import cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    and_,
    bindparam,
    func,
    insert,
    not_,
    select,
    update,
)
from sqlalchemy.dialects import sqlite

from _fastpath.page import hash32
from signer.ledger import generations, schema
from signer.ledger.errors import LedgerError
from signer.ledger.values import (
    FULL_SERIES,
    Covers,
    CrlPlan,
    PlacedBy,
    Publication,
    Revoked,
    SeriesRow,
    SeriesSpec,
    ShardSnapshot,
)
from store.text import rfc3339

__all__ = [
    "add_publication",
    "add_series",
    "has_certificates",
    "latest_publication",
    "may_vanish",
    "open_series",
    "planned",
    "publications",
    "reserve_number",
    "reserved_number",
    "revoked_entries",
    "revoked_since",
    "series",
    "shard_snapshot",
]

INDEXES = 1 << 16  # more than a series has shards
MAX_NUMBER = 2**63 - 1  # the column's; BR 7.2.2 allows 159 bits (C-08)


def _of_shard(table: FromClause) -> ColumnElement[bool]:
    """Of the shard whose three parameters `_shard` gives: none is named as a column, or an update would set it."""
    return and_(
        table.c.issuer_id == bindparam("issuer"),
        table.c.series == bindparam("number"),
        table.c.shard_index == bindparam("index"),
    )


def _shard(issuer_id: int, series: int, index: int) -> dict[str, int]:
    return {"issuer": issuer_id, "number": series, "index": index}


# What runs for every shard, made once: making a statement takes several times as long as running it.
_LATEST = (
    select(schema.crl_publication)
    .where(_of_shard(schema.crl_publication))
    .order_by(schema.crl_publication.c.crl_number.desc())
    .limit(1)
)
_HIGHEST = select(func.coalesce(func.max(schema.crl_publication.c.crl_number), 0)).where(
    _of_shard(schema.crl_publication)
)
_PUBLISHED = insert(schema.crl_publication)
_RESERVED = select(schema.crl_number.c.reserved).where(_of_shard(schema.crl_number))
_RESERVE_FIRST = insert(schema.crl_number).values(
    issuer_id=bindparam("issuer"),
    series=bindparam("number"),
    shard_index=bindparam("index"),
    reserved=bindparam("taken"),
)
_RESERVE = update(schema.crl_number).where(_of_shard(schema.crl_number)).values(reserved=bindparam("taken"))
_CERTIFICATE = select(
    schema.certificate.c.not_after,
    schema.certificate.c.series,
    schema.certificate.c.shard_index,
    schema.certificate.c.placed_by,
).where(
    schema.certificate.c.issuer_id == bindparam("issuer"),
    schema.certificate.c.hash32 == bindparam("hash"),
    schema.certificate.c.serial == bindparam("serial_number"),
)


def series(connection: Connection, issuer_id: int) -> list[SeriesRow]:
    """All series of an issuer, by number."""
    table = schema.crl_series
    statement = select(table).where(table.c.issuer_id == issuer_id).order_by(table.c.number)
    return [SeriesRow(*row) for row in connection.execute(statement)]


def add_series(
    connection: Connection, issuer_id: int, issuer: str, plan: CrlPlan, now: int
) -> list[SeriesRow]:
    """Record what the plan has more than the ledger; those added. Raises LedgerError as `planned` does."""
    known = series(connection, issuer_id)
    added = [row for row in planned(known, issuer_id, issuer, plan, now) if row not in known]
    for row in added:
        connection.execute(insert(schema.crl_series).values(asdict(row)))
    return added


def planned(known: list[SeriesRow], issuer_id: int, issuer: str, plan: CrlPlan, now: int) -> list[SeriesRow]:
    """The series of an issuer once the plan is carried out, by number.

    Raises LedgerError for a plan in which a known series is missing or another: certificates that are out there name
    its URLs (C-19, D5). Also for a URL that would be two CRLs': one URL is one CRL (C-09).
    """
    specs = plan.specs()
    for row in known:
        _check_kept(issuer, row, specs.get(row.number))
    there = {row.number for row in known}
    rows = known + [
        SeriesRow(issuer_id, number, spec.url_pattern, spec.shard_count, spec.opens_at or now)
        for number, spec in specs.items()
        if number not in there
    ]
    _check_urls(issuer, rows)
    return sorted(rows, key=lambda row: row.number)


def _check_kept(issuer: str, row: SeriesRow, spec: SeriesSpec | None) -> None:
    name = f"series {row.number}" if row.covers is Covers.SHARD else f"the {row.covers} CRL"
    is_now = (
        f"{row.url_pattern} in {row.shard_count} shards, for certificates from {rfc3339(row.opened_at)} on"
    )
    if spec is None:
        wanted = "the configuration has none"
    elif (spec.url_pattern, spec.shard_count) != (row.url_pattern, row.shard_count):
        wanted = f"the configuration says {spec.url_pattern} in {spec.shard_count}"
    elif spec.opens_at not in (None, row.opened_at):
        wanted = f"the configuration says from {rfc3339(spec.opens_at or 0)}"
    else:
        return
    raise LedgerError(
        f"issuer {issuer}: {name} of its CRLs is {is_now}, {wanted}",
        remedy="put it back as it was: certificates name these URLs for ever; "
        "other shards are a new [[issuer.crl.series]] after the ones there are",
    )


def _check_urls(issuer: str, rows: list[SeriesRow]) -> None:
    taken: set[str] = set()
    for row in rows:
        urls = row.urls(issuer)
        if both := taken & urls:
            raise LedgerError(
                f"issuer {issuer}: {min(both)} is the URL of another CRL already",
                remedy="write {series} in the `url` of its series, or give it a URL of its own",
            )
        taken |= urls


def open_series(rows: list[SeriesRow], now: int) -> SeriesRow:
    """Where a certificate belongs of which nothing better is known: the newest series of shards that is open.

    Without shards it is the full CRL.
    """
    shards = [row for row in rows if row.covers is Covers.SHARD]
    opened = [row for row in shards[1:] if row.opened_at <= now]
    return opened[-1] if opened else (shards or rows)[0]


def shard_snapshot(
    connection: Connection, issuer_id: int, series: int, index: int, after: Publication | None
) -> ShardSnapshot:
    """The generation and the entries of one shard, good as long as the connection's transaction.

    An entry that was in `after`, when its certificate had already expired, is left out (C-18).
    """
    values = _shard(issuer_id, series, index)
    if after is not None:
        values |= {"this_update": after.this_update, "generation": after.generation}
    statement = _entries(series == FULL_SERIES, after is None)
    return ShardSnapshot(
        generations.current(connection, issuer_id), lambda: _tuples(connection, statement, values)
    )


def revoked_entries(
    connection: Connection, issuer_id: int, series: int, index: int
) -> Iterator[tuple[bytes, int, int, int, int]]:
    """Everything revoked that belongs into a shard, by serial: with notAfter and generation, good as long as the transaction."""
    c = schema.certificate.c
    statement = select(c.serial, c.revocation_time, c.reason, c.not_after, c.revoked_generation)
    statement = statement.where(c.revocation_time.is_not(None)).order_by(c.serial)
    if series == FULL_SERIES:
        statement = statement.where(c.issuer_id == bindparam("issuer"))
    else:
        statement = statement.where(_of_shard(schema.certificate))
    text = str(statement.compile(dialect=sqlite.dialect(paramstyle="named")))
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute(text, _shard(issuer_id, series, index))
        yield from cast(Iterator[tuple[bytes, int, int, int, int]], cursor)


def _tuples(
    connection: Connection, statement: str, values: dict[str, int]
) -> Iterator[tuple[bytes, int, int]]:
    """The driver's own, one by one: making SQLAlchemy's rows of them costs as much again as reading them."""
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute(statement, values)
        yield from cast(Iterator[tuple[bytes, int, int]], cursor)  # PEP 249 lets a cursor be iterated over


@cache
def _entries(full: bool, first: bool) -> str:
    """SQL for the entries of a full CRL or of a shard, of its first CRL or of one after another."""
    c = schema.certificate.c
    statement = select(c.serial, c.revocation_time, c.reason).order_by(c.serial)
    statement = statement.where(c.revocation_time.is_not(None))
    if full:
        statement = statement.where(c.issuer_id == bindparam("issuer"))
    else:
        statement = statement.where(_of_shard(schema.certificate))
    if not first:
        seen = and_(c.not_after < bindparam("this_update"), c.revoked_generation <= bindparam("generation"))
        statement = statement.where(not_(seen))
    return str(statement.compile(dialect=sqlite.dialect(paramstyle="named")))


def may_vanish(
    connection: Connection, issuer_id: int, shard: tuple[int, int], serial: bytes, live_this_update: int
) -> bool:
    """Whether an entry of the live CRL may be absent from the next: it expired before the live one's thisUpdate (C-18),
    or something better than the hash put the certificate into another shard (C-19).
    """
    values = {"issuer": issuer_id, "hash": hash32(serial), "serial_number": serial}
    row = connection.execute(_CERTIFICATE, values).first()
    if row is None:
        return False
    placed = row.placed_by != PlacedBy.HASH.value and shard[0] != FULL_SERIES
    moved = placed and (row.series, row.shard_index) != shard
    return moved or bool(row.not_after < live_this_update)


def has_certificates(connection: Connection, issuer_id: int) -> bool:
    """Whether any certificate of the issuer is known, expired or not."""
    statement = select(schema.certificate.c.serial).where(schema.certificate.c.issuer_id == issuer_id)
    return connection.execute(statement.limit(1)).first() is not None


def latest_publication(connection: Connection, issuer_id: int, series: int, index: int) -> Publication | None:
    """The published CRL with the highest number of a shard."""
    row = connection.execute(_LATEST, _shard(issuer_id, series, index)).first()
    return Publication(*row) if row else None


def publications(connection: Connection, issuer_id: int) -> list[Publication]:
    """The latest publication of every shard that has one: looked up one by one, for there may be years of them."""
    number, table, other = schema.crl_number, schema.crl_publication, schema.crl_publication.alias()
    highest = select(func.max(other.c.crl_number)).where(_same_shard(other, number)).correlate(number)
    newest = and_(_same_shard(table, number), table.c.crl_number == highest.scalar_subquery())
    statement = (
        select(table)
        .select_from(number.join(table, newest))
        .where(number.c.issuer_id == issuer_id)
        .order_by(number.c.series, number.c.shard_index)
    )
    return [Publication(*row) for row in connection.execute(statement)]


def _same_shard(one: FromClause, other: FromClause) -> ColumnElement[bool]:
    return and_(*(one.c[name] == other.c[name] for name in ("issuer_id", "series", "shard_index")))


def revoked_since(connection: Connection, issuer_id: int, generation: int) -> Revoked:
    """Which shards have revocations of a later generation, or got an entry of another, and since when."""
    c, log = schema.certificate.c, schema.change.c
    place = (
        c.series * INDEXES + c.shard_index
    )  # by columns SQLite would group over the index of another order
    statement = (
        select(place, func.min(c.revoked_generation))
        .where(c.issuer_id == issuer_id, c.revoked_generation > generation)
        .group_by(place)
    )
    shards: dict[tuple[int, int], int | None] = {}
    for where, first in connection.execute(statement).all():
        found = select(log.recorded_at).where(log.issuer_id == issuer_id, log.generation == first)
        shards[divmod(where, INDEXES)] = connection.execute(found).scalar()
    return Revoked(generations.current(connection, issuer_id), shards)


def reserve_number(connection: Connection, issuer_id: int, series: int, index: int, at_least: int) -> int:
    """A number above every one published or reserved for the shard, and not below `at_least`."""
    shard = _shard(issuer_id, series, index)
    reserved = _reserved(connection, shard)
    highest = int(connection.execute(_HIGHEST, shard).scalar_one())
    number = max((reserved or 0) + 1, highest + 1, at_least)
    if number > MAX_NUMBER:
        raise LedgerError(f"crlNumber {number} of shard {series}-{index} is above {MAX_NUMBER}")
    _reserve(connection, shard, reserved, number)
    return number


def reserved_number(connection: Connection, issuer_id: int, series: int, index: int) -> int:
    """The highest number ever taken for a shard, whatever became of its CRL; 0 before the first."""
    return _reserved(connection, _shard(issuer_id, series, index)) or 0


def _reserved(connection: Connection, shard: dict[str, int]) -> int | None:
    return connection.execute(_RESERVED, shard).scalar()


def _reserve(connection: Connection, shard: dict[str, int], reserved: int | None, number: int) -> None:
    """`reserved` is what this transaction has read."""
    if reserved is None or reserved < number:
        statement = _RESERVE_FIRST if reserved is None else _RESERVE
        connection.execute(statement, shard | {"taken": number})


def add_publication(connection: Connection, publication: Publication) -> None:
    """Record a published CRL. Refuses a number that is not the highest, and times or a generation that go back."""
    place = (publication.issuer_id, publication.series, publication.shard_index)
    latest = latest_publication(connection, *place)
    if latest is not None:
        for name in ("crl_number", "this_update", "generation"):
            old, new = getattr(latest, name), getattr(publication, name)
            if new < old or (name == "crl_number" and new == old):
                raise LedgerError(
                    f"shard {publication.series}-{publication.shard_index}: {name} {new} does not follow {old}",
                    remedy="build the CRL again from the ledger as it is now",
                )
    shard = _shard(*place)
    _reserve(connection, shard, _reserved(connection, shard), publication.crl_number)
    connection.execute(_PUBLISHED, asdict(publication))
