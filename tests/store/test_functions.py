"""functions.lua on a real server: what the guard lets through, what it refuses, and that it matters (A1)."""

import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from _fastpath.page import HEADER_FIELD, PageHeader, encode_page
from store.connection import Endpoint
from store.errors import StoreError
from store.writer import (
    PagePut,
    PageWriter,
    PutResult,
    PutStatus,
    RecordPut,
    check_functions,
    install_functions,
)
from tests.store.pages import KEY, NOW, page, record

A, B, C, D = b"\x0a", b"\x0b", b"\x0c", b"#"
EPOCH = 1 << 48


@pytest.fixture(params=[True, False], ids=["restored", "by field"])
def writer(request: pytest.FixtureRequest, client: redis.Redis, endpoint: Endpoint) -> PageWriter:
    """Both ways in which a page comes, under the same guard."""
    return PageWriter(client, endpoint.url, restores=request.param)


def put(writer: PageWriter, put: PagePut | RecordPut) -> PutResult:
    results = writer.put_pages([put]) if isinstance(put, PagePut) else writer.put_records([put])
    assert len(results) == 1
    return results[0]


def change(as_of: int, serial: bytes, *, revoked: bool, this_update: int = NOW) -> RecordPut:
    return RecordPut(
        KEY, as_of, this_update, serial, record(serial, revoked=revoked, this_update=this_update)
    )


def restorable(status: dict[bytes, bool]) -> bytes:
    """A page as RESTORE takes it."""
    value = encode_page(9, NOW, page(status, 9).records)
    assert value is not None
    return value


def fields(client: redis.Redis) -> dict[bytes, bytes]:
    found: Any = client.hgetall(KEY)
    return dict(found)


def contents(put: PagePut, header: PageHeader) -> dict[bytes, bytes]:
    return {HEADER_FIELD: header.encode(), **put.records}


# Whole pages.


def test_first_page_is_written_with_its_header(client: redis.Redis, writer: PageWriter) -> None:
    first = page({A: False, B: True, D: False}, 7)
    result = put(writer, first)
    assert result == PutResult(PutStatus.WRITTEN, PageHeader(7, NOW, 3, 1))
    assert result.header is not None
    assert fields(client) == contents(first, result.header)


def test_empty_page_is_a_header(client: redis.Redis, writer: PageWriter) -> None:
    assert put(writer, page({}, 7)).status is PutStatus.WRITTEN
    assert fields(client) == {HEADER_FIELD: PageHeader(7, NOW, 0, 0).encode()}


def test_a_page_replaces_the_one_before_whole(client: redis.Redis, writer: PageWriter) -> None:
    put(writer, page({A: False, B: False}, 7))
    second = page({C: False}, 8)
    assert put(writer, second) == PutResult(PutStatus.WRITTEN, PageHeader(8, NOW, 1, 0))
    assert fields(client) == contents(second, PageHeader(8, NOW, 1, 0))


@pytest.mark.conformance("R-20")
@pytest.mark.invariant("A1", "C3")
@pytest.mark.parametrize(
    ("as_of", "this_update", "status"),
    [
        (100, NOW, PutStatus.STALE),  # the same again
        (101, NOW, PutStatus.WRITTEN),
        (100, NOW + 1, PutStatus.WRITTEN),
        (101, NOW + 1, PutStatus.WRITTEN),
        (99, NOW, PutStatus.STALE),
        (100, NOW - 1, PutStatus.STALE),
        (99, NOW + 1, PutStatus.STALE),  # newer signature over an older snapshot
        (101, NOW - 1, PutStatus.STALE),  # signer's clock behind
        (EPOCH, NOW, PutStatus.WRITTEN),  # a restored ledger starts an epoch
        (EPOCH + 99, NOW + 1, PutStatus.WRITTEN),
        (0, NOW + 1, PutStatus.STALE),
    ],
)
def test_order_of_pages_and_records(
    client: redis.Redis, writer: PageWriter, as_of: int, this_update: int, status: PutStatus
) -> None:
    old = page({A: False}, 100)
    for attempt in (
        page({A: False}, as_of, this_update),
        change(as_of, A, revoked=False, this_update=this_update),
    ):
        client.delete(KEY)
        put(writer, old)
        result = put(writer, attempt)
        written = PageHeader(as_of, this_update, 1, 0)
        assert result == PutResult(
            status, written if status is PutStatus.WRITTEN else PageHeader(100, NOW, 1, 0)
        )
        if status is PutStatus.STALE:
            assert fields(client) == contents(old, PageHeader(100, NOW, 1, 0))


