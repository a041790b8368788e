"""What a floor costs when an answer enters a cache: the same records judged without one, and with 3,048,289 serials on it."""

import random
from typing import Any

import pytest

from _fastpath.certid import serial_from_int
from _fastpath.floor import Floor, sorted_hashes
from tests.fastpath.authority import good
from tests.fastpath.records import Source, bulk

SERIALS = 3_048_289  # revoked in 2020 within a day
FILLS = 1_000


@pytest.mark.benchmark(group=f"fill a cache with {FILLS} answers")
@pytest.mark.parametrize("entries", [0, SERIALS], ids=["no floor", "floor"])
def test_fill(benchmark: Any, entries: int) -> None:
    source = Source()
    numbers = random.Random(7)
    if entries:
        source.compiled.floor = Floor(bytes(16), sorted_hashes([numbers.randbytes(8 * entries)]))
    serials = [serial_from_int(numbers.getrandbits(126) | 1 << 126) for _ in range(FILLS)]
    replies = {serial: bulk(source.record(good(serial))) for serial in serials}

    def fill() -> None:
        source.cache.clear()
        for serial in serials:
            source.ask(serial)
            source.channel.take_outgoing()
            source.channel.feed(replies[serial], source.monotonic)

    benchmark.pedantic(fill, rounds=20, warmup_rounds=2)
    assert len(source.cache) == FILLS and source.below_floor == []
