"""Thirty days of a signer that much befalls: at no instant is an answer served that a rule forbids (B3, B5, B6)."""

import random
from collections.abc import Callable, Iterator

import pytest
import structlog

import signer.ocsp.responses
from signer.context import Context
from signer.ocsp.ages import Ages
from signer.ocsp.pages import PageSigner
from signer.ocsp.reconcile import Reconciliation
from signer.ocsp.timetable import Timetable
from signer.steady import RecordingClock, SteadyClock
from store.embedded import EmbeddedStore
from tests.signer import failures
from tests.signer.failures import Failure, all_of_them, successor
from tests.signer.ledgers import NOW
from tests.signer.simulation import HOUR, PAGE_BITS, SharedClock, Simulation
from tests.signer.test_rollover import issue, with_directory
from tests.signer.works import DAY, Works

log = structlog.get_logger()

SHOWN = (
    "R-06", "R-10", "R-12", "R-13", "R-14", "R-15", "R-16", "R-17", "R-18", "R-19", "R-20",
)  # fmt: skip
SIGNER_ENDS = 14 * DAY  # and its successor comes 20 h before

Simulate = Callable[..., Simulation]
Patch = pytest.MonkeyPatch


@pytest.fixture
def simulate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulate]:
    begun = []
    directory = tmp_path_factory.mktemp("s")
    with EmbeddedStore(directory / "store") as store:

        def begin(seed: int, *, signer_ends: int = SIGNER_ENDS, **options: object) -> Simulation:
            log.info("simulation", seed=seed)
            clock = SharedClock(directory / "clock")
            works = Works(directory, store.url, clock, page_bits=PAGE_BITS)
            with_directory(works)
            issue(works, "a", NOW - 60, NOW + signer_ends)
            works.context = Context.open(works.file, clock, create_ledger=True)
            assert works.issuer
            begun.append(Simulation(works, clock, store, seed, **options))  # type: ignore[arg-type]
            return begun[-1]

        yield begin
        for simulation in begun:
            simulation.stop()
            simulation.works.context.close()


def check(simulation: Simulation) -> None:
    checker = simulation.checker
    figures = {row: f"{count:,}" for row, count in sorted(checker.checked.items())}
    log.info("checked", certificates=len(checker.subjects), slowest=checker.slowest, **figures)
    assert simulation.found == []
    assert set(SHOWN) <= checker.checked.keys()


@pytest.mark.invariant("B3", "B5", "B6")
@pytest.mark.conformance(*SHOWN)
def test_two_days(simulate: Simulate) -> None:
    simulation = simulate(1, steps=(2 * HOUR,), attention=61)
    simulation.run(
        2 * DAY,
        [
            (8 * HOUR, failures.bad_row),
            (16 * HOUR, failures.clock_a_day_ahead),
            (30 * HOUR, failures.store_killed),
            (40 * HOUR, failures.signer_killed),
        ],
    )
    check(simulation)
    assert any(words.startswith("clock: ") for words in simulation.told)
    assert any("cannot be signed" in words for words in simulation.told)


@pytest.mark.invariant("B3", "B5", "B6")
@pytest.mark.slow
@pytest.mark.conformance(*SHOWN, "P-01")
@pytest.mark.parametrize("seed", [1, 2])
def test_thirty_days(simulate: Simulate, seed: int) -> None:
    """With two processes that sign."""
    simulation = simulate(seed, workers=2)
    chooser = random.Random(seed)
    simulation.run(
        30 * DAY,
        [
            *all_of_them(chooser, 12 * HOUR, SIGNER_ENDS - 60 * HOUR),
            (SIGNER_ENDS - 40 * HOUR, failures.store_killed),
            (SIGNER_ENDS - 30 * HOUR, failures.workers_killed),
            (SIGNER_ENDS - 20 * HOUR, successor),
            (SIGNER_ENDS - 10 * HOUR, failures.signer_killed),
            *all_of_them(chooser, SIGNER_ENDS + 6 * HOUR, 29 * DAY),
        ],
    )
    check(simulation)
    for words in ("clock: ", "cannot be signed", "responder certificate: ends", "ocsp: "):
        assert any(words in told for told in simulation.told), words


def no_clock_to_sign_by(patch: Patch) -> None:
    patch.setattr(SteadyClock, "doubt", None)
    patch.setattr(SteadyClock, "wall", lambda self: self.machine.wall())


def no_clock_to_record_by(patch: Patch) -> None:
    patch.setattr(RecordingClock, "wall", lambda self: self._steady.machine.wall())


def no_renewal(patch: Patch) -> None:
    """Neither the schedule nor the look at what is old."""
    patch.setattr(Timetable, "step", lambda self, share: None)
    patch.setattr(Ages, "look", lambda self, now: [])


def no_ages(patch: Patch) -> None:
    patch.setattr(Ages, "look", lambda self, now: [])


def no_rest(patch: Patch) -> None:
    """A page with a bad row is not written."""
    patch.setattr(
        PageSigner,
        "_draft_of_the_rest",
        lambda self, page, rows, kept, *times: self._draft(page, [], {}, 0, 0),
    )


def no_reconciliation(patch: Patch) -> None:
    patch.setattr(Reconciliation, "_lacking", lambda self, generations, read: {})


def no_bounds(patch: Patch) -> None:
    """nextUpdate is notAfter of the certificate, or V after thisUpdate."""
    patch.setattr(
        signer.ocsp.responses,
        "next_update_bounds",
        lambda this_update, validity, end: (this_update, this_update + validity),
    )


def no_regard_for_the_end(patch: Patch) -> None:
    patch.setattr(
        signer.ocsp.responses,
        "next_update_bounds",
        lambda this_update, validity, end: (this_update + validity, this_update + validity),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("remove", "ends", "days", "befalls", "rows"),
    [
        (no_clock_to_sign_by, SIGNER_ENDS, 2, [(DAY, failures.clock_a_day_ahead)], {"R-06"}),
        (no_clock_to_record_by, SIGNER_ENDS, 2, [(DAY, failures.clock_a_day_ahead)], {"C-17"}),
        (no_renewal, SIGNER_ENDS, 3, [], {"R-16"}),
        (no_ages, 4 * DAY, 4, [(4 * DAY - 20 * HOUR, successor)], {"R-16"}),
        (no_rest, SIGNER_ENDS, 4, [(DAY, failures.bad_row)], {"R-16"}),
        (no_reconciliation, SIGNER_ENDS, 2, [(HOUR * 12, failures.old_dump)], {"R-20"}),
        (no_bounds, 2 * DAY, 2, [], {"R-17"}),
        (no_regard_for_the_end, SIGNER_ENDS, 2, [], {"R-18"}),
    ],
)
def test_without_a_guard_there_are_violations(
    simulate: Simulate,
    monkeypatch: Patch,
    remove: Callable[[Patch], None],
    ends: int,
    days: int,
    befalls: list[tuple[int, Failure]],
    rows: set[str],
) -> None:
    remove(monkeypatch)
    simulation = simulate(1, signer_ends=ends)
    simulation.run(days * DAY, befalls)
    assert rows <= {words[:4] for words in simulation.found}
