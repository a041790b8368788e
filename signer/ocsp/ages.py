"""How old the responses in the store are, by the records themselves.

A page's header has the newest thisUpdate of its records, which one change of one certificate sets anew, so that the
other records may be older by any time. The ledger knows when pages were due, not what the store has kept. So all
records are read, a stretch at a time, and what was found holds until the next time round.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cryptography import x509

from _fastpath.http import refresh_deadline
from _fastpath.template import Template
from signer.ledger.ledger import Ledger
from store.model import Issuer
from store.reader import StoreReader

__all__ = ["Ages", "Moments", "Validity", "slots_of"]

ROUND = 1800  # seconds in which all pages are read ...
PAGES = 64  # ... and at least so many at a time
MINIMUM_SIZE = 22  # a record is longer than this: anything shorter is damage, and seen elsewhere
HAS_NEXT_UPDATE, RAW = 0x08, 0x10  # flags of a record
ALGORITHMS = 0x06  # a flag for each CertID algorithm that it has a signature for


@dataclass(frozen=True, slots=True)
class Validity:
    """What a template slot stands for, in seconds: V, and when its signer's certificate ends."""

    validity: int
    signer_not_after: int


def slots_of(ledger: Ledger, issuer_id: int, ca: Issuer) -> dict[int, Validity]:
    """Of all template slots that records of an issuer may name."""
    templates = {slot: Template.decode(one.content) for slot, one in ledger.templates(issuer_id).items()}
    return {slot: Validity(one.validity, _signer_end(one, ca)) for slot, one in templates.items()}


def _signer_end(template: Template, ca: Issuer) -> int:
    found = template.certificates
    certificate = x509.load_der_x509_certificate(found) if found else ca.certificate
    return int(certificate.not_valid_after_utc.timestamp())


@dataclass(frozen=True, slots=True)
class Moments:
    """When something is to be done about a response, in seconds since 1970."""

    this_update: int
    renewal: int  # it is signed again even if the schedule does not say so
    alarm: int
    deadline: int  # the next one has to be served

    @classmethod
    def of(cls, this_update: int, next_update: int, cycle: int) -> "Moments":
        deadline = refresh_deadline(this_update, next_update)
        allowed = deadline - this_update
        renewal = this_update + ((cycle + allowed) // 2 if cycle < allowed else allowed // 2)
        return cls(this_update, renewal, (renewal + deadline) // 2, deadline)


class Ages:
    """Of one issuer. `look` is for one thread; what it found may be asked for by any."""

    def __init__(
        self,
        reader: StoreReader,
        issuer: str,
        page_epoch: int,
        page_count: int,
        slots: Mapping[int, Validity],
        cycle: int,
    ) -> None:
        self._reader = reader
        self._issuer, self._page_epoch, self._page_count = issuer, page_epoch, page_count
        self._slots = slots
        self._cycle = cycle
        self._page = 0
        self._round: Counter[Moments] = Counter()
        self._found: Counter[Moments] | None = None  # of the last round that was completed

    def look(self, now: int) -> list[int]:
        """Read the next pages, to be called about once a second; those that have to be signed again."""
        first = self._page
        pages = range(first, min(first + max(PAGES, self._page_count // ROUND), self._page_count))
        wanted = []
        found = self._reader.records_of(self._issuer, self._page_epoch, pages)
        for page, records in zip(pages, found, strict=True):
            counted = self.count(records)
            self._round.update(counted)
            if any(moments.renewal <= now for moments in counted):
                wanted.append(page)
        self._page = pages.stop
        if pages.stop == self._page_count:
            self._page, self._found, self._round = 0, self._round, Counter()
        return wanted

    def look_at_all(self, now: int) -> None:
        """One round, or the rest of one."""
        while True:
            self.look(now)
            if self._page == 0:
                return

    def count(self, records: Iterable[bytes]) -> Counter[Moments]:
        """Responses by their moments; not of records that end with their certificate, which are the last ones (R-18)."""
        kinds = Counter(
            record[:6] + record[11:15] if record[0] & HAS_NEXT_UPDATE else record[:6]
            for record in records
            if len(record) >= MINIMUM_SIZE and not record[0] & RAW
        )
        found: Counter[Moments] = Counter()
        for kind, number in kinds.items():
            moments = self._moments(kind)
            if moments is not None:
                found[moments] += number * (kind[0] & ALGORITHMS).bit_count()
        return found

    def _moments(self, kind: bytes) -> Moments | None:
        slot = self._slots.get(kind[1])
        if slot is None:
            return None
        this_update = int.from_bytes(kind[2:6])
        next_update = usual = min(this_update + slot.validity, slot.signer_not_after)
        if len(kind) > 6:
            next_update = int.from_bytes(kind[6:10])
        moments = Moments.of(this_update, usual, self._cycle)
        return moments if next_update == usual or next_update > moments.deadline else None

    def oldest(self, now: int) -> int | None:
        """Age in seconds of the oldest response that will be renewed; None as long as it is not known."""
        found = self._found
        return max((now - moments.this_update for moments in found), default=0) if found is not None else None

    def stale(self, now: int) -> int:
        """How many responses should have been replaced by now at the latest."""
        return self._past(now, "deadline")

    def late(self, now: int) -> int:
        """How many will soon be stale."""
        return self._past(now, "alarm")

    def _past(self, now: int, moment: str) -> int:
        found = self._found or Counter()
        return sum(number for moments, number in found.items() if getattr(moments, moment) < now)
