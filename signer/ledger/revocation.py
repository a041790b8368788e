"""Revoking in the ledger: final, and only ever made earlier or more serious (invariants A1, A6)."""

from collections.abc import Sequence

from sqlalchemy import Connection, Row, select

from _fastpath.page import hash32
from signer.ledger import generations, schema
from signer.ledger.errors import LedgerError
from signer.ledger.values import (
    ALLOWED_REASONS,
    CA_SERIES,
    KEY_COMPROMISE,
    UNSPECIFIED,
    Change,
    ChangeKind,
    Outcome,
    Revocation,
    RevokeResult,
)

__all__ = ["apply", "check", "decide", "lookup", "plan", "write"]

_c = schema.certificate.c
_Known = Row[int, bytes, int | None, int, int | None, int, int, str, int]

# For the driver itself: the Core takes twice as long for its parameters as SQLite for the row.
_MARK = (
    "UPDATE certificate SET revocation_time = ?, reason = ?, revoked_generation = ? "
    "WHERE issuer_id = ? AND hash32 = ? AND serial = ?"
)


def lookup(connection: Connection, issuer_id: int, hashes: Sequence[int]) -> dict[bytes, _Known]:
    """What is recorded under these hash32 values, by serial: status, place and end."""
    columns = (_c.hash32, _c.serial, _c.revocation_time, _c.reason, _c.revoked_generation)
    place = (_c.series, _c.shard_index, _c.placed_by, _c.not_after)
    statement = select(*columns, *place).where(_c.issuer_id == issuer_id, _c.hash32.in_(hashes))
    return {row.serial: row for row in connection.execute(statement)}


def decide(asked: Revocation, known: tuple[int | None, int]) -> RevokeResult:
    """What a revocation does to a certificate whose (revocation_time, reason) is `known`.

    A revoked one keeps the earlier time, and its reason may only become keyCompromise.
    """
    time, reason = known
    if time is None:
        return RevokeResult(asked.serial, Outcome.REVOKED, asked.revocation_time, asked.reason)
    earlier = min(time, asked.revocation_time)
    graver = KEY_COMPROMISE if asked.reason == KEY_COMPROMISE else reason
    outcome = Outcome.ALREADY if (earlier, graver) == known else Outcome.UPDATED
    return RevokeResult(asked.serial, outcome, earlier, graver)


def plan(connection: Connection, issuer_id: int, asked: Sequence[Revocation]) -> list[RevokeResult]:
    """What each revocation comes to, those before it in `asked` included.

    Raises LedgerError for one of a CA's certificate that gives no reason (C-16, R-22).
    """
    found = lookup(connection, issuer_id, [hash32(one.serial) for one in asked])
    known = {serial: (row.revocation_time, row.reason) for serial, row in found.items()}
    results = []
    for one in asked:
        if one.serial in known:
            result = decide(one, known[one.serial])
            if found[one.serial].series == CA_SERIES and result.reason == UNSPECIFIED:
                raise LedgerError(
                    f"serial {one.serial.hex()} is a CA's certificate: its revocation needs a reason",
                    remedy="give one with --reason (BR 7.2.2); nothing was revoked",
                )
            known[one.serial] = (result.revocation_time, result.reason)
        else:
            result = RevokeResult(one.serial, Outcome.REJECTED, None, 0)
        results.append(result)
    return results


def apply(
    connection: Connection, issuer_id: int, asked: Sequence[Revocation], now: int
) -> list[RevokeResult]:
    """Revoke in this write transaction. Each that changes something is a change of its own."""
    results = plan(connection, issuer_id, asked)
    changed = [one for one in results if one.outcome in (Outcome.REVOKED, Outcome.UPDATED)]
    if changed:
        write(connection, issuer_id, changed, now)
    return results


def check(asked: Sequence[Revocation], now: int) -> None:
    """Raises LedgerError for the first reason that is not allowed, or time after `now` or before 1970."""
    for one in asked:
        if one.reason not in ALLOWED_REASONS:
            raise LedgerError(
                f"serial {one.serial.hex()}: reason {one.reason} is not allowed on subscriber certificates",
                remedy="use 0, 1, 3, 4, 5 or 9 (RFC 5280 section 5.3.1, BR 7.2.2)",
            )
        if one.revocation_time < 0:
            raise LedgerError(
                f"serial {one.serial.hex()}: its revocation time is before 1970",
                remedy="give a later one: neither a record nor a CRL can hold it",
            )
        if one.revocation_time > now:
            raise LedgerError(
                f"serial {one.serial.hex()}: its revocation time is in the future",
                remedy="give a time that has passed; revocation is at once and for ever",
            )


def write(connection: Connection, issuer_id: int, changed: Sequence[RevokeResult], now: int) -> None:
    """Mark certificates revoked as decided, and log each."""
    first = generations.take(connection, issuer_id, len(changed))
    rows = []
    log = []
    for generation, result in enumerate(changed, start=first):
        place = hash32(result.serial)
        time, reason = result.revocation_time, result.reason
        rows.append((time, reason, generation, issuer_id, place, result.serial))
        kind = ChangeKind.REVOKE if result.outcome is Outcome.REVOKED else ChangeKind.UPDATE
        log.append(Change(generation, kind, place, place, result.serial))
    connection.exec_driver_sql(_MARK, rows)
    generations.record(connection, issuer_id, log, now)
