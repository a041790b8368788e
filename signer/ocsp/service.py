"""One issuer's OCSP signing: a single pass, or step by step for ever, over the tail, the schedule and lost pages."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from signer.context import Context
from signer.ledger.ledger import Ledger
from signer.ledger.values import LedgerIssuer
from signer.ocsp.ages import Ages
from signer.ocsp.batch import Pool, Terms
from signer.ocsp.faults import RETRY_INTERVAL, Faults
from signer.ocsp.pages import Pages, Tally
from signer.ocsp.queue import Rank
from signer.ocsp.reconcile import Reconciliation
from signer.ocsp.schedule import PageRange, ranges_of
from signer.ocsp.share import PoolShare
from signer.ocsp.tail import Tail
from signer.ocsp.timetable import Timetable
from store.clock import Clock
from store.errors import StoreError
from store.reader import StoreReader
from store.schema import IssuerRecord

__all__ = ["IssuerService", "open_service"]

PAGES_AT_A_TIME = 1_000
PATROL_PAGES = 256  # looked at in one patrol, or more where there are so many ...
PATROL_SECONDS = 300  # ... that going round would take longer than this


class IssuerService:
    """Keeps one issuer's pages as the ledger and the schedule want them. For one thread."""

    def __init__(
        self,
        ledger: Ledger,
        signer: Pages,
        reader: StoreReader,
        announced: IssuerRecord,
        reconciliation: Reconciliation,
        pool: Pool,
        terms: Terms,
        clock: Clock,
        cycle: int,
        ages: Ages,
    ) -> None:
        self.issuer: LedgerIssuer = signer.issuer
        self.ages = ages
        self._ledger = ledger
        self._signer = signer
        self._reader = reader
        self._announced = announced
        self._reconciliation = reconciliation
        self._head_at = 0.0  # when the head is tried for again
        self._patrolled = 0  # page at which the next patrol begins
        self._pool = pool
        self._terms = terms
        self._clock = clock
        self._tail = Tail(ledger, signer)
        self._share = PoolShare(pool, terms)
        self._timetable = Timetable(ledger, signer.issuer.id, signer.page_count, cycle, clock)
        self._faults = Faults(clock)

    def sign_all(self, progress: Callable[[int], None]) -> Tally:
        """Sign every page now. The tail's position and the checkpoint move to the start of this pass."""
        generation, position = self._ledger.generation(self.issuer.id), self._timetable.due
        tally = self._sign([PageRange(0, self._signer.page_count - 1)], progress)
        if not tally.faults:
            self._ledger.set_tail_position(self.issuer.id, generation)
            self._timetable.reach(position)
        self._reconcile(generation, tally)
        return tally

    def sign_due(self, progress: Callable[[int], None]) -> Tally:
        """Sign what changed, what the schedule wants and what the store has lost; then stop."""
        lacking = self._reconciliation.begin(self._tail.read)
        self._tail.reopen(lacking)
        tally = self._follow_tail()
        tally.faults.clear()  # their pages are open, and tried once more
        position, read = self._timetable.due, self._tail.read
        pages = self._timetable.pages_until(position)
        pages.update(self.missing_pages(), self._tail.open_pages)
        tally.add(self._sign(ranges_of(sorted(pages)), progress, keeps=not lacking))
        self._tail.settle(pages - {fault.page for fault in tally.faults}, read)
        if not tally.faults:
            self._timetable.reach(position)
        if self._reconciliation.waits:
            self._reconciliation.finish()
        return tally

    def _reconcile(self, read: int, tally: Tally) -> None:
        """At the end of a pass: what the primary lacks of the changes up to `read`, then the head, unless it is there."""
        lacking = set(self._reconciliation.begin(read)) - {fault.page for fault in tally.faults}
        if self._reconciliation.waits:
            tally.add(self._sign(ranges_of(sorted(lacking)), lambda pages: None))
            self._reconciliation.finish()

    def _sign(
        self, ranges: Iterable[PageRange], progress: Callable[[int], None], *, keeps: bool = True
    ) -> Tally:
        return self._pool.sign(replace(self._terms, keeps=keeps), ranges, progress)

    def _follow_tail(self) -> Tally:
        """Steps until nothing new was committed."""
        tally, read = Tally(), -1
        while read != self._tail.read:
            read = self._tail.read
            tally.add(self._tail.step())
        return tally

    @property
    def page_count(self) -> int:
        return self._signer.page_count

    @property
    def busy(self) -> bool:
        """Whether `step` has something under way."""
        return self._share.busy or self._timetable.busy or self._reconciliation.waits

    @property
    def waiting(self) -> int:
        """Pages that are to be signed and that the pool has no place for yet."""
        return self._share.waiting

    @property
    def faulty(self) -> dict[int, str]:
        """Pages that could not be signed, and why. They are tried again every minute."""
        return self._faults.pages

    @property
    def primary(self) -> bytes:
        """Replication id of the one that it was opened with."""
        return self._terms.primary

    @property
    def read(self) -> int:
        """Generation up to which changes were looked at."""
        return self._tail.read

    def hold(self) -> bool:
        """Have `step` give the pool nothing more; True once the pool has nothing of it.

        From then on pages are written by `step` alone, and only those that a change of one serial is in.
        """
        return self._share.hold()

    def release(self) -> None:
        """Go on as before `hold`."""
        self._share.release()

    def missing_pages(self) -> Iterator[int]:
        """Pages that are not whole in the store: lost, damaged, or never written."""
        name, epoch = self.issuer.name, self.issuer.page_epoch
        for first in range(0, self._signer.page_count, PAGES_AT_A_TIME):
            pages = range(first, min(first + PAGES_AT_A_TIME, self._signer.page_count))
            yield from self._reader.incomplete_pages(name, epoch, pages)

    def enqueue_missing(self) -> int:
        """Put what the store lacks into the queue of `step`, which then writes the head; how many pages it is."""
        missing = self._reconciliation.begin(self._tail.read)
        self._tail.reopen(missing)
        self._share.put(missing, Rank.LOST)
        return len(missing)

    def patrol(self) -> None:
        """Look for what the store has lost, a stretch of pages at a time; to be called about once a second.

        Raises StoreError when the issuer's record is gone or another one, or the primary is: then everything is to be
        looked at.
        """
        found = self._reader.issuer(self.issuer.name)
        if found is None or replace(found, head=None) != self._announced:
            raise StoreError(
                f"issuer {self.issuer.name}: the store lost its record, or has another one",
                remedy="none needed: it is written again, and so is every page that is missing",
            )
        self._reconciliation.check(found.head)
        count = min(max(PATROL_PAGES, self._signer.page_count // PATROL_SECONDS), self._signer.page_count)
        pages = [(self._patrolled + offset) % self._signer.page_count for offset in range(count)]
        self._patrolled = (pages[-1] + 1) % self._signer.page_count
        lost = self._reader.incomplete_pages(self.issuer.name, self.issuer.page_epoch, pages)
        self._share.put_others(lost, Rank.LOST)
        self._share.put_others(self.ages.look(self._clock.now()), Rank.DUE)

    def step(self) -> Tally:
        """The tail at once, then a little of the rest. Returns what was finished."""
        tally = self._tail.step()
        self._faults.note(tally.faults)
        tally.add(self._collect())
        self._share.put(self._tail.take_urgent(), Rank.REVOKED)
        self._share.put(self._tail.take_wanted(), Rank.NEW)
        self._timetable.step(self._share)
        self._share.put(self._faults.to_retry(), Rank.DUE)
        self._share.give(self._tail.read)
        self._renew_head()
        return tally

    def _collect(self) -> Tally:
        tally = Tally()
        for done in self._share.finished():
            self._faults.note(done.tally.faults, done.pages)
            self._tail.settle(done.pages - self._faults.pages.keys(), done.read)
            tally.add(done.tally)
        return tally

    def _renew_head(self) -> None:
        """When all that the primary lacked is signed. What cannot be is tried again later, and so is the head."""
        if not self._reconciliation.waits or self._clock.monotonic() < self._head_at:
            return
        awaited = self._reconciliation.awaited(self._tail.read, self._tail.open_pages)
        if awaited is not None and not self._share.has_any(awaited) and not self._reconciliation.finish():
            self._head_at = self._clock.monotonic() + RETRY_INTERVAL


def open_service(context: Context, name: str, pool: Pool) -> IssuerService:
    """Everything that keeps one issuer's responses fresh; the store is told of the issuer first."""
    signer = context.pages(name)
    announced = context.announce(name)
    reader = StoreReader(context.client, context.endpoint.url)
    terms = Terms(name, signer.slot, signer.issuer.layout, reader.replication_id())
    cycle = context.settings.issuer(name).ocsp.cycle
    ages = context.ages(name)
    reconciliation = Reconciliation(context.ledger, signer, reader, context.writer)
    return IssuerService(
        context.ledger, signer, reader, announced, reconciliation, pool, terms, context.clock, cycle, ages
    )
