"""Opening the ledger's database: connection settings, write transactions and the state of its schema."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DatabaseError, IntegrityError

from signer.ledger.errors import LedgerError
from signer.ledger.schema import REVISION

__all__ = ["CHECKED_BEFORE", "WRITE", "open_engine", "schemas", "translated"]

WRITE = "ledger_write"
CHECKED_BEFORE = "ledger_checked_before"  # who writes has checked what the constraints ask
FILE_MODE = 0o600
BUSY_TIMEOUT_MS = 30_000
IMPORT_CACHE_KIB = 16_384  # the leaves that a commit of an import touches
# Of connections, by whether who writes has checked what the constraints ask. Checkpoints every 1,000 pages are SQLite's
# default; an import has `write_back` for them.
CHECKED = (
    "foreign_keys = OFF",
    "ignore_check_constraints = ON",
    "wal_autocheckpoint = 0",
    f"cache_size = -{IMPORT_CACHE_KIB}",
)
UNCHECKED = ("foreign_keys = ON", "ignore_check_constraints = OFF", "wal_autocheckpoint = 1000")
CREATE_REMEDY = (
    "a first one: create it with `ocsp-signer import`; one that was lost: put it back with `ocsp-signer ledger restore`, "
    "for a new one lacks its revocations; or correct `[ledger] url`"
)
UPGRADE_REMEDY = "stop every signing process, then `ocsp-signer ledger upgrade`"


def open_engine(url: str, *, create: bool = False, upgrade: bool = False) -> Engine:
    """An engine over a ledger whose schema is the newest; `create` makes one first, `upgrade` brings it up to date."""
    parsed = _parse(url)
    path = Path(parsed.database or "")
    if create:
        _create_file(path)
    elif not path.is_file():
        raise LedgerError(f"{path}: there is no ledger here", remedy=CREATE_REMEDY)
    engine = create_engine(parsed)
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    try:
        with translated(engine):
            _migrate(engine, path, create=create, upgrade=upgrade)
    except LedgerError:
        engine.dispose()
        raise
    return engine


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Raise the database's own troubles as LedgerError; a broken constraint is our mistake and stays what it is."""
    try:
        yield
    except IntegrityError:
        raise
    except (DatabaseError, sqlite3.DatabaseError) as error:  # the second where a driver's cursor is read
        cause = error.orig if isinstance(error, DatabaseError) else error
        raise LedgerError(
            f"{engine.url.database}: the ledger cannot be used: {cause}",
            remedy="check that the file is a ledger, that you may write to it, that its disk has room "
            "and that no other process holds it",
        ) from error


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    if parsed is None or parsed.get_backend_name() != "sqlite" or not parsed.database:
        raise LedgerError(
            "`[ledger] url` is not the address of a ledger", remedy='write url = "sqlite:///ledger.db"'
        )
    return parsed


def _create_file(path: Path) -> None:
    """The file has its mode before it has content; SQLite gives the WAL beside it the same one.

    A ledger that is there is never opened here: closing any descriptor of a file gives up all POSIX locks that this
    process has on it, and with them SQLite's. The last other process to leave would then remove the WAL under us.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE_MODE))
    except FileExistsError:
        return
    except OSError as error:
        raise LedgerError(
            f"{path}: the ledger cannot be created: {error.strerror}",
            remedy="make the directory, or correct `[ledger] url`",
        ) from None


def _configure(connection: Any, record: object) -> None:
    """Durable at commit: FULL makes WAL sync on every one. Transactions are begun by `_begin` alone."""
    connection.isolation_level = None
    for setting in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {setting}").close()


def _begin(connection: Connection) -> None:
    """A write takes the lock at once: upgrading a read lock fails when another writer came between."""
    options = connection.get_execution_options()
    if not options.get(WRITE, False):
        connection.exec_driver_sql("BEGIN")
        return
    _have_checked(connection, options.get(CHECKED_BEFORE, False))
    with _turn(Path(connection.engine.url.database or "")):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _have_checked(connection: Connection, before: bool) -> None:
    """Who checked `before` spares SQLite constraints, which take half of its time for a row, and writing back.

    Before the transaction begins: within one foreign keys cannot be switched. Only where that differs from the
    transaction before: SQLite compiles all statements anew.
    """
    if connection.info.get(CHECKED_BEFORE, False) == before:
        return
    driver = connection.connection.dbapi_connection
    assert driver is not None
    for setting in CHECKED if before else UNCHECKED:
        driver.execute(f"PRAGMA {setting}").close()
    connection.info[CHECKED_BEFORE] = before


@contextmanager
def _turn(ledger: Path) -> Iterator[None]:
    """The place of the one writer that comes next, of all threads and processes.

    SQLite has no queue: who waits looks again now and then, and an import that commits and begins anew all the time is
    nearly always faster. Here it waits behind who came before. The lock is on the directory, so that nothing is left
    behind, and not on the ledger, which must not be opened and closed (see `_create_file`).
    """
    try:
        descriptor = os.open(ledger.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise LedgerError(
            f"{ledger.parent}: the ledger's directory cannot be opened: {error.strerror}",
            remedy="see that it is there and that you may read it",
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def schemas(url: str) -> tuple[str | None, str | None]:
    """The schema of a ledger, None if it is none, and this release's. Raises LedgerError."""
    parsed = _parse(url)
    if not Path(parsed.database or "").is_file():
        raise LedgerError(f"{parsed.database}: there is no ledger here", remedy=CREATE_REMEDY)
    engine = create_engine(parsed)
    try:
        with translated(engine), engine.connect() as connection:
            return _revision(connection), REVISION
    finally:
        engine.dispose()


def _migrate(engine: Engine, path: Path, *, create: bool, upgrade: bool) -> None:
    with engine.begin() as connection:
        if _revision(connection) == REVISION:
            return
    from signer.ledger import upgrade as alembic  # takes a quarter of a second to load: not under the lock

    with engine.execution_options(**{WRITE: create or upgrade}).begin() as connection:
        found = _revision(connection)
        if found == REVISION:
            return
        if found is None and not create:
            raise LedgerError(
                f"{path}: is not a ledger, this release needs schema {REVISION}", remedy=CREATE_REMEDY
            )
        if found is not None and not alembic.is_known(found):
            raise LedgerError(
                f"{path}: has schema {found}, this release knows {REVISION} and older ones",
                remedy="run the release that upgraded it, or a later one",
            )
        if found is not None and not upgrade:
            raise LedgerError(
                f"{path}: has schema {found}, this release needs schema {REVISION}", remedy=UPGRADE_REMEDY
            )
        alembic.upgrade(connection)


def _revision(connection: Connection) -> str | None:
    """Where Alembic writes it down; None if it never did."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
