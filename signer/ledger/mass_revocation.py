"""Revoking any number of certificates: planned first, then thousands a commit, journalled as one batch."""

import gc
import itertools
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select, tuple_

from _fastpath.page import page_number
from signer import journal
from signer.ledger import generations, issuers, revocation, schema
from signer.ledger.values import REASON_NAMES, Outcome, Revocation, RevokeResult, Serials

__all__ = ["EXPECT_ABOVE", "Batch", "MassOutcome", "living", "new_batch_id", "plan", "revoke"]

EXPECT_ABOVE = 100  # more certificates than this have to be counted by who asks too

BATCH = 2_000  # revocations a commit, so that no other writer waits long
# Entries go all over the index of the CRLs: its pages are kept at hand, and written back less often.
SETTINGS = ("cache_size = -262144", "wal_autocheckpoint = 50000")  # 256 MiB; pages, 200 MiB
IN_A_PAGE = 256  # or fewer that a commit may have beside, so that it ends where a page does
COLLECT_AFTER = 100_000  # objects

Transaction = Callable[[], AbstractContextManager[Connection]]
_CHANGES = (Outcome.REVOKED, Outcome.UPDATED)


@dataclass(frozen=True, slots=True)
class Batch:
    """What the journal says of it: under which id, by whom, and of what."""

    id: str
    actor: str
    detail: dict[str, Any]


@dataclass(slots=True)
class MassOutcome:
    """How many certificates came to what, and by which reason those are revoked that change."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    reasons: Counter[int] = field(default_factory=Counter)
    rejected: Serials = field(default_factory=Serials)

    @property
    def named(self) -> int:
        return self.outcomes.total()

    @property
    def changed(self) -> int:
        return sum(self.outcomes[one] for one in _CHANGES)

    def is_expected(self, count: int | None) -> bool:
        """Whether so many may be revoked for ever by who said `count`, or nothing."""
        return self.named <= EXPECT_ABOVE if count is None else self.named == count

    def described(self) -> dict[str, Any]:
        """For people to compare with what they meant."""
        counts = {one.value: self.outcomes[one] for one in Outcome}
        return {"named": self.named, **counts, "reasons": self.named_reasons}

    @property
    def named_reasons(self) -> dict[str, int]:
        """`reasons` by name."""
        return {REASON_NAMES[number]: count for number, count in sorted(self.reasons.items())}

    def extend(self, other: "MassOutcome") -> None:
        self.outcomes.update(other.outcomes)
        self.reasons.update(other.reasons)
        self.rejected.extend(other.rejected)

    def add(self, results: Sequence[RevokeResult]) -> None:
        for (outcome, reason), count in Counter([(one.outcome, one.reason) for one in results]).items():
            self.outcomes[outcome] += count
            if outcome in _CHANGES:
                self.reasons[reason] += count
        for one in results:
            if one.outcome is Outcome.REJECTED:
                self.rejected.add(one.serial)


def new_batch_id() -> str:
    """By which the journal tells batches apart."""
    return secrets.token_hex(8)


def plan(
    read: Transaction,
    issuer_id: int,
    page_bits: int,
    asked: Iterable[Revocation],
    now: int,
    progress: Callable[[int], None],
) -> MassOutcome:
    """What `revoke` would come to. Raises LedgerError for what it would refuse."""
    found = MassOutcome()
    with _rarely_collected():
        for some in _batches(asked, page_bits):
            revocation.check(some, now)
            with read() as connection:
                found.add(revocation.plan(connection, issuer_id, some))
            progress(len(some))
    return found


def revoke(
    write: Transaction,
    issuer_id: int,
    page_bits: int,
    asked: Iterable[Revocation],
    now: int,
    batch: Batch,
    progress: Callable[[int], None],
) -> MassOutcome:
    """Revoke for ever. What a crash leaves undone is done by the same again; each commit is journalled.

    Raises LedgerError, with the commits before it done, for a reason or time that is not allowed: plan it first.
    """
    done = MassOutcome()
    with _rarely_collected():
        for some in _batches(asked, page_bits):
            revocation.check(some, now)
            with write() as connection:
                done.add(_commit(connection, issuer_id, some, now, batch, begins=not done.changed))
            progress(len(some))
    if done.changed:
        detail = {"batch": batch.id, **{one.value: done.outcomes[one] for one in Outcome}}
        with write() as connection:
            journal.append(connection, now=now, actor=batch.actor, event="revoke done", detail=detail)
    return done


@contextmanager
def _rarely_collected() -> Iterator[None]:
    """Millions of tuples are made and none is in a cycle: the collector would take a sixth of the time."""
    before = gc.get_threshold()
    gc.set_threshold(COLLECT_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _commit(
    connection: Connection, issuer_id: int, asked: list[Revocation], now: int, batch: Batch, *, begins: bool
) -> list[RevokeResult]:
    """`begins` says that nothing of the batch was changed before."""
    for setting in SETTINGS:
        connection.exec_driver_sql(f"PRAGMA {setting}")
    before = generations.current(connection, issuer_id)
    results = revocation.apply(connection, issuer_id, asked, now)
    if taken := generations.taken_since(connection, issuer_id, before):
        if begins:
            detail = {"batch": batch.id, **batch.detail}
            journal.append(connection, now=now, actor=batch.actor, event="revoke begun", detail=detail)
        detail = {
            "issuer": issuers.by_id(connection, issuer_id).name,
            "batch": batch.id,
            "certificates": sum(result.outcome in _CHANGES for result in results),
            **taken,
        }
        journal.append(connection, now=now, actor=batch.actor, event="revoke", detail=detail)
    return results


def living(read: Transaction, issuer_id: int, now: int) -> Iterator[bytes]:
    """Serials of certificates that are neither revoked nor expired, in the table's order, read in parts."""
    c = schema.certificate.c
    place = (-1, b"")
    statement = (
        select(c.hash32, c.serial)
        .where(c.issuer_id == issuer_id, c.revocation_time.is_(None), c.not_after >= now)
        .order_by(c.hash32, c.serial)
        .limit(BATCH)
    )
    while True:
        with read() as connection:
            rows = connection.execute(statement.where(tuple_(c.hash32, c.serial) > place)).all()
        if not rows:
            return
        yield from (row.serial for row in rows)
        place = (rows[-1].hash32, rows[-1].serial)


def _batches(asked: Iterable[Revocation], page_bits: int) -> Iterator[list[Revocation]]:
    """Each ends where a page does, if that is near and they come by hash32: the page is signed once then."""
    source = iter(asked)
    ahead: list[Revocation] = []
    while some := ahead + list(itertools.islice(source, BATCH - len(ahead))):
        ahead = list(itertools.islice(source, IN_A_PAGE))
        page = page_number(some[-1].serial, page_bits)
        left = _first_elsewhere(ahead, page, page_bits)
        if left < IN_A_PAGE:
            some += ahead[:left]
            del ahead[:left]
        yield some


def _first_elsewhere(rows: list[Revocation], page: int, page_bits: int) -> int:
    places = (at for at, one in enumerate(rows) if page_number(one.serial, page_bits) != page)
    return next(places, len(rows))
