"""The one place where time is read; everything else takes a `Clock` or a number of seconds."""

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Wall time for what is signed and served, monotonic time for how long things take."""

    def now(self) -> int:
        """Whole seconds since 1970, UTC."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""


class SystemClock:
    """The machine's clocks."""

    monotonic = staticmethod(time.monotonic)  # as it is: it is read for every request

    def now(self) -> int:
        return int(time.time())
