"""What the intake API has done to the ledger: deeds of several requests in one transaction, each by itself.

A line of a request that is refused is an error among the results and holds up no other line.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from sqlalchemy import Connection

from _fastpath.page import hash32
from signer import journal
from signer.ledger import bulk, crls, generations, issuers, reservations, revocation
from signer.ledger.errors import LedgerError
from signer.ledger.values import (
    UNKNOWN_END,
    CertificateRow,
    CertificateState,
    Outcome,
    PlacedBy,
    Placement,
    Revocation,
)

__all__ = [
    "Conflict",
    "Deed",
    "Issue",
    "Reserve",
    "Result",
    "Revoke",
    "Settled",
    "Unissued",
    "do_all",
    "states",
]

T = TypeVar("T")


class Conflict(LedgerError):
    """What is asked contradicts what is recorded of the serial."""


class Unissued(LedgerError):
    """There is no certificate with that serial."""


@dataclass(frozen=True, slots=True)
class _Asked(Generic[T]):
    """What one caller wants of one issuer."""

    issuer_id: int
    actor: str
    items: Sequence[T]
    batch: str | None = None  # an id for the journal


class Issue(_Asked[CertificateRow]):
    """Certificates to record, as an import would."""


class Reserve(_Asked[bytes]):
    """Serials that want a shard before their certificates are signed."""


class Revoke(_Asked[Revocation]):
    """Certificates to revoke, as the command would."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of one item, and what holds now."""

    outcome: str
    state: CertificateState


Deed: TypeAlias = Issue | Reserve | Revoke
Result: TypeAlias = Settled | LedgerError
_Outcomes: TypeAlias = list[str | LedgerError]


def do_all(connection: Connection, group: Sequence[Deed], now: int) -> list[list[Result]]:
    """Carry out deeds in this write transaction, in order; those of one kind, issuer and caller in a row as one."""
    results: list[list[Result]] = []
    for (kind, issuer_id, actor, batch), run in itertools.groupby(group, _whose):
        deeds = list(run)
        items = [one for deed in deeds for one in deed.items]
        done = iter(_do(connection, kind(issuer_id, actor, items, batch), now))
        results += [list(itertools.islice(done, len(deed.items))) for deed in deeds]
    return results


def _whose(deed: Deed) -> tuple[Any, int, str, str | None]:
    return type(deed), deed.issuer_id, deed.actor, deed.batch


def _do(connection: Connection, deed: Deed, now: int) -> list[Result]:
    """A result an item, in order. Journalled if it changes anything."""
    before = generations.current(connection, deed.issuer_id)
    match deed:
        case Issue():
            serials = [row.serial for row in deed.items]
            outcomes = _issue(connection, deed, now)
        case Reserve():
            serials = list(deed.items)
            outcomes = _reserve(connection, deed, now)
        case Revoke():
            serials = [one.serial for one in deed.items]
            outcomes = _revoke(connection, deed, now)
    if taken := generations.taken_since(connection, deed.issuer_id, before):
        changed = sum(outcome in _CHANGES for outcome in outcomes)
        _append(connection, deed, type(deed).__name__.lower(), {"certificates": changed, **taken}, now)
    there = states(connection, deed.issuer_id, serials)
    return [
        outcome if isinstance(outcome, LedgerError) else Settled(outcome, there[serial])
        for serial, outcome in zip(serials, outcomes, strict=True)
    ]


_CHANGES = ("recorded", "revoked", "updated", "placed")


def states(connection: Connection, issuer_id: int, serials: Sequence[bytes]) -> dict[bytes, CertificateState]:
    """What holds for those of some hundred serials that are issued or reserved."""
    recorded = revocation.lookup(connection, issuer_id, [hash32(serial) for serial in serials])
    other = [serial for serial in serials if serial not in recorded]
    found = {
        serial: CertificateState(serial, None, place, None, 0)
        for serial, place in reservations.of(connection, issuer_id, other).items()
    }
    for serial in serials:
        if row := recorded.get(serial):
            place = bulk.recorded_place(row)
            found[serial] = CertificateState(serial, row.not_after, place, row.revocation_time, row.reason)
    return found


def _append(connection: Connection, deed: Deed, event: str, detail: dict[str, Any], now: int) -> None:
    name = issuers.by_id(connection, deed.issuer_id).name
    if deed.batch is not None:
        detail = {"batch": deed.batch, **detail}
    journal.append(connection, now=now, actor=deed.actor, event=event, detail={"issuer": name, **detail})


