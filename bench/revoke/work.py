"""What the signer is at while revocations come: nothing, a full cycle, or an import."""

import contextlib
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Protocol

from bench.revoke.place import Place, command, wait_until
from bench.scale.corpus import ISSUER, write_index
from bench.scale.watched import Failed

__all__ = ["Work", "cycling", "idle", "importing"]

DAY = 86_400  # of which a cycle is, by default
SIGNED = 600  # seconds that the checkpoint is behind the clock when a cycle has ended, at most


class Work(Protocol):
    """Something that goes on."""

    def __call__(self) -> None:
        """Waits until it does."""


@contextlib.contextmanager
def idle(place: Place) -> Iterator[Work]:
    """Nothing."""
    yield lambda: None


@contextlib.contextmanager
def cycling(place: Place) -> Iterator[Work]:
    """Every page is due, again and again: when all are signed the checkpoint is put back to the beginning of time."""
    with place.ledger() as (ledger, issuer):
        pages = 1 << ledger.issuer(ISSUER).page_bits

        def ready() -> None:
            start, page = ledger.checkpoint(issuer) or (0, 0)
            if start + page * DAY // pages > time.time() - SIGNED:
                ledger.set_checkpoint(issuer, 0, 0)

        yield ready


@contextlib.contextmanager
def importing(place: Place, rows: int) -> Iterator[Work]:
    """Imports of so many new certificates, one after the other."""
    imports = _Imports(place, rows)
    imports.start()
    try:
        yield imports
    finally:
        imports.stop()


class _Imports(threading.Thread):
    """The files are written in between."""

    def __init__(self, place: Place, rows: int) -> None:
        super().__init__(name="imports")
        self._place = place
        self._rows = rows
        self._ended = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._failure: str | None = None
        self.count = 0

    def __call__(self) -> None:
        wait_until(self._goes_on)

    def _goes_on(self) -> bool:
        if self._failure is not None:
            raise Failed(self._failure)
        return self._process is not None and self._process.poll() is None

    def run(self) -> None:
        index = self._place.directory / "more.txt"
        while not self._ended.is_set():
            self.count += 1
            write_index(index, self._rows, 1_000 + self.count)
            words = command("import", self._place.config, "--issuer", ISSUER, str(index), "-q")
            with subprocess.Popen(words, cwd=self._place.directory, stdout=subprocess.DEVNULL) as process:
                self._process = process
            if process.returncode != 0 and not self._ended.is_set():
                self._failure = f"import: exit status {process.returncode}"
                return

    def stop(self) -> None:
        self._ended.set()
        if self._process is not None:
            self._process.terminate()
        self.join()
