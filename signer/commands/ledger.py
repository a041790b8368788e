"""`ledger backup`, `ledger upgrade`: copies of the ledger, and its schema."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from signer.commands.output import print_json, print_text
from signer.config import load_settings
from signer.journal import user
from signer.ledger.backup import BackupReport, beside
from signer.ledger.backup import backup as make_copy
from signer.ledger.engine import schemas
from signer.ledger.errors import LedgerError
from signer.ledger.ledger import Ledger
from store.clock import Clock, SystemClock
from store.progress import bar

__all__ = ["backup", "page_bar", "upgrade"]


def backup(file: Path, path: Path, *, as_json: bool, quiet: bool, clock: Clock | None = None) -> None:
    """Copy the ledger to `path` while everything runs, and journal it."""
    settings = load_settings(file)
    with closing(Ledger.open(settings.ledger_url)) as ledger:
        with page_bar("copy", quiet=quiet) as progress:
            report = make_copy(settings.ledger_path, path, progress)
        found = _described(path, report)
        ledger.journal("backup", found, (clock or SystemClock()).now(), user())
    if as_json:
        print_json(found)
    else:
        print_text(f"{path}: {report.size:,} octets, {report.journal_entries} entries of the journal")


def upgrade(file: Path, *, as_json: bool, quiet: bool, clock: Clock | None = None) -> None:
    """Bring the ledger's schema up to this release, after a backup beside it. Raises LedgerError."""
    settings = load_settings(file)
    now = (clock or SystemClock()).now()
    before, after = schemas(settings.ledger_url)
    copy: Path | None = None
    if before is None:
        raise LedgerError(
            f"{settings.ledger_path}: is not a ledger", remedy="check `[ledger] url` in the configuration"
        )
    if before != after:
        copy = beside(settings.ledger_path, f"schema-{before}", now)
        with page_bar("back up", quiet=quiet) as progress:
            make_copy(settings.ledger_path, copy, progress)
        with closing(Ledger.open(settings.ledger_url, upgrade=True)) as ledger:
            detail = {"from": before, "to": after, "backup": str(copy)}
            ledger.journal("upgrade", detail, now, user())
    if as_json:
        print_json({"from": before, "to": after, "backup": str(copy) if copy else None})
    elif copy is None:
        print_text(f"schema {after} already")
    else:
        print_text(f"schema {before} is {after} now; as it was: {copy}")


@contextmanager
def page_bar(task: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Progress of a copy, in pages of the database: told how many are done and how many there are."""
    told = 0
    with bar(task, None, quiet=quiet) as advance:

        def progress(done: int, total: int) -> None:
            nonlocal told
            advance(done - told)
            told = done

        yield progress


def _described(path: Path, report: BackupReport) -> dict[str, Any]:
    return {
        "file": str(path.absolute()),
        "size": report.size,
        "generations": report.generations,
        "journal_entries": report.journal_entries,
        "journal_hash": report.journal_hash,
    }
