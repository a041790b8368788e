"""One issuer's share of the pool's work: pages that wait for a place, and those that are signed there right now."""

from collections.abc import Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass, replace

from signer.errors import WorkersLost
from signer.ocsp.batch import CHUNK_PAGES, Pool, Terms
from signer.ocsp.pages import Tally
from signer.ocsp.queue import Chunk, PageQueue, Rank
from signer.ocsp.schedule import PageRange, pages_of

__all__ = ["Finished", "PoolShare"]


@dataclass(frozen=True, slots=True)
class Finished:
    """What came back from the pool, whether it could be signed or not."""

    pages: set[int]
    read: int  # generation up to which changes had been looked at when it went there
    tally: Tally


class PoolShare:
    """For one thread."""

    def __init__(self, pool: Pool, terms: Terms) -> None:
        self._pool = pool
        self._terms = terms
        self._queue = PageQueue(1 << terms.layout.page_bits, CHUNK_PAGES)
        self._pending: dict[Future[Tally], tuple[Chunk, int]] = {}
        self._held = False  # whether the pool gets nothing

    @property
    def busy(self) -> bool:
        return bool(self._queue or self._pending)

    @property
    def waiting(self) -> int:
        """Pages."""
        return len(self._queue)

    def put(self, pages: Iterable[int], rank: Rank) -> None:
        """Have them signed, also those that are being signed right now."""
        self._queue.put(pages, rank)

    def put_others(self, pages: Iterable[int], rank: Rank) -> None:
        """The same without those that are being signed right now."""
        self._queue.put(set(pages) - pages_of(chunk.pages for chunk, _ in self._pending.values()), rank)

    def has_any(self, ranges: list[PageRange]) -> bool:
        """Whether any of these pages waits or is being signed."""
        if any(map(self._queue.has_any, ranges)):
            return True
        return any(
            chunk.pages.first <= run.last and run.first <= chunk.pages.last
            for chunk, _ in self._pending.values()
            for run in ranges
        )

    def hold(self) -> bool:
        """Give the pool nothing more; True once it has nothing."""
        self._held = True
        return not self._pending

    def release(self) -> None:
        """Go on as before `hold`."""
        self._held = False

    def give(self, read: int) -> None:
        """Fill the places in the pool, the most pressing pages first. Raises WorkersLost, ClockStopped."""
        places = 0 if self._held else self._pool.places
        while len(self._pending) < places and (chunk := self._queue.first()) is not None:
            terms = replace(self._terms, keeps=chunk.rank is not Rank.LOST)
            future = self._pool.submit(terms, chunk.pages)
            self._pending[future] = (chunk, read)
            self._queue.remove(chunk)  # not before the pool has it

    def finished(self) -> Iterator[Finished]:
        """What the pool has done since. Raises WorkersLost, and what stopped a process: its pages wait again."""
        for future in [future for future in self._pending if future.done()]:
            chunk, read = self._pending.pop(future)
            pages = pages_of([chunk.pages])
            try:
                tally = future.result()
            except BaseException as error:
                self._queue.put(pages, chunk.rank)
                if isinstance(error, BrokenExecutor):
                    raise WorkersLost from None
                raise
            yield Finished(pages, read, tally)
