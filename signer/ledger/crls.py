"""What the ledger keeps for CRLs: series, shard entries in order, numbers and publications."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import cast

from sqlalchemy import ColumnElement, Connection, FromClause, Select, and_, func, insert, not_, select, update
from sqlalchemy.sql.compiler import SQLCompiler

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
    "revoked_since",
    "series",
    "shard_snapshot",
]

INDEXES = 1 << 16  # more than a series has shards
MAX_NUMBER = 2**63 - 1  # the column's; BR 7.2.2 allows 159 bits (C-08)


def series(connection: Connection, issuer_id: int) -> list[SeriesRow]:
    """All series of an issuer, by number."""
    table = schema.crl_series
    statement = select(table).where(table.c.issuer_id == issuer_id).order_by(table.c.number)
    return [SeriesRow(*row) for row in connection.execute(statement)]


def add_series(
    connection: Connection, issuer_id: int, issuer: str, plan: CrlPlan, now: int
) -> list[SeriesRow]:
    """Record what the plan has more than the ledger; those added. Raises LedgerError as `planned` does."""
    known = {row.number for row in series(connection, issuer_id)}
    rows = planned(series(connection, issuer_id), issuer_id, issuer, plan, now)
    added = [row for row in rows if row.number not in known]
    for row in added:
        values = {name: getattr(row, name) for name in SeriesRow.__dataclass_fields__}
        connection.execute(insert(schema.crl_series).values(values))
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
    is_now = f"{row.url_pattern} in {row.shard_count} shards, for certificates from {_day(row.opened_at)} on"
    if spec is None:
        wanted = "the configuration has none"
    elif (spec.url_pattern, spec.shard_count) != (row.url_pattern, row.shard_count):
        wanted = f"the configuration says {spec.url_pattern} in {spec.shard_count}"
    elif spec.opens_at not in (None, row.opened_at):
        wanted = f"the configuration says from {_day(spec.opens_at or 0)}"
    else:
        return
    raise LedgerError(
        f"issuer {issuer}: {name} of its CRLs is {is_now}, {wanted}",
        remedy="put it back as it was: certificates name these URLs for ever; "
        "other shards are a new [[issuer.crl.series]] after the ones there are",
    )


def _day(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


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
    compiled = _entries(issuer_id, series, index, after).compile(connection)
    assert isinstance(compiled, SQLCompiler)
    parameters = compiled.construct_params()
    values = [parameters[name] for name in compiled.positiontup or ()]
    statement = str(compiled)
    return ShardSnapshot(
        generations.current(connection, issuer_id), lambda: _tuples(connection, statement, values)
    )


def _tuples(connection: Connection, statement: str, values: list[int]) -> Iterator[tuple[bytes, int, int]]:
    """The driver's own, one by one: making SQLAlchemy's rows of them costs as much again as reading them."""
    with closing(connection.connection.cursor()) as cursor:
        cursor.execute(statement, values)
        yield from cast(Iterator[tuple[bytes, int, int]], cursor)  # PEP 249 lets a cursor be iterated over


def _entries(issuer_id: int, series: int, index: int, after: Publication | None) -> Select[bytes, int, int]:
    c = schema.certificate.c
    statement = (
        select(c.serial, c.revocation_time, c.reason)
        .where(c.issuer_id == issuer_id, c.revocation_time.is_not(None))
        .order_by(c.serial)
    )
    if series != FULL_SERIES:
        statement = statement.where(c.series == series, c.shard_index == index)
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
    placed = row.placed_by != PlacedBy.HASH.value and shard[0] != FULL_SERIES
    moved = placed and (row.series, row.shard_index) != shard
    return moved or bool(row.not_after < live_this_update)


def has_certificates(connection: Connection, issuer_id: int) -> bool:
    """Whether any certificate of the issuer is known, expired or not."""
    statement = select(schema.certificate.c.serial).where(schema.certificate.c.issuer_id == issuer_id)
    return connection.execute(statement.limit(1)).first() is not None


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
    table = schema.crl_number
    shard = and_(table.c.issuer_id == issuer_id, table.c.series == series, table.c.shard_index == index)
    reserved = connection.execute(select(table.c.reserved).where(shard)).scalar()
    number = max((reserved or 0) + 1, _highest(connection, issuer_id, series, index) + 1, at_least)
    if number > MAX_NUMBER:
        raise LedgerError(f"crlNumber {number} of shard {series}-{index} is above {MAX_NUMBER}")
    _reserve(connection, issuer_id, series, index, number)
    return number


def _reserve(connection: Connection, issuer_id: int, series: int, index: int, number: int) -> None:
    table = schema.crl_number
    shard = and_(table.c.issuer_id == issuer_id, table.c.series == series, table.c.shard_index == index)
    reserved = connection.execute(select(table.c.reserved).where(shard)).scalar()
    if reserved is None:
        row = {"issuer_id": issuer_id, "series": series, "shard_index": index, "reserved": number}
        connection.execute(insert(table).values(row))
    elif reserved < number:
        connection.execute(update(table).where(shard).values(reserved=number))


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
    _reserve(connection, *shard, publication.crl_number)
    values = {name: getattr(publication, name) for name in Publication.__dataclass_fields__}
    connection.execute(insert(schema.crl_publication).values(values))
