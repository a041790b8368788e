"""Pages from the ledger to the store: read at one generation, sign every row, put each page whole, settle refusals."""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from operator import itemgetter

from _fastpath.page import PageHeader
from _fastpath.signing import UnsignedRecords
from signer.ledger.ledger import Ledger
from signer.ledger.values import (
    CertificateRow,
    CertificateValues,
    Change,
    ChangeKind,
    LedgerIssuer,
    Snapshot,
)
from signer.ocsp.last import last_responses
from signer.ocsp.responses import ResponseSigner
from signer.ocsp.schedule import PageRange, ranges_of
from store.clock import Clock
from store.reader import StoreReader
from store.schema import page_key
from store.writer import PagePut, PageWriter, PutResult, PutStatus, RecordPut

__all__ = ["Fault", "PageSigner", "Pages", "Tally", "is_urgent"]

MOVED = "the store is ahead of the ledger; unless an older ledger was put back, it is tried again"
ATTEMPTS = 4  # how often a page that moved on underneath is read again
TOLERATED_AHEAD = 5  # seconds another signer's clock may be ahead of ours (architecture: signing)
LONGEST = 255  # seconds from thisUpdate to producedAt that a record has a place for
FARTHEST_AHEAD = 86_400  # seconds up to which a revocation follows it: no clock is that wrong, the header is

_hash32 = itemgetter(0)


@dataclass(frozen=True, slots=True)
class Fault:
    """A page that was not brought up to date, and why. The others were."""

    page: int
    message: str


@dataclass(slots=True)
class Tally:
    """What a piece of signing came to."""

    pages: int = 0  # written
    current: int = 0  # found at least as new in the store
    responses: int = 0  # signed for them
    faults: list[Fault] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # that each chunk took

    def add(self, other: "Tally") -> None:
        self.pages += other.pages
        self.current += other.current
        self.responses += other.responses
        self.faults += other.faults
        self.seconds += other.seconds


@dataclass(frozen=True, slots=True)
class _Draft:
    """A page before its new records are signed."""

    page: int
    this_update: int
    unsigned: UnsignedRecords
    kept: dict[bytes, bytes]  # records by serial that stay as they are stored
    removed: list[bytes]


def is_urgent(change: Change) -> bool:
    """Whether clients must learn of it at once, whatever else is wrong."""
    return change.kind in (ChangeKind.REVOKE, ChangeKind.UPDATE)


class Pages(ABC):
    """The pages of one issuer, written whole as the ledger has them, wherever their records come from. For one thread."""

    def __init__(self, ledger: Ledger, issuer: LedgerIssuer, writer: PageWriter, clock: Clock) -> None:
        self.issuer = issuer
        self._ledger = ledger
        self._writer = writer
        self._clock = clock
        self._shift = 32 - issuer.page_bits

    @property
    @abstractmethod
    def slot(self) -> int:
        """Of the template that records name: it says whose certificate they are signed under."""

    @property
    def page_count(self) -> int:
        return 1 << self.issuer.page_bits

    def page_of(self, hash32: int) -> int:
        return hash32 >> self._shift

    def hashes_of(self, page: int) -> tuple[int, int]:
        """First and last hash32 of a page's certificates."""
        return page << self._shift, ((page + 1) << self._shift) - 1

    def sign_range(self, pages: PageRange, *, keeps: bool = True) -> Tally:
        """Bring pages to the ledger's present state. Faults are of single pages; errors stop the issuer.

        `keeps`: last responses stay as they are stored. Of a store that was put back they may be older than what clients
        have seen (R-20).
        """
        tally = Tally()
        not_before: dict[int, int] = {}
        pending = [pages]
        for _ in range(ATTEMPTS):
            moved = [page for run in pending for page in self._attempt(run, not_before, tally, keeps)]
            if not moved:
                return tally
            pending = ranges_of(sorted(moved))
        tally.faults += [Fault(page, MOVED) for page in moved]
        return tally

    @abstractmethod
    def sign_change(self, change: Change, *, in_order: bool = True) -> Tally:
        """Bring the certificate of a change of one serial up to date, in the page it is in.

        `in_order` says that the page has every earlier change.
        """

    @abstractmethod
    def _attempt(self, pages: PageRange, not_before: dict[int, int], tally: Tally, keeps: bool) -> list[int]:
        """Make records and put them once; returns the pages that have to be read again."""

    def _settle(
        self, page: int, put: PagePut, result: PutResult, not_before: dict[int, int], tally: Tally
    ) -> bool:
        """Count what a put came to; True if the page has to be read and signed again."""
        if result.status is PutStatus.WRITTEN:
            tally.pages += 1
            return False
        if result.status is PutStatus.REVOKED_FELL or result.header is None:
            tally.faults.append(
                Fault(page, "the store knows of more revocations than the ledger: was it restored?")
            )
            return False
        return self._settle_stale(page, put, result.header, not_before, tally)

    def _settle_stale(
        self, page: int, put: PagePut, header: PageHeader, not_before: dict[int, int], tally: Tally
    ) -> bool:
        if self._is_beyond_ledger(header):
            tally.faults.append(self._beyond_ledger(page, header))
            return False
        if header.as_of >= put.as_of and header.this_update >= put.this_update:
            tally.current += 1
            return False
        ahead = self._ahead(header)
        if ahead > TOLERATED_AHEAD:
            tally.faults.append(_clock_behind(page, ahead))
            return False
        not_before[page] = max(header.this_update, put.this_update)
        return True

    def _is_beyond_ledger(self, header: PageHeader) -> bool:
        """Nobody who signs for this ledger wrote that: generations are in commit order. For a header that refused a put."""
        return header.as_of > self._ledger.generation(self.issuer.id)

    def _beyond_ledger(self, page: int, header: PageHeader) -> Fault:
        return Fault(
            page,
            f"its header says generation {header.as_of}, the ledger is at {self._ledger.generation(self.issuer.id)}, so "
            f"that nothing gets into it: an older or a new ledger was put here, and `ocsp-signer ledger restore` brings back "
            f"what the store proves; or {self._key(page).decode()} alone is damaged or forged: see docs/operations.md",
        )

    def _ahead(self, header: PageHeader) -> int:
        """Seconds that the store is ahead of this clock as it is now: what was signed may have waited since it was read."""
        return header.this_update - self._clock.now()

    def _key(self, page: int) -> bytes:
        return page_key(self.issuer.name, self.issuer.page_epoch, page)


