"""Pages that could not be signed, and why; they are tried again after a while."""

from collections.abc import Iterable

from signer.ocsp.pages import Fault
from store.clock import Clock

__all__ = ["RETRY_INTERVAL", "Faults"]

RETRY_INTERVAL = 60.0  # seconds before what could not be done is tried again


class Faults:
    """One issuer's. For one thread."""

    def __init__(self, clock: Clock) -> None:
        self.pages: dict[int, str] = {}
        self._clock = clock
        self._retry_at = 0.0

    def note(self, faults: Iterable[Fault], tried: Iterable[int] = ()) -> None:
        """`tried` were signed, apart from `faults`."""
        for page in tried:
            self.pages.pop(page, None)
        found = {fault.page: fault.message for fault in faults}
        if found and not self.pages:
            self._retry_at = self._clock.monotonic() + RETRY_INTERVAL
        self.pages.update(found)

    def to_retry(self) -> Iterable[int]:
        """All of them, once an interval."""
        if not self.pages or self._clock.monotonic() < self._retry_at:
            return ()
        self._retry_at = self._clock.monotonic() + RETRY_INTERVAL
        return self.pages
