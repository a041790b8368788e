"""Revoking in the ledger: final, and only ever made earlier or more serious (invariants A1, A6)."""

from collections.abc import Sequence
from contextlib import closing
from functools import cache, partial
from typing import Any, NamedTuple

from sqlalchemy import Connection

from _fastpath.page import hash32
from signer.ledger import generations, issuers
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

__all__ = ["Known", "apply", "check", "decide", "lookup", "plan", "write"]

AT_ONCE = 500  # serials that one statement looks up
CLOSE = (
    2  # as many times their number are looked at in their hash32 range, before they are looked up one by one
)
MANY = 64  # revocations of one commit that may be one change over their hash32 range ...
DENSE = 4  # ... if a page has more of them than this: it is signed whole then, and not change by change

# For the driver itself: the Core takes twice as long for its parameters as SQLite for the row.
_MARK = (
    "UPDATE certificate SET revocation_time = ?, reason = ?, revoked_generation = ? "
    "WHERE issuer_id = ? AND hash32 = ? AND serial = ?"
)
_KINDS = {Outcome.REVOKED: ChangeKind.REVOKE, Outcome.UPDATED: ChangeKind.UPDATE}


class Known(NamedTuple):
    """What is recorded of a certificate: status, place and end."""

    serial: bytes
    revocation_time: int | None
    reason: int
    revoked_generation: int | None
    series: int
    shard_index: int
    placed_by: str
    not_after: int


_known = partial(tuple.__new__, Known)
_result = partial(tuple.__new__, RevokeResult)
_BETWEEN = (
    "SELECT serial FROM (SELECT serial, revocation_time, series FROM certificate "
    "WHERE issuer_id = ? AND hash32 BETWEEN ? AND ? LIMIT ?) "
    f"WHERE revocation_time IS NULL AND series <> {CA_SERIES}"
)
_LIVING = f"AND revocation_time IS NULL AND series <> {CA_SERIES}"


@cache
def _lookup(columns: tuple[str, ...], count: int, further: str) -> str:
    return (
        f"SELECT {', '.join(columns)} FROM certificate "
        f"WHERE issuer_id = ? AND hash32 IN ({', '.join('?' * count)}) {further}"
    )


def _rows(
    connection: Connection, issuer_id: int, hashes: Sequence[int], columns: tuple[str, ...], further: str = ""
) -> list[tuple[Any, ...]]:
    """Of the certificates under these hash32 values, of which `further` holds."""
    found: list[tuple[Any, ...]] = []
    with closing(connection.connection.cursor()) as cursor:  # SQLAlchemy's rows cost several times as much
        for at in range(0, len(hashes), AT_ONCE):
            some = hashes[at : at + AT_ONCE]
            count = AT_ONCE if len(some) > 1 else 1  # two statements, each prepared once
            values = (issuer_id, *some, *[some[0]] * (count - len(some)))
            found += cursor.execute(_lookup(columns, count, further), values).fetchall()
    return found


def lookup(connection: Connection, issuer_id: int, hashes: Sequence[int]) -> dict[bytes, Known]:
    """What is recorded under these hash32 values, by serial."""
    rows = map(_known, _rows(connection, issuer_id, hashes, Known._fields))
    return {row.serial: row for row in rows}


def _are_living(connection: Connection, issuer_id: int, serials: Sequence[bytes]) -> bool:
    """Whether these are distinct certificates of subscribers, and none is revoked: as a rule, where there are many."""
    if len(set(serials)) != len(serials):
        return False
    hashes = list(map(hash32, serials))
    # Where they are close together, all between the first and the last cost half as much to read.
    between = _between(connection, issuer_id, min(hashes), max(hashes), CLOSE * len(hashes))
    if between.issuperset(serials):
        return True
    return {serial for (serial,) in _rows(connection, issuer_id, hashes, ("serial",), _LIVING)}.issuperset(
        serials
    )


def _between(connection: Connection, issuer_id: int, first: int, last: int, most: int) -> set[bytes]:
    """Living certificates of subscribers in a range of hash32, of those first in it, of which `most` are looked at."""
    with closing(connection.connection.cursor()) as cursor:
        found = cursor.execute(_BETWEEN, (issuer_id, first, last, most)).fetchall()
    return {serial for (serial,) in found}


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
    if len(asked) >= MANY and _are_living(connection, issuer_id, [one.serial for one in asked]):
        return [_result((serial, Outcome.REVOKED, time, reason)) for serial, time, reason in asked]
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
    times = [time for _, time, _ in asked]
    if {reason for _, _, reason in asked} <= ALLOWED_REASONS and 0 <= min(times, default=0) <= max(
        times, default=0
    ) <= now:
        return
    for one in asked:
        _check(one, now)


def _check(one: Revocation, now: int) -> None:
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
    """Mark certificates revoked as decided, and log each; or all as one change where they fill their pages."""
    hashes = [hash32(result.serial) for result in changed]
    if _are_dense(connection, issuer_id, hashes):
        first = generations.take(connection, issuer_id)
        numbers = [first] * len(changed)
        log = [Change(first, ChangeKind.REVOKE, min(hashes), max(hashes), None)]
    else:
        first = generations.take(connection, issuer_id, len(changed))
        numbers = list(range(first, first + len(changed)))
        log = [
            Change(number, _KINDS[result.outcome], place, place, result.serial)
            for number, place, result in zip(numbers, hashes, changed, strict=True)
        ]
    rows = [
        (time, reason, number, issuer_id, place, serial)
        for number, place, (serial, _, time, reason) in zip(numbers, hashes, changed, strict=True)
    ]
    connection.exec_driver_sql(_MARK, rows)
    generations.record(connection, issuer_id, log, now)


def _are_dense(connection: Connection, issuer_id: int, hashes: Sequence[int]) -> bool:
    if len(hashes) < MANY:
        return False
    shift = 32 - issuers.by_id(connection, issuer_id).page_bits
    return len(hashes) > DENSE * ((max(hashes) >> shift) - (min(hashes) >> shift) + 1)
