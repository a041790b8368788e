"""The store against the ledger: every page whole, every living certificate in it as the ledger has it, and nothing else."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter

from _fastpath.certid import SHA1, SHA256
from _fastpath.errors import FastpathError
from _fastpath.page import PageHeader, Record, page_number, record_slot
from _fastpath.template import Template
from signer.audit.patience import Patience
from signer.audit.records import status_fault, window_faults
from signer.audit.report import Checked, Finding, Findings, Kind
from signer.audit.sample import Choice, Quota, Reservoir
from signer.ledger.ledger import Ledger
from signer.ledger.values import CertificateRow, LedgerIssuer, StoredTemplate
from signer.stored import KnownTemplate
from store.clock import Clock
from store.errors import OcspeedError, StoreFormatError
from store.model import Issuer
from store.reader import StoreReader
from store.schema import IssuerRecord

__all__ = ["PageAudit", "Read", "Subject"]

PAGES_AT_A_TIME = 64
REVOKED = 1  # flag in the first octet of a record, of whatever format
NAMES = {SHA1: "SHA-1", SHA256: "SHA-256"}

_hash32 = attrgetter("hash32")


@dataclass(frozen=True, slots=True)
class Subject:
    """One issuer that is audited."""

    issuer: Issuer
    recorded: LedgerIssuer  # as the audit began
    certid_algorithms: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """One page of the store, and then the ledger's rows of it."""

    page: int
    header: bytes | None
    records: dict[bytes, bytes]
    rows: list[CertificateRow]
    generation: int
    now: int

    @property
    def living(self) -> list[CertificateRow]:
        """Those that have to have a record: notAfter is a certificate's last second."""
        return [row for row in self.rows if row.not_after >= self.now]


