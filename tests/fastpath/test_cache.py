"""The worker's cache against a plain model of its rule, and its size against the memory it takes."""

import os
import random
import tracemalloc
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from _fastpath.certid import serial_from_int
from _fastpath.page import page_number
from tests.fastpath.authority import make_authority, make_template
from tests.fastpath.records import PAGE_BITS, Source

RUNS = [60, pytest.param(4_000, marks=pytest.mark.slow)]
OPERATIONS = 150
SERIALS = [serial_from_int(1 << shift | low) for shift in (40, 63, 127) for low in range(30)]
KEYS = [b"ocsp:page:demo:1:%d" % page for page in range(1 << PAGE_BITS)]


def page_key_of(serial: bytes) -> bytes:
    return KEYS[page_number(serial, PAGE_BITS)]


def sizes() -> tuple[dict[bytes, int], dict[bytes, int]]:
    """What is reckoned for each serial's entry and for each page, with room for it alone."""
    pages = {}
    for key in KEYS:
        roomy = Source()
        roomy.cache.mark_whole(key)
        pages[key] = roomy.cache.size
    entries = {}
    for serial in SERIALS:
        roomy = Source()
        roomy.fetch(serial)
        entries[serial] = roomy.cache.size - pages[page_key_of(serial)]
    return entries, pages


@dataclass
class ModelPage:
    size: int
    entries: set[bytes] = field(default_factory=set)
    used: bool = False
    whole: bool = False


class Model:
    """Pages in the order in which they come up for eviction; an entry goes with its page."""

    def __init__(self, limit: int, entry_sizes: dict[bytes, int], page_sizes: dict[bytes, int]) -> None:
        self.limit = limit
        self.entry_sizes = entry_sizes
        self.page_sizes = page_sizes
        self.pages: dict[bytes, ModelPage] = {}
        self.evicted = 0
        self.invalidated = 0

    @property
    def size(self) -> int:
        return sum(page.size for page in self.pages.values())

    @property
    def entries(self) -> set[bytes]:
        return {serial for page in self.pages.values() for serial in page.entries}

    def page(self, key: bytes) -> ModelPage:
        return self.pages.setdefault(key, ModelPage(self.page_sizes[key]))

    def put(self, serial: bytes) -> None:
        if serial in self.entries:
            self.invalidate([page_key_of(serial)])
        page = self.page(page_key_of(serial))
        page.entries.add(serial)
        page.size += self.entry_sizes[serial]
        self.evict()

    def mark_whole(self, key: bytes) -> None:
        self.page(key).whole = self.page(key).used = True
        self.evict()

    def find(self, serial: bytes) -> bool:
        page = self.pages.get(page_key_of(serial))
        if page is None or serial not in page.entries:
            return False
        page.used = True
        return True

    def evict(self) -> None:
        while self.size > self.limit:
            key = next(iter(self.pages))
            page = self.pages.pop(key)
            if page.used:
                page.used = False
                self.pages[key] = page
            else:
                self.evicted += len(page.entries)

    def invalidate(self, keys: list[bytes] | None) -> None:
        for key in list(self.pages) if keys is None else keys:
            page = self.pages.pop(key, None)
            self.invalidated += len(page.entries) if page else 0


class Pair:
    """A cache and its model, to which the same is done."""

    def __init__(self, limit: int, entry_sizes: dict[bytes, int], page_sizes: dict[bytes, int]) -> None:
        self.source = Source(limit)
        self.model = Model(limit, entry_sizes, page_sizes)

    def step(self, source: random.Random) -> None:
        serial, keys = source.choice(SERIALS), source.sample(KEYS, source.choice((1, 1, 2, 5)))
        cache = self.source.cache
        match source.choice(
            ("put",) * 8 + ("find",) * 6 + ("whole", "invalidate", "drop", "clear", "absent", "absent")
        ):
            case "put":
                self.source.fetch(serial)
                self.model.put(serial)
            case "find":
                assert self.source.has(serial) == self.model.find(serial)
            case "whole":
                cache.mark_whole(keys[0])
                self.model.mark_whole(keys[0])
            case "invalidate":
                cache.invalidate([b"ocsp:page:other:1:1", *keys])
                self.model.invalidate(keys)
            case "drop":
                cache.drop(keys[0])
                self.model.invalidate([key for key in KEYS if key.startswith(keys[0])])
            case "clear":
                if source.random() < 0.2:
                    cache.invalidate(None)
                    self.model.invalidate(None)
            case "absent":
                told = self.source.ask(b"\x01" + serial)
                self.source.reply_absent()
                page = self.model.pages.get(page_key_of(b"\x01" + serial))
                assert told == ["no_record" if page and page.whole else "page_incomplete"]
        self.compare()

    def compare(self) -> None:
        cache, model = self.source.cache, self.model
        assert cache.size == model.size <= cache.limit
        assert len(cache) == len(model.entries)
        assert (cache.evicted, cache.invalidated) == (model.evicted, model.invalidated)


