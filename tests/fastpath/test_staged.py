"""Packed rows against plain Python over the same rows."""

import random
from collections import Counter
from struct import Struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from _fastpath.page import hash32
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

PACKED = Struct(">I20sBBqBqBHHQ")
BIAS = 1 << 40
REVOKED, GOOD, EXPIRED = range(3)
PLACED_BY = (7, "hash", "file", "certificate")


def packed(
    serial: bytes, status: int = GOOD, time: int = 0, reason: int = 0, end: int = 9,
    place: tuple[int, int, int] = (0, 0, 0), where: int = 0, hashed: int | None = None,
) -> bytes:  # fmt: skip
    """`place` is rank, series and index."""
    number = hash32(serial) if hashed is None else hashed
    biased = time + BIAS if status == REVOKED else 0
    return PACKED.pack(number, serial, len(serial), status, biased, reason, end, *place, where)


def cut(rows: bytes) -> list[bytes]:
    return [rows[at : at + ROW_SIZE] for at in range(0, len(rows), ROW_SIZE)]


GOOD_ROW, PLACED_ROW = packed(b"\x01"), packed(b"\x02", place=(1, 3, 4))
REVOKED_ROW = packed(b"\x03", REVOKED, -5, 4, -9)


@given(st.lists(st.tuples(st.integers(0, (1 << 32) - 1), st.binary(max_size=20), st.integers(0, 40))))
def test_rows_are_sorted_as_octets(values: list[tuple[int, bytes, int]]) -> None:
    rows = [packed(serial, hashed=number, where=where) for number, serial, where in values]
    assert cut(sort_rows(b"".join(rows))) == sorted(rows)


@pytest.mark.parametrize("hashes", [1, 40, 1 << 32])
@pytest.mark.parametrize("serials", [1, 3, 1 << 64])
def test_many_rows_are_sorted_whatever_they_share(hashes: int, serials: int) -> None:
    chooser = random.Random(hashes + serials)
    rows = [
        packed(
            chooser.randrange(serials).to_bytes(8),
            hashed=chooser.randrange(hashes) << 20 & 0xFFFFFFFF,
            where=chooser.randrange(1 << 64),
        )
        for _ in range(3_000)
    ]
    assert cut(sort_rows(b"".join(rows))) == sorted(rows)


def test_rows_up_to_one_are_counted() -> None:
    rows = sorted(packed(bytes([number % 50])) for number in range(100))
    for row in (*rows, bytes(ROW_SIZE), b"\xff" * ROW_SIZE):
        assert rows_up_to(b"".join(rows), row) == sum(one <= row for one in rows)
    assert rows_up_to(b"", rows[0]) == 0


def test_order_goes_by_the_serial_and_not_by_what_is_said_of_it() -> None:
    one, same = packed(b"\x01", where=1, hashed=5), packed(b"\x01", where=2, hashed=5)
    longer, other = packed(b"\x01\x00", hashed=5), packed(b"\x00", hashed=6)
    assert first_not_above(b"") is None
    assert first_not_above(one + longer + other) is None
    assert first_not_above(one + longer + other + other) == 3
    assert first_not_above(one + same) == 1
    assert first_not_above(longer + one) == 1
    assert first_not_above(other + one + longer) == 1


def test_a_reason_is_one_of_those_allowed_and_of_a_revoked_row() -> None:
    allowed = frozenset({0, 1, 4})
    rows = [GOOD_ROW, REVOKED_ROW, packed(b"\x09", REVOKED, reason=0), PLACED_ROW]
    assert first_reason_outside(b"".join(rows), allowed) is None
    bad = (packed(b"\x01", REVOKED, reason=6), packed(b"\x01", reason=4), packed(b"\x01", EXPIRED, reason=1))
    for row in (*bad, packed(b"\x01", REVOKED, reason=32), packed(b"\x01", REVOKED, reason=255)):
        assert first_reason_outside(b"".join(rows) + row, allowed) == len(rows)


