"""The tail of the change log: what was committed is signed at once, revocations first."""

from collections.abc import Iterable
from dataclasses import dataclass

from signer.ledger.ledger import Ledger
from signer.ledger.values import Change
from signer.ocsp.pages import Pages, Tally, is_urgent
from signer.ocsp.schedule import PageRange, ranges_of

__all__ = ["SAVE_EVERY", "Tail", "Work", "plan"]

CHANGES_AT_A_TIME = 10_000
SINGLES_IN_A_PAGE = 4  # more changes than this in one page: the page is signed whole
PAGES_IN_A_STEP = 8  # more such pages than this are left to the pool, which has all processors for them
SAVE_EVERY = 32  # steps and chunks, while there are open pages: about a second


@dataclass(frozen=True, slots=True)
class Work:
    """One step of the tail: single changes of one page in order, or pages that are signed whole."""

    changes: tuple[Change, ...] = ()
    pages: PageRange | None = None
    later: bool = False  # pages that an import touched: there may be very many


def plan(changes: Iterable[Change], shift: int) -> list[Work]:
    """Order the work of a stretch of the log: pages with revocations first, imports last.

    Changes of one page stay in order. A page that an import or a mass revocation of the same stretch touches, or that
    has many changes, is signed whole: the ledger's present state contains them all, so nothing has to wait for the import.
    """
    singles: dict[int, list[Change]] = {}
    imported: set[int] = set()
    revoked: set[int] = set()
    for change in changes:
        first, last = change.first_hash32 >> shift, change.last_hash32 >> shift
        if change.serial is None:
            (revoked if is_urgent(change) else imported).update(range(first, last + 1))
        else:
            singles.setdefault(first, []).append(change)

    urgent = [page for page in singles if page not in revoked and any(map(is_urgent, singles[page]))]
    others = [page for page in singles if page not in revoked.union(urgent)]
    work = [_of_page(page, singles[page], imported) for page in urgent]
    work += [Work(pages=PageRange(page, page)) for page in sorted(revoked)]
    work += [_of_page(page, singles[page], imported) for page in others]
    left = imported - revoked - singles.keys()
    return work + [Work(pages=run, later=True) for run in ranges_of(sorted(left))]


def _of_page(page: int, changes: list[Change], imported: set[int]) -> Work:
    if page in imported or len(changes) > SINGLES_IN_A_PAGE:
        return Work(pages=PageRange(page, page))
    return Work(changes=tuple(changes))


@dataclass(slots=True)
class _Span:
    """Generations of the first and the last change of a page that is not in the store."""

    first: int
    last: int


class Tail:
    """Follows one issuer's change log. For one thread.

    A page is open while a change of it that was read is not in the store: it could not be signed, or it is left to
    the pool. The position in the ledger stays before the first change of an open page, so that a restart reads it again.
    """

    def __init__(self, ledger: Ledger, signer: Pages) -> None:
        self._ledger = ledger
        self._signer = signer
        self._issuer = signer.issuer
        self._shift = 32 - signer.issuer.page_bits
        self._open: dict[int, _Span] = {}  # in the order of their first changes
        self._wanted: set[int] = set()
        self._urgent: set[int] = set()
        self._saved = self._read = ledger.tail_position(self._issuer.id)
        self._passed_over = SAVE_EVERY  # times that the position was not written

    @property
    def read(self) -> int:
        """Generation up to which changes have been looked at."""
        return self._read

    @property
    def open_pages(self) -> list[int]:
        """Sorted; they have to be signed whole."""
        return sorted(self._open)

    def reopen(self, pages: Iterable[int]) -> None:
        """The store lacks changes of these pages that were read: no later one may pass for all that came before it."""
        for page in pages:
            self._open.setdefault(page, _Span(self._read + 1, self._read))

    def take_wanted(self) -> list[int]:
        """Open pages that nobody was told of yet, sorted."""
        wanted = sorted(self._wanted)
        self._wanted.clear()
        return wanted

    def take_urgent(self) -> list[int]:
        """The same of pages with many changes, revocations among them as often as not."""
        urgent = sorted(self._urgent)
        self._urgent.clear()
        return urgent

    def step(self) -> Tally:
        """Sign what was committed since the last step; faults leave their pages open."""
        tally = Tally()
        changes = self._ledger.changes(self._issuer.id, self._read, CHANGES_AT_A_TIME)
        if not changes:
            return tally
        left = self._sign(changes, tally)  # if it raises, the next step reads the same again
        self._leave_open(changes, left)
        self._read = changes[-1].generation
        self._save()
        return tally

    def settle(self, pages: Iterable[int], read: int) -> None:
        """Close pages that were signed whole when changes up to `read` had been looked at.

        One that got a later change meanwhile is wanted again.
        """
        for page in pages:
            span = self._open.get(page)
            if span is None:
                continue
            if span.last <= read:
                del self._open[page]
            else:
                self._wanted.add(page)
        self._save()

    def _sign(self, changes: list[Change], tally: Tally) -> set[int]:
        """Pages that are left open."""
        left: set[int] = set()
        signed_whole = 0
        for work in plan(changes, self._shift):
            if work.pages is None:
                left |= self._sign_singly(work.changes, tally)
                continue
            pages = range(work.pages.first, work.pages.last + 1)
            if work.later:
                left.update(pages)
                self._wanted.update(pages)
            elif signed_whole == PAGES_IN_A_STEP:
                left.update(pages)
                self._urgent.update(pages)
            else:
                signed_whole += 1
                left |= self._sign_whole(pages.start, changes, tally)
        return left

    def _sign_whole(self, page: int, changes: list[Change], tally: Tally) -> set[int]:
        done = self._signer.sign_range(PageRange(page, page))
        tally.add(done)
        if not done.faults:
            self._open.pop(page, None)
            return set()
        for change in changes:
            if change.serial is not None and is_urgent(change) and self._page(change) == page:
                tally.add(self._signer.sign_change(change, in_order=False))
        return {page}

    def _sign_singly(self, changes: tuple[Change, ...], tally: Tally) -> set[int]:
        """Changes of one page, in order. What follows on one that failed waits with it, unless it is urgent."""
        page = self._page(changes[0])
        failed = page in self._open
        for change in changes:
            if not failed:
                done = self._signer.sign_change(change)
                tally.add(done)
                failed = bool(done.faults)
            elif is_urgent(change):
                tally.add(self._signer.sign_change(change, in_order=False))
        return {page} if failed else set()

    def _page(self, change: Change) -> int:
        return self._signer.page_of(change.first_hash32)

    def _leave_open(self, changes: list[Change], left: set[int]) -> None:
        if not left:
            return
        for change in changes:
            for page in range(self._page(change), self._signer.page_of(change.last_hash32) + 1):
                if page in left:
                    self._open.setdefault(
                        page, _Span(change.generation, change.generation)
                    ).last = change.generation

    def _save(self) -> None:
        """Not every time while pages are open: a write waits its turn behind an import's, and revocations behind it."""
        oldest = next(iter(self._open.values()), None)
        position = oldest.first - 1 if oldest else self._read
        self._passed_over = self._passed_over + 1 if oldest else SAVE_EVERY
        if position != self._saved and self._passed_over >= SAVE_EVERY:
            self._ledger.set_tail_position(self._issuer.id, position)
            self._saved = position
            self._passed_over = 0
