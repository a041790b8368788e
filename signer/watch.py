"""Following the index.txt of an issuer: what `openssl ca` changes in it is recorded as an import would."""

import itertools
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import msgspec

from signer.context import Context
from signer.intake.importer import ImportReport, StagedImport, stage
from signer.intake.rows import Note
from signer.intake.scope import Scope, Shards
from signer.journal import user
from signer.ledger.values import ImportEntry
from signer.watched_file import Changes, WatchedFile
from store.errors import OcspeedError
from store.text import printable

__all__ = ["LOOK", "IndexWatch", "WatchReport", "follow"]

LOOK = 0.5  # seconds between looks at the file
RETRY = 5.0  # after it could not be recorded
FORMAT = "openssl-index"


class WatchReport(msgspec.Struct, frozen=True):
    """What came of one change of the file."""

    issuer: str
    lines: int  # of the file
    fewer: int  # lines than before: nothing is taken back for that
    read: int  # lines of it, those around what had changed
    new: int
    newly_revoked: int
    updated: int
    kept_revoked: int  # revoked, though the file does not say so any more
    bad: int  # lines that say nothing certain, in the whole file
    found_bad: tuple[str, ...]  # those of them that were not told before, with line and reason


class IndexWatch:
    """One issuer's file. Bad lines hold up no others, and are tried again with each change. For one thread."""

    def __init__(self, context: Context, issuer: str, path: Path) -> None:
        self.issuer = issuer
        self._context = context
        self._file = WatchedFile(path)
        self._told: set[tuple[bytes, str]] = set()  # bad lines and what is bad of them

    def step(self) -> WatchReport | None:
        """Record what has changed; None as long as nothing has, or somebody is at it.

        Raises OcspeedError, UsageError for a file that is not there; the next step tries again.
        """
        if not self._file.settled():
            return None
        scratch = self._context.settings.state_directory
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=scratch, prefix="watch-") as copy:
            changes = self._file.copy_changes(copy)
            if changes is None:
                return None
            copy.flush()
            with stage(FORMAT, Path(copy.name), self._scope(), _ignore, scratch) as staged:
                self._record(staged)
                copy.seek(0)
                return self._settle(changes, staged.report, copy)

    def _scope(self) -> Scope:
        context, now = self._context, self._context.clock.now()
        plan = context.settings.issuer(self.issuer).crl.plan
        _, series = context.ledger.planned_series(self.issuer, plan, now)
        return Scope(context.issuer(self.issuer), Shards(self.issuer, series), now)

    def _record(self, staged: StagedImport) -> None:
        context = self._context
        if not staged.certificates:
            return staged.count()
        found = context.ledger_issuer(self.issuer, certificates=staged.certificates)
        staged.check_places(context.ledger, found.id)
        path = printable(str(self._file.path.absolute()))
        entry = ImportEntry(user(), {"issuer": self.issuer, "file": path, "rows": staged.report.rows})
        staged.write(context.ledger, found.id, context.clock.now(), _ignore, entry)

    def _settle(self, changes: Changes, report: ImportReport, copy: IO[bytes]) -> WatchReport:
        before, rejected, outcome = self._file.lines, report.rejected, report.outcome
        if rejected.count > len(rejected.first):  # not all are named
            changes.digests.clear()
        lines = _lines(copy, {note.line for note in rejected.first})
        bad, found = set(), []
        for note in rejected.first:
            assert note.line is not None
            line = changes.line_of(note.line)
            if changes.digests:
                changes.forget(line)
            key = lines[note.line], note.message
            bad.add(key)
            if key not in self._told:
                found.append(str(Note(printable(str(self._file.path)), line, note.message)))
        self._told = bad
        self._file.take(changes)
        return WatchReport(
            self.issuer,
            changes.lines,
            max(before - changes.lines, 0),
            changes.copied,
            outcome.new,
            outcome.revoked,
            outcome.updated,
            outcome.kept_revoked.count,
            rejected.count,
            tuple(found),
        )


def follow(
    watches: Sequence[IndexWatch],
    stop: threading.Event,
    told: Callable[[WatchReport], None],
    troubled: Callable[[str, OcspeedError], None],
) -> None:
    """Until `stop` is set. `troubled` is told of an issuer's trouble as long as it lasts, except at its first step:
    between two renames of `openssl ca` there is no file.
    """
    failed = dict.fromkeys(range(len(watches)), 0)
    wait = LOOK
    while not stop.wait(wait):
        wait = LOOK
        for number, watch in enumerate(watches):
            try:
                report = watch.step()
            except OcspeedError as error:
                failed[number] += 1
                if failed[number] > 1:
                    wait = RETRY
                    troubled(watch.issuer, error)
                continue
            failed[number] = 0
            if report is not None:
                told(report)


def _ignore(count: int) -> None:
    """Progress that nobody looks at."""


def _lines(copy: IO[bytes], wanted: set[int | None]) -> dict[int, bytes]:
    return {number: line for number, line in zip(itertools.count(1), copy) if number in wanted}
