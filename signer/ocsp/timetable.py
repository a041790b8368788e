"""One issuer's schedule under way: stretch after stretch of it goes to the pool, and what is signed is a checkpoint."""

from collections import deque

from signer.ledger.ledger import Ledger
from signer.ocsp.queue import Rank
from signer.ocsp.schedule import PageRange, due_position, pages_due, pages_of
from signer.ocsp.share import PoolShare
from store.clock import Clock

__all__ = ["Timetable"]

STRETCH = 1024  # pages of the schedule between two checkpoints


class Timetable:
    """For one thread. Positions are those of `signer.ocsp.schedule`."""

    def __init__(self, ledger: Ledger, issuer_id: int, pages: int, cycle: int, clock: Clock) -> None:
        """`cycle` in seconds."""
        self._ledger = ledger
        self._issuer_id = issuer_id
        self._pages = pages
        self._cycle = cycle
        self._clock = clock
        # With the position that each one reaches.
        self._stretches: deque[tuple[int, list[PageRange]]] = deque()

    @property
    def busy(self) -> bool:
        """Whether a stretch is under way."""
        return bool(self._stretches)

    @property
    def due(self) -> int:
        """The position that signing should have come to."""
        return due_position(self._clock.now(), self._cycle, self._pages)

    def pages_until(self, position: int) -> set[int]:
        """That are due there and were not signed on schedule."""
        return pages_of(pages_due(self._reached(), position, self._pages))

    def reach(self, position: int) -> None:
        """As the start of a cycle and the next page in it: it stays true when the number of pages changes."""
        cycles, page = divmod(position, self._pages)
        self._ledger.set_checkpoint(self._issuer_id, cycles * self._cycle, page)

    def step(self, share: PoolShare) -> None:
        """Note what is signed, and keep `share` supplied with what is due."""
        while self._stretches and not share.has_any(self._stretches[0][1]):
            self.reach(self._stretches.popleft()[0])
        while share.waiting < STRETCH and self._begin_stretch(share):
            """Once more, until there is enough to do or nothing is due."""

    def _begin_stretch(self, share: PoolShare) -> bool:
        """Whether anything is due."""
        due = self.due
        begin = self._stretches[-1][0] if self._stretches else self._reached()
        if begin > due + 1:  # somebody confirmed a clock that is behind
            self.reach(due)
        begin = max(begin, due - self._pages)  # each page once, however late
        end = min(due, begin + STRETCH)
        ranges = pages_due(begin, end, self._pages)
        if not ranges:
            return False
        share.put(pages_of(ranges), Rank.DUE)
        self._stretches.append((end, ranges))
        return True

    def _reached(self) -> int:
        checkpoint = self._ledger.checkpoint(self._issuer_id)
        return checkpoint[0] // self._cycle * self._pages + checkpoint[1] if checkpoint else 0
