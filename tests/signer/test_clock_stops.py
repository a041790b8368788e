"""B6 in `ocsp-signer run`: a clock that jumps in mid-run stops responses and CRLs, is told, and they go on again."""

import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager

import pytest
from structlog.testing import capture_logs

import signer.steady
from signer.commands.crl import build
from signer.commands.resume import resume
from signer.commands.signing import sign
from signer.errors import ClockStopped
from signer.ocsp.batch import Pool
from signer.ocsp.service import open_service
from signer.run import Runner
from signer.steady import SteadyClock
from signer.witness import clock_to_sign_by, witness
from store.clock import SystemClock
from store.errors import UsageError
from tests.signer.loops import Loop
from tests.signer.processes import wait_until
from tests.signer.works import DAY, FakeClock, Works, row_in_page

YEAR = 365 * DAY
pytestmark = pytest.mark.conformance("R-06", "R-20")


@pytest.fixture
def loop(works: Works, clock: FakeClock) -> Iterator[Loop]:
    works.add(row_in_page(page, number) for page in range(4) for number in range(2))
    steady = SteadyClock(clock, witness(works.ledger, works.context.settings.root.issuer))
    with Pool(works.file, 1, steady) as pool:
        loop = Loop(works, pool, steady)
        with loop.context:
            loop.rest()
            works.check_store()
            yield loop


def updates(works: Works) -> list[int]:
    return [works.header(page).this_update for page in range(4)]


@pytest.mark.invariant("B6", "G6")
@pytest.mark.parametrize("step", [-3600, DAY, YEAR])
def test_nothing_is_signed_until_the_clock_is_right_again(
    works: Works, clock: FakeClock, loop: Loop, step: int
) -> None:
    before = updates(works)
    clock.pass_time(5)
    clock.seconds += step
    works.revoke(row_in_page(1, 1).serial)
    with capture_logs() as logs:
        for _ in range(20):
            clock.pass_time(30)
            loop.rest()
    assert updates(works) == before and not works.is_revoked(row_in_page(1, 1).serial)
    assert [entry["event"] for entry in logs] == ["clock in doubt: nothing is signed"]
    assert loop.reports.troubles()[0].startswith("clock: it jumped, to ")
    assert "signer_clock_trusted 0.0" in loop.exposition()
    clock.seconds -= step
    loop.rest()
    clock.pass_time(59)
    loop.rest()
    assert updates(works) == before
    clock.pass_time(1)
    loop.rest()
    assert works.is_revoked(row_in_page(1, 1).serial)
    assert all(this_update <= clock.seconds for this_update in updates(works))
    assert loop.reports.troubles() == [] and "signer_clock_trusted 1.0" in loop.exposition()


@pytest.mark.invariant("B6")
def test_a_crl_is_not_built_either(works: Works, clock: FakeClock, loop: Loop) -> None:
    job = loop.context.crl_job("demo")
    clock.seconds += DAY
    with pytest.raises(ClockStopped):
        job.build(job.shards(), lambda outcome: None)
    assert all(job.catalogue.latest(shard) is None for shard in job.shards())


def test_it_goes_on_when_somebody_confirms_the_time(
    works: Works, clock: FakeClock, loop: Loop, capsys: pytest.CaptureFixture[str]
) -> None:
    clock.seconds += YEAR
    loop.rest()
    clock.pass_time(1)
    with pytest.raises(UsageError, match="by this machine it is"):
        resume(works.file, accept_clock=False, as_json=True, clock=clock)
    assert loop.reports.troubles()
    resume(works.file, accept_clock=True, as_json=True, clock=clock)
    assert '"accepted":"' in capsys.readouterr().out
    entry = list(works.ledger.journal_entries())[-1]
    assert (entry.event, entry.recorded_at) == ("clock confirmed", clock.seconds)
    clock.pass_time(1)
    loop.rest()
    assert not any("clock" in trouble for trouble in loop.reports.troubles())


@pytest.mark.invariant("B6")
def test_a_start_on_a_wrong_clock(works: Works, clock: FakeClock, loop: Loop) -> None:
    """What the ledger knows outlives the process."""
    tables = works.context.settings.root.issuer
    assert witness(works.ledger, tables).confirmed is None
    for step in (-8 * 3600, 5 * DAY, YEAR):
        clock.seconds += step
        with pytest.raises(ClockStopped):
            SteadyClock(clock, witness(works.ledger, tables)).now()
        clock.seconds -= step
    SteadyClock(clock, witness(works.ledger, tables)).now()


