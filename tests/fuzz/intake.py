"""Files of certificates: what is read and sorted many rows at once, beside what Python makes of each by itself."""

from collections.abc import Callable, Iterator
from typing import Protocol

from _fastpath.intake import Lines
from _fastpath.staged import (
    ROW_SIZE,
    by_shape,
    change_parameters,
    first_not_above,
    first_reason_outside,
    parameters,
    rows_up_to,
    series_of,
    sort_rows,
)
from signer.intake.openssl_index import OpensslIndex
from signer.intake.rows import ImportRow
from signer.ledger.staging import Staging
from signer.ledger.values import ALLOWED_REASONS
from tests.signer.ledgers import NOW
from tests.signer.test_intake_plain import CSV_LINES, INDEX_LINES, csv_rows

__all__ = ["check_csv", "check_index", "check_rows", "csv_files", "index_files", "packed_files"]

LONGEST = 200  # octets from which a line is too long
FIRST = 5  # number of the first line
KEY, STATUS, TIME, REASON, END, RANK, SERIES, INDEX = 25, 25, 26, 34, 35, 43, 44, 46
MOST_SERIAL, LENGTH = 20, 24
REVOKED, PLACED_BY = 0, (7, "hash", "file", "certificate", "reservation")
INDEX_READER, CSV_READER = OpensslIndex(NOW), csv_rows()


class _Reader(Protocol):
    def plain(self, block: bytes, first: int, longest: int) -> Lines: ...
    def parse(self, line: bytes) -> ImportRow: ...


def index_files() -> list[bytes]:
    lines = ["\t".join(line).encode() for line in INDEX_LINES]
    return [*lines, b"\n".join(lines) + b"\n", b"\r\n".join([*lines, b"# remark", b"", *lines])]


def csv_files() -> list[bytes]:
    lines = [",".join(line).encode() for line in CSV_LINES]
    return [*lines, b"\n".join(lines) + b"\n", b"\r\n".join([*lines, b"", *lines])]


def packed_files() -> list[bytes]:
    return [
        INDEX_READER.plain(index_files()[2] * 3, 1, LONGEST).rows,
        CSV_READER.plain(csv_files()[2], 1, LONGEST).rows,
    ]


def check_index(data: bytes) -> None:
    _check(INDEX_READER, data)


def check_csv(data: bytes) -> None:
    _check(CSV_READER, data)


def _check(reader: _Reader, data: bytes) -> None:
    """Every line is left, or a row that `parse` reads of it too, with nothing to tell of it."""
    found = reader.plain(data, FIRST, LONGEST)
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    lines = [
        line.removesuffix(b"\r") if at + 1 < len(lines) or data.endswith(b"\n") else line
        for at, line in enumerate(lines)
    ]
    left = dict(found.left)
    assert found.lines == len(lines)
    assert left == {at: lines[at] for at in left}
    with Staging() as staging:
        staging.extend(found.rows, placed=found.placed)
        rows = {one.where - FIRST: one for group in staging.groups() for one in group}
    assert rows.keys() | left.keys() == set(range(len(lines))) and not rows.keys() & left.keys()
    read = {at: reader.parse(lines[at]) for at in rows}
    for at, row in read.items():
        assert len(lines[at]) < LONGEST and not row.adjusted and not row.warning
        assert rows[at].row[1:] == (row.serial, row.not_after, row.revocation_time, row.reason, row.placement)
        assert rows[at].expired == row.expired
    assert found.revoked == sum(row.revocation_time is not None for row in read.values())
    assert found.expired == sum(row.expired for row in read.values())
    assert found.placed is any(row.placement for row in read.values())


def check_rows(data: bytes) -> None:
    """Any octets as packed rows: order, constraints and parameters are what plain slices say, or refused."""
    rows = [data[at : at + ROW_SIZE] for at in range(0, len(data) - ROW_SIZE + 1, ROW_SIZE)]
    packed = b"".join(rows)
    ordered = sorted(rows)
    assert sort_rows(packed) == b"".join(ordered)
    assert all(rows_up_to(b"".join(ordered), row) == sum(one <= row for one in rows) for row in rows[:5])
    assert first_not_above(packed) == next(
        (at for at in range(1, len(rows)) if rows[at][:KEY] <= rows[at - 1][:KEY]), None
    )
    assert first_reason_outside(packed, ALLOWED_REASONS) == next(
        (
            at
            for at, row in enumerate(rows)
            if row[REASON] not in (ALLOWED_REASONS if row[STATUS] == REVOKED else {0})
        ),
        None,
    )
    assert series_of(packed) == {_number(row, SERIES, 2) for row in rows if row[RANK]}
    shapes = by_shape(packed)
    assert shapes == tuple(b"".join(row for row in rows if _shape(row) == shape) for shape in range(3))
    if any(row[LENGTH] > MOST_SERIAL for row in rows):
        _refuses(lambda: change_parameters(packed, 1, 9, NOW))
        return
    assert change_parameters(packed, 1, 9, NOW) == [
        (9 + at, NOW, _number(row, 0, 4), _serial(row)) for at, row in enumerate(rows)
    ]
    for shape in shapes:
        some = [shape[at : at + ROW_SIZE] for at in range(0, len(shape), ROW_SIZE)]
        if all(row[RANK] < len(PLACED_BY) - 1 for row in some):
            assert parameters(shape, 1, 16, PLACED_BY, 9) == [(9, *_values(row)) for row in some]


def _refuses(call: Callable[[], object]) -> None:
    try:
        call()
    except ValueError:
        return
    raise AssertionError("a serial that is too long was taken")


def _shape(row: bytes) -> int:
    return 2 if row[STATUS] == REVOKED else int(row[RANK] > 0)


def _values(row: bytes) -> Iterator[object]:
    hashed = _number(row, 0, 4)
    yield from (hashed, _serial(row), _signed(_number(row, END, 8)))
    if _shape(row) == 0:
        yield hashed % 16
        return
    placed = (_number(row, SERIES, 2), _number(row, INDEX, 2)) if row[RANK] else (PLACED_BY[0], hashed % 16)
    yield from (*placed, PLACED_BY[1 + row[RANK]])
    if row[STATUS] == REVOKED:
        yield from (_signed(_number(row, TIME, 8) - (1 << 40)), row[REASON])


def _serial(row: bytes) -> bytes:
    return row[4 : 4 + row[LENGTH]]


def _number(row: bytes, at: int, size: int) -> int:
    return int.from_bytes(row[at : at + size])


def _signed(value: int) -> int:
    """Of 64 bits."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)
