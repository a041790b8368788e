"""Reading certificates: by page range for signing, one by one, and counted."""

from contextlib import closing

from sqlalchemy import Connection, and_, bindparam, case, func, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection

from _fastpath.page import hash32
from signer.ledger import generations, schema
from signer.ledger.values import CertificateCounts, LedgerCertificate, PlacedBy, Snapshot

__all__ = ["counts", "find", "snapshot"]

_c = schema.certificate.c

# A range of pages, in columns what CertificateValues has.
_RANGE = str(
    select(_c.hash32, _c.serial, _c.not_after, _c.revocation_time, _c.reason)
    .where(_c.issuer_id == bindparam("issuer"), _c.hash32.between(bindparam("first"), bindparam("last")))
    .order_by(_c.hash32, _c.serial)
    .compile(dialect=sqlite.dialect(paramstyle="named"))
)


def snapshot(connection: DBAPIConnection, issuer_id: int, first: int, last: int) -> Snapshot:
    """Generation and rows of one read transaction, so that neither is newer than the other.

    By the driver itself, in which no transaction is open: going through SQLAlchemy costs more than the rows.
    """
    with closing(connection.cursor()) as cursor:
        cursor.execute("BEGIN")
        generation = generations.read(cursor, issuer_id)
        cursor.execute(_RANGE, {"issuer": issuer_id, "first": first, "last": last})
        rows = list(cursor.fetchall())
        cursor.execute("COMMIT")
    return Snapshot(generation, rows)


def find(connection: Connection, issuer_id: int, serial: bytes) -> LedgerCertificate | None:
    statement = select(schema.certificate).where(
        _c.issuer_id == issuer_id, _c.hash32 == hash32(serial), _c.serial == serial
    )
    row = connection.execute(statement).first()
    if row is None:
        return None
    return LedgerCertificate(
        serial=row.serial,
        not_after=row.not_after,
        series=row.series,
        shard_index=row.shard_index,
        placed_by=PlacedBy(row.placed_by),
        revocation_time=row.revocation_time,
        reason=row.reason,
        issued_generation=row.issued_generation,
        revoked_generation=row.revoked_generation,
    )


def counts(connection: Connection, issuer_id: int, now: int) -> CertificateCounts:
    revoked = _c.revocation_time.is_not(None)
    expired = and_(_c.revocation_time.is_(None), _c.not_after < now)
    statement = select(
        func.count(),
        func.coalesce(func.sum(case((revoked, 1), else_=0)), 0),
        func.coalesce(func.sum(case((expired, 1), else_=0)), 0),
    ).where(_c.issuer_id == issuer_id)
    total, revoked_count, expired_count = connection.execute(statement).one()
    return CertificateCounts(total, total - revoked_count - expired_count, revoked_count, expired_count)
