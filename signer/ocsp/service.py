"""One issuer's OCSP signing: a single pass, or step by step for ever, over the tail, the schedule and lost pages."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future

from signer.ledger.ledger import Ledger
from signer.ledger.values import LedgerIssuer
from signer.ocsp.batch import CHUNK_PAGES, Pool
from signer.ocsp.pages import PageSigner, Tally
from signer.ocsp.schedule import PageRange, due_position, pages_due, ranges_of, split
from signer.ocsp.tail import Tail
from store.clock import Clock
from store.reader import StoreReader

__all__ = ["IssuerService"]

PAGES_AT_A_TIME = 1_000
RETRY_INTERVAL = 60.0  # seconds before a page that could not be signed is tried again
PENDING_CHUNKS = 4  # handed to the pool at once, so that a revocation's page never waits behind a whole cycle


class IssuerService:
    """Keeps one issuer's pages as the ledger and the schedule want them. For one thread."""

    def __init__(
        self, ledger: Ledger, signer: PageSigner, reader: StoreReader, pool: Pool, clock: Clock, cycle: int
    ) -> None:
        self.issuer: LedgerIssuer = signer.issuer
        self._ledger = ledger
        self._signer = signer
        self._reader = reader
        self._pool = pool
        self._clock = clock
        self._cycle = cycle
        self._tail = Tail(ledger, signer)
        self._pending: dict[Future[Tally], PageRange] = {}
        self._queue: list[PageRange] = []
        self._faulty: set[int] = set()
        self._retry_at = 0.0
        self._goal: int | None = None  # position the checkpoint gets when queue and pending are empty

    def sign_all(self, progress: Callable[[int], None]) -> Tally:
        """Sign every page now. The tail's position and the checkpoint move to the start of this pass."""
        generation, position = self._ledger.generation(self.issuer.id), self._due()
        tally = self._pool.sign(self.issuer.name, [PageRange(0, self._signer.page_count - 1)], progress)
        if not tally.faults:
            self._ledger.set_tail_position(self.issuer.id, generation)
            self._set_position(position)
        return tally

    def sign_due(self, progress: Callable[[int], None]) -> Tally:
        """Sign what changed, what the schedule wants and what the store has lost; then stop."""
        tally = self._tail.step()
        position = self._due()
        pages = {page for run in self._due_pages(position) for page in range(run.first, run.last + 1)}
        pages.update(self.missing_pages())
        tally.add(self._pool.sign(self.issuer.name, ranges_of(sorted(pages)), progress))
        if not tally.faults:
            self._set_position(position)
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
        self._queue = _chunks(ranges_of(missing)) + self._queue
        return len(missing)

    def step(self) -> Tally:
        """The tail at once, then a little of the schedule. Returns what was finished."""
        tally = self._tail.step()
        tally.add(self._collect())
        if not self._queue and not self._pending:
            self._plan()
        while self._queue and len(self._pending) < PENDING_CHUNKS:
            chunk = self._queue.pop(0)
            self._pending[self._pool.submit(self.issuer.name, chunk)] = chunk
        return tally

    def _plan(self) -> None:
        if self._goal is not None:
            self._set_position(self._goal)
            self._goal = None
        position = self._due()
        ranges = self._due_pages(position)
        if ranges:
            self._queue = _chunks(ranges)
            self._goal = position
        if self._faulty and self._clock.monotonic() >= self._retry_at:
            self._queue += _chunks(ranges_of(sorted(self._faulty)))
            self._faulty.clear()
            self._retry_at = self._clock.monotonic() + RETRY_INTERVAL

    def _collect(self) -> Tally:
        tally = Tally()
        for future in [future for future in self._pending if future.done()]:
            chunk = self._pending.pop(future)
            try:
                tally.add(future.result())
            except BaseException:
                self._queue.append(chunk)
                raise
        self._faulty.update(fault.page for fault in tally.faults)
        return tally

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


def _chunks(ranges: list[PageRange]) -> list[PageRange]:
    return [chunk for run in ranges for chunk in split(run, CHUNK_PAGES)]
