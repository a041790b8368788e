"""What CRLs and store know that a ledger put back from a backup does not: found, proven, and recorded in it."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from cryptography import x509

from _fastpath.errors import FastpathError
from _fastpath.imported import decode_imported_record, is_imported_record
from _fastpath.page import PageHeader, hash32, record_slot
from _fastpath.template import Template
from signer.context import Context
from signer.crl.catalogue import Catalogue, Shard
from signer.crl.read import ReadCrl, read_crl
from signer.intake.rows import fit_reason
from signer.intake.signed import to_keep
from signer.ledger.errors import LedgerError
from signer.ledger.generations import epoch_of
from signer.ledger.layouts import EPOCHS, MAX_PAGE_BITS
from signer.ledger.ledger import Ledger
from signer.ledger.restore import Restored
from signer.ledger.staging import Staging
from signer.ledger.values import (
    UNKNOWN_END,
    CertificateRow,
    Covers,
    ImportEntry,
    ImportOutcome,
    PlacedBy,
    Placement,
    Publication,
    Serials,
    SignedResponse,
)
from signer.stored import KnownTemplate, says_more
from store.imported import Unfit, read_response
from store.reader import StoreReader
from store.schema import IssuerRecord

__all__ = ["News", "Seen", "adopt", "look"]

ROWS = 5_000  # looked up in the ledger at a time
PAGES_AT_A_TIME = 64
LATER_LAYOUTS = 3 * EPOCHS  # that a ledger gave which was put back twice since the backup


@dataclass(slots=True)
class Seen:
    """What CRLs and store of one issuer say, beside the ledger."""

    crls: int = 0
    entries: int = 0  # of all of them
    pages: int = 0
    records: int = 0
    epoch: int = 0  # highest of the ledger that anything names
    unknown: int = 0  # statements about serials that the ledger does not have
    unrevoked: int = 0  # revocations that it does not have, or later, or without the reason keyCompromise
    unsigned: int = 0  # records that say good of what it has as revoked: they are signed anew
    responses: int = 0  # signed elsewhere, that it does not have or only an older one of
    unproven: Serials = field(default_factory=Serials)  # records that nobody entitled signed: not taken over

    @property
    def lacking(self) -> int:
        """What the ledger has not of what CRLs and store prove."""
        return self.unknown + self.unrevoked + self.responses

    @property
    def agrees(self) -> bool:
        return not self.lacking


@dataclass(slots=True)
class News:
    """Statements that the ledger lacks, to be recorded."""

    seen: Seen
    rows: Staging
    publications: list[Publication] = field(default_factory=list)
    templates: dict[int, tuple[int, bytes]] = field(default_factory=dict)  # slot -> number, content
    responses: list[SignedResponse] = field(default_factory=list)  # signed elsewhere
    revocations: int = 0  # among the rows, known once they are recorded

    def add(self, row: CertificateRow, *, known: bool) -> None:
        """`known`: the ledger has the serial, and not what is said of it."""
        self.seen.unrevoked += known
        self.seen.unknown += not known
        self.rows.add(row.serial, row.not_after, row.revocation_time, row.reason, row.placement)

    def merged(self) -> Iterator[CertificateRow]:
        """Each serial once."""
        for row in self.rows.merged():
            self.revocations += row.revoked
            yield row


def look(
    context: Context,
    name: str,
    rows: Staging,
    progress: Callable[[int], None],
    *,
    crls: bool = True,
    store: bool = True,
) -> News:
    """Compare one issuer's CRLs and stored records with the ledger; news go into `rows`.

    Raises OcspeedError for what cannot be read, and for a CRL that the CA did not sign.
    """
    news = News(Seen(), rows)
    if crls:
        _look_at_crls(context, name, news, progress)
    if store and context.settings.issuer(name).ocsp.enabled:
        context.ensure_store()
        with context.endpoint.client() as client:
            _StoredPages(context, name, StoreReader(client, context.endpoint.url), news).look(progress)
    return news


def _look_at_crls(context: Context, name: str, news: News, progress: Callable[[int], None]) -> None:
    """Those of shards before the full one: only they tell where a certificate belongs."""
    catalogue, certificate = context.crl_catalogue(name), context.issuer(name).certificate
    offline = context.settings.issuer(name).crl.offline
    listed = catalogue.targets.listed_generations()
    news.seen.epoch = max(map(epoch_of, listed.values()), default=0)
    for shard in sorted(catalogue.shards(), key=lambda shard: shard[0].covers is Covers.FULL):
        path = catalogue.path(shard)
        data = catalogue.targets.live_octets(path)
        if data is None:
            continue
        crl = _proven(path, data, certificate)
        news.seen.crls += 1
        published = _publication(catalogue, shard, crl, listed.get(path, 0))
        if published is not None:
            news.publications.append(published)
        if not offline:
            news.seen.entries += _add_entries(context.ledger, catalogue, shard, crl, news)
        progress(1)


def _proven(path: str, data: bytes, certificate: x509.Certificate) -> ReadCrl:
    """Raises LedgerError unless the CA signed it."""
    try:
        crl = read_crl(data)
        key = certificate.public_key()
        signed = x509.load_der_x509_crl(data).is_signature_valid(key)  # type: ignore[arg-type]  # of a CA
    except (FastpathError, ValueError, TypeError):
        signed = False
    if not signed:
        raise LedgerError(
            f"{path}: not a CRL that the CA signed",
            remedy="find out who wrote it and move it away, or restore --without-crls",
        )
    return crl


def _publication(catalogue: Catalogue, shard: Shard, crl: ReadCrl, listed: int) -> Publication | None:
    """The live CRL as the ledger would have recorded it; None if it has it, or a later one."""
    latest = catalogue.latest(shard)
    number, this_update, next_update = crl.crl_number, crl.this_update_seconds, crl.next_update_seconds
    if number is None or this_update is None or next_update is None:
        raise LedgerError(f"{catalogue.path(shard)}: a CRL without number or dates")
    if latest is not None and latest.crl_number >= number:
        return None
    return Publication(
        issuer_id=catalogue.issuer.id,
        series=shard[0].number,
        shard_index=shard[1],
        crl_number=number,
        this_update=this_update,
        next_update=next_update,
        # Of what was recorded after the backup none counts as in it, so that each stays for one CRL more (C-18).
        generation=max(latest.generation if latest else 0, listed),
        entries=sum(1 for _ in crl.entries()),
        size=len(crl.data),
        sha256=hashlib.sha256(crl.data).digest(),
        published_at=this_update,
    )


def _add_entries(ledger: Ledger, catalogue: Catalogue, shard: Shard, crl: ReadCrl, news: News) -> int:
    """Stage what the ledger does not have; how many entries there were."""
    series, index = shard
    place = None if series.covers is Covers.FULL else Placement(series.number, index, PlacedBy.FILE)
    count = 0
    for some in _batches(crl.entries()):
        rows = sorted(
            CertificateRow(hash32(serial), serial, UNKNOWN_END, time, fit_reason(reason)[0], place)
            for serial, time, reason in some
        )
        for row, known in _missing(ledger, catalogue.issuer.id, rows, news.seen):
            news.add(row, known=known)
        count += len(rows)
    return count


def _missing(
    ledger: Ledger, issuer_id: int, rows: list[CertificateRow], seen: Seen
) -> Iterator[tuple[CertificateRow, bool]]:
    """Rows that say more than the ledger has, without a place where it knows the serial: then True.

    `rows` ordered by hash32.
    """
    known = ledger.statuses(issuer_id, rows) if rows else {}
    for row in rows:
        if row.serial not in known:
            yield row, False
            continue
        if row.revocation_time is None:
            seen.unsigned += known[row.serial][0] is not None
        elif says_more((row.revocation_time, row.reason), known[row.serial]):
            yield row._replace(placement=None), True


class _StoredPages:
    """The pages of one issuer as the store has them, whole or not."""

    def __init__(self, context: Context, name: str, reader: StoreReader, news: News) -> None:
        self._context = context
        self._reader = reader
        self._news = news
        self._name = name
        self._issuer = context.issuer(name)
        self._issuer_id = context.ledger_issuer(name).id
        self._templates: dict[int, KnownTemplate] = {}  # by slot

    def look(self, progress: Callable[[int], None]) -> None:
        record = self._reader.issuer(self._name)
        if record is not None:
            self._look_at(record, progress)
            return
        for found in self._left_without_record():
            self._look_at(found, progress)

    def _left_without_record(self) -> Iterator[IssuerRecord]:
        """Layouts whose pages outlived the record that names them: it says nothing of what they prove.

        Of this ledger's layout and of those that one lost since can have given; none where nothing was ever signed.
        """
        issuer = self._context.ledger_issuer(self._name)
        templates = {slot: one.number for slot, one in self._context.ledger.templates(issuer.id).items()}
        for epoch in range(issuer.page_epoch, issuer.page_epoch + LATER_LAYOUTS):
            ends = [
                (1 << bits) - 1 for bits in range(MAX_PAGE_BITS + 1)
            ]  # last pages; a page is there though it is empty
            headers = self._reader.whole_headers(self._name, epoch, ends)
            found = [bits for bits, header in enumerate(headers) if header is not None]
            if found:
                algorithms = self._context.settings.issuer(self._name).ocsp.algorithms
                yield IssuerRecord(self._issuer.id.fingerprint, epoch, found[-1], algorithms, templates)

    def _look_at(self, record: IssuerRecord, progress: Callable[[int], None]) -> None:
        if record.fingerprint != self._issuer.id.fingerprint:
            raise LedgerError(
                f"issuer {self._name}: the store's record is of another CA",
                remedy="point store.url at this ledger's own store, or restore --without-store",
            )
        self._read_templates(record)
        for first in range(0, 1 << record.page_bits, PAGES_AT_A_TIME):
            pages = range(first, min(first + PAGES_AT_A_TIME, 1 << record.page_bits))
            rows: dict[bytes, tuple[CertificateRow, bytes]] = {}
            for page in pages:
                self._read_page(record, page, rows)
            self._compare(rows)
            progress(len(pages))

    def _read_templates(self, record: IssuerRecord) -> None:
        for slot, number in record.templates.items():
            content = self._reader.template_octets(number)
            if content is None:
                continue  # its records cannot be proven
            try:
                self._templates[slot] = KnownTemplate(number, Template.decode(content), self._issuer)
            except (FastpathError, ValueError):
                continue
            self._news.templates[slot] = number, content

    def _read_page(
        self, record: IssuerRecord, page: int, rows: dict[bytes, tuple[CertificateRow, bytes]]
    ) -> None:
        seen = self._news.seen
        header, fields = self._reader.fields(self._name, record.page_epoch, page)
        seen.pages += header is not None
        try:
            if header is not None:
                seen.epoch = max(seen.epoch, epoch_of(PageHeader.decode(header).as_of))
        except FastpathError:
            pass  # the signer writes such a page anew
        for serial, octets in fields.items():
            seen.records += 1
            row = self._row(serial, octets)
            if row is None:
                seen.unproven.add(serial)
            else:
                rows[serial] = row, octets

    def _row(self, serial: bytes, octets: bytes) -> CertificateRow | None:
        """What a record says; None if it is damaged or of an unknown template."""
        if is_imported_record(octets):
            return self._imported_row(serial, octets)
        try:
            response = self._templates[record_slot(octets)].decode(serial, octets).response
        except (FastpathError, KeyError, ValueError):
            return None
        return CertificateRow(
            hash32(serial), serial, UNKNOWN_END, response.revocation_time, response.reason or 0
        )

    def _imported_row(self, serial: bytes, octets: bytes) -> CertificateRow | None:
        """Of whole responses, each of which has to be right; those that are later than the ledger's are news."""
        try:
            bodies = decode_imported_record(self._issuer.id, serial, octets).items()
            said = [read_response(self._issuer, body) for _, body in bodies]
        except (FastpathError, Unfit):
            return None
        if any(
            (one.hash_algorithm, one.serial) != (of, serial)
            for one, (of, _) in zip(said, bodies, strict=True)
        ):
            return None
        for one in said:
            kept = self._context.ledger.signed_response(self._issuer_id, serial, one.hash_algorithm)
            if kept is None or kept.this_update < one.this_update:
                self._news.responses.append(to_keep(one))
                self._news.seen.responses += 1
        time, reason = min((one.status for one in said if one.revoked), default=(None, 0))
        return CertificateRow(hash32(serial), serial, UNKNOWN_END, time, reason)

    def _proves(self, serial: bytes, octets: bytes) -> bool:
        """Whether the CA, or a responder of it, signed what a record says."""
        if is_imported_record(octets):
            return True  # or it had no row
        template = self._templates[record_slot(octets)]
        return template.proves(template.decode(serial, octets))

    def _compare(self, rows: dict[bytes, tuple[CertificateRow, bytes]]) -> None:
        """Only news has to be proven: what the ledger says too needs no signature."""
        seen = self._news.seen
        ordered = sorted(row for row, _ in rows.values())
        for row, known in _missing(self._context.ledger, self._issuer_id, ordered, seen):
            if self._proves(row.serial, rows[row.serial][1]):
                self._news.add(row, known=known)
            else:
                seen.unproven.add(row.serial)


def adopt(
    ledger: Ledger, restored: Restored, issuer_id: int, news: News, now: int, entry: ImportEntry
) -> ImportOutcome:
    """Record all news in an epoch of the issuer above everything seen. Nothing is ever un-revoked."""
    restored.raise_epoch(issuer_id, news.seen.epoch)
    for slot, (number, content) in news.templates.items():
        restored.put_template(issuer_id, slot, number, content)
    for publication in news.publications:
        ledger.add_publication(publication)
    outcome = ledger.add_certificates(issuer_id, news.merged(), now, says_good=False, entry=entry)
    ledger.put_signed_responses(issuer_id, news.responses, [], now, [])
    return outcome


T = TypeVar("T")


def _batches(source: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(source)
    while some := list(islice(iterator, ROWS)):
        yield some
