"""One issuer's signing as a whole: single passes, the schedule over a day, lost pages and pages that cannot be signed."""

import os
import signal
import time
from concurrent.futures import wait
from multiprocessing import resource_tracker

import pytest
import redis

from signer.ocsp.batch import Pool, Terms
from signer.ocsp.faults import RETRY_INTERVAL
from signer.ocsp.pages import Tally
from signer.ocsp.schedule import PageRange
from signer.ocsp.service import IssuerService, open_service
from store.clock import SystemClock
from store.errors import ConfigError
from tests.signer.ledgers import NOW
from tests.signer.processes import wait_until, workers_of
from tests.signer.works import DAY, FakeClock, Works, quietly, row_in_page


def pages_of(works: Works) -> list[bytes]:
    return [b"ocsp:page:demo:1:%d" % page for page in range(4)]


def step_until_idle(service: IssuerService) -> Tally:
    """Steps until nothing is under way; what they came to."""
    total = service.step()
    for _ in range(10_000):
        if not service.busy:
            return total
        time.sleep(0.001)  # the pool's thread is at work
        total.add(service.step())
    raise AssertionError("it never rests")


def test_sign_all(works: Works, service: IssuerService, pool: Pool) -> None:
    works.add_some(30, revoked_every=5)
    told: list[int] = []
    tally = service.sign_all(told.append)
    assert (tally.pages, tally.responses, sum(told)) == (4, 60, 4)
    works.check_store()
    assert works.ledger.pending_changes(works.issuer.id) == 0
    assert works.ledger.checkpoint(works.issuer.id) is not None
    tally = open_service(works.context, "demo", pool).sign_due(quietly)
    assert (tally.pages, tally.current, tally.responses) == (0, 0, 0)


def test_sign_all_with_a_fault_leaves_both_positions(works: Works, service: IssuerService) -> None:
    works.add_some(30)
    works.add([row_in_page(1, 1)])
    works.damage(row_in_page(1, 1).serial)
    assert [fault.page for fault in service.sign_all(quietly).faults] == [1]
    assert works.ledger.tail_position(works.issuer.id) == 0
    assert works.ledger.checkpoint(works.issuer.id) is None


def test_the_first_sign_due_signs_each_page_once(works: Works, service: IssuerService) -> None:
    """An import, no page in the store, nothing ever on schedule: three reasons, one signature."""
    works.add_some(30)
    tally = service.sign_due(quietly)
    assert (tally.pages, tally.responses, tally.current) == (4, 60, 0)
    works.check_store()
    assert works.ledger.pending_changes(works.issuer.id) == 0


