"""The ledger: the one authority on who was issued, who was revoked and which CRLs were published.

Thread-safe: every call has its own connection and its own transaction. Times are whole seconds since 1970.
"""

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Engine

from signer import journal as chain
from signer.ledger import (
    bulk,
    crls,
    deeds,
    generations,
    issuers,
    layouts,
    mass_revocation,
    newest,
    pages,
    positions,
    reservations,
    revocation,
    signed,
)
from signer.ledger.engine import CHECKED_BEFORE, WRITE, open_engine, translated
from signer.ledger.imports import Import
from signer.ledger.mass_revocation import Batch, MassOutcome
from signer.ledger.staging import packed_rows
from signer.ledger.values import (
    UNSPECIFIED,
    AnsweredCertificate,
    CertificateCounts,
    CertificateRow,
    CertificateState,
    Change,
    CrlPlan,
    ImportEntry,
    ImportOutcome,
    Layout,
    LedgerCertificate,
    LedgerIssuer,
    Publication,
    Recorded,
    Revocation,
    Revoked,
    RevokeResult,
    SeriesRow,
    ShardSnapshot,
    SignedResponse,
    Snapshot,
    StoredTemplate,
)
from signer.ledger.write_back import WriteBack
from store.model import Issuer

__all__ = ["Ledger"]