def _issue(connection: Connection, deed: Issue, now: int) -> _Outcomes:
    found: dict[int, str | LedgerError] = {}
    for places in _rounds(row.serial for row in deed.items):
        rows = sorted(deed.items[place] for place in places)
        outcomes = _record(connection, deed.issuer_id, rows, now)
        found |= {place: outcomes[deed.items[place].serial] for place in places}
    return [found[place] for place in range(len(deed.items))]


def _rounds(serials: Iterable[bytes]) -> list[list[int]]:
    """Places of items in rounds, each serial once a round: its second statement is held against the first."""
    rounds: list[list[int]] = []
    seen: dict[bytes, int] = {}
    for place, serial in enumerate(serials):
        number = seen[serial] = seen.get(serial, -1) + 1
        if number == len(rounds):
            rounds.append([])
        rounds[number].append(place)
    return rounds


def _record(
    connection: Connection, issuer_id: int, rows: Sequence[CertificateRow], now: int
) -> dict[bytes, str | LedgerError]:
    """`rows` ordered and distinct. All at once; when one of them is refused, each half by itself."""
    outcomes: dict[bytes, str | LedgerError] = {}
    try:
        found = bulk.compare(connection, issuer_id, rows, says_good=False)
        if len(found.new) < len(rows):
            _check_ends(connection, issuer_id, rows)
    except LedgerError as error:
        if len(rows) == 1:
            return {rows[0].serial: _as_conflict(error)}
        middle = len(rows) // 2
        outcomes = _record(connection, issuer_id, rows[:middle], now)
        return outcomes | _record(connection, issuer_id, rows[middle:], now)
    series = crls.open_series(crls.series(connection, issuer_id), now)
    bulk.add_batch(connection, issuers.by_id(connection, issuer_id), series, found, now, urgent=True)
    outcomes = {row.serial: "known" for row in rows}
    outcomes |= {move.row.serial: "placed" for move in found.moved}
    outcomes |= {one.serial: str(one.outcome) for one in found.revoked}
    return outcomes | {row.serial: "recorded" for row in found.new}


def _check_ends(connection: Connection, issuer_id: int, rows: Sequence[CertificateRow]) -> None:
    """Two certificates of one serial, or a precertificate and its certificate, that end at different times."""
    there = bulk.known(connection, issuer_id, rows)
    for row in rows:
        if row.serial in there and there[row.serial].not_after not in (row.not_after, UNKNOWN_END):
            raise Conflict(
                f"serial {row.serial.hex()}: recorded with another not_after",
                remedy="a serial is one certificate's and its precertificate's: find out which of the two is right",
            )


def _as_conflict(error: LedgerError) -> Conflict:
    return error if isinstance(error, Conflict) else Conflict(error.message, remedy=error.remedy)


def _reserve(connection: Connection, deed: Reserve, now: int) -> _Outcomes:
    there = states(connection, deed.issuer_id, deed.items)
    series = crls.open_series(crls.series(connection, deed.issuer_id), now)
    new: dict[bytes, Placement] = {}
    outcomes: _Outcomes = []
    for serial in deed.items:
        state = there.get(serial)
        if state is None and serial not in new:
            index = hash32(serial) % series.shard_count
            new[serial] = Placement(series.number, index, PlacedBy.RESERVATION)
            outcomes.append("reserved")
        elif state is None or state.placement.placed_by is PlacedBy.RESERVATION:
            outcomes.append("known")
        else:
            outcomes.append(
                Conflict(
                    f"serial {serial.hex()}: is a certificate's already, which was never reserved",
                    remedy="choose another serial number",
                )
            )
    if new:
        reservations.add(connection, deed.issuer_id, new, now)
        _append(connection, deed, "reserve", {"serials": [serial.hex() for serial in new]}, now)
    return outcomes


def _revoke(connection: Connection, deed: Revoke, now: int) -> _Outcomes:
    try:
        revocation.check(deed.items, now)
        results = revocation.apply(connection, deed.issuer_id, deed.items, now)
    except LedgerError as error:
        if len(deed.items) == 1:
            return [_as_conflict(error)]
        middle = len(deed.items) // 2
        halves = (
            Revoke(deed.issuer_id, deed.actor, one) for one in (deed.items[:middle], deed.items[middle:])
        )
        return [outcome for half in halves for outcome in _revoke(connection, half, now)]
    return [
        _unissued(one.serial) if one.outcome is Outcome.REJECTED else _named(one.outcome) for one in results
    ]


def _named(outcome: Outcome) -> str:
    return "known" if outcome is Outcome.ALREADY else str(outcome)


def _unissued(serial: bytes) -> Unissued:
    return Unissued(
        f"serial {serial.hex()}: no certificate is recorded with it",
        remedy="record the certificate or precertificate first, then revoke it",
    )