def test_sign_due_signs_all_changes_however_many(
    works: Works, service: IssuerService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signer.ocsp.tail.CHANGES_AT_A_TIME", 3)
    rows = works.add(row_in_page(page, number) for page in range(4) for number in range(5))
    service.sign_due(quietly)
    works.revoke(*(row.serial for row in rows))
    assert service.sign_due(quietly).faults == []
    assert all(works.is_revoked(row.serial) for row in rows)
    assert works.ledger.pending_changes(works.issuer.id) == 0


def test_lost_pages_come_back(works: Works, service: IssuerService, store_url: str) -> None:
    works.add_some(30)
    service.sign_due(quietly)
    with redis.Redis.from_url(store_url) as client:
        client.delete(b"ocsp:page:demo:1:0", b"ocsp:page:demo:1:2")
        client.hset(b"ocsp:page:demo:1:2", b"\x23", b"left by something else")
        client.hset(b"ocsp:page:demo:1:3", b"\x23", b"one field too many")
    assert list(service.missing_pages()) == [0, 2, 3]
    tally = service.sign_due(quietly)
    # A page that still has its header is put only once thisUpdate is later.
    assert (tally.pages, tally.current) == (2, 1)
    assert works.clock.now() == NOW
    works.clock.pass_time(1)  # type: ignore[attr-defined]
    assert service.sign_due(quietly).pages == 1
    works.check_store()


def test_lost_pages_in_steps(works: Works, service: IssuerService, store_url: str) -> None:
    works.add_some(30)
    step_until_idle(service)
    works.check_store()
    with redis.Redis.from_url(store_url) as client:
        client.delete(*pages_of(works))
    assert step_until_idle(service).pages == 0
    assert service.enqueue_missing() == 4
    assert step_until_idle(service).pages == 4
    works.check_store()


def test_pages_that_the_pool_failed_at_wait_again(works: Works, service: IssuerService) -> None:
    """Until they are signed the schedule has not come to them."""
    works.add_some(30)
    text = works.file.read_text()
    works.file.write_text("[")
    with pytest.raises(ConfigError):
        for _ in range(10_000):
            service.step()
            time.sleep(0.001)
    assert works.ledger.checkpoint(works.issuer.id) is None
    works.file.write_text(text)
    step_until_idle(service)
    works.check_store()


def test_nothing_is_with_the_pool_once_it_is_held(
    works: Works, service: IssuerService, store_url: str
) -> None:
    """A page that it still writes would be missed by who copies pages."""
    works.add_some(30)
    step_until_idle(service)
    with redis.Redis.from_url(store_url) as client:
        client.delete(*pages_of(works))
    service.enqueue_missing()
    service.step()
    assert not service.hold()
    wait_until(lambda: bool(service.step()) and service.hold())
    assert not list(service.missing_pages())
    with redis.Redis.from_url(store_url) as client:
        client.delete(*pages_of(works))
    service.enqueue_missing()
    for _ in range(30):
        service.step()
        time.sleep(0.01)
    assert len(list(service.missing_pages())) == 4
    service.release()
    step_until_idle(service)
    works.check_store()


def test_the_first_steps_sign_each_page_once(works: Works, service: IssuerService) -> None:
    works.add_some(30)
    service.enqueue_missing()
    tally = step_until_idle(service)
    assert (tally.pages, tally.current) == (4, 0)
    assert works.ledger.pending_changes(works.issuer.id) == 0
    assert step_until_idle(service).pages == 0


@pytest.mark.conformance("R-16")
def test_a_day_on_schedule(works: Works, service: IssuerService, clock: FakeClock) -> None:
    """Every page exactly once, each when it is due, and with the thisUpdate of that time."""
    works.add_some(30)
    start = clock.seconds = NOW - NOW % DAY + DAY  # the start of a cycle: page 0 is due right now
    step_until_idle(service)
    signed: list[tuple[int, int]] = []
    before = [works.header(page).this_update for page in range(4)]
    for _ in range(24 * 12):
        clock.pass_time(300)
        step_until_idle(service)
        for page in range(4):
            this_update = works.header(page).this_update
            if this_update != before[page]:
                signed.append((page, this_update - start))
                before[page] = this_update
    assert signed == [(1, DAY // 4), (2, DAY // 2), (3, 3 * DAY // 4), (0, DAY)]
    works.check_store()


def test_a_late_signer_signs_each_page_once(works: Works, service: IssuerService, clock: FakeClock) -> None:
    step_until_idle(service)
    clock.pass_time(5 * DAY)
    assert step_until_idle(service).pages == 4
    assert step_until_idle(service).pages == 0


def test_a_clock_that_went_back_signs_nothing_twice(
    works: Works, service: IssuerService, clock: FakeClock
) -> None:
    step_until_idle(service)
    clock.seconds -= DAY
    tally = step_until_idle(service)
    assert (tally.pages, tally.faults) == (0, [])


def test_a_fault_is_tried_again_after_a_while(works: Works, service: IssuerService, clock: FakeClock) -> None:
    works.add_some(30)
    step_until_idle(service)
    bad = row_in_page(1, 1)
    works.add([bad])
    works.damage(bad.serial)
    assert [fault.page for fault in step_until_idle(service).faults] == [1]
    works.mend(bad.serial)
    clock.pass_time(int(RETRY_INTERVAL) - 1)
    assert step_until_idle(service).pages == 0
    clock.pass_time(1)
    assert step_until_idle(service).pages == 1
    works.check_store()
    assert works.ledger.pending_changes(works.issuer.id) == 0
    clock.pass_time(int(RETRY_INTERVAL) + 1)
    assert step_until_idle(service).pages == 0


def test_a_fault_that_stays_is_tried_once_an_interval(
    works: Works, service: IssuerService, clock: FakeClock
) -> None:
    works.add([row_in_page(1, 1)])
    works.damage(row_in_page(1, 1).serial)
    assert len(step_until_idle(service).faults) == 1
    for _ in range(3):
        clock.pass_time(int(RETRY_INTERVAL))
        assert len(step_until_idle(service).faults) == 1
        assert len(step_until_idle(service).faults) == 0


def test_a_pool_of_processes(tmp_path_factory: pytest.TempPathFactory, store_url: str) -> None:
    wall = SystemClock()
    works = Works(tmp_path_factory.mktemp("works"), store_url, wall, page_bits=5)
    with works.context, Pool(works.file, 2) as pool:
        works.ledger.add_certificates(
            works.issuer.id,
            sorted(
                row_in_page(page, number, page_bits=5, not_after=wall.now() + 50 * DAY)
                for page in range(32)
                for number in range(3)
            ),
            wall.now(),
        )
        tally = open_service(works.context, "demo", pool).sign_all(quietly)
        assert (tally.pages, tally.responses, tally.faults) == (32, 192, [])
        works.check_store()


def test_an_error_in_a_process_is_told(tmp_path_factory: pytest.TempPathFactory, store_url: str) -> None:
    """A responder certificate that is not valid yet stops the issuer with its own message."""
    works = Works(tmp_path_factory.mktemp("works"), store_url, FakeClock(SystemClock().now() + DAY))
    with works.context, Pool(works.file, 2) as pool:
        service = open_service(works.context, "demo", pool)
        with pytest.raises(ConfigError, match="not valid before"):
            service.sign_all(quietly)


@pytest.mark.parametrize("which", [0, 1])
def test_a_pool_ends_whatever_its_executor_waits_for(
    tmp_path_factory: pytest.TempPathFactory, store_url: str, which: int
) -> None:
    """One process is killed, and the other does not hear of it.

    It stands for one that the executor started too late to end it. One of the two dies with the lock of the queue
    from which they take their work.
    """
    works = Works(tmp_path_factory.mktemp("works"), store_url, SystemClock())
    with works.context, Pool(works.file, 2) as pool:
        open_service(works.context, "demo", pool)
        terms = Terms("demo", 0, works.issuer.layout, works.reader.replication_id())
        resource_tracker.ensure_running()  # it lifts the block when it starts
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # which the processes inherit
        try:
            futures = [pool.submit(terms, PageRange(page, page)) for page in range(2)]
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        wait(futures)
        os.kill(sorted(workers_of(os.getpid()))[which], signal.SIGKILL)
        wait_until(lambda: len(workers_of(os.getpid())) < 2)
    assert not workers_of(os.getpid())