@pytest.mark.invariant("A1")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (2**53, 2**53 + 1),  # where doubles leave out numbers
        ((3 << 48) | (2**48 - 2), (3 << 48) | (2**48 - 1)),
        (2**64 - 2, 2**64 - 1),
        (0x00FF << 48, 0x0100 << 48),  # where comparing octets as text of a locale would err
        (0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000),
    ],
)
def test_generations_are_compared_exactly(writer: PageWriter, before: int, after: int) -> None:
    assert put(writer, page({A: False}, before)).status is PutStatus.WRITTEN
    assert put(writer, page({A: False}, after)) == PutResult(PutStatus.WRITTEN, PageHeader(after, NOW, 1, 0))
    assert put(writer, page({A: False}, before)) == PutResult(PutStatus.STALE, PageHeader(after, NOW, 1, 0))


@pytest.mark.conformance("R-20")
@pytest.mark.invariant("A1")
@pytest.mark.parametrize(
    ("statuses", "removed", "status"),
    [
        ({A: True, B: True, C: False}, (), PutStatus.WRITTEN),
        ({A: True, B: False, C: False}, (), PutStatus.REVOKED_FELL),  # B would be good again
        ({A: True, C: False}, (), PutStatus.REVOKED_FELL),  # B is gone and nobody said so
        ({A: True, C: False}, (B,), PutStatus.WRITTEN),
        ({C: False}, (A,), PutStatus.REVOKED_FELL),
        ({C: False}, (A, A), PutStatus.REVOKED_FELL),  # naming one twice does not free another
        ({C: False}, (A, D), PutStatus.REVOKED_FELL),  # D is not in the page
        ({}, (A, C), PutStatus.REVOKED_FELL),  # C is not revoked
        ({C: False}, (A, B), PutStatus.WRITTEN),
        ({A: True, B: True}, (C,), PutStatus.WRITTEN),
        ({A: True, B: True}, (), PutStatus.WRITTEN),  # an expired good record needs no name
        ({A: True, B: True, C: True}, (), PutStatus.WRITTEN),
    ],
)
def test_the_revoked_count_falls_by_named_removals_alone(
    client: redis.Redis,
    writer: PageWriter,
    statuses: dict[bytes, bool],
    removed: tuple[bytes, ...],
    status: PutStatus,
) -> None:
    old = page({A: True, B: True, C: False}, 1)
    put(writer, old)
    new = page(statuses, 2, removed=removed)
    result = put(writer, new)
    assert result.status is status
    assert result.header is not None
    assert fields(client) == contents(new if status is PutStatus.WRITTEN else old, result.header)
    assert result.header.revoked_count == (sum(statuses.values()) if status is PutStatus.WRITTEN else 2)


@pytest.mark.invariant("C4")
@pytest.mark.parametrize(
    "damage",
    [
        {A: b"\1"},
        {HEADER_FIELD: b""},
        {HEADER_FIELD: b"\x01" + b"\xff" * 19, A: b"\1"},
        {HEADER_FIELD: b"\x02" + b"\xff" * 20, A: b"\1"},
    ],
    ids=["no header", "empty", "short", "format"],
)
def test_a_damaged_page_is_written_anew_but_takes_no_record(
    client: redis.Redis, writer: PageWriter, damage: dict[bytes, bytes]
) -> None:
    for name, value in damage.items():
        client.hset(KEY, name, value)
    assert put(writer, change(9, A, revoked=True)) == PutResult(PutStatus.NO_HEADER, None)
    assert fields(client) == damage
    assert put(writer, page({B: False}, 1)) == PutResult(PutStatus.WRITTEN, PageHeader(1, NOW, 1, 0))


