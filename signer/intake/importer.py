"""Importing a file of certificates: read and check all of it, then write, so that a bad file changes nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from signer.intake.openssl_index import OpensslIndex
from signer.intake.rows import ImportRow, Notes, RowError
from signer.ledger.ledger import Ledger
from signer.ledger.staging import Staging
from signer.ledger.values import ImportOutcome
from store.errors import UsageError

__all__ = ["FORMATS", "ImportReport", "StagedImport", "stage"]

FORMATS = {"openssl-index": OpensslIndex}
REPORT_EVERY = 10_000  # rows between calls of `progress`

Progress = Callable[[int], None]


@dataclass(slots=True)
class ImportReport:
    """What a file holds, by row (rows = good + revoked + expired + rejected), and what came of it, by serial.

    Serials that were not rejected = new + unchanged + newly_revoked + updated + kept_revoked
    = good + revoked + expired - duplicates, once written.
    """

    rows: int = 0
    good: int = 0
    revoked: int = 0
    expired: int = 0  # and not revoked
    adjusted: Notes = field(
        default_factory=Notes
    )  # revoked, but with another reason or time than the file says
    rejected: Notes = field(default_factory=Notes)
    duplicates: int = 0  # rows more than serials
    outcome: ImportOutcome = field(default_factory=ImportOutcome)


class StagedImport:
    """A file that was read: its report, and its certificates ready to be written."""

    def __init__(self, report: ImportReport, staging: Staging) -> None:
        self.report = report
        self._staging = staging

    @property
    def certificates(self) -> int:
        """At most: duplicates are known only after the merge."""
        return self._staging.added

    def write(self, ledger: Ledger, issuer_id: int, now: int, progress: Progress) -> None:
        """Record what was read. Commits as it goes; a second run after an interruption adds what is missing."""
        serials = 0

        def settled(count: int) -> None:
            nonlocal serials
            serials += count
            progress(count)

        rows = self._staging.merged()
        self.report.outcome = ledger.add_certificates(issuer_id, rows, now, progress=settled)
        self.report.duplicates = self._staging.added - serials

    def count(self) -> None:
        """Find the duplicates without writing: for a dry run."""
        self.report.duplicates = self._staging.added - sum(1 for _ in self._staging.merged())


@contextmanager
def stage(
    format: str, path: Path, now: int, progress: Progress, scratch: Path | None
) -> Iterator[StagedImport]:
    """Read a whole file. `scratch` is where large files are sorted; `progress` is told of octets read."""
    report = ImportReport()
    with Staging(scratch) as staging, _open(path) as file:
        reader = FORMATS[format](now)
        read = 0
        for number, row in reader.read(file):
            report.rows += 1
            if isinstance(row, RowError):
                report.rejected.add(number, str(row))
            else:
                _accept(report, number, row)
                staging.add(row.serial, row.not_after, row.revocation_time, row.reason)
            if report.rows % REPORT_EVERY == 0:
                position = file.tell()
                progress(position - read)
                read = position
        yield StagedImport(report, staging)


def _accept(report: ImportReport, number: int, row: ImportRow) -> None:
    if row.revocation_time is not None:
        report.revoked += 1
        if row.adjusted:
            report.adjusted.add(number, f"serial {row.serial.hex()}: {row.adjusted}")
    elif row.expired:
        report.expired += 1
    else:
        report.good += 1


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("rb", buffering=1 << 20)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read: {error.strerror}", remedy="check the path and its permissions"
        ) from None