def test_a_confirmed_clock_that_is_behind_keeps_the_schedule(
    works: Works, clock: FakeClock, pool_of: Pool
) -> None:
    """Or nothing would be due until the time comes again that had been reached."""
    service = open_service(works.context, "demo", pool_of)
    service.sign_all(lambda pages: None)
    clock.seconds -= 30 * DAY
    for _ in range(3):
        service.step()
    checkpoint = works.ledger.checkpoint(works.issuer.id)
    assert checkpoint is not None and checkpoint[0] <= clock.seconds


Pass = Callable[[Works, FakeClock], int]


def sign_once(works: Works, clock: FakeClock) -> int:
    return sign(works.file, everything=True, issuer=None, workers=None, as_json=True, quiet=True, clock=clock)


def build_once(works: Works, clock: FakeClock) -> int:
    return build(works.file, issuer="demo", dry_run=False, as_json=True, quiet=True, clock=clock)


def signed_times(works: Works) -> list[int | None]:
    """Of all pages and CRLs."""
    pages = [found[0].this_update if found else None for found in (works.stored(page) for page in range(4))]
    return pages + [one.this_update for one in works.ledger.publications(works.issuer.id)]


@pytest.mark.parametrize(
    ("run_once", "step"), [(sign_once, -8 * 3600), (sign_once, 30 * DAY), (build_once, -8 * 3600)]
)
def test_a_pass_signs_nothing_by_a_clock_in_doubt(
    works: Works, clock: FakeClock, run_once: Pass, step: int
) -> None:
    """`sign` and `crl build` as `run`, and they may come days after the last; then for a month nothing would be signed."""
    works.add_some(9)
    assert run_once(works, clock) == 0
    clock.pass_time(6 * DAY)
    assert run_once(works, clock) == 0
    before = signed_times(works)
    clock.seconds += step
    with pytest.raises(ClockStopped, match="what was last signed") as caught:
        run_once(works, clock)
    assert "resume --accept-clock" in str(caught.value)
    assert signed_times(works) == before
    if step > 0:
        resume(works.file, accept_clock=True, as_json=True, clock=clock)
        assert run_once(works, clock) == 0
        assert signed_times(works) != before


def test_a_clock_that_jumps_in_the_middle_of_a_pass(works: Works, clock: FakeClock) -> None:
    """Seen by whatever asks for the time next, in processes of the pool too."""
    works.add_some(9)
    tables = works.context.settings.root.issuer
    steady = clock_to_sign_by(works.ledger, tables, clock)
    clock.seconds += DAY
    with Pool(works.file, 1, steady) as pool, pytest.raises(ClockStopped):
        open_service(works.context, "demo", pool).sign_all(lambda pages: None)


@pytest.fixture
def pool_of(works: Works, clock: FakeClock) -> Iterator[Pool]:
    with Pool(works.file, 1, clock) as pool:
        yield pool


class SetClock(SystemClock):
    """The machine's clocks, and the wall clock set wrong by some seconds."""

    def __init__(self) -> None:
        self.offset = 0.0

    def wall(self) -> float:
        return time.time() + self.offset


@contextmanager
def running(works: Works) -> Iterator[None]:
    """All of `run` on a thread, with the processes of its pool."""
    stop = threading.Event()

    def work() -> None:
        with works.open() as context:
            Runner(works.file).run(stop, context)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()


@pytest.mark.invariant("B6")
def test_a_whole_run(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day ahead and back; then a year, for good: the processes of the pool sign again once it was confirmed."""
    monkeypatch.setattr(signer.steady, "SETTLED", 1.0)
    clock = SetClock()
    works = Works(tmp_path_factory.mktemp("s"), None, clock)
    rows = [row_in_page(page, 1, not_after=clock.now() + 3 * DAY) for page in range(3)]
    with works.context:
        works.add(rows)
        with capture_logs() as logs, running(works):
            wait_until(lambda: has_event(logs, "signed"), 60)
            clock.offset = DAY
            wait_until(lambda: has_event(logs, "clock in doubt: nothing is signed"), 60)
            clock.offset = 0
            works.revoke(rows[0].serial)
            wait_until(lambda: works.is_revoked(rows[0].serial), 60)
            assert has_event(logs, "the clock is trusted again")
            logs.clear()
            clock.offset = 2 * DAY
            wait_until(lambda: has_event(logs, "clock in doubt: nothing is signed"), 60)
            works.revoke(rows[1].serial)
            assert not works.is_revoked(rows[1].serial)
            resume(works.file, accept_clock=True, as_json=True, clock=clock)
            wait_until(lambda: works.is_revoked(rows[1].serial), 60)


def has_event(logs: list[MutableMapping[str, object]], event: str) -> bool:
    return any(entry["event"] == event for entry in logs)