def test_a_key_of_another_type_is_a_damaged_page(client: redis.Redis, writer: PageWriter) -> None:
    client.set(KEY, b"?")
    assert put(writer, change(9, A, revoked=True)) == PutResult(PutStatus.NO_HEADER, None)
    assert put(writer, page({B: False}, 1)).status is PutStatus.WRITTEN


def test_a_page_longer_than_one_hset(client: redis.Redis, writer: PageWriter) -> None:
    serials = [number.to_bytes(4, "big") for number in range(1 << 24, (1 << 24) + 5000)]
    big = page({serial: index % 10 == 0 for index, serial in enumerate(serials)}, 1)
    assert put(writer, big) == PutResult(PutStatus.WRITTEN, PageHeader(1, NOW, 5000, 500))
    assert fields(client) == contents(big, PageHeader(1, NOW, 5000, 500))


def test_a_page_of_64_with_both_signatures_is_a_listpack(client: redis.Redis, writer: PageWriter) -> None:
    serials = [bytes([1 + number]) * 16 for number in range(64)]
    put(writer, page({serial: serial[0] % 8 == 0 for serial in serials}, 1))
    assert client.hlen(KEY) == 65
    assert client.object("ENCODING", KEY) == b"listpack"


# Single records.


def test_a_record_changes_one_field_and_the_header(client: redis.Redis, writer: PageWriter) -> None:
    first = page({A: False, B: False}, 1)
    put(writer, first)
    revocation = change(2, A, revoked=True, this_update=NOW + 5)
    assert put(writer, revocation) == PutResult(PutStatus.WRITTEN, PageHeader(2, NOW + 5, 2, 1))
    assert fields(client) == {**contents(first, PageHeader(2, NOW + 5, 2, 1)), A: revocation.record}


@pytest.mark.invariant("A1")
@pytest.mark.parametrize(
    ("serial", "revoked", "status", "count", "revoked_count"),
    [
        (A, False, PutStatus.WRITTEN, 2, 1),
        (A, True, PutStatus.WRITTEN, 2, 2),
        (B, True, PutStatus.WRITTEN, 2, 1),  # another reason
        (B, False, PutStatus.REVOKED_FELL, 2, 1),
        (C, False, PutStatus.WRITTEN, 3, 1),
        (C, True, PutStatus.WRITTEN, 3, 2),
    ],
)
def test_counts_after_a_record(
    client: redis.Redis,
    writer: PageWriter,
    serial: bytes,
    revoked: bool,
    status: PutStatus,
    count: int,
    revoked_count: int,
) -> None:
    put(writer, page({A: False, B: True}, 1))
    result = put(writer, change(2, serial, revoked=revoked))
    as_of = 2 if status is PutStatus.WRITTEN else 1
    assert result == PutResult(status, PageHeader(as_of, NOW, count, revoked_count))
    assert client.hlen(KEY) == count + 1


def test_changes_of_one_page_in_order(client: redis.Redis, writer: PageWriter) -> None:
    put(writer, page({}, 1))
    results = writer.put_records(
        change(2 + index, bytes([1 + index]), revoked=index % 2 == 0) for index in range(20)
    )
    assert [result.status for result in results] == [PutStatus.WRITTEN] * 20
    assert results[-1].header == PageHeader(21, NOW, 20, 10)
    assert client.hlen(KEY) == 21


# Arguments no writer of ours sends: refused before anything is written.


