"""One issuer's OCSP signing: a single pass, or step by step for ever, over the tail, the schedule and lost pages."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future

from signer.context import Context
from signer.errors import WorkersLost
from signer.ledger.ledger import Ledger
from signer.ledger.values import LedgerIssuer
from signer.ocsp.batch import CHUNK_PAGES, Pool
from signer.ocsp.pages import PageSigner, Tally
from signer.ocsp.schedule import PageRange, due_position, pages_due, ranges_of, split
from signer.ocsp.tail import Tail
from store.clock import Clock
from store.errors import StoreError
from store.reader import StoreReader
from store.schema import IssuerRecord

__all__ = ["IssuerService", "open_service"]

PAGES_AT_A_TIME = 1_000
RETRY_INTERVAL = 60.0  # seconds before a page that could not be signed is tried again
PATROL_PAGES = 256  # looked at in one patrol, or more where there are so many ...
PATROL_SECONDS = 300  # ... that going round would take longer than this
PENDING_CHUNKS = 4  # handed to the pool at once, so that a revocation's page never waits behind a whole cycle


class IssuerService:
    """Keeps one issuer's pages as the ledger and the schedule want them. For one thread."""

    def __init__(
        self,
        ledger: Ledger,
        signer: PageSigner,
        reader: StoreReader,
        announced: IssuerRecord,
        pool: Pool,
        clock: Clock,
        cycle: int,
    ) -> None:
        self.issuer: LedgerIssuer = signer.issuer
        self._ledger = ledger
        self._signer = signer
        self._reader = reader
        self._announced = announced
        self._patrolled = 0  # page at which the next patrol begins
        self._pool = pool
        self._clock = clock
        self._cycle = cycle
        self._tail = Tail(ledger, signer)
        # What is with the pool, and how far the tail had been read when it went there.
        self._pending: dict[Future[Tally], tuple[PageRange, int]] = {}
        self._queue: list[PageRange] = []
        self._queued: set[int] = set()
        self._faulty: set[int] = set()
        self._retry_at = 0.0
        self._goal: int | None = None  # position the checkpoint gets when queue and pending are empty

    def sign_all(self, progress: Callable[[int], None]) -> Tally:
        """Sign every page now. The tail's position and the checkpoint move to the start of this pass."""
        generation, position = self._ledger.generation(self.issuer.id), self._due()
        tally = self._pool.sign(
            self.issuer.name, self._signer.slot, [PageRange(0, self._signer.page_count - 1)], progress
        )
        if not tally.faults:
            self._ledger.set_tail_position(self.issuer.id, generation)
            self._set_position(position)
        return tally

    def sign_due(self, progress: Callable[[int], None]) -> Tally:
        """Sign what changed, what the schedule wants and what the store has lost; then stop."""
        tally = self._follow_tail()
        tally.faults.clear()  # their pages are open, and tried once more
        position, read = self._due(), self._tail.read
        pages = _pages(self._due_pages(position))
        pages.update(self.missing_pages(), self._tail.open_pages)
        tally.add(self._pool.sign(self.issuer.name, self._signer.slot, ranges_of(sorted(pages)), progress))
        self._tail.settle(pages - {fault.page for fault in tally.faults}, read)
        if not tally.faults:
            self._set_position(position)
        return tally

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
        return bool(self._queue or self._pending or self._goal is not None)

    def missing_pages(self) -> Iterator[int]:
        """Pages that are not whole in the store: lost, damaged, or never written."""
        name, epoch = self.issuer.name, self.issuer.page_epoch
        for first in range(0, self._signer.page_count, PAGES_AT_A_TIME):
            pages = range(first, min(first + PAGES_AT_A_TIME, self._signer.page_count))
            yield from self._reader.incomplete_pages(name, epoch, pages)

    def enqueue_missing(self) -> int:
        """Put lost pages into the queue of `step`; how many there were."""
        missing = list(self.missing_pages())
        self._enqueue(missing)
        return len(missing)

    def patrol(self) -> None:
        """Look for what the store has lost, a stretch of pages at a time; to be called about once a second.

        Raises StoreError when the issuer's record is gone or another one: then everything is to be looked at.
        """
        if self._reader.issuer(self.issuer.name) != self._announced:
            raise StoreError(
                f"issuer {self.issuer.name}: the store lost its record, or has another one",
                remedy="none needed: it is written again, and so is every page that is missing",
            )
        count = min(max(PATROL_PAGES, self._signer.page_count // PATROL_SECONDS), self._signer.page_count)
        pages = [(self._patrolled + offset) % self._signer.page_count for offset in range(count)]
        self._patrolled = (pages[-1] + 1) % self._signer.page_count
        under_way = _pages(chunk for chunk, _ in self._pending.values())
        lost = self._reader.incomplete_pages(self.issuer.name, self.issuer.page_epoch, pages)
        self._enqueue(set(lost) - under_way)

    def step(self) -> Tally:
        """The tail at once, then a little of the schedule. Returns what was finished."""
        tally = self._tail.step()
        self._note_faults(tally)
        tally.add(self._collect())
        self._enqueue(self._tail.take_wanted())
        self._plan()
        while self._queue and len(self._pending) < PENDING_CHUNKS:
            chunk = self._queue[0]
            self._pending[self._pool.submit(self.issuer.name, self._signer.slot, chunk)] = (
                chunk,
                self._tail.read,
            )
            del self._queue[0]  # not before the pool has it
            self._queued.difference_update(_pages([chunk]))
        return tally

    def _plan(self) -> None:
        """One stretch of the schedule at a time; its end is recorded when nothing is left to do."""
        if self._goal is not None and not self._queue and not self._pending:
            self._set_position(self._goal)
            self._goal = None
        if self._goal is None:
            position = self._due()
            ranges = self._due_pages(position)
            self._enqueue(_pages(ranges))
            self._goal = position if ranges else None
        if self._faulty and self._clock.monotonic() >= self._retry_at:
            self._enqueue(self._faulty)
            self._faulty.clear()

    def _enqueue(self, pages: Iterable[int]) -> None:
        """A page is in the queue once, however many reasons there are: a first start has three for all of them."""
        new = sorted(set(pages) - self._queued)
        self._queued.update(new)
        self._queue += [chunk for run in ranges_of(new) for chunk in split(run, CHUNK_PAGES)]

    def _collect(self) -> Tally:
        tally = Tally()
        for future in [future for future in self._pending if future.done()]:
            chunk, read = self._pending.pop(future)
            try:
                done = future.result()
            except BrokenExecutor:
                self._enqueue(_pages([chunk]))
                raise WorkersLost from None
            except BaseException:
                self._enqueue(_pages([chunk]))
                raise
            self._note_faults(done)
            faulty = {fault.page for fault in done.faults}
            self._tail.settle(_pages([chunk]) - faulty, read)
            tally.add(done)
        return tally

    def _note_faults(self, tally: Tally) -> None:
        if tally.faults and not self._faulty:
            self._retry_at = self._clock.monotonic() + RETRY_INTERVAL
        self._faulty.update(fault.page for fault in tally.faults)

    def _due(self) -> int:
        return due_position(self._clock.now(), self._cycle, self._signer.page_count)

    def _due_pages(self, position: int) -> list[PageRange]:
        checkpoint = self._ledger.checkpoint(self.issuer.id)
        pages = self._signer.page_count
        done = checkpoint[0] // self._cycle * pages + checkpoint[1] if checkpoint else 0
        return pages_due(done, position, pages)

    def _set_position(self, position: int) -> None:
        """As the start of a cycle and the next page in it: it stays true when the number of pages changes."""
        cycles, page = divmod(position, self._signer.page_count)
        self._ledger.set_checkpoint(self.issuer.id, cycles * self._cycle, page)


def _pages(ranges: Iterable[PageRange]) -> set[int]:
    return {page for run in ranges for page in range(run.first, run.last + 1)}


def open_service(context: Context, name: str, pool: Pool) -> IssuerService:
    """Everything that keeps one issuer's responses fresh; the store is told of the issuer first."""
    signer = context.page_signer(name)
    announced = context.announce(name)
    reader = StoreReader(context.client, context.endpoint.url)
    cycle = context.settings.issuer(name).ocsp.cycle
    return IssuerService(context.ledger, signer, reader, announced, pool, context.clock, cycle)
