"""Writing what an import has committed from the WAL into the ledger's file: beside its commits, not within them."""

import sqlite3
from pathlib import Path
from threading import Condition, Thread
from types import TracebackType
from typing import Self

from sqlalchemy import Engine

from signer.ledger.backup import opened

__all__ = ["WriteBack"]

MOST = 8_192  # pages of the WAL, 32 MiB, from which an import waits
AHEAD = 8  # commits that are not written back, from which it waits too: how long the WAL is, is known late
PASSIVE = "PRAGMA wal_checkpoint(PASSIVE)"


class WriteBack:
    """A thread that writes back as far as readers allow, again after every commit. Use as a context manager.

    PASSIVE holds up neither readers nor writers, and while it works no commit of another connection begins the same. A
    commit that does it itself, as SQLite's do by default, holds the lock for as long again.
    """

    def __init__(self, engine: Engine) -> None:
        self._path = Path(engine.url.database or "")
        self._state = Condition()
        self._commits = self._settled = 0  # told of, and those that are written back
        self._pages = 0  # of the WAL
        self._ended = False
        self._error: sqlite3.Error | None = None
        self._thread = Thread(target=self._run, name="write-back")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._state:
            self._ended = True
            self._state.notify_all()
        self._thread.join()

    def committed(self) -> None:
        """There is more to write back."""
        with self._state:
            self._commits += 1
            self._state.notify_all()

    def wait(self) -> None:
        """Before a commit. Where the WAL is long, until all is written back: then it begins anew, instead of growing.

        Raises sqlite3.Error for what went wrong meanwhile.
        """
        with self._state:
            if self._pages >= MOST or self._commits - self._settled >= AHEAD:
                self._state.wait_for(lambda: self._settled == self._commits or self._error)
                self._pages = 0
            if self._error is not None:
                raise self._error

    def _run(self) -> None:
        try:
            with opened(self._path) as connection:
                while commits := self._next():
                    _, pages, _ = connection.execute(PASSIVE).fetchone()
                    with self._state:
                        self._settled, self._pages = commits, pages
                        self._state.notify_all()
        except sqlite3.Error as error:
            with self._state:
                self._error = error
                self._state.notify_all()

    def _next(self) -> int:
        """How many commits there are when some are not written back; 0 at the end."""
        with self._state:
            self._state.wait_for(lambda: self._settled < self._commits or self._ended)
            return self._commits if self._settled < self._commits else 0
