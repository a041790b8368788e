"""The turns of `ocsp-signer run` on a clock that the test sets."""

import time

from prometheus_client import generate_latest

from signer.admin.metrics import Metrics
from signer.clock_watch import ClockWatch
from signer.lateness import Lateness
from signer.ocsp.batch import Pool
from signer.ocsp.turns import Turns
from signer.reports import Reports
from signer.steady import SteadyClock
from tests.signer.works import Works

__all__ = ["Loop"]


class Loop:
    """Over a context of its own, which goes by `steady`."""

    def __init__(self, works: Works, pool: Pool, steady: SteadyClock) -> None:
        self.context = works.open(steady)
        lateness = Lateness(works.ledger, works.context.settings.root.issuer)
        self.metrics = Metrics(works.ledger, ["demo"], lateness, works.clock)
        self.reports = Reports(self.metrics, lateness)
        watch = ClockWatch(steady, works.ledger, self.reports)
        self.turns = Turns(self.context, pool, ["demo"], self.reports, watch)
        self._steady = steady

    def rest(self, turns: int = 3) -> None:
        """So many turns, and on while something is under way that does not wait for time to pass."""
        deadline = time.monotonic() + 60
        while turns > 0 or (self.turns.busy and self._steady.doubt is None):
            assert time.monotonic() < deadline, "it never rests"
            self.turns.turn()
            turns -= 1
            time.sleep(0.0005)  # the pool is at work

    def exposition(self) -> str:
        return generate_latest(self.metrics.registry).decode()
