"""Writers of one ledger come in turns: who commits and begins anew all the time keeps nobody waiting."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import Connection

from signer.ledger.engine import WRITE, _turn, open_engine
from signer.ledger.errors import LedgerError
from signer.ledger.ledger import Ledger
from signer.ledger.values import LedgerIssuer

ROOT = Path(__file__).parents[2]
HELD = 0.004  # seconds a commit of the importer takes
ASKED = 25


class Importer:
    """Writes without a pause, as an import does, and counts its commits."""

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url).execution_options(**{WRITE: True})
        self._stop = Event()
        self._thread = Thread(target=self._run)
        self.commits = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()
            self._engine.dispose()

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._engine.begin() as connection:
                _hold(connection)
            self.commits += 1


def _hold(connection: Connection) -> None:
    connection.exec_driver_sql("UPDATE issuer SET generation = generation")
    time.sleep(HELD)


def test_a_writer_waits_for_no_more_than_its_turn(ledger: Ledger, ledger_url: str, r1: LedgerIssuer) -> None:
    """The commit that is under way and, if it had begun to wait before, the next."""
    importer = Importer(ledger_url)
    waited: list[int] = []
    with importer.running():
        while not importer.commits:
            time.sleep(HELD)
        for number in range(ASKED):
            before = importer.commits
            ledger.set_tail_position(r1.id, number)
            waited.append(importer.commits - before)
            time.sleep(HELD / 2)
    assert max(waited) <= 3
    assert sum(waited) <= 2 * ASKED


def test_another_process_waits_for_no_more_than_its_turn(
    ledger: Ledger, ledger_url: str, r1: LedgerIssuer
) -> None:
    script = (
        "from signer.ledger.ledger import Ledger\n"
        f"ledger = Ledger.open({ledger_url!r})\n"
        f"for number in range({ASKED}):\n"
        "    input()\n"
        f"    ledger.set_tail_position({r1.id}, number)\n"
        "    print(number, flush=True)\n"
    )
    importer = Importer(ledger_url)
    waited: list[int] = []
    command = [sys.executable, "-c", script]
    with (
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        ) as other,
        importer.running(),
    ):
        assert other.stdin is not None and other.stdout is not None
        for _ in range(ASKED):
            before = importer.commits
            other.stdin.write("\n")
            other.stdin.flush()
            assert other.stdout.readline()
            waited.append(importer.commits - before)
    assert sum(waited[1:]) <= 4 * ASKED  # its start counts in the first


def test_a_directory_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(LedgerError, match="directory cannot be opened: No such file"),
        _turn(tmp_path / "a" / "b"),
    ):
        raise AssertionError("there is no turn to have")