@pytest.mark.parametrize(
    ("function", "args"),
    [
        ("ocspeed_page_put", []),
        ("ocspeed_page_put", [0, "x", NOW, 0]),
        ("ocspeed_page_put", [1 << 16, 1, NOW, 0]),
        ("ocspeed_page_put", [0, 1 << 48, NOW, 0]),
        ("ocspeed_page_put", [0, -1, NOW, 0]),
        ("ocspeed_page_put", [0, 1.5, NOW, 0]),
        ("ocspeed_page_put", [0, 9, 1 << 32, 0]),
        ("ocspeed_page_put", [0, 9, NOW, 0, A]),
        ("ocspeed_page_put", [0, 9, NOW, 3, A, B]),
        ("ocspeed_page_put", [0, 9, NOW, 1, b""]),
        ("ocspeed_page_put", [0, 9, NOW, 0, b"", b"\0"]),
        ("ocspeed_page_put", [0, 9, NOW, 0, A, b""]),
        ("ocspeed_page_put", [0, 9, NOW, 1, A, A, b"\0"]),
        ("ocspeed_page_restore", []),
        ("ocspeed_page_restore", [b""]),
        ("ocspeed_page_restore", [b"\0"]),
        ("ocspeed_page_restore", [restorable({A: False}), b""]),
        ("ocspeed_record_put", [0, 9, NOW, A]),
        ("ocspeed_record_put", [0, 9, NOW, b"", b"\0"]),
        ("ocspeed_record_put", [0, 9, NOW, A, b""]),
        ("ocspeed_record_put", [0, 9, NOW, A, b"\0", B, b"\0"]),
    ],
)
def test_bad_arguments_write_nothing(
    client: redis.Redis, writer: PageWriter, function: str, args: list[bytes | int | str]
) -> None:
    first = page({A: False}, 1)
    put(writer, first)
    with pytest.raises(redis.ResponseError, match="ocspeed"):
        client.fcall(function, 1, KEY, *args)
    assert fields(client) == contents(first, PageHeader(1, NOW, 1, 0))


@pytest.mark.parametrize(
    ("position", "octet"),
    [(0, 17), (1, 0x81), (10, 7), (11, 1), (12, 0x81), (13, 2), (14, 0x94), (15, 2), (31, 0)],
    ids=["type", "length", "fewer", "more", "field", "backwards", "header length", "format", "count"],
)
def test_a_page_that_does_not_begin_with_its_header_is_refused(
    client: redis.Redis, position: int, octet: int
) -> None:
    """The guard goes by the header that is in the page."""
    value = bytearray(restorable({A: False, B: True}))
    assert value[position] != octet
    value[position] = octet
    with pytest.raises(redis.ResponseError, match="not a page with its header"):
        client.fcall("ocspeed_page_restore", 1, KEY, bytes(value))
    assert fields(client) == {}


def test_a_removal_that_is_in_the_page_does_not_stay(client: redis.Redis) -> None:
    """An absent page is a fault that is seen and mended."""
    with pytest.raises(redis.ResponseError, match="a named removal is among the records"):
        client.fcall("ocspeed_page_restore", 1, KEY, restorable({A: False, B: True}), A)
    assert fields(client) == {}


@pytest.mark.parametrize("position", [4, 6, 26, 33, 50, -1])
def test_a_page_that_was_damaged_on_its_way_changes_nothing(client: redis.Redis, position: int) -> None:
    value = bytearray(restorable({A: False}))
    value[position] ^= 1
    reply: Any = client.fcall("ocspeed_page_restore", 1, KEY, bytes(value))
    assert reply[0] == PutStatus.NOT_RESTORED
    assert fields(client) == {}


# The library itself.


def test_functions_are_those_of_this_release(client: redis.Redis, endpoint: Endpoint) -> None:
    check_functions(client, endpoint.url)
    assert not install_functions(client, endpoint.url)


@pytest.fixture
def restored(client: redis.Redis, endpoint: Endpoint) -> Iterator[None]:
    yield
    install_functions(client, endpoint.url)


@pytest.mark.usefixtures("restored")
def test_missing_functions_say_what_to_do(
    client: redis.Redis, endpoint: Endpoint, writer: PageWriter
) -> None:
    client.function_flush()
    for attempt in (lambda: check_functions(client, endpoint.url), lambda: put(writer, page({}, 1))):
        with pytest.raises(StoreError, match="not loaded") as caught:
            attempt()
        assert caught.value.remedy == "run `ocsp-signer store init`"
    assert install_functions(client, endpoint.url)
    check_functions(client, endpoint.url)