class Ledger:
    """Open with `Ledger.open`. Every method that writes has committed, durably, when it returns."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(**{WRITE: True})
        self._importer = engine.execution_options(**{WRITE: True, CHECKED_BEFORE: True})
        self._watch = engine.raw_connection()
        self._watching = Lock()

    @classmethod
    def open(cls, url: str, *, create: bool = False, upgrade: bool = False) -> "Ledger":
        """Open the ledger at `sqlite:///PATH`; `create` makes it, `upgrade` brings an older schema up to date.

        Raises LedgerError.
        """
        return cls(open_engine(url, create=create, upgrade=upgrade))

    def close(self) -> None:
        self._watch.close()
        self._engine.dispose()

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with translated(self._engine), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with translated(self._engine), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def _import(self) -> Iterator[Connection]:
        """A write of very many rows, in which constraints are not checked: who writes has done that."""
        with translated(self._engine), self._importer.begin() as connection:
            yield connection

    # Issuers

    def ensure_issuer(
        self, issuer: Issuer, page_bits: int, plan: CrlPlan, now: int, *, actor: str = "ocsp-signer"
    ) -> LedgerIssuer:
        """Find or add an issuer, and add the CRL series that are new in `plan`.

        `page_bits` is used when the issuer is new. Refuses another CA name or key under a known name, and a plan
        that changes a series.
        """
        with self._write() as connection:
            return issuers.ensure(connection, issuer, page_bits, plan, now, actor)

    def issuer(self, name: str) -> LedgerIssuer:
        """Raises LedgerError that names the known issuers."""
        with self._read() as connection:
            return issuers.by_name(connection, name)

    def issuers(self) -> list[LedgerIssuer]:
        """All issuers, by name."""
        with self._read() as connection:
            return issuers.everyone(connection)

    def check_issuer(self, issuer: Issuer) -> None:
        """Raises LedgerError if another CA is recorded under its name."""
        with self._read() as connection:
            issuers.known_id(connection, issuer)

    def ca_not_after(self, issuer_id: int) -> int:
        """When the last of the CA certificates ends that the issuer was configured with."""
        with self._read() as connection:
            return issuers.ca_not_after(connection, issuer_id)

    # Certificates

    def snapshot(self, issuer_id: int, first_hash32: int, last_hash32: int) -> Snapshot:
        """Certificates from `first_hash32` to `last_hash32`, both included, and the generation they are as of."""
        # What is left open by an error is ended as the connection goes back to the pool.
        with translated(self._engine), closing(self._engine.raw_connection()) as connection:
            return pages.snapshot(connection, issuer_id, first_hash32, last_hash32)

    def find(self, issuer_id: int, serial: bytes) -> LedgerCertificate | None:
        with self._read() as connection:
            return pages.find(connection, issuer_id, serial)

    def counts(self, issuer_id: int, now: int) -> CertificateCounts:
        """Reads every certificate of the issuer: for people, not for loops."""
        with self._read() as connection:
            return pages.counts(connection, issuer_id, now)

    def add_certificates(
        self,
        issuer_id: int,
        rows: Iterable[CertificateRow],
        now: int,
        *,
        progress: Callable[[int], None] | None = None,
        says_good: bool = True,
        entry: ImportEntry | None = None,
    ) -> ImportOutcome:
        """`add_packed` for rows that are not. Raises struct.error for a serial of more than 20 octets."""
        return self.add_packed(
            issuer_id, _packed_parts(rows), now, progress=progress, says_good=says_good, entry=entry
        )

    def add_packed(
        self,
        issuer_id: int,
        parts: Iterable[bytes],
        now: int,
        *,
        progress: Callable[[int], None] | None = None,
        says_good: bool = True,
        entry: ImportEntry | None = None,
    ) -> ImportOutcome:
        """Record certificates ordered by (hash32, serial), each serial once, packed (`_fastpath.staged`), in parts of any
        size; commits every few thousand.

        `progress` is told how many rows each commit settled. What is known stays as it is, except that a
        revocation is taken over, and a placement by who knows better than before; a revoked certificate that comes
        as good stays revoked and is reported. `says_good`: whether a row without a revocation says that there is
        none. `entry` is journalled as begun with the first change and as done at the end, never if nothing changes.
        Raises Misplaced for a placement that contradicts one that holds.
        """
        batches = bulk.batches(parts, self._page_bits(issuer_id))
        importing = Import(self._import, issuer_id, now, says_good, entry)
        with translated(self._engine), WriteBack(self._engine) as write_back:
            return importing.record(batches, write_back, progress)

    def plan_certificates(
        self, issuer_id: int, parts: Iterable[bytes], *, says_good: bool = True
    ) -> ImportOutcome:
        """What `add_packed` would come to, without recording anything."""
        total = ImportOutcome()
        for batch in bulk.batches(parts, self._page_bits(issuer_id)):
            with self._read() as connection:
                total.add(bulk.compare(connection, issuer_id, batch, says_good=says_good).outcome)
        return total

    def _page_bits(self, issuer_id: int) -> int:
        with self._read() as connection:
            return issuers.by_id(connection, issuer_id).page_bits

    def recorded(self, issuer_id: int, rows: Sequence[CertificateRow]) -> dict[bytes, Recorded]:
        """Shard and status of those serials that are known or reserved. For some thousand rows ordered by hash32."""
        with self._read() as connection:
            found = bulk.known(connection, issuer_id, rows)
            reserved = reservations.of(connection, issuer_id, [row.serial for row in rows])
        return {serial: Recorded(place, None, UNSPECIFIED) for serial, place in reserved.items()} | {
            serial: Recorded(bulk.recorded_place(row), row.revocation_time, row.reason)
            for serial, row in found.items()
        }

    def statuses(self, issuer_id: int, rows: Sequence[CertificateRow]) -> dict[bytes, tuple[int | None, int]]:
        """Revocation time and reason of those that were issued. For some thousand rows ordered by hash32."""
        with self._read() as connection:
            found = bulk.known(connection, issuer_id, rows)
        return {serial: (row.revocation_time, row.reason) for serial, row in found.items()}

    def plan_revocations(self, issuer_id: int, asked: Sequence[Revocation], now: int) -> list[RevokeResult]:
        """What `revoke_mass` would do with each, in the order asked, without doing it. Raises LedgerError as it would."""
        revocation.check(asked, now)
        with self._read() as connection:
            return revocation.plan(connection, issuer_id, asked)

    def plan_mass_revocation(
        self, issuer_id: int, asked: Iterable[Revocation], now: int, progress: Callable[[int], None]
    ) -> MassOutcome:
        """What `revoke_mass` would come to. Raises LedgerError for what it would refuse."""
        return mass_revocation.plan(self._read, issuer_id, self._page_bits(issuer_id), asked, now, progress)

    def revoke_mass(
        self,
        issuer_id: int,
        asked: Iterable[Revocation],
        now: int,
        batch: Batch,
        progress: Callable[[int], None],
    ) -> MassOutcome:
        """Revoke any number for ever, journalled, thousands a commit. Unknown serials are rejected one by one.

        On a revoked certificate only an earlier time or keyCompromise changes anything (A6). What
        `plan_mass_revocation` refuses is refused on the way: plan it first.
        """
        return mass_revocation.revoke(
            self._import, issuer_id, self._page_bits(issuer_id), asked, now, batch, progress
        )

    def living(self, issuer_id: int, now: int) -> Iterator[bytes]:
        """Serials of certificates that are neither revoked nor expired, read in parts."""
        return mass_revocation.living(self._read, issuer_id, now)

    # Responses that were signed elsewhere

    def put_signed_responses(
        self,
        issuer_id: int,
        responses: Sequence[SignedResponse],
        revocations: Sequence[Revocation],
        now: int,
        entries: Sequence[ImportEntry],
    ) -> None:
        """Keep all of them and revoke what they say is revoked, journalled, in one commit.

        Raises LedgerError for one that does not follow the one before.
        """
        with self._write() as connection:
            signed.put(connection, issuer_id, responses, revocations, now)
            for entry in entries:
                chain.append(
                    connection, now=now, actor=entry.actor, event="import-signed", detail=entry.detail
                )

    def signed_response(self, issuer_id: int, serial: bytes, hash_algorithm: int) -> SignedResponse | None:
        with self._read() as connection:
            return signed.latest(connection, issuer_id, serial, hash_algorithm)

    def answered(
        self, issuer_id: int, first_hash32: int = 0, last_hash32: int = 0xFFFFFFFF
    ) -> tuple[int, list[AnsweredCertificate]]:
        """The generation, and as of it every certificate in the range with its responses. For offline CAs: they have few."""
        with self._read() as connection:
            return signed.snapshot(connection, issuer_id, first_hash32, last_hash32)

    # The intake API

    def carry_out(self, group: Sequence[deeds.Deed], now: int) -> list[list[deeds.Result]]:
        """Deeds of several requests in one commit: a result an item of each, in the order asked."""
        with self._write() as connection:
            return deeds.do_all(connection, group, now)

    def state(self, issuer_id: int, serial: bytes) -> CertificateState | None:
        """What holds for a serial; None if it is neither issued nor reserved."""
        with self._read() as connection:
            return deeds.states(connection, issuer_id, [serial]).get(serial)

    # Changes and positions

    def generation(self, issuer_id: int) -> int:
        with self._read() as connection:
            return generations.current(connection, issuer_id)

    def data_version(self) -> int:
        """A number that differs when another connection committed since the last call. Costs microseconds."""
        with self._watching:
            cursor = self._watch.cursor()
            cursor.execute("PRAGMA data_version")
            (version,) = cursor.fetchall()[0]
            cursor.close()
            return int(version)

    def changes(self, issuer_id: int, after: int, limit: int) -> list[Change]:
        """The first `limit` changes with a generation above `after`, in order."""
        with self._read() as connection:
            return positions.changes(connection, issuer_id, after, limit)

    def newest_changes(self, issuer: LedgerIssuer, after: int, up_to: int) -> list[tuple[int, int, int]]:
        """Runs of pages, first and last, with the generation of their newest change above `after` and up to `up_to`."""
        with self._read() as connection:
            return list(newest.newest_changes(connection, issuer.id, after, up_to, 32 - issuer.page_bits))

    def tail_position(self, issuer_id: int) -> int:
        """Generation up to which every change is signed and stored; 0 before the first."""
        with self._read() as connection:
            return positions.tail(connection, issuer_id)

    def set_tail_position(self, issuer_id: int, generation: int) -> None:
        with self._write() as connection:
            positions.set_tail(connection, issuer_id, generation)

    def pending_changes(self, issuer_id: int) -> int:
        """How many changes are after the tail's position."""
        with self._read() as connection:
            return positions.pending(connection, issuer_id)

    def waiting_since(self, issuer_id: int) -> int | None:
        """When the oldest change was recorded that is not signed and stored yet; None if all are."""
        with self._read() as connection:
            return positions.waiting_since(connection, issuer_id)

    def changed_at(self, issuer_id: int) -> int | None:
        """When the newest change was recorded; None before the first."""
        with self._read() as connection:
            return positions.changed_at(connection, issuer_id)

    def confirmed_clock(self) -> tuple[int, int] | None:
        """The last time that `confirm_clock` recorded, after a number that grows with each."""
        with self._read() as connection:
            return positions.confirmed_clock(connection)

    def confirm_clock(self, now: int, actor: str) -> None:
        """Somebody says that `now` is the time."""
        self.journal(positions.CLOCK_CONFIRMED, {}, now, actor)

    def checkpoint(self, issuer_id: int) -> tuple[int, int] | None:
        """(cycle_start, next_page) of the scheduled pass, None before the first."""
        with self._read() as connection:
            return positions.checkpoint(connection, issuer_id)

    def set_checkpoint(self, issuer_id: int, cycle_start: int, next_page: int) -> None:
        with self._write() as connection:
            positions.set_checkpoint(connection, issuer_id, cycle_start, next_page)

    # Layouts

    def other_layout(self, issuer_id: int) -> Layout | None:
        """The layout of pages beside the one in force: filled if its epoch is higher, else to be unlinked."""
        with self._read() as connection:
            return layouts.other(connection, issuer_id)

    def begin_layout(self, issuer_id: int, page_bits: int) -> Layout:
        """The layout with so many pages that is to be filled. Raises LedgerError if there cannot be one now."""
        with self._write() as connection:
            return layouts.begin(connection, issuer_id, page_bits)

    def put_in_force(self, issuer_id: int, now: int, *, actor: str) -> None:
        """Have the other layout be the one in force, journalled; the one before becomes the other."""
        with self._write() as connection:
            layouts.put_in_force(connection, issuer_id, now, actor)

    def forget_layout(self, issuer_id: int) -> None:
        """The other layout, of which no page is left."""
        with self._write() as connection:
            layouts.forget(connection, issuer_id)

    # Templates

    def templates(self, issuer_id: int) -> dict[int, StoredTemplate]:
        """All templates of an issuer, by slot."""
        with self._read() as connection:
            return {one.slot: one for one in issuers.templates(connection, issuer_id)}

    def add_template(self, issuer_id: int, content: bytes) -> StoredTemplate:
        """The template with this content, added to the lowest free slot (0 to 255) if there is none."""
        with self._write() as connection:
            return issuers.add_template(connection, issuer_id, content)

    # CRLs

    def series(self, issuer_id: int) -> list[SeriesRow]:
        """All CRL series, by number."""
        with self._read() as connection:
            return crls.series(connection, issuer_id)

    def planned_series(self, name: str, plan: CrlPlan, now: int) -> tuple[int | None, list[SeriesRow]]:
        """The id of an issuer, None if it is new, and its series as `ensure_issuer` would leave them."""
        with self._read() as connection:
            found = next((one.id for one in issuers.everyone(connection) if one.name == name), None)
            known = [] if found is None else crls.series(connection, found)
            return found, crls.planned(known, found or 0, name, plan, now)

    @contextmanager
    def shard_snapshot(
        self, issuer_id: int, series: int, index: int, *, after: Publication | None
    ) -> Iterator[ShardSnapshot]:
        """Entries of one shard, to be read inside the `with` as often as needed, always as of one generation.

        An entry is left out when it was in `after` and its certificate had expired before that CRL's
        thisUpdate (C-18).
        """
        with self._read() as connection:
            yield crls.shard_snapshot(connection, issuer_id, series, index, after)

    @contextmanager
    def revoked_entries(
        self, issuer_id: int, series: int, index: int
    ) -> Iterator[Iterator[tuple[bytes, int, int, int, int]]]:
        """All entries that a shard ever had or will have, by serial, to be read inside the `with`.

        Serial, revocation time, reason, notAfter and the generation of the revocation.
        """
        with self._read() as connection:
            yield crls.revoked_entries(connection, issuer_id, series, index)

    def may_vanish(
        self, issuer_id: int, series: int, index: int, serial: bytes, live_this_update: int
    ) -> bool:
        """Whether an entry of a shard's live CRL may be missing from the next. Never for an unknown serial."""
        with self._read() as connection:
            return crls.may_vanish(connection, issuer_id, (series, index), serial, live_this_update)

    def latest_publication(self, issuer_id: int, series: int, index: int) -> Publication | None:
        with self._read() as connection:
            return crls.latest_publication(connection, issuer_id, series, index)

    def has_certificates(self, issuer_id: int) -> bool:
        """Whether any was ever issued."""
        with self._read() as connection:
            return crls.has_certificates(connection, issuer_id)

    def publications(self, issuer_id: int) -> list[Publication]:
        """The latest of every shard that has one, by series and index."""
        with self._read() as connection:
            return crls.publications(connection, issuer_id)

    def revoked_since(self, issuer_id: int, generation: int) -> Revoked:
        """Which shards have entries of a generation above this one."""
        with self._read() as connection:
            return crls.revoked_since(connection, issuer_id, generation)

    def reserve_crl_number(self, issuer_id: int, series: int, index: int, *, at_least: int = 1) -> int:
        """A crlNumber never given out before for this shard, committed before it is returned (C-08).

        `at_least` is one more than the number of a CRL found published, for a ledger restored from a backup.
        """
        with self._write() as connection:
            return crls.reserve_number(connection, issuer_id, series, index, at_least)

    def reserved_crl_number(self, issuer_id: int, series: int, index: int) -> int:
        """The highest one ever given out for a shard, 0 before the first."""
        with self._read() as connection:
            return crls.reserved_number(connection, issuer_id, series, index)

    def add_publication(self, publication: Publication) -> None:
        """Record a published CRL. Raises LedgerError for a number, time or generation that goes back."""
        with self._write() as connection:
            crls.add_publication(connection, publication)

    # Journal

    def journal(self, event: str, detail: dict[str, Any], now: int, actor: str) -> None:
        """Add an entry for a deed that is not a change of the ledger itself."""
        with self._write() as connection:
            chain.append(connection, now=now, actor=actor, event=event, detail=detail)

    def journal_entries(
        self, *, since: int | None = None, until: int | None = None, after: int = 0
    ) -> Iterator[chain.JournalEntry]:
        """Oldest first, of one read transaction: with a higher seq than `after`, recorded from `since` to `until`."""
        with self._read() as connection:
            yield from chain.entries(connection, since=since, until=until, after=after)

    def newest_entry(self, events: Collection[str]) -> chain.JournalEntry | None:
        """The last entry of one of these events."""
        with self._read() as connection:
            return chain.newest(connection, events)

    def verify_journal(self) -> int:
        """Length of the journal's unbroken chain. Raises LedgerError naming the first altered entry."""
        with self._read() as connection:
            return chain.verify(connection)


def _packed_parts(rows: Iterable[CertificateRow]) -> Iterator[bytes]:
    source = iter(rows)
    while found := list(itertools.islice(source, bulk.BATCH)):
        yield packed_rows(found)
