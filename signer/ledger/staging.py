"""Sorting more certificates than fit in memory: runs in temporary files, merged by (hash32, serial), each serial once.

In that order rows fall beside each other in the table, and one serial's several rows beside each other here.
"""

import functools
import itertools
import tempfile
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from struct import Struct
from typing import IO, NamedTuple

from _fastpath.page import hash32
from _fastpath.staged import ROW_SIZE, first_not_above, rows_up_to, sort_rows
from signer.ledger.values import KEY_COMPROMISE, CertificateRow, PlacedBy, Placement, Revocation

__all__ = ["EXPIRED", "GOOD", "RANK", "REVOKED", "StagedRow", "Staging", "packed_rows", "unpacked"]

_ROW = Struct(">I20sBBqBqBHHQ")  # as `_fastpath.staged` says
_SERIAL_END = 25  # and the octet after it is the status
REVOKED, GOOD, EXPIRED = range(3)
TIME_BIAS = 1 << 40
_PLACED_BY = tuple(PlacedBy)  # the first, by hash, stands for no placement
RANK = {placed_by: rank for rank, placed_by in enumerate(_PLACED_BY)}
RUN = 250_000  # rows sorted at a time, 14 MB
READ = 2_048  # rows read at a time from each run


class StagedRow(NamedTuple):
    """A row as it was added."""

    row: CertificateRow
    expired: bool
    where: int


class Staging:
    """Add rows in any order, then read them from `merged`, again if need be. Use as a context manager."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._rows = bytearray()
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
        place = (rank, series, index, where)
        packed = _ROW.pack(hash32(serial), serial, len(serial), status, time, reason, not_after, *place)
        self.extend(packed, placed=rank > 0)

    def extend(self, rows: bytes, *, placed: bool = False) -> None:
        """The same for many that are packed. `placed`: some have a placement."""
        self._rows += rows
        self.added += len(rows) // ROW_SIZE
        self.placed |= placed
        if len(self._rows) >= RUN * ROW_SIZE:
            self._spill()

    def add_revocations(self, revocations: Iterable[Revocation]) -> None:
        """Without notAfter or placement; any number."""
        source = iter(revocations)
        while some := list(itertools.islice(source, READ)):
            packed = [
                _ROW.pack(
                    hash32(serial), serial, len(serial), REVOKED, time + TIME_BIAS, reason, 0, 0, 0, 0, 0
                )
                for serial, time, reason in some
            ]
            self.extend(b"".join(packed))

    def revocations(self) -> Iterator[Revocation]:
        """What `add_revocations` was given, by (hash32, serial) and each serial once, as `merged` says."""
        new = tuple.__new__
        for part in self.parts():
            yield from [
                new(Revocation, (padded[:length], time - TIME_BIAS, reason))
                for _, padded, length, _, time, reason, _, _, _, _, _ in _ROW.iter_unpack(part)
            ]

    def merged(self, without: AbstractSet[int] = frozenset()) -> Iterator[CertificateRow]:
        """Each serial once: revoked if any of its rows is, at the earliest time, with the latest notAfter.

        `without` are rows to pass over, by where they were read.
        """
        for part in self.parts(without):
            yield from unpacked(part)

    def parts(self, without: AbstractSet[int] = frozenset()) -> Iterator[bytes]:
        """The same, packed, many at a time."""
        last = b""
        for part in self._sorted():
            if without:
                part = b"".join(packed for packed in _each(part) if _where(packed) not in without)
            part = last + part
            if first_not_above(part) is not None:
                part = packed_rows(_combined(unpacked(part)))
            last = part[-ROW_SIZE:]
            if len(part) > ROW_SIZE:
                yield part[:-ROW_SIZE]
        if last:
            yield last

    def groups(self) -> Iterator[list[StagedRow]]:
        """All rows of each serial."""
        rows = itertools.chain.from_iterable(map(_each, self._sorted()))
        for _, group in itertools.groupby(rows, lambda packed: packed[:_SERIAL_END]):
            yield [
                StagedRow(unpacked(packed)[0], packed[_SERIAL_END] == EXPIRED, _where(packed))
                for packed in group
            ]

    def _sorted(self) -> Iterator[bytes]:
        """In parts."""
        return _merge([_read(run) for run in self._runs] + [_cut(sort_rows(bytes(self._rows)))])

    def _spill(self) -> None:
        run = tempfile.TemporaryFile(dir=self._directory)
        run.write(sort_rows(bytes(self._rows)))
        self._runs.append(run)
        self._rows.clear()


def packed_rows(rows: Iterable[CertificateRow]) -> bytes:
    """As `parts` gives them. Raises struct.error for what no row can hold."""
    return b"".join(map(_packed, rows))


def _packed(row: CertificateRow) -> bytes:
    hash32, serial, not_after, revocation_time, reason, placement = row
    status, time = (GOOD, 0) if revocation_time is None else (REVOKED, revocation_time + TIME_BIAS)
    rank, series, index = 0, 0, 0
    if placement is not None:
        rank, series, index = RANK[placement.placed_by], placement.series, placement.shard_index
    return _ROW.pack(hash32, serial, len(serial), status, time, reason, not_after, rank, series, index, 0)


def unpacked(part: bytes) -> list[CertificateRow]:
    """Rows of `parts`, made without a call of Python for each: an import has millions."""
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
            part
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


def _merge(runs: Iterable[Iterator[bytes]]) -> Iterator[bytes]:
    """Sorted runs as one, in parts: always up to where the first of the blocks at hand ends.

    Rows are sorted again rather than compared one by one: they are put where they belong by their hash32.
    """
    heads = [(block, run) for run in runs if (block := next(run, b""))]
    while len(heads) > 1:
        end = min(block[-ROW_SIZE:] for block, _ in heads)
        part = []
        rest = []
        for block, run in heads:
            cut = rows_up_to(block, end) * ROW_SIZE
            part.append(block[:cut])
            if left := block[cut:] or next(run, b""):
                rest.append((left, run))
        yield sort_rows(b"".join(part))
        heads = rest
    for block, run in heads:
        yield block
        yield from run


def _cut(rows: bytes) -> Iterator[bytes]:
    size = READ * ROW_SIZE
    return (rows[at : at + size] for at in range(0, len(rows), size))


def _read(run: IO[bytes]) -> Iterator[bytes]:
    run.seek(0)
    while block := run.read(READ * ROW_SIZE):
        yield block


def _each(part: bytes) -> Iterator[bytes]:
    return (part[at : at + ROW_SIZE] for at in range(0, len(part), ROW_SIZE))
