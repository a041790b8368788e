"""When a page is due: scheduled work is flat over the cycle, so nothing bunches up and nothing needs a calendar.

Pages are numbered on through all cycles since 1970: position = cycle number * pages + page. Page `p` is due at
`cycle start + p / pages * cycle`, so the position that is due grows evenly with time. Everything here is arithmetic
on positions; the ledger keeps the position up to which pages were signed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

__all__ = ["PageRange", "due_at", "due_position", "pages_due", "pages_of", "ranges_of", "split"]


@dataclass(frozen=True, slots=True)
class PageRange:
    """Pages `first` to `last`, both included."""

    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first + 1


def due_position(now: int, cycle: int, pages: int) -> int:
    """Positions below this one are due at `now` (seconds, as is `cycle`)."""
    return now * pages // cycle + 1


def due_at(position: int, cycle: int, pages: int) -> int:
    """The first second at which `position` is due."""
    return -(-position * cycle // pages)


def pages_due(done: int, due: int, pages: int) -> list[PageRange]:
    """Pages of the positions from `done` up to, not including, `due`; each page once, however late the signer is."""
    if due <= done:
        return []
    if due - done >= pages:
        return [PageRange(0, pages - 1)]
    first, last = done % pages, (due - 1) % pages
    if first <= last:
        return [PageRange(first, last)]
    return [PageRange(first, pages - 1), PageRange(0, last)]


def pages_of(ranges: Iterable[PageRange]) -> set[int]:
    """All pages of some ranges."""
    return set(chain.from_iterable(range(run.first, run.last + 1) for run in ranges))


def ranges_of(pages: list[int]) -> list[PageRange]:
    """Runs of consecutive numbers in a sorted list of distinct pages."""
    ranges: list[PageRange] = []
    for page in pages:
        if ranges and ranges[-1].last == page - 1:
            ranges[-1] = PageRange(ranges[-1].first, page)
        else:
            ranges.append(PageRange(page, page))
    return ranges


def split(whole: PageRange, size: int) -> list[PageRange]:
    """Chunks of at most `size` pages, in order."""
    return [
        PageRange(first, min(first + size - 1, whole.last))
        for first in range(whole.first, whole.last + 1, size)
    ]
