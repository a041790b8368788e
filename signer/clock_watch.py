"""What `run` does about its clock: whom it believes at the start, whom it tells, and when somebody confirms the time."""

from collections.abc import Iterable, Iterator

from signer.config import IssuerTable
from signer.ledger.ledger import Ledger
from signer.ledger.values import LedgerIssuer
from signer.ocsp.schedule import due_at
from signer.reports import Reports
from signer.steady import SteadyClock, Witness

__all__ = ["ClockWatch", "witness"]

LOOK = 1.0  # seconds between looks for a confirmation, while the clock is in doubt


def witness(ledger: Ledger, tables: Iterable[IssuerTable]) -> Witness:
    """By the ledger: its checkpoints and CRLs. Not by the store, in which one damaged header could stop everything."""
    cycles = {table.name: table.ocsp.cycle for table in tables}
    known = [issuer for issuer in ledger.issuers() if issuer.name in cycles]
    signed = [time for issuer in known for time in _signed(ledger, issuer, cycles[issuer.name])]
    confirmed = ledger.confirmed_clock()
    return Witness(max(signed, default=None), confirmed[1] if confirmed else None)


def _signed(ledger: Ledger, issuer: LedgerIssuer, cycle: int) -> Iterator[int]:
    yield from (crl.this_update for crl in ledger.publications(issuer.id))
    checkpoint = ledger.checkpoint(issuer.id)
    if checkpoint is not None:
        start, page = checkpoint
        yield start + due_at(page - 1, cycle, 1 << issuer.page_bits)


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
