"""The one place where time is read; everything else takes a `Clock` or a number of seconds."""

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Wall time for what is signed and served, monotonic time for how long things take."""

    def now(self) -> int:
        """Whole seconds since 1970, UTC."""

    def wall(self) -> float:
        """The same with its fraction, as the machine gives it."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""


class SystemClock:
    """The machine's clocks."""

    wall = staticmethod(time.time)  # as they are: they are read for every request
    monotonic = staticmethod(time.monotonic)

    def now(self) -> int:
        return int(self.wall())
