"""Pages of an issuer whose responses are signed elsewhere: as the ledger has them, octet for octet, never signed again."""

from _fastpath.imported import encode_imported_record
from signer.ledger.ledger import Ledger
from signer.ledger.values import AnsweredCertificate, Change, LedgerIssuer
from signer.ocsp.pages import Pages, Tally
from signer.ocsp.schedule import PageRange
from store.clock import Clock
from store.model import Issuer
from store.writer import PagePut, PageWriter

__all__ = ["ImportedPages", "imported_record"]

NO_SLOT = 0  # such records name no template


def imported_record(issuer: Issuer, found: AnsweredCertificate) -> bytes | None:
    """The record of a certificate; None if nothing may be served of it."""
    served = found.served
    if not served:
        return None
    return encode_imported_record(
        issuer.id,
        found.row.serial,
        max(one.this_update for one in served),
        found.row.revoked,
        {one.hash_algorithm: one.body for one in served},
    )


class ImportedPages(Pages):
    """Writes pages of one issuer. Its `tally` counts pages, and no responses: none is signed."""

    def __init__(
        self, source: Issuer, ledger: Ledger, issuer: LedgerIssuer, writer: PageWriter, clock: Clock
    ) -> None:
        super().__init__(ledger, issuer, writer, clock)
        self._source = source

    @property
    def slot(self) -> int:
        return NO_SLOT

    def sign_change(self, change: Change, *, in_order: bool = True) -> Tally:
        """By its whole page, which then has every earlier change."""
        page = self.page_of(change.first_hash32)
        return self.sign_range(PageRange(page, page))

    def _attempt(self, pages: PageRange, not_before: dict[int, int], tally: Tally, keeps: bool) -> list[int]:
        """Nothing is made here, so `keeps` says nothing."""
        moved = []
        for page in range(pages.first, pages.last + 1):
            put = self._put_of(page, max(self._clock.now(), not_before.get(page, 0)))
            result = self._writer.put_pages([put])[0]
            if self._settle(page, put, result, not_before, tally):
                moved.append(page)
        return moved

    def _put_of(self, page: int, now: int) -> PagePut:
        """Certificates leave after notAfter; revoked ones are named as removals (R-28)."""
        generation, found = self._ledger.answered(self.issuer.id, *self.hashes_of(page))
        records = {
            one.row.serial: record
            for one in found
            if one.row.not_after >= now and (record := imported_record(self._source, one)) is not None
        }
        gone = [one.row.serial for one in found if one.row.revoked and one.row.not_after < now]
        return PagePut(self._key(page), generation, now, records, gone)
