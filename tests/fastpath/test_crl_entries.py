"""What is asked of all entries of a CRL, against the same questions put in Python."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _fastpath.crl_entries import (
    first_difference,
    first_out_of_order,
    first_reason_outside,
    first_revoked_after,
    sample,
    serials_absent,
)
from _fastpath.crl_reader import Crl
from tests.fastpath.test_crl import YEAR_2050, Entry, encode_tbs, reasons, revocation_times, sign

# Few octets, so that serials repeat and begin with one another.
near_serials = st.lists(st.sampled_from([1, 2, 0x80]), min_size=1, max_size=3).map(bytes)
entry_lists = st.lists(st.tuples(near_serials, revocation_times, reasons), max_size=6)


def crl(entries: list[Entry]) -> Crl:
    return Crl(sign(encode_tbs(entries)))


@pytest.mark.invariant("D4")
@settings(max_examples=100)
@given(entries=entry_lists, expected=entry_lists, shared=st.integers(0, 6))
def test_first_difference(entries: list[Entry], expected: list[Entry], shared: int) -> None:
    expected = entries[:shared] + expected
    differing = (
        (index, *both)
        for index, both in enumerate(itertools.zip_longest(entries, expected))
        if both[0] != both[1]
    )
    assert first_difference(crl(entries), iter(expected)) == next(differing, None)


@pytest.mark.parametrize(
    "other", [(b"\x05", 7, 1), (b"\x04", 8, 1), (b"\x04", 7, 3), (b"\x04\x04", 7, 1), (b"\x04", 2**64, 1)]
)
def test_every_field_is_compared(other: Entry) -> None:
    entries = [(b"\x03", 7, 0), (b"\x04", 7, 1)]
    assert first_difference(crl(entries), entries) is None
    assert first_difference(crl(entries), [entries[0], other]) == (1, entries[1], other)


def test_no_more_is_read_than_the_difference() -> None:
    expected = iter([(b"\x03", 7, 0), (b"\x05", 7, 1), (b"\x06", 7, 1)])
    found = first_difference(crl([(b"\x03", 7, 0), (b"\x04", 7, 1)]), expected)
    assert found == (1, (b"\x04", 7, 1), (b"\x05", 7, 1))
    assert next(expected) == (b"\x06", 7, 1)


def test_an_error_of_the_other_side_comes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        first_difference(crl([(b"\x03", 7, 0)]), ((b"\x03", 7, 1 // number) for number in (0,)))


@settings(max_examples=100)
@given(entries=entry_lists)
def test_first_out_of_order(entries: list[Entry]) -> None:
    serials = [entry[0] for entry in entries]
    disorder = (index for index in range(1, len(serials)) if serials[index] <= serials[index - 1])
    assert first_out_of_order(crl(entries)) == next(disorder, None)


@settings(max_examples=100)
@given(entries=entry_lists, allowed=st.frozensets(reasons))
def test_first_reason_outside(entries: list[Entry], allowed: frozenset[int]) -> None:
    outside = (index for index, entry in enumerate(entries) if entry[2] not in allowed)
    assert first_reason_outside(crl(entries), allowed) == next(outside, None)


@settings(max_examples=100)
@given(entries=entry_lists, seconds=revocation_times)
def test_first_revoked_after(entries: list[Entry], seconds: int) -> None:
    later = (index for index, entry in enumerate(entries) if entry[1] > seconds)
    assert first_revoked_after(crl(entries), seconds) == next(later, None)


def test_the_very_second_is_not_after_it() -> None:
    assert first_revoked_after(crl([(b"\x01", 7, 0)]), 7) is None
    assert first_revoked_after(crl([(b"\x01", 7, 0)]), 6) == 0


def traits(entry: Entry) -> list[tuple[str, int | bool]]:
    serial, revocation_time, reason = entry
    size = len(serial) + (serial[0] >> 7)
    return [("size", size), ("reason", reason), ("late", revocation_time >= YEAR_2050)]


@settings(max_examples=100)
@given(
    entries=st.lists(
        st.tuples(
            st.binary(min_size=1, max_size=3).filter(lambda one: one[0] > 0), revocation_times, reasons
        ),
        max_size=40,
    )
)
def test_a_sample_has_all_that_occurs_and_nothing_for_nothing(entries: list[Entry]) -> None:
    chosen = sample(crl(entries))
    seen: set[tuple[str, int | bool]] = set()
    expected = []
    for entry in entries:
        if not seen.issuperset(traits(entry)):
            expected.append(entry)
        seen.update(traits(entry))
    assert chosen == expected


def test_a_sample_is_small_whatever_the_list() -> None:
    variety: list[Entry] = [
        (first + bytes(size - 1), when, reason)
        for size in range(1, 21)
        for first in (b"\x01", b"\x80")
        for when in (YEAR_2050 - 1, YEAR_2050)
        for reason in (0, 1, 3, 4, 5, 9)
    ]
    assert len(sample(crl(variety))) == 1 + 20 + 5 + 1
    assert len(sample(crl(variety[::-1]))) <= 27


@settings(max_examples=100)
@given(entries=entry_lists, serials=st.lists(near_serials))
def test_serials_absent(entries: list[Entry], serials: list[bytes]) -> None:
    absent = [serial for serial in sorted(serials) if serial not in {entry[0] for entry in entries}]
    assert serials_absent(crl(sorted(entries)), sorted(serials)) == absent
    assert set(serials_absent(crl(entries), serials)) >= set(absent)
