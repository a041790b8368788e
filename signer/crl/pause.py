"""How long what failed is left alone: longer after each failure in a row, up to a bound."""

__all__ = ["Pause"]


class Pause:
    """Capped exponential back-off. Moments are of the monotonic clock, in seconds."""

    def __init__(self, first: float, last: float) -> None:
        """`first` after one failure; twice as long after each further one, up to `last`."""
        self._first, self._last = first, last
        self._failures = 0
        self._until = 0.0

    def over(self, now: float) -> bool:
        return now >= self._until

    def failed(self, now: float) -> float:
        """The seconds to wait."""
        seconds = min(self._first * 2.0 ** min(self._failures, 10), self._last)
        self._failures += 1
        self._until = now + seconds
        return seconds

    def worked(self) -> None:
        self._failures, self._until = 0, 0.0
