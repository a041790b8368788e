"""A signer that hangs between reading the ledger and writing to the store, and writes when it goes on (A1)."""

from collections.abc import Iterable

from _fastpath.page import PageHeader
from signer.ocsp.pages import PageSigner
from signer.ocsp.schedule import PageRange
from store.errors import OcspeedError
from store.reader import StoreReader
from store.writer import PagePut, PageWriter, PutResult, PutStatus, RecordPut
from tests.signer.works import OffsetClock, Works

__all__ = ["LateSigner"]


class _Held(PageWriter):
    """Keeps what it is to write."""

    def __init__(self) -> None:
        self.pages: list[PagePut] = []

    def put_pages(self, pages: Iterable[PagePut]) -> list[PutResult]:
        new = list(pages)
        self.pages += new
        return [
            PutResult(PutStatus.WRITTEN, PageHeader(page.as_of, page.this_update, len(page.records), 0))
            for page in new
        ]

    def put_records(self, records: Iterable[RecordPut]) -> list[PutResult]:
        raise AssertionError("it signs whole pages")


class LateSigner:
    """A process with a connection of its own to the primary that it began with."""

    def __init__(self, works: Works, offset: int) -> None:
        """It reads and signs now. `offset`: seconds that its clock is ahead. Raises OcspeedError where it cannot."""
        self._context = works.open(OffsetClock(works.clock, offset))
        held = _Held()
        try:
            self._writer = self._context.writer
            reader = StoreReader(self._context.client, self._context.endpoint.url)
            self._context.require_primary(reader.replication_id())
            context = self._context
            pages = PageSigner(
                context.ledger,
                context.ledger_issuer("demo"),
                context.response_signer("demo"),
                reader,
                held,
                context.clock,
            )
            pages.sign_range(PageRange(0, pages.page_count - 1))
        except OcspeedError:
            self.end()
            raise
        self._pages = held.pages

    def go_on(self) -> int:
        """Write what was held; how many pages the store took."""
        try:
            results = self._writer.put_pages(self._pages)
        except OcspeedError:
            return 0  # its primary is gone, or is none any more
        finally:
            self.end()
        return sum(result.status is PutStatus.WRITTEN for result in results)

    def end(self) -> None:
        self._context.close()
