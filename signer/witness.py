"""Whose times the clock is held against at a start, and the clocks of commands that work once and end."""

from collections.abc import Iterable, Iterator, Sequence

from signer.config import IssuerTable
from signer.errors import ClockStopped
from signer.ledger.ledger import Ledger
from signer.ledger.values import LedgerIssuer
from signer.ocsp.schedule import due_at
from signer.steady import EXPIRED, RecordingClock, SteadyClock, Witness
from store.clock import Clock

__all__ = ["clock_to_record_by", "clock_to_sign_by", "witness"]


def witness(ledger: Ledger, tables: Sequence[IssuerTable]) -> Witness:
    """By the ledger: its checkpoints and CRLs. Not by the store, in which one damaged header could stop everything."""
    cycles = {table.name: table.ocsp.cycle for table in tables}
    known = [issuer for issuer in ledger.issuers() if issuer.name in cycles]
    here = {table.name for table in tables if not table.crl.offline}
    signed = [
        time for issuer in known for time in _signed(ledger, issuer, cycles[issuer.name], issuer.name in here)
    ]
    recorded = [time for issuer in known if (time := ledger.changed_at(issuer.id)) is not None]
    confirmed = ledger.confirmed_clock()
    return Witness(
        max(signed, default=None), confirmed[1] if confirmed else None, max(recorded, default=None)
    )


def _signed(ledger: Ledger, issuer: LedgerIssuer, cycle: int, crls: bool) -> Iterator[int]:
    """`crls`: its CRLs are signed here, and not brought from elsewhere, months old."""
    if crls:
        yield from (crl.this_update for crl in ledger.publications(issuer.id))
    checkpoint = ledger.checkpoint(issuer.id)
    if checkpoint is not None:
        start, page = checkpoint
        yield start + due_at(page - 1, cycle, 1 << issuer.page_bits)


def clock_to_sign_by(ledger: Ledger, tables: Iterable[IssuerTable], clock: Clock) -> SteadyClock:
    """For a command that signs once and ends, by a timetable of its own. Raises ClockStopped."""
    steady = _of_a_command(ledger, list(tables), clock)
    if steady.doubt is not None:  # it does not wait until that is over
        raise ClockStopped(steady.doubt, confirm=True)
    return steady


def clock_to_record_by(ledger: Ledger, tables: Iterable[IssuerTable], clock: Clock) -> RecordingClock:
    """For a command that brings certificates or revocations."""
    return RecordingClock(_of_a_command(ledger, list(tables), clock))


def _of_a_command(ledger: Ledger, tables: list[IssuerTable], clock: Clock) -> SteadyClock:
    """Between two commands passes as much time as what was signed is of use for."""
    away = max([EXPIRED, *(table.crl.validity for table in tables)])
    return SteadyClock(clock, witness(ledger, tables), away=away)