def test_the_series_that_are_named() -> None:
    places = [(1, 3, 0), (1, 3, 9), (2, 65_535, 0), (0, 8, 0), (1, 0, 0)]
    rows = b"".join(packed(b"\x01", place=place) for place in places)
    assert series_of(rows) == {0, 3, 65_535}
    assert series_of(GOOD_ROW) == set()


def test_parameters_are_what_the_rows_say() -> None:
    shapes = by_shape(GOOD_ROW + REVOKED_ROW + PLACED_ROW + packed(b"\x04", EXPIRED, end=-3))
    assert shapes == (GOOD_ROW + packed(b"\x04", EXPIRED, end=-3), PLACED_ROW, REVOKED_ROW)
    good, placed, revoked = (parameters(rows, 1, 16, PLACED_BY, 99) for rows in shapes)
    one, other, third, fourth = (hash32(bytes([number])) for number in (1, 4, 2, 3))
    assert good == [(99, one, b"\x01", 9, one % 16), (99, other, b"\x04", -3, other % 16)]
    assert placed == [(99, third, b"\x02", 9, 3, 4, "file")]
    assert revoked == [(99, fourth, b"\x03", -9, 7, fourth % 16, "hash", -5, 4)]
    placed_and_revoked = packed(b"\x03", REVOKED, 5, 1, place=(2, 0, 8))
    assert parameters(placed_and_revoked, 1, 16, PLACED_BY, 99) == [
        (99, fourth, b"\x03", 9, 0, 8, "certificate", 5, 1)
    ]


def test_a_serial_is_bound_without_asking_for_an_adapter() -> None:
    assert type(parameters(GOOD_ROW, 1, 1, PLACED_BY, 1)[0][2]) is bytearray
    assert type(change_parameters(GOOD_ROW, 1, 1, 1)[0][3]) is bytearray


def test_rows_come_together_in_tuples_as_long_as_there_are_enough() -> None:
    rows = [packed(bytes([number])) for number in range(10)]
    found = parameters(b"".join(rows), 4, 1, PLACED_BY, 99)
    assert [(values[0], len(values)) for values in found] == [(99, 17), (99, 17)]
    assert [value for values in found for value in values[2::4]] == [bytes([at]) for at in range(8)]


def test_changes_are_numbered_on_from_statement_to_statement() -> None:
    rows = [packed(bytes([number])) for number in range(5)]
    assert change_parameters(b"".join(rows), 2, 1 << 48, 77) == [
        (1 << 48, 77, hash32(b"\0"), b"\0", hash32(b"\1"), b"\1"),
        ((1 << 48) + 2, 77, hash32(b"\2"), b"\2", hash32(b"\3"), b"\3"),
    ]
    assert change_parameters(b"", 2, 1, 77) == []
    with pytest.raises(ValueError, match="0 rows together"):
        change_parameters(rows[0], 0, 1, 77)
    with pytest.raises(ValueError, match="a serial of 21 octets"):
        change_parameters(rows[0][:24] + b"\x15" + rows[0][25:], 1, 1, 77)


def test_the_driver_takes_no_rows_of_several_shapes() -> None:
    with pytest.raises(ValueError, match="different shapes"):
        parameters(GOOD_ROW + REVOKED_ROW, 2, 1, PLACED_BY, 1)


def test_parts_of_rows_are_refused() -> None:
    for part in (GOOD_ROW[:-1], GOOD_ROW + b"x"):
        for call in (sort_rows, first_not_above, by_shape, series_of):
            with pytest.raises(ValueError, match="not whole rows"):
                call(part)
    with pytest.raises(ValueError, match="not one row"):
        rows_up_to(GOOD_ROW, GOOD_ROW[:-1])
    with pytest.raises(ValueError, match="a serial of 21 octets"):
        parameters(GOOD_ROW[:24] + b"\x15" + GOOD_ROW[25:], 1, 1, PLACED_BY, 1)
    for together, shards in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="together"):
            parameters(GOOD_ROW, together, shards, PLACED_BY, 1)


def test_sorting_loses_no_row() -> None:
    rows = [packed(bytes([number % 7]), where=number % 3) for number in range(500)]
    assert Counter(cut(sort_rows(b"".join(rows)))) == Counter(rows)
