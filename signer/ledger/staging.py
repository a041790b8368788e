"""Sorting more certificates than fit in memory: runs in temporary files, merged by (hash32, serial), each serial once.

In that order rows fall beside each other in the table, and one serial's several rows beside each other here.
"""

import heapq
import itertools
import tempfile
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from struct import Struct
from typing import IO, NamedTuple

from _fastpath.page import hash32
from signer.ledger.values import KEY_COMPROMISE, CertificateRow, PlacedBy, Placement

__all__ = ["StagedRow", "Staging"]

# hash32, serial padded with zeros, its length: sorts as (hash32, serial) does. Then the status and the time: the
# first of a serial's rows is the earliest revocation. Then reason and notAfter; the placement, weakest first, and
# where the row was read.
_ROW = Struct(">I20sBBqBqBHHQ")
_SERIAL_END = 25  # and the octet after it is the status
_REVOKED, _GOOD, _EXPIRED = range(3)
_TIME_BIAS = 1 << 40  # keeps times before 1970 in order as unsigned octets
_PLACED_BY = tuple(PlacedBy)  # the first, by hash, stands for no placement
_RANK = {placed_by: rank for rank, placed_by in enumerate(_PLACED_BY)}
RUN = 250_000  # rows sorted at a time, about 28 MB
READ = 4_096  # rows read at a time from each run


class StagedRow(NamedTuple):
    """A row as it was added."""

    row: CertificateRow
    expired: bool
    where: int


class Staging:
    """Add rows in any order, then read them from `merged`, again if need be. Use as a context manager."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._rows: list[bytes] = []
        self._runs: list[IO[bytes]] = []
        self.added = 0
        self.placed = False  # whether any row has a placement

    def __enter__(self) -> "Staging":
        return self

    def __exit__(self, *_: object) -> None:
        for run in self._runs:
            run.close()

    def add(
        self,
        serial: bytes,
        not_after: int,
        revocation_time: int | None,
        reason: int,
        placement: Placement | None = None,
        expired: bool = False,
        where: int = 0,
    ) -> None:
        """`serial` is minimal and has at most 20 octets; `expired` and `where`, below 2^64, are the caller's."""
        status = _REVOKED if revocation_time is not None else _EXPIRED if expired else _GOOD
        time = 0 if revocation_time is None else revocation_time + _TIME_BIAS
        rank = series = index = 0
        if placement is not None:
            series, index, rank = placement.series, placement.shard_index, _RANK[placement.placed_by]
            self.placed = True
        self._rows.append(
            _ROW.pack(
                hash32(serial),
                serial,
                len(serial),
                status,
                time,
                reason,
                not_after,
                rank,
                series,
                index,
                where,
            )
        )
        self.added += 1
        if len(self._rows) >= RUN:
            self._spill()

    def merged(self, without: AbstractSet[int] = frozenset()) -> Iterator[CertificateRow]:
        """Each serial once: revoked if any of its rows is, at the earliest time, with the latest notAfter.

        `without` are rows to pass over, by where they were read.
        """
        last = None
        for packed in self._sorted():
            if without and _where(packed) in without:
                continue
            row = _row(packed)
            if last is None:
                last = row
            elif last.hash32 == row.hash32 and last.serial == row.serial:
                last = _combine(last, row)
            else:
                yield last
                last = row
        if last is not None:
            yield last

    def groups(self) -> Iterator[list[StagedRow]]:
        """All rows of each serial."""
        for _, group in itertools.groupby(self._sorted(), lambda packed: packed[:_SERIAL_END]):
            yield [
                StagedRow(_row(packed), packed[_SERIAL_END] == _EXPIRED, _where(packed)) for packed in group
            ]

    def _sorted(self) -> Iterator[bytes]:
        self._rows.sort()
        return (
            heapq.merge(*(_read(run) for run in self._runs), self._rows) if self._runs else iter(self._rows)
        )

    def _spill(self) -> None:
        self._rows.sort()
        run = tempfile.TemporaryFile(dir=self._directory)
        run.write(b"".join(self._rows))
        self._runs.append(run)
        self._rows = []


def _row(packed: bytes) -> CertificateRow:
    place, padded, length, status, time, reason, not_after, rank, series, index, _ = _ROW.unpack(packed)
    return CertificateRow(
        place,
        padded[:length],
        not_after,
        time - _TIME_BIAS if status == _REVOKED else None,
        reason,
        Placement(series, index, _PLACED_BY[rank]) if rank else None,
    )


def _where(packed: bytes) -> int:
    return int.from_bytes(packed[-8:])


def _combine(first: CertificateRow, other: CertificateRow) -> CertificateRow:
    """Two rows of one serial, in order: revoked wins, keyCompromise wins, no entry leaves a CRL too early (D3).

    Of two placements the one by who knows better holds; that they agree else is the caller's business.
    """
    graver = other.revoked and other.reason == KEY_COMPROMISE
    return first._replace(
        reason=KEY_COMPROMISE if graver else first.reason,
        not_after=max(first.not_after, other.not_after),
        placement=_stronger(first.placement, other.placement),
    )


def _stronger(first: Placement | None, other: Placement | None) -> Placement | None:
    if first is None or other is None:
        return first or other
    return other if _RANK[other.placed_by] > _RANK[first.placed_by] else first


def _read(run: IO[bytes]) -> Iterator[bytes]:
    size = _ROW.size
    run.seek(0)
    while block := run.read(READ * size):
        for start in range(0, len(block), size):
            yield block[start : start + size]
