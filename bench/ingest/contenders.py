"""Those who read the same file into a database: each run says what it took."""

import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from bench.child import ran
from bench.ingest.corpus import HEADER
from signer.ledger.ledger import Ledger

__all__ = ["Import", "Rival", "Run", "Sqlite", "WrongImport", "available", "empty"]

ROOT = Path(__file__).parents[2]
KIBIBYTE = 1 << 10
PAUSE = 0.005  # seconds between two commits of a rival
# The table keeps what the file has, ordered as the ledger's is, by a key without order.
TABLES = {
    "openssl-index": (
        "tabs",
        0,
        "status, not_after, revocation, serial BLOB PRIMARY KEY, file, subject",
    ),
    "csv": ("csv", 1, HEADER.replace("serial", "serial BLOB PRIMARY KEY", 1)),
}


class WrongImport(RuntimeError):
    """An import failed, or recorded another number of certificates than the file has."""


@dataclass(frozen=True, slots=True)
class Run:
    """From the command's start to its end; CPU is user and system. `longest_commit` of ours alone."""

    rows: int
    seconds: float
    cpu: float
    peak_mib: float
    longest_commit: float | None = None


class Import:
    """`ocsp-signer import`, the whole process."""

    def __init__(self, config: Path, format: str, file: Path, rows: int) -> None:
        self.name = f"import {format}"
        self._config = config
        self._arguments = ["import", "--config", str(config), "--issuer", "bench", "--format", format]
        self._arguments += [str(file), "--quiet", "--json"]
        self._rows = rows

    def run(self) -> Run:
        """Into the ledger as it is: `empty` it before if it is to be that."""
        commits = self._config.with_name("commits")
        report = self._config.with_name("report.json")
        command = [sys.executable, "-m", "bench.ingest.timed", str(commits), *self._arguments]
        with report.open("wb") as output:
            seconds, used = ran(command, ROOT, output.fileno(), WrongImport)
        new = json.loads(report.read_text())["new"]
        if new != self._rows:
            raise WrongImport(f"{new} certificates recorded, not {self._rows}")
        return Run(
            self._rows,
            seconds,
            used.ru_utime + used.ru_stime,
            used.ru_maxrss / KIBIBYTE,
            float(commits.read_text()),
        )


class Sqlite:
    """`sqlite3 .import` into a bare table: nothing is checked, no date read, all in one commit."""

    def __init__(self, directory: Path, format: str, file: Path, rows: int) -> None:
        self.name = f"sqlite3 .import {format}"
        self._database = directory / "sqlite3.db"
        self._rows = rows
        mode, skip, columns = TABLES[format]
        self._script = (
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;\n"
            f"CREATE TABLE certificate ({columns}) WITHOUT ROWID;\n"
            f".mode {mode}\n"
            f".import --skip {skip} {file} certificate\n"
            "SELECT count(*) FROM certificate;\n"
        )

    def run(self) -> Run:
        """Into a new database."""
        _forget(self._database)
        script, report = self._database.with_suffix(".sql"), self._database.with_suffix(".txt")
        script.write_text(self._script)
        with report.open("wb") as output:
            seconds, used = ran(
                ["sqlite3", str(self._database), f".read {script}"], ROOT, output.fileno(), WrongImport
            )
        words = report.read_text().split()
        if words[-1:] != [str(self._rows)]:
            raise WrongImport(f"sqlite3 has {words[-1:]} rows, not {self._rows}")
        return Run(self._rows, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / KIBIBYTE)


class Rival:
    """Another writer of the ledger, which commits little and often, and how long each commit took."""

    def __init__(self, ledger: Path) -> None:
        self._url = f"sqlite:///{ledger}"
        self._stop = Event()
        self._thread = Thread(target=self._write)
        self.seconds: list[float] = []

    def __enter__(self) -> "Rival":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        ledger = Ledger.open(self._url)
        issuer = ledger.issuers()[0].id
        while not self._stop.wait(PAUSE):
            began = time.monotonic()
            ledger.set_tail_position(issuer, 0)
            self.seconds.append(time.monotonic() - began)
        ledger.close()


def empty(ledger: Path) -> None:
    """A new ledger without certificates. Making it is no import: a tenth of a second, when nobody else can be writing."""
    _forget(ledger)
    Ledger.open(f"sqlite:///{ledger}", create=True).close()


def available() -> bool:
    return shutil.which("sqlite3") is not None


def _forget(database: Path) -> None:
    """A SQLite database and what is beside it."""
    for path in database.parent.glob(f"{database.name}*"):
        path.unlink()
