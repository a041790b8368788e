"""One issuer's OCSP signing: a single pass, or step by step for ever, over the tail, the schedule and lost pages."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future
from dataclasses import replace
from itertools import chain

from signer.context import Context
from signer.errors import WorkersLost
from signer.ledger.ledger import Ledger
from signer.ledger.values import LedgerIssuer
from signer.ocsp.ages import Ages
from signer.ocsp.batch import CHUNK_PAGES, Pool
from signer.ocsp.pages import PageSigner, Tally
from signer.ocsp.queue import Chunk, PageQueue, Rank
from signer.ocsp.reconcile import Reconciliation
from signer.ocsp.schedule import PageRange, due_position, pages_due, ranges_of
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
STRETCH = 1024  # pages of the schedule between two checkpoints


class IssuerService:
    """Keeps one issuer's pages as the ledger and the schedule want them. For one thread."""

    def __init__(
        self,
        ledger: Ledger,
        signer: PageSigner,
        reader: StoreReader,
        announced: IssuerRecord,
        reconciliation: Reconciliation,
        pool: Pool,
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
        self._clock = clock
        self._cycle = cycle
        self._tail = Tail(ledger, signer)
        # What is with the pool, and how far the tail had been read when it went there.
        self._pending: dict[Future[Tally], tuple[Chunk, int]] = {}
        self._queue = PageQueue(signer.page_count, CHUNK_PAGES)
        self._faulty: dict[int, str] = {}
        self._retry_at = 0.0
        # Stretches of the schedule under way, with the checkpoint that each one becomes.
        self._stretches: deque[tuple[int, list[PageRange]]] = deque()
        self._held = False  # whether the pool gets nothing

    def sign_all(self, progress: Callable[[int], None]) -> Tally:
        """Sign every page now. The tail's position and the checkpoint move to the start of this pass."""
        generation, position = self._ledger.generation(self.issuer.id), self._due()
        tally = self._sign([PageRange(0, self._signer.page_count - 1)], progress)
        if not tally.faults:
            self._ledger.set_tail_position(self.issuer.id, generation)
            self._set_position(position)
        self._reconcile(generation, tally)
        return tally

    def sign_due(self, progress: Callable[[int], None]) -> Tally:
        """Sign what changed, what the schedule wants and what the store has lost; then stop."""
        tally = self._follow_tail()
        tally.faults.clear()  # their pages are open, and tried once more
        position, read = self._due(), self._tail.read
        pages = _pages(pages_due(self._position(), position, self._signer.page_count))
        pages.update(self.missing_pages(), self._tail.open_pages)
        tally.add(self._sign(ranges_of(sorted(pages)), progress))
        self._tail.settle(pages - {fault.page for fault in tally.faults}, read)
        if not tally.faults:
            self._set_position(position)
        self._reconcile(read, tally)
        return tally

    def _reconcile(self, read: int, tally: Tally) -> None:
        """At the end of a pass: what the primary lacks of the changes up to `read`, then the head, unless it is there."""
        lacking = set(self._reconciliation.begin(read)) - {fault.page for fault in tally.faults}
        if self._reconciliation.waits:
            tally.add(self._sign(ranges_of(sorted(lacking)), lambda pages: None))
            self._reconciliation.finish()

    def _sign(self, ranges: Iterable[PageRange], progress: Callable[[int], None]) -> Tally:
        return self._pool.sign(self.issuer.name, self._signer.slot, self.issuer.layout, ranges, progress)

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
        return bool(self._queue or self._pending or self._stretches or self._reconciliation.waits)

    @property
    def faulty(self) -> dict[int, str]:
        """Pages that could not be signed, and why. They are tried again every minute."""
        return self._faulty

    @property
    def read(self) -> int:
        """Generation up to which changes were looked at."""
        return self._tail.read

    def hold(self) -> bool:
        """Have `step` give the pool nothing more; True once the pool has nothing of it.

        From then on pages are written by `step` alone, and only those that a change of one serial is in.
        """
        self._held = True
        return not self._pending

    def release(self) -> None:
        """Go on as before `hold`."""
        self._held = False

    @property
    def _places(self) -> int:
        """Chunks that may be with the pool at once."""
        return 0 if self._held else self._pool.places

    def missing_pages(self) -> Iterator[int]:
        """Pages that are not whole in the store: lost, damaged, or never written."""
        name, epoch = self.issuer.name, self.issuer.page_epoch
        for first in range(0, self._signer.page_count, PAGES_AT_A_TIME):
            pages = range(first, min(first + PAGES_AT_A_TIME, self._signer.page_count))
            yield from self._reader.incomplete_pages(name, epoch, pages)

    def enqueue_missing(self) -> int:
        """Put what the store lacks into the queue of `step`, which then writes the head; how many pages it is."""
        missing = self._reconciliation.begin(self._tail.read)
        self._queue.put(missing, Rank.LOST)
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
        self._queue.put(set(lost) - self._under_way(), Rank.LOST)
        self._queue.put(set(self.ages.look(self._clock.now())) - self._under_way(), Rank.DUE)

    def step(self) -> Tally:
        """The tail at once, then a little of the rest. Returns what was finished."""
        tally = self._tail.step()
        self._note_faults(tally)
        tally.add(self._collect())
        self._queue.put(self._tail.take_urgent(), Rank.REVOKED)
        self._queue.put(self._tail.take_wanted(), Rank.NEW)
        self._plan()
        while len(self._pending) < self._places and (chunk := self._queue.first()) is not None:
            future = self._pool.submit(self.issuer.name, self._signer.slot, self.issuer.layout, chunk.pages)
            self._pending[future] = (chunk, self._tail.read)
            self._queue.remove(chunk)  # not before the pool has it
        self._renew_head()
        return tally

    def _renew_head(self) -> None:
        """When all that the primary lacked is signed. What cannot be is tried again later, and so is the head."""
        if not self._reconciliation.waits or self._clock.monotonic() < self._head_at:
            return
        awaited = self._reconciliation.awaited(self._tail.read, self._tail.open_pages)
        if awaited is not None and not self._is_under_way(awaited) and not self._reconciliation.finish():
            self._head_at = self._clock.monotonic() + RETRY_INTERVAL

    def _plan(self) -> None:
        """Stretch after stretch of the schedule, as long as the queue is short; each ends with a checkpoint."""
        while self._stretches and not self._is_under_way(self._stretches[0][1]):
            self._set_position(self._stretches.popleft()[0])
        while len(self._queue) < STRETCH and self._plan_stretch():
            """Once more, until there is enough to do or nothing is due."""
        if self._faulty and self._clock.monotonic() >= self._retry_at:
            self._retry_at = self._clock.monotonic() + RETRY_INTERVAL
            self._queue.put(self._faulty, Rank.DUE)

    def _plan_stretch(self) -> bool:
        """Whether anything is due."""
        pages, due = self._signer.page_count, self._due()
        begin = self._stretches[-1][0] if self._stretches else self._position()
        if begin > due + 1:  # somebody confirmed a clock that is behind
            self._set_position(due)
        begin = max(begin, due - pages)  # each page once, however late
        end = min(due, begin + STRETCH)
        ranges = pages_due(begin, end, pages)
        if not ranges:
            return False
        self._queue.put(_pages(ranges), Rank.DUE)
        self._stretches.append((end, ranges))
        return True

    def _is_under_way(self, ranges: list[PageRange]) -> bool:
        if any(map(self._queue.has_any, ranges)):
            return True
        return any(
            chunk.pages.first <= run.last and run.first <= chunk.pages.last
            for chunk, _ in self._pending.values()
            for run in ranges
        )

    def _under_way(self) -> set[int]:
        return _pages(chunk.pages for chunk, _ in self._pending.values())

    def _collect(self) -> Tally:
        tally = Tally()
        for future in [future for future in self._pending if future.done()]:
            chunk, read = self._pending.pop(future)
            pages = _pages([chunk.pages])
            try:
                done = future.result()
            except BrokenExecutor:
                self._queue.put(pages, chunk.rank)
                raise WorkersLost from None
            except BaseException:
                self._queue.put(pages, chunk.rank)
                raise
            self._note_faults(done, pages)
            self._tail.settle(pages - self._faulty.keys(), read)
            tally.add(done)
        return tally

    def _note_faults(self, tally: Tally, tried: Iterable[int] = ()) -> None:
        for page in tried:
            self._faulty.pop(page, None)
        if tally.faults and not self._faulty:
            self._retry_at = self._clock.monotonic() + RETRY_INTERVAL
        self._faulty.update((fault.page, fault.message) for fault in tally.faults)

    def _due(self) -> int:
        return due_position(self._clock.now(), self._cycle, self._signer.page_count)

    def _position(self) -> int:
        """Up to which pages were signed on schedule."""
        checkpoint = self._ledger.checkpoint(self.issuer.id)
        return checkpoint[0] // self._cycle * self._signer.page_count + checkpoint[1] if checkpoint else 0

    def _set_position(self, position: int) -> None:
        """As the start of a cycle and the next page in it: it stays true when the number of pages changes."""
        cycles, page = divmod(position, self._signer.page_count)
        self._ledger.set_checkpoint(self.issuer.id, cycles * self._cycle, page)


def _pages(ranges: Iterable[PageRange]) -> set[int]:
    return set(chain.from_iterable(range(run.first, run.last + 1) for run in ranges))


def open_service(context: Context, name: str, pool: Pool) -> IssuerService:
    """Everything that keeps one issuer's responses fresh; the store is told of the issuer first."""
    signer = context.page_signer(name)
    announced = context.announce(name)
    reader = StoreReader(context.client, context.endpoint.url)
    cycle = context.settings.issuer(name).ocsp.cycle
    ages = context.ages(name)
    reconciliation = Reconciliation(context.ledger, signer, reader, context.writer)
    return IssuerService(
        context.ledger, signer, reader, announced, reconciliation, pool, context.clock, cycle, ages
    )
