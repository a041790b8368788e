"""Importing certificates: read and check all of it, then write, so that a bad file changes nothing."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from _fastpath.intake import Lines
from _fastpath.staged import ROW_SIZE
from signer.intake.certificate import CertificateRows
from signer.intake.conflicts import conflicts
from signer.intake.csv_rows import CsvRows
from signer.intake.directory import DirectoryReader
from signer.intake.lines import LineReader
from signer.intake.ndjson import JsonRows
from signer.intake.openssl_index import OpensslIndex
from signer.intake.pem import der_file, pem_file
from signer.intake.rows import ImportRow, Notes, RowError
from signer.intake.scope import Scope
from signer.ledger.ledger import Ledger
from signer.ledger.staging import Staging
from signer.ledger.values import ImportEntry, ImportOutcome
from store.errors import UsageError

__all__ = ["FORMATS", "ImportReport", "StagedImport", "stage"]

REPORT_EVERY = 10_000  # rows between calls of `progress`

Progress = Callable[[int], None]


class Reader(Protocol):
    """What every format is read with."""

    says_good: bool  # whether a row without a revocation says that there is none
    octets: int  # read so far, for the progress

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def read(self) -> Iterator[tuple[int, ImportRow | RowError | Lines]]:
        """Where, as a number that `locate` knows, and what is there; many plain rows know theirs themselves."""

    def locate(self, where: int) -> tuple[str, int | None]:
        """File and line."""


def _openssl_index(path: Path, scope: Scope, scratch: Path | None) -> Reader:
    rows = OpensslIndex(scope.now)
    return LineReader(path, rows.parse, plain=rows.plain, remark=b"#")


def _csv(path: Path, scope: Scope, scratch: Path | None) -> Reader:
    rows = CsvRows(scope)
    return LineReader(path, rows.parse, plain=rows.plain, header=rows.begin)


def _ndjson(path: Path, scope: Scope, scratch: Path | None) -> Reader:
    return LineReader(path, JsonRows(scope).parse)


def _pem_directory(path: Path, scope: Scope, scratch: Path | None) -> Reader:
    return DirectoryReader(path, pem_file, CertificateRows(scope).parse, scratch)


def _der_directory(path: Path, scope: Scope, scratch: Path | None) -> Reader:
    return DirectoryReader(path, der_file, CertificateRows(scope).parse, scratch)


FORMATS: dict[str, Callable[[Path, Scope, Path | None], Reader]] = {
    "openssl-index": _openssl_index,
    "csv": _csv,
    "ndjson": _ndjson,
    "pem-dir": _pem_directory,
    "der-dir": _der_directory,
}


@dataclass(slots=True)
class ImportReport:
    """What a file holds, by row (rows = good + revoked + expired + rejected), and what came of it, by serial.

    Once written, or planned, outcome.serials = good + revoked + expired - duplicates.
    """

    rows: int = 0
    good: int = 0
    revoked: int = 0
    expired: int = 0  # and not revoked
    adjusted: Notes = field(default_factory=Notes)  # revoked, but with another reason or time than stated
    warnings: Notes = field(default_factory=Notes)  # recorded, but the certificate is against the rules
    rejected: Notes = field(default_factory=Notes)
    duplicates: int = 0  # rows more than serials
    outcome: ImportOutcome = field(default_factory=ImportOutcome)

    @property
    def accepted(self) -> int:
        return self.good + self.revoked + self.expired

    def count(self, revoked: bool, expired: bool, by: int = 1) -> None:
        """Under the one kind that a row belongs to."""
        if revoked:
            self.revoked += by
        elif expired:
            self.expired += by
        else:
            self.good += by

    def close(self, serials: int) -> None:
        """Find the duplicates, now that it is known how many serials there were, and hold the sums to what they say."""
        self.duplicates = self.accepted - serials
        assert self.rows == self.accepted + self.rejected.count
        assert 0 <= self.duplicates <= self.accepted


class StagedImport:
    """What was read: its report, and its certificates ready to be written."""

    def __init__(self, report: ImportReport, staging: Staging, reader: Reader, scope: Scope) -> None:
        self.report = report
        self._staging = staging
        self._reader = reader
        self._scope = scope
        self._refused: set[int] = set()

    @property
    def certificates(self) -> int:
        """At most: duplicates are known only after the merge."""
        return self.report.accepted

    def check_places(self, ledger: Ledger | None, issuer_id: int | None) -> None:
        """Reject rows that contradict each other, or the ledger if there is one."""
        if not self._staging.placed and not self._scope.shards.for_authorities:
            return
        for staged, why in conflicts(self._staging.groups(), ledger, issuer_id, self._scope.shards):
            if staged.where in self._refused:
                continue
            self._refused.add(staged.where)
            self.report.count(staged.row.revoked, staged.expired, by=-1)
            self._note(self.report.rejected, staged.where, why)

    def write(
        self, ledger: Ledger, issuer_id: int, now: int, progress: Progress, entry: ImportEntry | None = None
    ) -> None:
        """Record what was read. Commits as it goes; a second run after an interruption adds what is missing.

        `entry` is for the journal, which gets it only if something changes.
        """
        self.report.outcome = ledger.add_packed(
            issuer_id,
            self._staging.parts(self._refused),
            now,
            progress=progress,
            says_good=self._reader.says_good,
            entry=entry,
        )
        self.report.close(self.report.outcome.serials)

    def plan(self, ledger: Ledger | None, issuer_id: int | None) -> None:
        """Report what `write` would come to; no ledger or issuer: everything is new."""
        parts = self._staging.parts(self._refused)
        if ledger is None or issuer_id is None:
            self.report.outcome = ImportOutcome(new=_count(parts))
        else:
            self.report.outcome = ledger.plan_certificates(issuer_id, parts, says_good=self._reader.says_good)
        self.report.close(self.report.outcome.serials)

    def count(self) -> None:
        """Find the duplicates of what is not going to be written."""
        self.report.close(_count(self._staging.parts(self._refused)))

    def read(self, progress: Progress) -> None:
        """All rows, checked one by one."""
        report, octets, due = self.report, 0, REPORT_EVERY
        for where, row in self._reader.read():
            if isinstance(row, Lines):
                self._accept_plain(row)
            elif isinstance(row, RowError):
                report.rows += 1
                self._note(report.rejected, where, str(row))
            else:
                report.rows += 1
                self._accept(where, row)
            if report.rows >= due:
                progress(self._reader.octets - octets)
                octets, due = self._reader.octets, report.rows + REPORT_EVERY

    def _accept_plain(self, plain: Lines) -> None:
        report, count = self.report, len(plain.rows) // ROW_SIZE
        report.rows += count
        report.revoked += plain.revoked
        report.expired += plain.expired
        report.good += count - plain.revoked - plain.expired
        self._staging.extend(plain.rows, placed=plain.placed)

    def _accept(self, where: int, row: ImportRow) -> None:
        serial, not_after, revocation_time, reason, expired, adjusted, placement, warning = row
        self.report.count(revocation_time is not None, expired)
        self._staging.add(serial, not_after, revocation_time, reason, placement, expired, where)
        if adjusted:
            self._note(self.report.adjusted, where, f"serial {serial.hex()}: {adjusted}")
        if warning:
            self._note(self.report.warnings, where, f"serial {serial.hex()}: {warning}")

    def _note(self, notes: Notes, where: int, message: str) -> None:
        notes.add(lambda: self._reader.locate(where), message)


def _count(parts: Iterator[bytes]) -> int:
    return sum(map(len, parts)) // ROW_SIZE


@contextmanager
def stage(
    format: str, path: Path, scope: Scope, progress: Progress, scratch: Path | None
) -> Iterator[StagedImport]:
    """Read all of `path`. `scratch` is where large files are sorted; `progress` is told of octets read."""
    with ExitStack() as stack:
        try:
            staging = stack.enter_context(Staging(scratch))
            reader = stack.enter_context(FORMATS[format](path, scope, scratch))
            staged = StagedImport(ImportReport(), staging, reader, scope)
            staged.read(progress)
        except OSError as error:
            raise UsageError(
                f"{scratch or 'the temporary directory'}: cannot be used for sorting: {error.strerror}",
                remedy="see that its disk has room and that you may write there",
            ) from None
        yield staged
