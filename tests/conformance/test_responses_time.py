"""Times of responses over simulated days: which instant they are of, renewed in time whatever fails, and to the end."""

import random
import time

import pytest

from signer.ledger.values import CertificateRow
from signer.ocsp.schedule import PageRange
from signer.ocsp.service import IssuerService
from tests.signer.conftest import clock, pool, service
from tests.signer.ledgers import NOW
from tests.signer.works import FakeClock, Works, row_in_page

__all__ = ["clock", "pool", "service"]

MINUTE = 60
HOUR = 3600
DAY = 86_400
PAGES = 4
VALIDITY = 4 * DAY - 1
DEADLINE = VALIDITY // 2  # R-16, P-01: half of V; it is less than 4 d and than V - 8 h
CYCLE = DAY
ALL = PageRange(0, PAGES - 1)


def rest(service: IssuerService) -> None:
    """Steps until nothing is under way."""
    service.step()
    while service.busy:
        time.sleep(0.0005)  # the pool's thread is at work
        service.step()


def times(works: Works, row: CertificateRow) -> tuple[int, int]:
    """thisUpdate and nextUpdate."""
    response = works.response(row.serial)
    assert response is not None and response.next_update_utc is not None
    return int(response.this_update_utc.timestamp()), int(response.next_update_utc.timestamp())


class SlowClock(FakeClock):
    """Every look at it takes seven seconds."""

    def now(self) -> int:
        self.seconds += 7
        return self.seconds


@pytest.mark.conformance("R-06")
def test_this_update_is_the_instant_before_the_ledger_was_read(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A revocation between reading the clock and reading the ledger is in; one after it is not claimed."""
    (row,) = works.add([row_in_page(0, 1)])
    clock = SlowClock()
    signer = works.signer(clock=clock)
    read_at: list[int] = []
    snapshot = works.ledger.snapshot

    def delayed(issuer_id: int, first: int, last: int) -> object:
        clock.seconds += 100
        read_at.append(clock.seconds)
        found = snapshot(issuer_id, first, last)
        clock.seconds += 100
        return found

    monkeypatch.setattr(works.ledger, "snapshot", delayed)
    signer.sign_range(ALL)
    response = works.response(row.serial)
    assert response is not None
    this_update, produced_at = response.this_update_utc, response.produced_at_utc
    assert this_update.timestamp() == NOW + 7
    assert this_update.timestamp() < read_at[0] < produced_at.timestamp()


@pytest.mark.conformance("R-16")
@pytest.mark.slow  # two of these days, with more that fails: signer/test_thirty_days.py
@pytest.mark.parametrize("seed", range(1, 8))
def test_thirty_days_with_failures(works: Works, service: IssuerService, clock: FakeClock, seed: int) -> None:
    """Again and again the signer is away, or a page cannot be signed, for up to 20 h: no answer gets overdue.

    The oldest one gets older than a cycle and 12 h; what the failures cost is never more than what they lasted.
    """
    chooser = random.Random(seed)
    works.add(row_in_page(page, number) for page in range(PAGES) for number in range(2))
    bad = row_in_page(2, 1).serial
    rest(service)
    failing_until, away, oldest = NOW, False, 0
    for _ in range(30 * 12):
        clock.pass_time(2 * HOUR)
        now = clock.seconds
        if now >= failing_until:
            works.mend(bad)
            away = False
        if now >= failing_until + 6 * HOUR and chooser.random() < 0.2:
            failing_until = now + chooser.randrange(10 * HOUR, 20 * HOUR)
            away = chooser.random() < 0.5
            if not away:
                works.damage(bad)
        if not away:
            rest(service)
        ages = [now - works.header(page).this_update for page in range(PAGES)]
        assert max(ages) < DEADLINE
        oldest = max(oldest, *ages)
    assert oldest > CYCLE + 12 * HOUR
    works.mend(bad)
    clock.pass_time(HOUR)
    rest(service)
    works.check_store()


@pytest.mark.conformance("R-16")
def test_without_failures_nothing_gets_older_than_a_cycle(
    works: Works, service: IssuerService, clock: FakeClock
) -> None:
    works.add(row_in_page(page, 1) for page in range(PAGES))
    rest(service)
    for _ in range(3 * 48):
        clock.pass_time(30 * MINUTE)
        rest(service)
        assert all(clock.seconds - works.header(page).this_update <= CYCLE for page in range(PAGES))


@pytest.mark.conformance("R-12", "R-16", "R-18")
@pytest.mark.parametrize("offset", [0, 9 * HOUR, 18 * HOUR])
def test_the_last_days_of_a_certificate(
    works: Works, service: IssuerService, clock: FakeClock, offset: int
) -> None:
    """Wherever its end lies in the cycle: the last response ends with it, signed 16 h before or earlier."""
    (row,) = works.add([row_in_page(1, 1, not_after=NOW + 2 * DAY + offset)])
    rest(service)
    while clock.seconds < row.not_after:
        this_update, next_update = times(works, row)
        assert next_update == min(this_update + VALIDITY, row.not_after)
        assert this_update <= row.not_after - 16 * HOUR
        assert clock.seconds - this_update <= DEADLINE or next_update == row.not_after
        clock.pass_time(HOUR)
        rest(service)
    assert works.response(row.serial) is not None
    clock.pass_time(DAY)
    rest(service)
    assert works.response(row.serial) is None


@pytest.mark.conformance("R-28")
@pytest.mark.parametrize(("offset", "there"), [(-1, True), (0, True), (1, False)])
def test_a_revoked_certificate_is_answered_for_until_its_end(
    works: Works, clock: FakeClock, offset: int, there: bool
) -> None:
    """notAfter is its last second. By page and by single change alike."""
    (row,) = works.add([row_in_page(0, 1, revoked=NOW - 60, not_after=NOW + 30 * DAY)])
    signer = works.signer()
    signer.sign_range(ALL)
    clock.seconds = row.not_after + offset
    assert signer.sign_range(ALL).faults == []
    assert works.is_revoked(row.serial) == there
    (change,) = works.revoke(row.serial, reason=1)
    signer.sign_change(change)
    assert works.is_revoked(row.serial) == there
    works.check_store()
