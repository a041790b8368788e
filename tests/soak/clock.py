"""A clock that leaps: time passes as it does, and every few seconds half an hour more has passed.

Between two leaps everything that is bounded by seconds works as ever. A multiple of the time would not do: a responder
holds heartbeats of one second against the wall clock.
"""

import threading
import time
from typing import Any

__all__ = ["LEAP", "LeapingClock"]

EVERY = 10.0  # seconds
LEAP = 1800  # seconds of the simulation


class LeapingClock:
    """The same for every process that has its arguments.

    `origin` is a time of the machine's monotonic clock, at which it reads `start`, seconds since 1970. For a responder
    the monotonic clock does not leap: it measures waiting, which is real. For a signer both do, as they have to agree.
    """

    def __init__(self, start: int, origin: float, *, both: bool) -> None:
        self._start, self._origin, self._both = start, origin, both
        self._read = threading.local()

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (self._start, self._origin, self._both)

    def now(self) -> int:
        return int(self.wall())

    def wall(self) -> float:
        moment = self._read.moment = time.monotonic()
        return self._start + moment - self._origin + self._leaps(moment)

    def monotonic(self) -> float:
        """Of the moment for which `wall` was read just before: no leap comes between the two."""
        moment = time.monotonic()
        if not self._both:
            return moment
        read: float = self._read.__dict__.pop("moment", 0.0)
        if moment - read < EVERY / 20:
            moment = read
        return moment + self._leaps(moment)

    def _leaps(self, moment: float) -> int:
        return LEAP * int((moment - self._origin) // EVERY)


def _made(start: int, origin: float, both: bool) -> LeapingClock:
    return LeapingClock(start, origin, both=both)
