"""How late signing is, issuer by issuer: what waits to be signed, what is due, what is about to be overdue."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from signer.config import IssuerTable
from signer.ledger.ledger import Ledger
from signer.ledger.values import LedgerIssuer
from signer.ocsp.ages import Ages
from signer.ocsp.schedule import due_at, due_position
from signer.ocsp.waning import Waning, waning

__all__ = ["Late", "Lateness", "schedule_behind"]

WAITING = 300  # seconds after which a change should long be answered; 900 are the limit
BEHIND = 3600  # seconds that the schedule may be behind, or a quarter of a cycle if that is less


@dataclass(frozen=True, slots=True)
class Late:
    """Of one issuer. Times are in seconds, the others are numbers of responses."""

    waiting: int  # since the oldest change was recorded that is not signed and stored
    behind: int  # since the oldest page fell due that is not signed
    oldest: int | None  # age of the oldest response in the store; None: not read yet
    late: int  # should have been renewed
    stale: int  # past their deadline

    def alarms(self, cycle: int) -> Iterator[str]:
        if self.waiting > WAITING:
            yield f"changes wait to be signed for {self.waiting:,} s, and 900 s are the limit (R-10)"
        if self.behind > min(BEHIND, cycle // 4):
            yield f"pages are signed {self.behind:,} s after they fell due: the signing processes or the store are too slow, or do not work"
        if self.stale:
            yield f"{self.stale:,} responses are past the time of their renewal, the oldest is of {self.oldest:,} s ago (R-16)"
        elif self.late:
            yield f"{self.late:,} responses are not renewed and soon past their deadline, the oldest is of {self.oldest:,} s ago (R-16)"


def schedule_behind(ledger: Ledger, issuer: LedgerIssuer, cycle: int, now: int) -> int:
    """Seconds since the first page fell due that was not signed since; 0 before the first pass, which signs all."""
    checkpoint, pages = ledger.checkpoint(issuer.id), 1 << issuer.page_bits
    if checkpoint is None:
        return 0
    position = checkpoint[0] // cycle * pages + checkpoint[1]
    return now - due_at(position, cycle, pages) if position < due_position(now, cycle, pages) else 0


class Lateness:
    """Asked by /metrics and /healthz on threads of theirs, so that it answers also while signing hangs."""

    def __init__(self, ledger: Ledger, tables: Iterable[IssuerTable]) -> None:
        self._ledger = ledger
        with_ocsp = [table for table in tables if table.ocsp.enabled]
        self._cycles = {table.name: table.ocsp.cycle for table in with_ocsp}
        self._importing = {table.name for table in with_ocsp if table.imports_responses}
        self._ages: dict[str, Ages] = {}

    def watch(self, issuer: str, ages: Ages) -> None:
        """Take an issuer's ages from here, from now on."""
        self._ages[issuer] = ages

    def all(self, now: int) -> Iterator[tuple[str, Late]]:
        """Of every issuer that has responses. Raises LedgerError."""
        for issuer in self._ledger.issuers():
            if issuer.name in self._cycles:
                yield issuer.name, self._of(issuer, now)

    def alarms(self, now: int) -> Iterator[tuple[str, str]]:
        """Issuer and words. Raises LedgerError."""
        for name, late in self.all(now):
            for words in late.alarms(self._cycles[name]):
                yield name, words
        for name, imported in self.imported(now):
            for words in imported.alarms():
                yield name, words

    def imported(self, now: int) -> Iterator[tuple[str, Waning]]:
        """Of every issuer whose responses are signed elsewhere. Raises LedgerError."""
        for issuer in self._ledger.issuers():
            if issuer.name in self._importing:
                yield issuer.name, waning(self._ledger, issuer.id, now)

    def _of(self, issuer: LedgerIssuer, now: int) -> Late:
        since, ages = self._ledger.waiting_since(issuer.id), self._ages.get(issuer.name)
        return Late(
            waiting=max(0, now - since) if since is not None else 0,
            behind=schedule_behind(self._ledger, issuer, self._cycles[issuer.name], now),
            oldest=ages.oldest(now) if ages else None,
            late=ages.late(now) if ages else 0,
            stale=ages.stale(now) if ages else 0,
        )
