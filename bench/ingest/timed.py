"""`python -m bench.ingest.timed COMMITS ARGUMENT...`: `ocsp-signer` with these arguments, and its longest commit in a file.

A commit lasts from before the ledger is locked until after the checkpoint that may follow it.
"""

import sys
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.pool import Pool

from signer.cli import main as ocsp_signer
from signer.ledger.engine import WRITE

__all__ = ["main"]


class _Longest:
    """Of the write transactions of this process, which has one at a time."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began: float | None = None

    def begin(self, connection: Connection) -> None:
        if connection.get_execution_options().get(WRITE, False):
            self._began = time.monotonic()

    def end(self, connection: Any, record: object) -> None:
        if self._began is not None:
            self.seconds = max(self.seconds, time.monotonic() - self._began)
            self._began = None


def main(commits: Path, arguments: list[str]) -> None:
    longest = _Longest()
    event.listen(Engine, "begin", longest.begin)
    event.listen(Pool, "checkin", longest.end)
    sys.argv = ["ocsp-signer", *arguments]
    try:
        ocsp_signer()
    finally:
        commits.write_text(repr(longest.seconds))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
