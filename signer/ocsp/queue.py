"""Pages that wait for the pool: each once, the most pressing first, in one octet of memory a page however many there are."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from signer.ocsp.schedule import PageRange

__all__ = ["Chunk", "PageQueue", "Rank"]


class Rank(IntEnum):
    """Why a page waits; a higher one goes first."""

    DUE = 1  # by the schedule or its age, or it failed before
    NEW = 2  # it has certificates that nobody can be answered yet
    LOST = 3  # nobody is answered at all
    REVOKED = 4


@dataclass(frozen=True, slots=True)
class Chunk:
    """Pages for one process at one time, and the rank they had."""

    pages: PageRange
    rank: Rank


class PageQueue:
    """For one thread."""

    def __init__(self, pages: int, chunk: int) -> None:
        """`chunk` is how many pages go at once at most."""
        self._ranks = bytearray(pages)
        self._chunk = chunk
        self._count = 0
        self._from = dict.fromkeys(Rank, 0)  # where the search goes on, so that no page waits for ever

    def __len__(self) -> int:
        return self._count

    def put(self, pages: Iterable[int], rank: Rank) -> None:
        """Whoever waits already keeps a higher rank."""
        ranks = self._ranks
        for page in pages:
            before = ranks[page]
            if before < rank:
                self._count += not before
                ranks[page] = rank

    def first(self) -> Chunk | None:
        """What goes next; it stays until `remove`."""
        for rank in sorted(Rank, reverse=True):
            page = self._ranks.find(rank, self._from[rank])
            if page < 0:
                page = self._ranks.find(rank)
            if page >= 0:
                return Chunk(PageRange(page, self._end(page)), rank)
        return None

    def remove(self, chunk: Chunk) -> None:
        first, end = chunk.pages.first, chunk.pages.last + 1
        self._count -= len(chunk.pages) - self._ranks.count(0, first, end)
        self._ranks[first:end] = bytes(end - first)
        self._from[chunk.rank] = end

    def has_any(self, pages: PageRange) -> bool:
        return self._ranks.count(0, pages.first, pages.last + 1) < len(pages)

    def _end(self, first: int) -> int:
        """Last page of the run that begins here: neighbours go along, whatever their rank."""
        gap = self._ranks.find(0, first, first + self._chunk)
        return (gap if gap >= 0 else min(first + self._chunk, len(self._ranks))) - 1
