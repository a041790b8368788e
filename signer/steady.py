"""The clock that signing goes by: it stands still, with an error, from a jump until time can be trusted again (B6).

Wall time is held against the monotonic clock, which nobody sets, and at the start against the newest time that was
signed. A clock that went back is right again once it has passed that time. One that went ahead may be so because the
machine slept; more than an hour of it somebody has to confirm, for what is signed in the future cannot be taken back.
"""

import math
from dataclasses import dataclass
from threading import Lock

from signer.errors import ClockStopped
from store.clock import Clock, SystemClock

__all__ = ["EXPIRED", "FollowingClock", "RecordingClock", "SteadyClock", "Witness"]

TOLERANCE = 2.0  # seconds between the clocks that pass for reading them one after the other
DRIFT = 0.05  # seconds a second: 3 s a minute is the most that a wall clock is slewed ...
SLEWED = 60.0  # ... and this since the last look, however long ago that was
SETTLED = 60.0  # seconds for which the clocks have to agree again
BEHIND = 5  # seconds that the wall clock may be behind what was signed, as another signer's may
SLEPT = 3600  # seconds by which a jump ahead is taken for a machine that slept
AWAY = 86_400  # seconds without a signature that a start finds nothing in ...
EXPIRED = (
    4 * 86_400
)  # ... and after which nothing that was signed is of use: only people know what time it is
SKEW = 300  # seconds that the clock of another machine may be ahead of one that is right


@dataclass(frozen=True, slots=True)
class Witness:
    """What a start knows of the time, in seconds since 1970: the newest at which something was signed, that somebody
    confirmed, and at which something was recorded.
    """

    signed: int | None = None
    confirmed: int | None = None
    recorded: int | None = None


class SteadyClock:
    """A clock whose `now` and `wall` raise ClockStopped while the machine's wall clock is in doubt. For several threads.

    Every reading is a check, so that nothing is signed between a jump and the next look for one.
    """

    def __init__(
        self, clock: Clock | None = None, witness: Witness | None = None, *, away: int = AWAY
    ) -> None:
        """`away`: seconds without a signature that are nothing unusual for a start."""
        self.machine = clock or SystemClock()
        self._lock = Lock()
        wall, moment = self.machine.wall(), self.machine.monotonic()
        self._offset = wall - moment  # as it is, or as it was at the last look
        self._looked = self._since = moment  # `_since`: the last jump
        self._trusted = self._offset  # as it was when time was trusted
        self._newest = wall
        self._limit = SLEPT
        self._recorded = 0.0  # no earlier than this was the last start
        self._doubt: str | None = None
        if witness is not None:
            self._begin(witness, wall, moment, away)

    def _begin(self, witness: Witness, wall: float, moment: float, away: int) -> None:
        if witness.confirmed is not None and 0 <= wall - witness.confirmed < AWAY:
            return
        if witness.signed is not None and not -BEHIND <= wall - witness.signed < away:
            self._recorded = witness.recorded or 0
            self._newest = witness.signed
            self._trusted = witness.signed - moment
            self._limit = EXPIRED
            self._doubt = f"it is {_span(wall - witness.signed)} what was last signed"

    def now(self) -> int:
        return int(self.wall())

    def wall(self) -> float:
        with self._lock:
            wall = self._look()
            if self._doubt is not None:
                raise ClockStopped(self._doubt, confirm=self._for_people(wall))
            self._newest = max(self._newest, wall)
            return wall

    def monotonic(self) -> float:
        return self.machine.monotonic()

    @property
    def trusted(self) -> float:
        """Seconds from the monotonic to the wall clock. Raises ClockStopped."""
        self.wall()
        return self._offset

    @property
    def doubt(self) -> str | None:
        """Why nothing is signed; None if all is well."""
        with self._lock:
            self._look()
            return self._doubt

    @property
    def reached(self) -> float:
        """The wall clock; while it is in doubt, a time that has come for certain, and not before anything was recorded.

        Of two times one is right, so the earlier one has come: what the wall clock says, and what it would say had it
        gone on as long as it was trusted. Nothing is signed before the last moment of that, which has come in any case.
        """
        with self._lock:
            wall = self._look()
            if self._doubt is None:
                self._newest = max(self._newest, wall)
                return wall
            gone_on = self.machine.monotonic() + self._trusted
            return max(self._newest, self._recorded, min(wall, gone_on))

    def confirm(self, at: int) -> bool:
        """Somebody said that the wall clock was right when it read `at`; whether that is so again or still."""
        with self._lock:
            wall = self._look()
            if not 0 <= wall - at < AWAY:
                return False
            self._newest, self._recorded = wall, 0.0
            self._trust()
            return True

    def _look(self) -> float:
        wall, moment = self.machine.wall(), self.machine.monotonic()
        offset, elapsed = wall - moment, moment - self._looked
        self._looked = moment
        step, slewed = offset - self._offset, min(DRIFT * elapsed, SLEWED)
        if abs(step) > TOLERANCE + slewed:
            self._offset, self._since = offset, moment
            self._doubt = f"it jumped, to {_span(offset - self._trusted)} the monotonic clock"
        else:
            self._offset += max(-slewed, min(step, slewed))
            if self._doubt is None:
                self._trusted = self._offset
            elif moment - self._since >= SETTLED and self._agrees(wall):
                self._trust()
        return wall

    def _agrees(self, wall: float) -> bool:
        return wall >= self._newest - BEHIND and not self._for_people(wall)

    def _for_people(self, wall: float) -> bool:
        return wall - self.machine.monotonic() - self._trusted > self._limit

    def _trust(self) -> None:
        self._trusted, self._limit, self._doubt = self._offset, SLEPT, None


class RecordingClock:
    """The clock of what is recorded: it never stops, and is never ahead of a clock that is right. For several threads."""

    def __init__(self, steady: SteadyClock) -> None:
        self._steady = steady

    def now(self) -> int:
        return int(self.wall())

    def wall(self) -> float:
        return self._steady.reached

    def monotonic(self) -> float:
        return self._steady.monotonic()

    @property
    def latest(self) -> float:
        """The latest time that is a clock's error, not a caller's: nobody's revocation is refused for a clock."""
        return self.wall() + SKEW if self._steady.doubt is None else math.inf

    @property
    def doubt(self) -> str | None:
        """Why it may be behind; None if it is not."""
        return self._steady.doubt


class FollowingClock:
    """The clock of a process of the pool. Its machine's clocks must be to each other as the signer's were."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self.trusted: float | None = None  # what SteadyClock said when the work at hand was given out

    def now(self) -> int:
        return int(self.wall())

    def wall(self) -> float:
        wall = self._clock.wall()
        if self.trusted is not None:
            step = wall - self._clock.monotonic() - self.trusted
            if abs(step) > 2 * TOLERANCE:  # what was trusted may be off by one itself
                raise ClockStopped(f"it jumped, to {_span(step)} the monotonic clock", confirm=False)
        return wall

    def monotonic(self) -> float:
        return self._clock.monotonic()


def _span(seconds: float) -> str:
    return f"{abs(seconds):,.0f} s {'ahead of' if seconds > 0 else 'behind'}"
