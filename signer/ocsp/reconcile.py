"""After every change of the store's primary: what it lacks is found and signed, then the head says so (A2).

A promoted replica lacks what had not reached it, a restored dump what came after it, an empty server everything. Which
of it a page has, its header says: the generation up to which every change of the page is in it. So nothing has to be
remembered of what was replicated, and bytes that a network swallowed in the middle are found too.
"""

from collections.abc import Iterable, Sequence

import structlog

from signer.ledger.ledger import Ledger
from signer.ledger.values import Change, ChangeKind
from signer.ocsp.pages import Pages
from signer.ocsp.schedule import PageRange, ranges_of
from store.errors import StoreError
from store.reader import StoreReader
from store.schema import Head
from store.writer import PageWriter

__all__ = ["Reconciliation"]

log = structlog.get_logger()

PAGES_AT_A_TIME = 1_000


class Reconciliation:
    """One issuer's, with the primary that it began with. For one thread. Every method may raise StoreError."""

    def __init__(self, ledger: Ledger, signer: Pages, reader: StoreReader, writer: PageWriter) -> None:
        self._ledger = ledger
        self._signer = signer
        self._issuer = signer.issuer
        self._reader = reader
        self._writer = writer
        self._head: Head | None = None  # the one that holds, or is to be written
        self._waits = False
        self._stale: dict[int, int] = {}  # pages, and the generation that they must have
        self._awaited: list[PageRange] = []
        self._joined = False

    @property
    def waits(self) -> bool:
        """Whether the head is still to be written."""
        return self._waits

    def begin(self, read: int) -> list[int]:
        """Pages that must be signed whole, sorted: those lost, and those that lack a change up to generation `read`."""
        found = self._reader.issuer(self._issuer.name)
        replication_id = self._reader.replication_id()
        generation = self._ledger.generation(self._issuer.id)
        self._waits = found is None or found.head is None or found.head.replication_id != replication_id
        self._head = Head(generation, replication_id)
        generations = self._generations(range(self._signer.page_count))
        lost = [page for page, as_of in enumerate(generations) if as_of is None]
        self._stale = self._lacking(generations, read) if self._waits else {}
        wanted = sorted({*lost, *self._stale})
        self._awaited, self._joined = ranges_of(wanted)[::-1], False  # the last ones are signed last
        return wanted

    def awaited(self, read: int, open_pages: Iterable[int]) -> list[PageRange] | None:
        """What has to be signed before the head is written; None while the tail has yet to come to where it began.

        `open_pages` are those that the tail left to others on its way.
        """
        assert self._head is not None
        if read < self._head.generation and self._ledger.changes(self._issuer.id, read, 1):
            return None
        if not self._joined:
            self._awaited += ranges_of(sorted(open_pages))
            self._joined = True
        return self._awaited

    def finish(self) -> bool:
        """Write the head if the primary has everything: it is looked at again, for a worker may have written elsewhere.

        A page that cannot be signed whole holds up no other: its revocations are written one by one.
        """
        assert self._head is not None
        stale = sorted(self._stale)
        for page, as_of in zip(stale, self._generations(stale), strict=True):
            if as_of is None or as_of >= self._stale[page] or self._revoke_singly(page):
                del self._stale[page]
        if self._stale:
            log.error("store not reconciled", issuer=self._issuer.name, pages=sorted(self._stale)[:10])
            return False
        self._writer.write_head(self._issuer.name, self._head)
        self._waits = False
        log.info("store reconciled", issuer=self._issuer.name, primary=self._head.replication_id.decode())
        return True

    def check(self, head: Head | None) -> None:
        """Raises StoreError when the primary is another one than began, or the store lost its head."""
        assert self._head is not None
        present = self._reader.replication_id()
        named = present if self._waits else head and head.replication_id
        if not present == named == self._head.replication_id:
            raise StoreError(
                f"issuer {self._issuer.name}: the store has another primary, or was emptied or restored",
                remedy="none needed: what it lacks is written again, and responders wait for it",
            )

    def _generations(self, pages: Sequence[int]) -> list[int | None]:
        """As the headers of whole pages say; None for the others."""
        name, epoch = self._issuer.name, self._issuer.page_epoch
        found: list[int | None] = []
        for first in range(0, len(pages), PAGES_AT_A_TIME):
            found += self._reader.generations(name, epoch, pages[first : first + PAGES_AT_A_TIME])
        return found

    def _lacking(self, generations: Sequence[int | None], read: int) -> dict[int, int]:
        oldest = min((as_of for as_of in generations if as_of is not None), default=read)
        stale: dict[int, int] = {}
        for first, last, newest in self._ledger.newest_changes(self._issuer, oldest, read):
            for page in range(first, last + 1):
                as_of = generations[page]
                if as_of is not None and as_of < newest:
                    stale[page] = max(newest, stale.get(page, 0))
        return stale

    def _revoke_singly(self, page: int) -> bool:
        """Whether every revoked certificate of the page is revoked in the store now."""
        first, last = self._signer.hashes_of(page)
        rows = self._ledger.snapshot(self._issuer.id, first, last).rows
        changes = (
            Change(self._stale[page], ChangeKind.REVOKE, row.hash32, row.hash32, row.serial)
            for row in rows
            if row.revoked
        )
        return not any(self._signer.sign_change(change, in_order=False).faults for change in changes)
