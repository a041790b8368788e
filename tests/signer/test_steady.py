"""B6: from a jump of the wall clock on nothing gets the time, until it can be trusted again."""

import math
import pickle

import pytest

from signer.errors import ClockStopped
from signer.steady import EXPIRED, SETTLED, SLEPT, FollowingClock, RecordingClock, SteadyClock, Witness
from tests.signer.ledgers import NOW
from tests.signer.works import DAY, FakeClock

HOUR = 3600
YEAR = 365 * DAY
MINUTE = int(SETTLED)


@pytest.fixture
def machine() -> FakeClock:
    return FakeClock()


@pytest.fixture
def steady(machine: FakeClock) -> SteadyClock:
    return SteadyClock(machine)


def stopped(clock: SteadyClock | FollowingClock) -> bool:
    try:
        clock.now()
    except ClockStopped:
        return True
    return False


def seconds_until_trusted(clock: SteadyClock, machine: FakeClock, limit: int) -> int | None:
    """Both clocks advance together, looked at every second as `run` does; None: not within `limit`."""
    for passed in range(limit + 1):
        if clock.doubt is None:
            return passed
        machine.pass_time(1)
    return None


def test_time_passes(steady: SteadyClock, machine: FakeClock) -> None:
    for seconds in (0, 1, 59, HOUR, YEAR):
        machine.pass_time(seconds)
        assert steady.now() == machine.now()
        assert steady.wall() == machine.wall()
        assert steady.monotonic() == machine.monotonic()


@pytest.mark.invariant("B6")
@pytest.mark.parametrize("step", [-YEAR, -HOUR, -5, 5, HOUR, DAY, YEAR])
def test_the_first_look_after_a_jump_finds_it(steady: SteadyClock, machine: FakeClock, step: int) -> None:
    machine.pass_time(1)
    steady.now()
    machine.pass_time(1)
    machine.seconds += step
    with pytest.raises(ClockStopped, match=r"in doubt: it jumped, to .* s (ahead of|behind) the monotonic"):
        steady.now()
    with pytest.raises(ClockStopped):
        _ = steady.trusted


@pytest.mark.parametrize("step", [-HOUR, DAY, YEAR])
def test_a_jump_that_is_undone_is_over_after_a_minute(
    steady: SteadyClock, machine: FakeClock, step: int
) -> None:
    machine.seconds += step
    assert seconds_until_trusted(steady, machine, 600) is None
    machine.seconds -= step
    assert seconds_until_trusted(steady, machine, 600) == MINUTE
    assert steady.now() == machine.now()


def test_set_back_it_goes_on_when_the_time_comes_that_it_had_reached(
    steady: SteadyClock, machine: FakeClock
) -> None:
    machine.pass_time(10)
    before = steady.now()
    machine.seconds -= HOUR
    assert seconds_until_trusted(steady, machine, 2 * HOUR) == HOUR - 5
    assert steady.now() >= before - 5


@pytest.mark.parametrize(
    ("step", "alone"), [(60, True), (SLEPT - 60, True), (SLEPT + 60, False), (DAY, False)]
)
def test_a_machine_that_slept_for_an_hour_goes_on_alone(
    steady: SteadyClock, machine: FakeClock, step: int, alone: bool
) -> None:
    machine.seconds += step
    passed = seconds_until_trusted(steady, machine, 3 * HOUR)
    assert passed == (MINUTE if alone else None)


@pytest.mark.parametrize("step", [DAY, YEAR])
def test_far_ahead_only_people_know(steady: SteadyClock, machine: FakeClock, step: int) -> None:
    machine.seconds += step
    with pytest.raises(ClockStopped) as caught:
        steady.now()
    assert "resume --accept-clock" in str(caught.value)
    assert "resume --accept-clock" in str(pickle.loads(pickle.dumps(caught.value)))
    assert not steady.confirm(machine.now() - step)  # what was confirmed is not what it says
    assert not steady.confirm(machine.now() + 1)
    assert steady.confirm(machine.now())
    assert steady.now() == machine.now()
    machine.seconds -= step  # and now this is a jump
    assert stopped(steady)


def test_a_clock_that_keeps_jumping_is_not_trusted(steady: SteadyClock, machine: FakeClock) -> None:
    for step in (-300, 300) * 10:
        machine.seconds += step
        assert seconds_until_trusted(steady, machine, MINUTE - 1) is None


@pytest.mark.parametrize("slew", [-1, 1])
def test_what_is_slewed_is_no_jump(steady: SteadyClock, machine: FakeClock, slew: int) -> None:
    for _ in range(200):  # two seconds a minute
        machine.pass_time(30)
        machine.seconds += slew
        assert steady.now() == machine.now()
    machine.seconds += 3 * slew
    assert stopped(steady)