class PageAudit:
    """Reads one issuer's pages, some at a time: the store first, so that the ledger is never behind it by chance."""

    def __init__(
        self,
        ledger: Ledger,
        reader: StoreReader,
        subject: Subject,
        choice: Choice,
        patience: Patience,
        clock: Clock,
    ) -> None:
        self.templates: dict[int, KnownTemplate] = {}  # by slot
        self.to_ask = Reservoir(choice)  # certificates to ask responders for
        self._ledger = ledger
        self._reader = reader
        self._subject = subject
        self._issuer = subject.recorded
        self._patience = patience
        self._clock = clock
        self._shift = 32 - subject.recorded.page_bits
        self._quota = Quota(choice, self.page_count)

    @property
    def page_count(self) -> int:
        return 1 << self._issuer.page_bits

    def look(self, findings: Findings, checked: Checked, progress: Callable[[int], None]) -> None:
        """Everything of the issuer in the store. Raises StoreUnavailable, and OcspeedError if it is re-paged meanwhile."""
        findings.add(self._patience.settled(self._announced))
        for first in range(0, self.page_count, PAGES_AT_A_TIME):
            last = min(first + PAGES_AT_A_TIME, self.page_count) - 1
            stretch = self._read(first, last)
            chosen = self._quota.choose([row for read in stretch for row in read.living], len(stretch))
            for read in stretch:
                self._count(read, chosen, checked)
                found = list(self._differences(read, chosen))
                if found:
                    found = self._patience.settled(partial(self._again, read.page, chosen))
                findings.add(found)
            progress(len(stretch))

    def _announced(self) -> list[Finding]:
        """The issuer's record and its templates."""
        self._check_epoch()
        stored = self._ledger.templates(self._issuer.id)
        expected = IssuerRecord(
            fingerprint=self._subject.issuer.id.fingerprint,
            page_epoch=self._issuer.page_epoch,
            page_bits=self._issuer.page_bits,
            certid_algorithms=self._subject.certid_algorithms,
            templates={slot: one.number for slot, one in stored.items()},
        )
        found = [self._finding(kind, fault) for kind, fault in self._record_faults(expected)]
        for one in stored.values():
            octets = self._reader.template_octets(one.number)
            if octets != one.content:
                state = "is not there" if octets is None else "is another one"
                found.append(self._finding(Kind.TEMPLATE, f"template {one.number} {state}"))
        return found + self._load_templates(stored.values())

    def _load_templates(self, stored: Iterable[StoredTemplate]) -> list[Finding]:
        """As the ledger has them; those that prove nothing are findings."""
        found = []
        for one in stored:
            try:
                known = KnownTemplate(one.number, Template.decode(one.content), self._subject.issuer)
            except FastpathError as error:
                found.append(self._finding(Kind.TEMPLATE, f"template {one.number} of the ledger: {error}"))
                continue
            self.templates[one.slot] = known
            if known.fault:
                found.append(self._finding(Kind.TEMPLATE, f"template {one.number}: {known.fault}"))
        return found

    def _record_faults(self, expected: IssuerRecord) -> Iterator[tuple[Kind, str]]:
        try:
            record = self._reader.issuer(self._issuer.name)
        except StoreFormatError as error:
            yield Kind.ISSUER_RECORD, error.message
            return
        if record is None:
            yield Kind.ISSUER_RECORD, "the store has no record of it"
            return
        for name in ("fingerprint", "page_epoch", "page_bits", "certid_algorithms", "templates"):
            ours, theirs = getattr(expected, name), getattr(record, name)
            if ours != theirs:
                kind = Kind.ISSUER_RECORD
                if name == "page_epoch" and record.page_epoch > expected.page_epoch:
                    kind = Kind.LAYOUT_UNKNOWN  # what its pages say is not compared
                yield kind, f"{name} is {_shown(theirs)} in the store, not {_shown(ours)}"

    def _read(self, first: int, last: int) -> list[Read]:
        """Pages `first` to `last`, both included."""
        name, epoch = self._issuer.name, self._issuer.page_epoch
        fields = [self._reader.fields(name, epoch, page) for page in range(first, last + 1)]
        snapshot = self._ledger.snapshot(
            self._issuer.id, first << self._shift, ((last + 1) << self._shift) - 1
        )
        rows, now, start, found = snapshot.rows, self._clock.now(), 0, []
        for page, (header, records) in enumerate(fields, first):
            end = bisect_left(rows, (page + 1) << self._shift, start, key=_hash32)
            found.append(Read(page, header, records, rows[start:end], snapshot.generation, now))
            start = end
        return found

    def _count(self, read: Read, chosen: set[bytes], checked: Checked) -> None:
        checked.pages += 1
        checked.certificates += len(read.rows)
        checked.records += len(read.records)
        signatures = len(self._subject.certid_algorithms)
        for row in read.living:
            checked.signatures += signatures if row.serial in chosen else 0
            self.to_ask.add(row)

    def _again(self, page: int, chosen: set[bytes]) -> list[Finding]:
        """What still differs, and differed when the audit began."""
        self._check_epoch()
        self._load_templates(self._ledger.templates(self._issuer.id).values())
        read = self._read(page, page)[0]
        tail = self._ledger.tail_position(self._issuer.id)
        found = (self._judged(finding, tail) for finding in self._differences(read, chosen))
        return [finding for finding in found if finding is not None]

    def _judged(self, finding: Finding, tail: int) -> Finding | None:
        """None for what changed since; what is not signed yet is told as that."""
        if finding.serial is None or finding.kind not in (Kind.RECORD_MISSING, Kind.STATUS):
            return finding
        known = self._ledger.find(self._issuer.id, finding.serial)
        if known is None:
            return finding
        changed = max(known.issued_generation, known.revoked_generation or 0)
        if changed > self._issuer.generation:
            return None
        return replace(finding, kind=Kind.UNSIGNED) if changed > tail else finding

    def _check_epoch(self) -> None:
        if self._ledger.issuer(self._issuer.name).page_epoch != self._issuer.page_epoch:
            raise OcspeedError(
                f"issuer {self._issuer.name}: its pages were laid out anew while they were read",
                remedy="run the audit again",
            )

    def _differences(self, read: Read, chosen: set[bytes]) -> Iterator[Finding]:
        yield from self._of_header(read)
        left = dict(read.records)
        for row in read.rows:
            octets = left.pop(row.serial, None)
            if octets is not None:
                yield from self._of_record(read, row, octets, row.serial in chosen)
            elif row.not_after >= read.now and (read.header is not None or read.records):
                yield self._finding(
                    Kind.RECORD_MISSING, "the ledger has it, the store not", read.page, row.serial
                )
        for serial, octets in left.items():
            yield self._of_stranger(read.page, serial, octets)

    def _of_header(self, read: Read) -> Iterator[Finding]:
        """C4: a page is whole when its header says how many records it has."""
        if read.header is None:
            kind, state = (
                (Kind.PAGE_DAMAGED, "has no header") if read.records else (Kind.PAGE_MISSING, "is not there")
            )
            yield self._finding(kind, f"the page {state}", read.page)
            return
        try:
            header = PageHeader.decode(read.header)
        except FastpathError as error:
            yield self._finding(Kind.PAGE_DAMAGED, f"its header: {error}", read.page)
            return
        revoked = sum(octets[0] & REVOKED for octets in read.records.values() if octets)
        for name, said, found in (
            ("count", header.count, len(read.records)),
            ("revoked count", header.revoked_count, revoked),
        ):
            if said != found:
                yield self._finding(
                    Kind.PAGE_DAMAGED, f"its header has a {name} of {said}, there are {found}", read.page
                )
        if header.as_of > read.generation:
            yield self._finding(
                Kind.PAGE_AHEAD,
                f"it is of generation {header.as_of}, the ledger of {read.generation}",
                read.page,
            )

    def _of_record(self, read: Read, row: CertificateRow, octets: bytes, verify: bool) -> Iterator[Finding]:
        found = self._decoded(read.page, row.serial, octets)
        if isinstance(found, Finding):
            yield found
            return
        template, record = found
        for algorithm in self._subject.certid_algorithms:
            if (record.sha1_signature, record.sha256_signature)[algorithm == SHA256] is None:
                yield self._finding(
                    Kind.SIGNATURE, f"none for a CertID by {NAMES[algorithm]}", read.page, row.serial
                )
        fault = status_fault(record.response, row)
        if (verify or fault) and not template.proves(record):
            yield self._unproven(read.page, row.serial)
            return
        faults = [fault] if fault else []
        faults += window_faults(record.response, row, template.trusted, read.now)
        for kind, message in faults:
            yield self._finding(kind, message, read.page, row.serial)

    def _of_stranger(self, page: int, serial: bytes, octets: bytes) -> Finding:
        """A record that no certificate of this page has."""
        if len(serial) > 20 or page_number(serial, self._issuer.page_bits) != page:
            return self._finding(Kind.RECORD_DAMAGED, "it does not belong into this page", page, serial)
        found = self._decoded(page, serial, octets)
        if isinstance(found, Finding):
            return found
        template, record = found
        if not template.proves(record):
            return self._unproven(page, serial)
        return self._finding(Kind.RECORD_UNKNOWN, "the ledger has no such certificate", page, serial)

    def _decoded(self, page: int, serial: bytes, octets: bytes) -> tuple[KnownTemplate, Record] | Finding:
        try:
            slot = record_slot(octets)
            template = self.templates.get(slot)
            if template is not None:
                return template, template.decode(serial, octets)
            fault = f"it names template slot {slot}, of which the ledger has none that can be read"
        except FastpathError as error:
            fault = str(error)
        return self._finding(Kind.RECORD_DAMAGED, fault, page, serial)

    def _unproven(self, page: int, serial: bytes) -> Finding:
        return self._finding(
            Kind.SIGNATURE, "its signatures are not those of a responder of this CA", page, serial
        )

    def _finding(
        self, kind: Kind, message: str, page: int | None = None, serial: bytes | None = None
    ) -> Finding:
        return Finding(kind, self._issuer.name, message, page, serial)


def _shown(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
