"""Serials whose shard was promised before their certificates are signed: kept until these come, and with them then."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select

from signer.ledger import schema
from signer.ledger.values import CertificateRow, PlacedBy, Placement

__all__ = ["add", "exist", "of", "redeem"]

_c = schema.reservation.c


def of(connection: Connection, issuer_id: int, serials: Sequence[bytes]) -> dict[bytes, Placement]:
    """The promised places of those of some thousand serials that are reserved."""
    if not serials or not exist(connection, issuer_id):
        return {}
    statement = select(_c.serial, _c.series, _c.shard_index).where(
        _c.issuer_id == issuer_id, _c.serial.in_(serials)
    )
    return {
        row.serial: Placement(row.series, row.shard_index, PlacedBy.RESERVATION)
        for row in connection.execute(statement)
    }


def add(connection: Connection, issuer_id: int, places: dict[bytes, Placement], now: int) -> None:
    """Promise places to serials that have none."""
    rows = [
        {
            "issuer_id": issuer_id,
            "serial": serial,
            "series": place.series,
            "shard_index": place.shard_index,
            "reserved_at": now,
        }
        for serial, place in places.items()
    ]
    connection.execute(insert(schema.reservation), rows)


def redeem(connection: Connection, issuer_id: int, rows: Sequence[CertificateRow]) -> None:
    """Forget the reservations of certificates that are recorded now, with their places."""
    serials = [
        row.serial for row in rows if row.placement and row.placement.placed_by is PlacedBy.RESERVATION
    ]
    if serials:
        connection.execute(
            delete(schema.reservation).where(_c.issuer_id == issuer_id, _c.serial.in_(serials))
        )


def exist(connection: Connection, issuer_id: int) -> bool:
    """Whether there is any. Imports of millions mostly meet none: this probe is all that they pay."""
    return connection.execute(select(_c.serial).where(_c.issuer_id == issuer_id).limit(1)).first() is not None
