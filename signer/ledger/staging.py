"""Sorting more certificates than fit in memory: runs in temporary files, merged by (hash32, serial), each serial once.

In that order rows fall beside each other in the table, and one serial's several rows beside each other here.
"""

import functools
import itertools
import tempfile
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from struct import Struct
from typing import IO, NamedTuple

from _fastpath.page import hash32
from signer.ledger.values import KEY_COMPROMISE, CertificateRow, PlacedBy, Placement

__all__ = ["EXPIRED", "GOOD", "RANK", "REVOKED", "TIME_BIAS", "StagedFields", "StagedRow", "Staging"]

# hash32, serial padded with zeros, its length: sorts as (hash32, serial) does. Then the status and the time: the
# first of a serial's rows is the earliest revocation. Then reason and notAfter; the placement, weakest first, and
# where the row was read.
_ROW = Struct(">I20sBBqBqBHHQ")
_SERIAL_END = 25  # and the octet after it is the status
REVOKED, GOOD, EXPIRED = range(3)
TIME_BIAS = 1 << 40  # keeps times before 1970 in order as unsigned octets
_PLACED_BY = tuple(PlacedBy)  # the first, by hash, stands for no placement
RANK = {placed_by: rank for rank, placed_by in enumerate(_PLACED_BY)}
RUN = 250_000  # rows sorted at a time, about 28 MB
READ = 2_048  # rows read at a time from each run

# hash32, serial, its length, status, revocation time + TIME_BIAS (0 for none), reason, notAfter, rank of the placement
# (0 for none), its series and index, where.
StagedFields = tuple[int, bytes, int, int, int, int, int, int, int, int, int]


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
        status = REVOKED if revocation_time is not None else EXPIRED if expired else GOOD
        time = 0 if revocation_time is None else revocation_time + TIME_BIAS
        rank = series = index = 0
        if placement is not None:
            series, index, rank = placement.series, placement.shard_index, RANK[placement.placed_by]
            self.placed = True
        place = (rank, series, index, where)
        self.extend([(hash32(serial), serial, len(serial), status, time, reason, not_after, *place)])

    def extend(self, rows: Sequence[StagedFields], *, placed: bool = False) -> None:
        """The same for many. `placed`: some have a placement."""
        self._rows.extend(itertools.starmap(_ROW.pack, rows))
        self.added += len(rows)
        self.placed |= placed
        if len(self._rows) >= RUN:
            self._spill()

    def merged(self, without: AbstractSet[int] = frozenset()) -> Iterator[CertificateRow]:
        """Each serial once: revoked if any of its rows is, at the earliest time, with the latest notAfter.

        `without` are rows to pass over, by where they were read.
        """
        last: CertificateRow | None = None
        for part in self._sorted():
            if without:
                part = [packed for packed in part if _where(packed) not in without]
            rows = _rows(part) if last is None else [last, *_rows(part)]
            if len({row[1] for row in rows}) < len(rows):
                rows = _combined(rows)
            if rows:
                last = rows.pop()
                yield from rows
        if last is not None:
            yield last

    def groups(self) -> Iterator[list[StagedRow]]:
        """All rows of each serial."""
        rows = itertools.chain.from_iterable(self._sorted())
        for _, group in itertools.groupby(rows, lambda packed: packed[:_SERIAL_END]):
            yield [
                StagedRow(_rows([packed])[0], packed[_SERIAL_END] == EXPIRED, _where(packed))
                for packed in group
            ]

    def _sorted(self) -> Iterator[list[bytes]]:
        self._rows.sort()
        return _merge([_read(run) for run in self._runs] + [_parts(self._rows)])

    def _spill(self) -> None:
        self._rows.sort()
        run = tempfile.TemporaryFile(dir=self._directory)
        run.write(b"".join(self._rows))
        self._runs.append(run)
        self._rows = []


def _rows(part: Iterable[bytes]) -> list[CertificateRow]:
    """Many at once, made without a call of Python for each: an import has millions."""
    new = tuple.__new__
    return [
        new(
            CertificateRow,
            (
                hash32,
                padded[:length],
                not_after,
                time - TIME_BIAS if status == REVOKED else None,
                reason,
                Placement(series, index, _PLACED_BY[rank]) if rank else None,
            ),
        )
        for hash32, padded, length, status, time, reason, not_after, rank, series, index, _ in _ROW.iter_unpack(
            b"".join(part)
        )
    ]


def _combined(rows: Iterable[CertificateRow]) -> list[CertificateRow]:
    """Each serial once."""
    by_serial = (list(group) for _, group in itertools.groupby(rows, lambda row: row.serial))
    return [functools.reduce(_combine, group) for group in by_serial]


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
    return other if RANK[other.placed_by] > RANK[first.placed_by] else first


def _merge(runs: Iterable[Iterator[list[bytes]]]) -> Iterator[list[bytes]]:
    """Sorted runs as one, in parts: always up to where the first of the blocks at hand ends.

    Rows are sorted again rather than compared one by one: what is sorted in runs takes hardly more than looking at it.
    """
    heads = [(block, run) for run in runs if (block := next(run, []))]
    while len(heads) > 1:
        end = min(block[-1] for block, _ in heads)
        part: list[bytes] = []
        rest = []
        for block, run in heads:
            cut = bisect_right(block, end)
            part += block[:cut]
            if left := block[cut:] or next(run, []):
                rest.append((left, run))
        part.sort()
        yield part
        heads = rest
    for block, run in heads:
        yield block
        yield from run


def _parts(rows: Sequence[bytes]) -> Iterator[list[bytes]]:
    return (list(rows[at : at + READ]) for at in range(0, len(rows), READ))


def _read(run: IO[bytes]) -> Iterator[list[bytes]]:
    size = _ROW.size
    run.seek(0)
    while block := run.read(READ * size):
        yield [block[at : at + size] for at in range(0, len(block), size)]