@pytest.mark.conformance("H-20")
@pytest.mark.invariant("F2")
@pytest.mark.parametrize("runs", RUNS)
def test_the_cache_follows_its_rule(runs: int) -> None:
    """F2: bounded, by page, in order of eviction, with another round for what was used."""
    source = random.Random(runs)
    entry_sizes, page_sizes = sizes()
    evicted = 0
    for _ in range(runs):
        pair = Pair(source.choice((0, 500, 2_000, 5_000, 20_000, 60_000)) or 1, entry_sizes, page_sizes)
        for _ in range(OPERATIONS):
            pair.step(source)
        for serial in SERIALS:
            assert pair.source.has(serial) == pair.model.find(serial)
        evicted += pair.model.evicted
    assert evicted > runs


def test_a_limit_of_nothing_keeps_nothing() -> None:
    source = Source(0)
    assert source.fetch(SERIALS[0]).body
    source.cache.mark_whole(KEYS[0])
    assert (len(source.cache), source.cache.size, source.cache.evicted) == (0, 0, 0)


def test_what_a_page_had_goes_with_it() -> None:
    """An invalidation is about a page: nothing of it stays, nothing else goes, and it is not whole any more."""
    source = Source(page_bits=1)
    first, second = b"ocsp:page:demo:1:0", b"ocsp:page:demo:1:1"
    there = [serial for serial in SERIALS if page_number(serial, 1) == 0]
    other = [serial for serial in SERIALS if page_number(serial, 1) == 1]
    for serial in SERIALS:
        source.fetch(serial)
    for key in (first, second):
        source.cache.mark_whole(key)
    source.cache.invalidate([first])
    assert not any(source.has(serial) for serial in there)
    assert all(source.has(serial) for serial in other)
    unissued = [b"\x02" + serial for serial in (there[0], other[0], *SERIALS)]
    for serial in unissued:
        told = source.ask(serial)
        source.reply_absent()
        assert told == ["page_incomplete" if page_number(serial, 1) == 0 else "no_record"]


def test_a_used_page_gets_another_round() -> None:
    pages: dict[bytes, bytes] = {}
    for serial in SERIALS:
        pages.setdefault(page_key_of(serial), serial)
    one, two, three = list(pages.values())[:3]
    for used in (one, two):
        source = Source()
        source.fetch(one)
        source.fetch(two)
        full = Source(source.cache.size + 10)
        for serial in (one, two):
            full.fetch(serial)
        assert full.has(used)
        full.fetch(three)
        assert full.has(used) and full.has(three)
        assert not full.has(two if used == one else one)


@pytest.mark.parametrize("certificate", [True, False], ids=["with", "without"])
def test_the_size_is_that_of_the_memory(certificate: bool) -> None:
    """Within 30 %, for pages with many entries and with few."""
    template = make_authority().template if certificate else make_template()
    for page_bits in (4, 12):
        source = Source(template=template, page_bits=page_bits)
        serials = [random.Random(number).randbytes(16) for number in range(4_000)]
        serials = [b"\x01" + serial[1:] for serial in serials]
        source.fetch(b"\x7f")
        before = source.cache.size
        tracemalloc.start()
        for serial in serials:
            source.fetch(serial)
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        reckoned = source.cache.size - before
        assert len(source.cache) == 4_001
        assert 0.7 < reckoned / taken < 1.3, (reckoned, taken)


def resident() -> int:
    """Octets of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.invariant("F2")
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc here")
@pytest.mark.parametrize("puts", [20_000, pytest.param(200_000, marks=pytest.mark.slow)])
def test_memory_stays_bounded(puts: int) -> None:
    """F2: a flood of certificates costs no more than the limit."""
    limit = 4 << 20
    source = Source(limit, page_bits=10)
    for number in range(10_000):
        source.fetch(serial_from_int(1 << 100 | number))
    before = resident()
    for number in range(10_000, puts):
        source.fetch(serial_from_int(1 << 100 | number))
    assert source.cache.size <= limit
    assert source.cache.evicted > puts // 2
    assert resident() - before < limit // 2
