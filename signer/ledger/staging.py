"""Sorting more certificates than fit in memory: runs in temporary files, merged by (hash32, serial), each serial once.

In that order rows fall beside each other in the table, and one serial's several rows beside each other here.
"""

import heapq
import tempfile
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import IO

from _fastpath.page import hash32
from signer.ledger.values import KEY_COMPROMISE, CertificateRow

__all__ = ["Staging"]

# hash32, serial padded with zeros, its length: sorts as (hash32, serial) does. Then 0 for revoked and the time: the
# first of a serial's rows is the earliest revocation. Then reason and notAfter.
_ROW = Struct(">I20sBBqBq")
_TIME_BIAS = 1 << 40  # keeps times before 1970 in order as unsigned octets
RUN = 250_000  # rows sorted at a time, about 25 MB
READ = 4_096  # rows read at a time from each run


class Staging:
    """Add rows in any order, then read them once from `merged`. Use as a context manager."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._rows: list[bytes] = []
        self._runs: list[IO[bytes]] = []
        self.added = 0

    def __enter__(self) -> "Staging":
        return self

    def __exit__(self, *_: object) -> None:
        for run in self._runs:
            run.close()

    def add(self, serial: bytes, not_after: int, revocation_time: int | None, reason: int) -> None:
        """`serial` is minimal and has at most 20 octets."""
        good = revocation_time is None
        time = 0 if revocation_time is None else revocation_time + _TIME_BIAS
        self._rows.append(_ROW.pack(hash32(serial), serial, len(serial), good, time, reason, not_after))
        self.added += 1
        if len(self._rows) >= RUN:
            self._spill()

    def merged(self) -> Iterator[CertificateRow]:
        """Each serial once: revoked if any of its rows is, at the earliest time, with the latest notAfter."""
        self._rows.sort()
        last = None
        for packed in heapq.merge(*(_read(run) for run in self._runs), self._rows):
            place, padded, length, good, time, reason, not_after = _ROW.unpack(packed)
            row = CertificateRow(
                place, padded[:length], not_after, None if good else time - _TIME_BIAS, reason
            )
            if last is None:
                last = row
            elif last.hash32 == place and last.serial == row.serial:
                last = _combine(last, row)
            else:
                yield last
                last = row
        if last is not None:
            yield last

    def _spill(self) -> None:
        self._rows.sort()
        run = tempfile.TemporaryFile(dir=self._directory)
        run.write(b"".join(self._rows))
        self._runs.append(run)
        self._rows = []


def _combine(first: CertificateRow, other: CertificateRow) -> CertificateRow:
    """Two rows of one serial, in order: revoked wins, keyCompromise wins, no entry leaves a CRL too early (D3)."""
    graver = other.revoked and other.reason == KEY_COMPROMISE
    return first._replace(
        reason=KEY_COMPROMISE if graver else first.reason, not_after=max(first.not_after, other.not_after)
    )


def _read(run: IO[bytes]) -> Iterator[bytes]:
    size = _ROW.size
    run.seek(0)
    while block := run.read(READ * size):
        for start in range(0, len(block), size):
            yield block[start : start + size]
