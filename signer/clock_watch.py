"""What `run` does about its clock: whom it tells, and when somebody confirms the time."""

from signer.ledger.ledger import Ledger
from signer.reports import Reports
from signer.steady import SteadyClock

__all__ = ["ClockWatch"]

LOOK = 1.0  # seconds between looks for a confirmation, while the clock is in doubt


class ClockWatch:
    """For one thread."""

    def __init__(self, clock: SteadyClock, ledger: Ledger, reports: Reports) -> None:
        self._clock = clock
        self._ledger = ledger
        self._reports = reports
        self._looked = 0.0
        self._known = ledger.confirmed_clock()

    def trusted(self) -> bool:
        """Whether anything may be signed now. Tells of every change of that."""
        doubt = self._clock.doubt
        if doubt is not None and self._confirmed():
            doubt = None
        self._reports.clock(doubt)
        return doubt is None

    def _confirmed(self) -> bool:
        now = self._clock.monotonic()
        if now - self._looked < LOOK:
            return False
        self._looked = now
        found = self._ledger.confirmed_clock()
        if found is None or found == self._known:
            return False
        self._known = found
        return self._clock.confirm(found[1])
