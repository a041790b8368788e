"""Copies of the ledger: taken while others write, whole as of one moment, checked, and never over another file."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from signer.files import sync_directory
from signer.ledger.errors import LedgerError

__all__ = [
    "BackupReport",
    "backup",
    "beside",
    "check_whole",
    "copy",
    "is_database",
    "opened",
    "summary",
]

PAGES = 4_096  # of the database a step: 16 MB
FILE_MODE = 0o600
MAGIC = b"SQLite format 3\0"  # https://sqlite.org/fileformat.html, section 1.3


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What a copy holds."""

    size: int  # octets
    generations: dict[str, int]  # by issuer
    journal_entries: int
    journal_hash: str | None  # of the last entry, hex


def backup(source: Path, target: Path, progress: Callable[[int, int], None]) -> BackupReport:
    """Copy a ledger to a new file, durably; `progress` is told pages done and all. Raises LedgerError.

    Nothing is at `target` before the copy is complete and checked.
    """
    if target.exists():
        raise _taken(target)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        copy(source, partial, progress)
        report = check_whole(partial)
        try:
            os.link(partial, target)
        except FileExistsError:
            raise _taken(target) from None
        except OSError as error:
            raise _unwritable(target, error) from None
        sync_directory(target.parent)
    finally:
        partial.unlink(missing_ok=True)
    return report


def beside(ledger: Path, what: str, now: int) -> Path:
    """A name beside the ledger that says what the file is and of when. It is not taken: two may come in one second."""
    stem = f"{ledger.name}.{what}.{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}"
    number = 0
    while (path := ledger.with_name(f"{stem}.{number}" if number else stem)).exists():
        number += 1
    return path


def copy(source: Path, target: Path, progress: Callable[[int, int], None]) -> None:
    """A database as of one moment, into one file without a WAL, synced. What is at `target` is overwritten."""
    _check_there(source)
    target.unlink(missing_ok=True)
    try:
        os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE))
    except OSError as error:
        raise _unwritable(target, error) from None
    with _told(source), opened(source) as origin, opened(target) as made:
        # One read transaction from the first page to the last: commits meanwhile neither show nor start it anew.
        origin.execute("BEGIN")
        origin.execute("SELECT count(*) FROM sqlite_master").fetchone()
        origin.backup(made, pages=PAGES, progress=lambda _, left, total: progress(total - left, total))
        made.execute("PRAGMA journal_mode = DELETE").fetchone()
    descriptor = os.open(target, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_whole(path: Path) -> BackupReport:
    """Look at every page of a ledger. Raises LedgerError for damage, and for what is not a ledger."""
    _check_there(path)
    with _told(path), opened(path) as connection:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check(10)")]
        if found != ["ok"]:
            raise LedgerError(
                f"{path}: the database is damaged: {'; '.join(found)[:500]}",
                remedy="use another backup; take a new one from the ledger if it is not damaged itself",
            )
    return summary(path)


def summary(path: Path) -> BackupReport:
    """What a ledger says of itself, its pages unseen. Raises LedgerError."""
    with _told(path), opened(path) as connection:
        generations = dict(connection.execute("SELECT name, generation FROM issuer ORDER BY name").fetchall())
        last = connection.execute("SELECT seq, entry_hash FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
    entries, digest = last if last else (0, None)
    return BackupReport(path.stat().st_size, generations, entries, digest.hex() if digest else None)


def is_database(path: Path) -> bool:
    """Whether a file begins as a database. SQLite would throw away the WAL of one that does not.

    Not for one that this process has open: closing a descriptor of it gives up its locks.
    """
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


@contextmanager
def opened(path: Path, seconds: float = 30) -> Iterator[sqlite3.Connection]:
    """A database that is there; waits so long for who holds it. Never makes one."""
    address = f"{path.absolute().as_uri()}?mode=rw"
    with closing(sqlite3.connect(address, timeout=seconds, isolation_level=None, uri=True)) as connection:
        yield connection


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise LedgerError(
            f"{path}: cannot be copied or read as a ledger: {error}",
            remedy="check that it is one, and that the disk has room",
        ) from error


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise LedgerError(f"{path}: there is no such file", remedy="check the path")


def _taken(path: Path) -> LedgerError:
    return LedgerError(f"{path}: is there already", remedy="a backup replaces nothing: name another file")


def _unwritable(path: Path, error: OSError) -> LedgerError:
    return LedgerError(
        f"{path}: cannot be written: {error.strerror}", remedy="check the directory and its room"
    )
