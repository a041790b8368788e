"""F4: serials that collide in a table whose hash everybody knows cost no more than others."""

import random
import time
from collections.abc import Callable

import pytest

from _fastpath.certid import serial_from_int
from tests.fastpath.records import Source

MERSENNE = (1 << 61) - 1  # what Python reduces numbers by: all its multiples have one hash
COUNT = 4_000
ROUNDS = 3
MOST = 4  # times as much, beside the noise of a busy machine


def colliding() -> list[int]:
    return [MERSENNE * number for number in range(1 << 60, (1 << 60) + COUNT)]


def others() -> list[int]:
    chooser = random.Random(1)
    return [chooser.randrange(1 << 120, 1 << 121) for _ in range(COUNT)]


def took(work: Callable[[], None]) -> float:
    """CPU seconds, the least of some rounds."""
    found = []
    for _ in range(ROUNDS):
        begin = time.thread_time()
        work()
        found.append(time.thread_time() - begin)
    return min(found)


def keep(serials: list[int]) -> None:
    """Ask, be answered, and find it in the cache."""
    source = Source()
    names = [serial_from_int(serial) for serial in serials]
    for name in names:
        source.fetch(name)
    assert all(source.has(name) for name in names)


def keep_by_number(serials: list[int]) -> None:
    """The same in a table with the hash of numbers."""
    table = dict.fromkeys(serials, b"")
    assert all(serial in table for serial in serials)


@pytest.mark.slow  # it measures
@pytest.mark.invariant("F4")
def test_colliding_serials_cost_what_others_cost() -> None:
    assert len({hash(serial) for serial in colliding()}) == 1
    assert took(lambda: keep(colliding())) < MOST * took(lambda: keep(others()))


@pytest.mark.slow  # it measures
def test_a_table_that_is_known_would_be_noticed() -> None:
    assert took(lambda: keep_by_number(colliding())) > 10 * MOST * took(lambda: keep_by_number(others()))
