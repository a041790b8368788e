"""The tail of the change log: what was committed is signed at once, revocations first."""

from collections.abc import Iterable
from dataclasses import dataclass

from signer.ledger.ledger import Ledger
from signer.ledger.values import Change, ChangeKind
from signer.ocsp.pages import PageSigner, Tally
from signer.ocsp.schedule import PageRange, ranges_of, split

__all__ = ["Tail", "Work", "plan"]

CHANGES_AT_A_TIME = 10_000
PAGES_AT_A_TIME = 16
SINGLES_IN_A_PAGE = 4  # more changes than this in one page: the page is signed whole


@dataclass(frozen=True, slots=True)
class Work:
    """One step of the tail: single changes of one page in order, or pages that are signed whole."""

    changes: tuple[Change, ...] = ()
    pages: PageRange | None = None


def plan(changes: Iterable[Change], shift: int) -> list[Work]:
    """Order the work of a stretch of the log: pages with revocations first, imports last.

    Changes of one page stay in order. A page that an import of the same stretch touches, or that has many changes, is
    signed whole: the ledger's present state contains them all, so nothing has to wait for the import.
    """
    singles: dict[int, list[Change]] = {}
    imported: set[int] = set()
    for change in changes:
        first, last = change.first_hash32 >> shift, change.last_hash32 >> shift
        if change.serial is None:
            imported.update(range(first, last + 1))
        else:
            singles.setdefault(first, []).append(change)

    def is_urgent(page: int) -> bool:
        return any(change.kind in (ChangeKind.REVOKE, ChangeKind.UPDATE) for change in singles[page])

    ordered = sorted(singles, key=lambda page: not is_urgent(page))
    work = []
    for page in ordered:
        if page in imported or len(singles[page]) > SINGLES_IN_A_PAGE:
            work.append(Work(pages=PageRange(page, page)))
            imported.discard(page)
        else:
            work.append(Work(changes=tuple(singles[page])))
    for run in ranges_of(sorted(imported)):
        work += [Work(pages=chunk) for chunk in split(run, PAGES_AT_A_TIME)]
    return work


class Tail:
    """Follows one issuer's change log. For one thread."""

    def __init__(self, ledger: Ledger, signer: PageSigner) -> None:
        self._ledger = ledger
        self._signer = signer
        self._issuer = signer.issuer

    def step(self) -> Tally:
        """Sign what was committed since the last step. The position moves only past what is in the store."""
        tally = Tally()
        after = self._ledger.tail_position(self._issuer.id)
        changes = self._ledger.changes(self._issuer.id, after, CHANGES_AT_A_TIME)
        for work in plan(changes, 32 - self._issuer.page_bits):
            if work.pages is not None:
                tally.add(self._signer.sign_range(work.pages))
            for change in work.changes:
                tally.add(self._signer.sign_change(change))
        if changes:
            self._ledger.set_tail_position(self._issuer.id, self._done(changes, after, tally))
        return tally

    def _done(self, changes: list[Change], after: int, tally: Tally) -> int:
        """Generation up to which every change is in the store: just before the first one of a faulty page."""
        faulty = {fault.page for fault in tally.faults}
        position = after
        for change in changes:
            pages = range(
                self._signer.page_of(change.first_hash32), self._signer.page_of(change.last_hash32) + 1
            )
            if any(page in faulty for page in pages):
                break
            position = change.generation
        return position
