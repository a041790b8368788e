"""Responses that were signed elsewhere: kept octet for octet, each until a later one takes its place."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select

from _fastpath.page import hash32
from signer.ledger import generations, revocation, schema
from signer.ledger.errors import LedgerError
from signer.ledger.values import (
    AnsweredCertificate,
    CertificateRow,
    Change,
    ChangeKind,
    Revocation,
    SignedResponse,
)

__all__ = ["latest", "put", "snapshot"]

_c, _r = schema.certificate.c, schema.signed_response.c
_RESPONSE = (_r.serial, _r.hash_algorithm, _r.this_update, _r.next_update, _r.revoked, _r.body)
_serial = attrgetter("serial")


def snapshot(
    connection: Connection, issuer_id: int, first: int, last: int
) -> tuple[int, list[AnsweredCertificate]]:
    """The generation, and all certificates between two hash32 values, both included, in their order."""
    generation = generations.current(connection, issuer_id)
    within = (_c.issuer_id == issuer_id, _c.hash32.between(first, last))
    rows = connection.execute(
        select(_c.hash32, _c.serial, _c.not_after, _c.revocation_time, _c.reason)
        .where(*within)
        .order_by(_c.hash32, _c.serial)
    )
    found = connection.execute(
        select(*_RESPONSE)
        .where(_r.issuer_id == issuer_id, _r.hash32.between(first, last))
        .order_by(_r.hash32, _r.serial, _r.hash_algorithm)
    )
    responses = {serial: [SignedResponse(*row) for row in group] for serial, group in groupby(found, _serial)}
    return generation, [
        AnsweredCertificate(CertificateRow(*row), responses.get(row.serial, [])) for row in rows
    ]


def latest(
    connection: Connection, issuer_id: int, serial: bytes, hash_algorithm: int
) -> SignedResponse | None:
    """What is kept for a CertID."""
    statement = select(*_RESPONSE).where(_of(issuer_id, serial, hash_algorithm))
    row = connection.execute(statement).first()
    return SignedResponse(*row) if row else None


def put(
    connection: Connection,
    issuer_id: int,
    responses: Iterable[SignedResponse],
    revocations: Sequence[Revocation],
    now: int,
) -> None:
    """Keep each in place of the one before, and revoke what they say is revoked, all in this transaction.

    Raises LedgerError for one that does not follow the one that is kept (R-20).
    """
    revocation.check(revocations, now)
    revocation.apply(connection, issuer_id, revocations, now)
    for one in responses:
        before = latest(connection, issuer_id, one.serial, one.hash_algorithm)
        if before is not None and (
            one.this_update <= before.this_update or (before.revoked and not one.revoked)
        ):
            raise LedgerError(
                f"serial {one.serial.hex()}: its response does not follow the one that is kept",
                remedy="somebody else imported another one meanwhile; see what, then import this again",
            )
        connection.execute(
            delete(schema.signed_response).where(_of(issuer_id, one.serial, one.hash_algorithm))
        )
        connection.execute(insert(schema.signed_response).values(_columns(issuer_id, one, now)))
        place = hash32(one.serial)
        change = Change(generations.take(connection, issuer_id), ChangeKind.UPDATE, place, place, one.serial)
        generations.record(connection, issuer_id, [change], now)


def _of(issuer_id: int, serial: bytes, hash_algorithm: int) -> ColumnElement[bool]:
    return and_(
        _r.issuer_id == issuer_id,
        _r.hash32 == hash32(serial),
        _r.serial == serial,
        _r.hash_algorithm == hash_algorithm,
    )


def _columns(issuer_id: int, one: SignedResponse, now: int) -> dict[str, object]:
    return {
        "issuer_id": issuer_id,
        "hash32": hash32(one.serial),
        "serial": one.serial,
        "hash_algorithm": one.hash_algorithm,
        "this_update": one.this_update,
        "next_update": one.next_update,
        "revoked": one.revoked,
        "imported_at": now,
        "body": one.body,
    }