class PageSigner(Pages):
    """Signs pages and single records of one issuer. For one thread."""

    def __init__(
        self,
        ledger: Ledger,
        issuer: LedgerIssuer,
        signer: ResponseSigner,
        reader: StoreReader,
        writer: PageWriter,
        clock: Clock,
    ) -> None:
        super().__init__(ledger, issuer, writer, clock)
        self._signer = signer
        self._reader = reader

    @property
    def slot(self) -> int:
        return self._signer.slot

    def sign_change(self, change: Change, *, in_order: bool = True) -> Tally:
        """Sign the certificate of a change of one serial, into the page it is in.

        `in_order` says that the page has every earlier change. Where it has not, the record is stored under the
        generation that the page had, so that nobody takes the missing change for stored.
        """
        page = self.page_of(change.first_hash32)
        as_of, this_update = change.generation if in_order else 0, self._clock.now()
        snapshot = self._ledger.snapshot(self.issuer.id, change.first_hash32, change.last_hash32)
        row = next((row for row in snapshot.rows if row.serial == change.serial), None)
        if row is None or row.not_after < this_update:
            return self.sign_range(PageRange(page, page))
        for _ in range(ATTEMPTS):
            try:
                result = self._put_record(row, as_of, this_update)
            except ValueError as error:
                return Tally(faults=[_unsignable(page, error)])
            if result.status is not PutStatus.STALE:
                break
            if result.header is not None and self._is_beyond_ledger(result.header):
                return Tally(faults=[self._beyond_ledger(page, result.header)])
            if _contains(result.header, change):
                break
            ahead = self._ahead(result.header) if result.header else 0
            if ahead > (FARTHEST_AHEAD if is_urgent(change) else TOLERATED_AHEAD):
                return Tally(faults=[_clock_behind(page, ahead)])
            as_of, this_update = _after(result.header, as_of, this_update, in_order)
        return self._settle_record(result, change, page)

    def _put_record(self, row: CertificateRow, as_of: int, this_update: int) -> PutResult:
        record = self._signer.record(row, this_update, max(this_update, self._clock.now()))
        put = RecordPut(self._key(self.page_of(row.hash32)), as_of, this_update, row.serial, record)
        return self._writer.put_records([put])[0]

    def _settle_record(self, result: PutResult, change: Change, page: int) -> Tally:
        if result.status is PutStatus.WRITTEN:
            return Tally(responses=len(self._signer.certid_algorithms))
        if result.status is PutStatus.STALE and _contains(result.header, change):
            return Tally(current=1)
        return self.sign_range(PageRange(page, page))

    def _attempt(self, pages: PageRange, not_before: dict[int, int], tally: Tally, keeps: bool) -> list[int]:
        """Sign and put once; returns the pages that have to be read again."""
        # Read before the snapshot: the status is known correct at this instant.
        this_update = self._clock.now()
        first, last = pages.first << self._shift, ((pages.last + 1) << self._shift) - 1
        snapshot = self._ledger.snapshot(self.issuer.id, first, last)
        kept = self._kept(snapshot, this_update) if keeps else {}
        produced_at = self._clock.now()
        if produced_at - this_update > LONGEST:  # the process was stopped meanwhile, or its disk was
            return list(range(pages.first, pages.last + 1))
        drafts = []
        for page, certificates in self._by_page(pages, snapshot):
            at = not_before.get(page, this_update)
            try:
                drafts.append(self._draft(page, certificates, kept, at, produced_at))
            except ValueError as error:  # what a response or a record has no place for
                tally.faults.append(_unsignable(page, error))
                drafts.append(self._draft_of_the_rest(page, certificates, kept, at, produced_at))
        puts = self._signed(drafts, snapshot.generation)
        moved = []
        for draft, put, result in zip(drafts, puts, self._writer.put_pages(puts), strict=True):
            if self._settle(draft.page, put, result, not_before, tally):
                moved.append(draft.page)
            elif result.status is PutStatus.WRITTEN:
                tally.responses += len(draft.unsigned) * len(self._signer.certid_algorithms)
        return moved

    def _kept(self, snapshot: Snapshot, this_update: int) -> dict[bytes, bytes]:
        """Read after the snapshot: whatever changed since makes the page's generation refuse the put."""
        return last_responses(
            self._reader,
            self._signer,
            snapshot.values,
            this_update,
            lambda row: self._key(self.page_of(row.hash32)),
        )

    def _by_page(self, pages: PageRange, snapshot: Snapshot) -> Iterator[tuple[int, list[CertificateValues]]]:
        """Every page of the range with its certificates, empty ones too: they come ordered by hash32."""
        values = snapshot.values
        first = 0
        for page in range(pages.first, pages.last + 1):
            end = bisect_left(values, (page + 1) << self._shift, first, key=_hash32)
            yield page, values[first:end]
            first = end

    def _draft(
        self,
        page: int,
        certificates: list[CertificateValues],
        kept: dict[bytes, bytes],
        this_update: int,
        produced_at: int,
    ) -> _Draft:
        """Certificates leave after notAfter, which is their last second; revoked ones are named as removals (R-28)."""
        living = [values for values in certificates if values[2] >= this_update]
        gone = []
        if len(living) < len(certificates):
            rows = [CertificateRow(*values) for values in certificates]
            gone = [row.serial for row in rows if row.revoked and row.not_after < this_update]
        stays = {}
        if kept:
            stays = {serial: kept[serial] for _, serial, *_ in living if serial in kept}
            living = [values for values in living if values[1] not in kept]
        unsigned = self._signer.unsigned(living, this_update, max(this_update, produced_at))
        return _Draft(page, this_update, unsigned, stays, gone)

    def _draft_of_the_rest(
        self,
        page: int,
        certificates: list[CertificateValues],
        kept: dict[bytes, bytes],
        this_update: int,
        produced_at: int,
    ) -> _Draft:
        """One bad row delays no other (B3): of its certificate stays what is stored, if anything is."""
        bad = [values[1] for values in certificates if not self._is_signable(values, this_update)]
        others = [one for one in certificates if one[1] not in bad]
        draft = self._draft(page, others, kept, this_update, produced_at)
        stored = self._reader.records((self._key(page), serial) for serial in bad)
        stays = {serial: record for serial, record in zip(bad, stored, strict=True) if record is not None}
        return replace(draft, kept=draft.kept | stays)

    def _is_signable(self, values: CertificateValues, this_update: int) -> bool:
        try:
            self._signer.unsigned([values], this_update, this_update)
        except ValueError:
            return False
        return True

    def _signed(self, drafts: list[_Draft], generation: int) -> list[PagePut]:
        records = self._signer.sign([draft.unsigned for draft in drafts])
        return [
            PagePut(self._key(draft.page), generation, draft.this_update, signed | draft.kept, draft.removed)
            for draft, signed in zip(drafts, records, strict=True)
        ]


def _contains(header: PageHeader | None, change: Change) -> bool:
    return header is not None and header.as_of >= change.generation


def _after(header: PageHeader | None, as_of: int, this_update: int, in_order: bool) -> tuple[int, int]:
    """The generation and thisUpdate with which a record goes into a page that refused it."""
    if header is None:
        return as_of, this_update
    if in_order:
        return as_of, max(this_update, header.this_update)
    return header.as_of, max(this_update, header.this_update + 1)


def _unsignable(page: int, error: ValueError) -> Fault:
    return Fault(page, f"a certificate in it cannot be signed: {error}")


def _clock_behind(page: int, ahead: int) -> Fault:
    """B6: nothing but a revocation is signed for a store that is further in time."""
    return Fault(
        page,
        f"the store's thisUpdate is {ahead} s ahead of this clock: correct this machine's clock; "
        f"or the page's header is damaged: delete the page",
    )