@pytest.mark.usefixtures("restored")
def test_functions_of_another_release_are_replaced(client: redis.Redis, endpoint: Endpoint) -> None:
    client.function_load(
        "#!lua name=ocspeed\n"
        "redis.register_function{function_name='ocspeed_digest', callback=function() return 'old' end,"
        " flags={'no-writes'}}",
        replace=True,
    )
    with pytest.raises(StoreError, match="another release"):
        check_functions(client, endpoint.url)
    assert install_functions(client, endpoint.url)
    check_functions(client, endpoint.url)


# A stale signer against a revoker (A1).


class Race:
    """A ledger in memory; a revoker that writes at once; two signers that are slow between reading and writing.

    The signers' clocks stand 2 s apart. `guarded` False writes the same with plain HSET.
    """

    def __init__(self, endpoint: Endpoint, seed: int, *, guarded: bool) -> None:
        self.endpoint = endpoint
        self.random = random.Random(seed)
        self.guarded = guarded
        self.serials = [bytes([1 + number]) for number in range(100)]
        self.lock = threading.Lock()
        self.generation = 1
        self.revoked: set[bytes] = set()
        self.done = threading.Event()
        self.good_after_acknowledged = 0

    def snapshot(self, this_update: int) -> PagePut:
        with self.lock:
            generation, revoked = self.generation, set(self.revoked)
        return page({serial: serial in revoked for serial in self.serials}, generation, this_update)

    def write(self, client: redis.Redis, change: PagePut | RecordPut) -> PutResult | None:
        if self.guarded:
            return put(PageWriter(client, self.endpoint.url), change)
        records = (
            dict(change.records) if isinstance(change, PagePut) else {change.serial_number: change.record}
        )
        client.hset(KEY, items=[part for item in records.items() for part in item])
        return None

    def sign(self, skew: int, delays: list[float]) -> None:
        with self.endpoint.client() as client:
            for tick, delay in enumerate(delays):
                stale = self.snapshot(NOW + tick + skew)
                time.sleep(delay)  # a slow signer: this is the race, not a wait for something
                self.write(client, stale)
                if self.done.is_set():
                    return

    def revoke_all(self) -> None:
        with self.endpoint.client() as client:
            for serial in self.serials:
                self.revoke(client, serial)
        self.done.set()

    def revoke(self, client: redis.Redis, serial: bytes) -> None:
        with self.lock:
            self.generation += 1
            self.revoked.add(serial)
            as_of = self.generation
        this_update = NOW
        while True:
            result = self.write(
                client,
                RecordPut(
                    KEY, as_of, this_update, serial, record(serial, revoked=True, this_update=this_update)
                ),
            )
            if result is None or result.status is PutStatus.WRITTEN:
                break
            assert result.status is PutStatus.STALE
            assert result.header is not None
            if result.header.as_of >= as_of:
                break  # the page holds this change already
            this_update = (
                result.header.this_update
            )  # architecture section 5: a revocation is signed at that time
        if self.is_good(client, serial):
            self.good_after_acknowledged += 1

    def is_good(self, client: redis.Redis, serial: bytes) -> bool:
        value: Any = client.hget(KEY, serial)
        return value is not None and value[0] & 1 == 0

    def run(self) -> int:
        """How many serials were good after their revocation was acknowledged, then or at the end."""
        with self.endpoint.client() as client:
            self.write(client, self.snapshot(NOW - 2))
            threads = [threading.Thread(target=self.revoke_all)]
            for skew in (-1, 1):
                delays = [self.random.uniform(0, 0.004) for _ in range(400)]
                threads.append(threading.Thread(target=self.sign, args=(skew, delays)))
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return self.good_after_acknowledged + sum(self.is_good(client, serial) for serial in self.serials)


@pytest.mark.conformance("R-20")
@pytest.mark.invariant("A1")
@pytest.mark.parametrize("seed", [1, 2])
def test_a_stale_signer_never_undoes_a_revocation(endpoint: Endpoint, seed: int) -> None:
    assert Race(endpoint, seed, guarded=True).run() == 0


def test_without_the_guard_it_does(endpoint: Endpoint) -> None:
    assert any(Race(endpoint, seed, guarded=False).run() > 0 for seed in range(5))