@pytest.mark.invariant("B6")
@pytest.mark.parametrize(
    ("away", "after"),
    [
        (-HOUR, HOUR - 5),
        (-6, MINUTE),
        (-5, 0),
        (0, 0),
        (20 * HOUR, 0),
        (2 * DAY, MINUTE),
        (EXPIRED - 60, MINUTE),
        (EXPIRED + 60, None),
        (YEAR, None),
    ],
)
def test_a_start_looks_at_what_was_signed(machine: FakeClock, away: int, after: int | None) -> None:
    """Away for maintenance or on a wrong clock: this process has not seen it."""
    steady = SteadyClock(machine, Witness(signed=NOW - away))
    assert stopped(steady) == (after != 0)
    assert seconds_until_trusted(steady, machine, 2 * HOUR) == after


@pytest.mark.parametrize(("ago", "stops"), [(0, False), (HOUR, False), (DAY, True), (-60, True)])
def test_a_start_believes_what_was_confirmed(machine: FakeClock, ago: int, stops: bool) -> None:
    steady = SteadyClock(machine, Witness(signed=NOW + YEAR, confirmed=NOW - ago))
    assert stopped(steady) == stops


def test_a_first_start_has_nothing_to_compare(machine: FakeClock) -> None:
    assert not stopped(SteadyClock(machine, Witness()))


@pytest.mark.invariant("B6")
def test_a_process_of_the_pool_sees_a_jump_that_its_parent_has_not_seen(
    steady: SteadyClock, machine: FakeClock
) -> None:
    following = FollowingClock(machine)
    machine.pass_time(30)
    machine.seconds += 5
    assert not stopped(following)  # nobody has told it yet
    machine.seconds -= 5
    following.trusted = steady.trusted
    machine.pass_time(10)
    assert following.now() == machine.now()
    machine.seconds += 5
    assert stopped(following)
    machine.seconds -= 10
    assert stopped(following)


@pytest.mark.parametrize(("step", "behind"), [(-YEAR, 300), (-HOUR, 300), (DAY, 0), (YEAR, 0)])
def test_what_is_recorded_has_a_time_that_has_come(
    steady: SteadyClock, machine: FakeClock, step: int, behind: int
) -> None:
    """A clock that jumped: as it would have gone on, or no later than it was; and it is never before what was."""
    recording = RecordingClock(steady)
    machine.pass_time(10)
    assert recording.now() == machine.now() and not stopped(steady)
    machine.seconds += step
    machine.pass_time(300)
    assert stopped(steady)
    assert recording.now() == NOW + 310 - behind
    machine.seconds -= step
    for _ in range(MINUTE + 1):
        machine.pass_time(1)
        assert NOW + 10 <= recording.now() <= machine.now()
    assert recording.now() == machine.now() and recording.doubt is None


@pytest.mark.parametrize(
    ("step", "recorded", "found"),
    [
        (-YEAR, None, 0),
        (-YEAR, 2 * HOUR, 2 * HOUR),  # a certificate of two hours after the last signature
        (30 * DAY, None, 300),
        (30 * DAY, 2 * HOUR, 2 * HOUR),
        (HOUR, 2 * HOUR, HOUR + 300),  # not in doubt
    ],
)
def test_what_is_recorded_after_a_start(
    machine: FakeClock, step: int, recorded: int | None, found: int
) -> None:
    """`found` after what was last signed: never before that, nor before what was recorded."""
    machine.seconds += step
    steady = SteadyClock(machine, Witness(signed=NOW, recorded=NOW + recorded if recorded else None))
    machine.pass_time(300)
    assert RecordingClock(steady).now() == NOW + found


def test_what_is_confirmed_holds_for_records_too(machine: FakeClock) -> None:
    steady = SteadyClock(machine, Witness(signed=NOW + YEAR, recorded=NOW + YEAR))
    recording = RecordingClock(steady)
    assert recording.now() == NOW + YEAR
    assert steady.confirm(NOW)
    machine.pass_time(9)
    assert recording.now() == NOW + 9
    machine.seconds -= HOUR
    assert recording.now() == NOW + 9


def test_how_late_a_date_may_be(steady: SteadyClock, machine: FakeClock) -> None:
    """Of another machine: five minutes are its clock's error; in doubt nobody knows whose error it is."""
    recording = RecordingClock(steady)
    assert recording.latest == NOW + 300
    machine.seconds -= DAY
    assert recording.latest == math.inf
    assert recording.monotonic() == machine.monotonic()
