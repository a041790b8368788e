"""The fast path's protocol: requests that wait, clients that leave, and what else can happen to a connection meanwhile."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from cryptography.hazmat.primitives import hashes
from structlog.testing import capture_logs

from _fastpath.certid import SHA1
from _fastpath.ocsp import TRY_LATER, UNAUTHORIZED
from responder import lookup
from responder.app import Application
from responder.config import load_settings
from responder.counters import Counters
from responder.protocol import LAST_WAIT, PIPELINE, SWEEP_SLICE
from store.embedded import EmbeddedStore
from tests.responder.ca import CA, Shelf, good, revoked
from tests.responder.conftest import GOOD, GOOD_TOO, REVOKED, FakeClock, Gate, eventually, write_config
from tests.responder.connections import Client, Worker
from tests.responder.test_both_paths import FORMS, Question, get, path_of, post

Start = Callable[[str], Awaitable[Worker]]


class ShiftedClock(FakeClock):
    """Both clocks as far ahead as a test says: time passes at once."""

    ahead = 0.0

    def now(self) -> int:
        return self.seconds + int(self.ahead)

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@pytest.fixture
def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture
async def start(
    tmp_path: Path, ca: CA, server: EmbeddedStore, counters: Counters, clock: ShiftedClock, shelf: Shelf
) -> AsyncIterator[Start]:
    """A worker with these lines in [responder]."""
    applications = []

    async def start(section: str) -> Worker:
        settings = load_settings(write_config(tmp_path, ca, server.url, section))
        applications.append(Application(settings, counters, clock))
        await applications[-1].start()
        return Worker(applications[-1])

    yield start
    for application in applications:
        await application.stop()


def ask(worker: Worker, ca: CA, serial: int, *, fast: bool = True) -> Client:
    client = worker.connect(fast=fast)
    client.send(get(path_of(ca.request(serial))))
    return client


async def body_of(client: Client) -> bytes:
    head, _, body = (await client.settle()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body != TRY_LATER or b"cache-control: no-store" in head
    return body


async def answer_to(worker: Worker, ca: CA, serial: int) -> bytes:
    """The OCSPResponse, on a connection that then ends."""
    client = ask(worker, ca, serial)
    body = await body_of(client)
    client.leave()
    return body


@pytest.mark.invariant("F3")
async def test_a_young_connection_may_have_unread_answers(application: Application, ca: CA) -> None:
    """F3: its time to read begins with it, not with the machine."""
    for message in (get(path_of(ca.request(GOOD))), post(b"/", ca.request(GOOD))):
        client = Worker(application).connect()
        client.send(message)
        await client.settle()
        client.send(message)
        assert client.get_write_buffer_size() > 0
        client.protocol.sweep(asyncio.get_running_loop().time())
        assert not client.closed
        client.leave()


@pytest.mark.invariant("F3")
async def test_thousands_whose_time_is_over_hold_nobody_up(application: Application, ca: CA) -> None:
    """They are ended a few at a time, and others are answered in between."""
    worker = Worker(application)
    slow = [worker.connect() for _ in range(20 * SWEEP_SLICE)]
    for client in slow[: len(slow) // 2]:
        client.send(b"GET / HTTP/1.1\r\nX: ")
    members = tuple(worker.server_state.connections)
    for member in cast(Any, members):
        getattr(member, "fast", member).due = 0.0
    serving = application._state
    assert serving.shared is not None
    serving._look(serving.shared, members)
    assert sum(client.closed for client in slow) == SWEEP_SLICE
    assert len(await answer_to(worker, ca, GOOD)) > 100
    assert not all(client.closed for client in slow)
    await eventually(lambda: all(client.closed for client in slow))


@pytest.mark.conformance("Q-05")
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
async def test_algorithms_that_the_issuer_does_not_sign_for_are_unauthorized(
    start: Start, ca: CA, shelf: Shelf, fast: bool
) -> None:
    """Though another algorithm is known, and the record is there."""
    shelf.algorithms = (SHA1,)
    shelf.put(good(GOOD))
    worker = await start("lookup_timeout_ms = 5000")
    client = worker.connect(fast=fast)
    client.send(get(path_of(ca.request(GOOD, hashes.SHA256()))))
    assert await body_of(client) == UNAUTHORIZED
    client.leave()


@pytest.mark.invariant("C6")
async def test_many_who_wait_for_one_certificate_are_one_lookup(
    start: Start, ca: CA, client: redis.Redis, gate: Gate
) -> None:
    """C6: whichever path they take, and also while others ask for another."""

    def lookups() -> int:
        return int(client.info("commandstats")["cmdstat_hget"]["calls"])

    worker = await start("lookup_timeout_ms = 5000")
    expected = {serial: await answer_to(worker, ca, serial) for serial in (GOOD, REVOKED)}
    worker.path.cache.clear()
    before = lookups()
    gate.close()
    clients = [(ask(worker, ca, GOOD, fast=number % 3 > 0), GOOD) for number in range(100)]
    clients += [(ask(worker, ca, REVOKED), REVOKED) for _ in range(100)]
    await eventually(lambda: lookups() == before + 2)
    assert not any(one.received for one, _ in clients)
    gate.open()
    for one, serial in clients:
        assert await body_of(one) == expected[serial]
    assert lookups() == before + 2


@pytest.mark.invariant("F5")
async def test_who_finds_the_waiting_room_full_is_told_at_once(
    start: Start, ca: CA, counters: Counters, shelf: Shelf, gate: Gate
) -> None:
    """F5."""
    room, serials = 20, [GOOD + 100 + number for number in range(40)]
    shelf.put(*(good(serial) for serial in serials))
    worker = await start(f"lookup_timeout_ms = 5000\nwaiting_room = {room}")
    gate.close()
    clients = [ask(worker, ca, serial) for serial in serials]
    refused = [client for client in clients if client.received.endswith(TRY_LATER)]
    assert len(serials) - room <= len(refused) <= len(serials) - room + 1  # one place may be a heartbeat's
    assert clients[: len(clients) - len(refused)] == [client for client in clients if not client.received]
    assert counters.value("ocsp_try_later_total", "waiting_room") == len(refused)
    sharing = ask(worker, ca, serials[0])  # takes no place
    slow = ask(worker, ca, serials[-1], fast=False)
    assert await body_of(slow) == TRY_LATER
    assert counters.value("ocsp_try_later_total", "waiting_room") == len(refused) + 1
    assert not sharing.received
    gate.open()
    bodies = [await body_of(client) for client in clients]
    assert bodies[0] == await body_of(sharing)
    assert len(set(bodies)) == len(serials) - len(refused) + 1
    assert await answer_to(worker, ca, serials[-1]) not in bodies


@pytest.mark.conformance("R-11")
async def test_what_one_lookup_does_not_settle_is_found_out(
    start: Start, ca: CA, counters: Counters, shelf: Shelf
) -> None:
    """C4: an epoch that changes under way, a page not known to be whole."""
    worker = await start("lookup_timeout_ms = 5000")
    with capture_logs() as logs:
        moved = ask(worker, ca, GOOD)
        shelf.page_epoch = 2
        shelf.put()  # before the lookup leaves
        assert len(await body_of(moved)) > 100
        assert await answer_to(worker, ca, GOOD + 1) == UNAUTHORIZED
    assert [line["event"] for line in logs if line["log_level"] in ("warning", "error")] == []
    assert counters.value("ocsp_try_later_total", "page_changed") == 0
    assert counters.value("ocsp_cache_lookups_total", "worker", "miss") == 2


@pytest.mark.conformance("H-18")
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
async def test_an_overdue_lookup_is_try_later_and_its_reply_is_nobodys(
    start: Start, ca: CA, counters: Counters, gate: Gate, fast: bool
) -> None:
    worker = await start("lookup_timeout_ms = 300")
    expected = await answer_to(worker, ca, REVOKED)
    worker.path.cache.clear()
    gate.close()
    late = ask(worker, ca, GOOD, fast=fast)
    assert not late.received
    assert await body_of(late) == TRY_LATER
    assert counters.value("ocsp_try_later_total", "lookup_timeout") == 1
    late.received.clear()
    late.send(get(path_of(ca.request(REVOKED))))
    gate.open()
    assert await body_of(late) == expected


@pytest.mark.invariant("E6")
async def test_clients_that_leave_get_nothing_and_nobody_gets_theirs(
    start: Start, ca: CA, counters: Counters, shelf: Shelf, gate: Gate
) -> None:
    """E6, C1: with lookups under way that others share or that are theirs alone."""
    serials = [GOOD + 100 + number for number in range(30)]
    shelf.put(*(good(serial) for serial in serials))
    worker = await start("lookup_timeout_ms = 5000")
    expected = {serial: await answer_to(worker, ca, serial) for serial in serials}
    source = random.Random(1)
    left = 0
    for _ in range(30):
        worker.path.cache.clear()
        gate.close()
        clients = [(ask(worker, ca, serial), serial) for serial in source.choices(serials, k=40)]
        gone = source.sample(clients, 20)
        for client, _ in gone[:10]:
            client.leave()
        await asyncio.sleep(0)
        gate.open()
        for client, _ in gone[10:]:
            if source.random() < 0.5:
                await asyncio.sleep(0)
            left += not client.received
            client.leave()
        for client, serial in clients:
            assert not client.received or client.received.endswith(expected[serial])
            if (client, serial) not in gone:
                assert await body_of(client) == expected[serial]
                client.leave()
    assert 30 * 10 + left <= counters.value("http_disconnects_total") <= 30 * 20


@pytest.mark.conformance("H-04")
@pytest.mark.parametrize("limit", [0, 100, 300])
async def test_a_store_that_is_silent_is_cut_off(
    start: Start,
    ca: CA,
    counters: Counters,
    clock: ShiftedClock,
    shelf: Shelf,
    gate: Gate,
    monkeypatch: pytest.MonkeyPatch,
    limit: int,
) -> None:
    """A1, C6: what is cached goes on for max_unverified, then nothing; then all is asked for again."""
    monkeypatch.setattr(lookup, "HEARTBEAT", 0.05)
    worker = await start(f"lookup_timeout_ms = 5000\nmax_unverified = {limit}")
    cached = await answer_to(worker, ca, GOOD)
    gate.close()
    await eventually(lambda: counters.value("store_up") == 0)
    assert await answer_to(worker, ca, GOOD_TOO) == TRY_LATER  # nobody waits for what does not come
    shelf.put(revoked(GOOD))
    moments = [ahead for ahead in (10, limit - 10, limit + 10) if ahead > 0]
    for ahead in moments:
        clock.ahead = float(ahead)
        client = ask(worker, ca, GOOD)
        if ahead > limit:
            assert await body_of(client) == TRY_LATER
        else:
            assert await body_of(client) == cached
            head = bytes(client.received).partition(b"\r\n\r\n")[0]
            age = int(head.partition(b"max-age=")[2].partition(b",")[0])
            assert 0 < age <= limit - ahead
        client.leave()
    assert counters.value("ocsp_try_later_total", "store_down") == 1 + sum(ahead > limit for ahead in moments)
    clock.ahead = 0.0
    gate.open()
    await eventually(lambda: counters.value("store_up") == 1)
    assert await eventual_answer(worker, ca, GOOD) not in (cached, TRY_LATER)
    assert counters.value("store_connections_total") == 2


async def eventual_answer(worker: Worker, ca: CA, serial: int) -> bytes:
    """What comes when the store is back: its issuers are read first."""
    for _ in range(100):
        body = await answer_to(worker, ca, serial)
        if body != TRY_LATER:
            return body
        await asyncio.sleep(0.02)
    return body


@pytest.mark.invariant("C1", "E6")
@pytest.mark.parametrize(
    "surprise",
    [
        b":7\r\n",
        b"$1\r\nx\r\n" * 9,
        b">2\r\n+message\r\n+x\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"*1\r\n:1\r\n",
    ],
    ids=["integer", "surplus", "push", "http", "array"],
)
async def test_a_reply_that_does_not_fit_ends_the_connection_to_the_store(
    start: Start, ca: CA, counters: Counters, gate: Gate, surprise: bytes
) -> None:
    """C1, E6: nobody gets a reply of the condemned connection, whatever still comes over it."""
    worker = await start("lookup_timeout_ms = 5000")
    expected = {serial: await answer_to(worker, ca, serial) for serial in (GOOD, REVOKED, GOOD_TOO)}
    worker.path.cache.clear()
    wire = worker.application.link._wire
    assert wire is not None
    gate.close()
    clients = [ask(worker, ca, serial) for serial in (GOOD, REVOKED, GOOD_TOO)]
    await asyncio.sleep(0.02)
    gate.pass_on(wire, surprise)
    assert wire.lost.is_set()
    gate.open()  # the real replies, too late
    for client in clients:
        assert await body_of(client) == TRY_LATER
    causes = {
        cause
        for cause in ("store_protocol", "record_damaged")
        if counters.value("ocsp_try_later_total", cause)
    }
    assert causes
    await eventually(lambda: counters.value("store_connections_total") == 2)
    for serial, body in expected.items():
        assert await eventual_answer(worker, ca, serial) == body


@pytest.mark.invariant("E6")
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
@pytest.mark.parametrize("form", ["get", "post", "get unescaped", "chunked", "tags"])
@pytest.mark.parametrize("before", [0, 1, 3], ids=["alone", "second", "fourth"])
async def test_what_waits_as_the_worker_stops_is_answered_and_the_last_answer_says_so(
    start: Start, ca: CA, gate: Gate, fast: bool, form: str, before: int
) -> None:
    """E6: nothing that was read is lost, whichever request waits for the store."""
    worker = await start("lookup_timeout_ms = 5000")
    asked = [GOOD, REVOKED, GOOD_TOO, GOOD][: before + 1]
    expected = [await answer_to(worker, ca, serial) for serial in asked]
    worker.path.cache.clear()
    gate.close()
    client = worker.connect(fast=fast)
    client.send(b"".join(FORMS[form](Question(b"", ca.request(serial), b'"00"')) for serial in asked))
    await asyncio.sleep(0)
    assert not client.received
    client.protocol.shutdown()
    await asyncio.sleep(0)
    client.protocol.sweep(asyncio.get_running_loop().time() + 2 * LAST_WAIT)  # the client owes nothing
    await asyncio.sleep(0)
    assert not client.closed
    gate.open()
    answers = (await client.settle()).split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert [answer.partition(b"\r\n\r\n")[2] for answer in answers] == expected
    assert [b"connection: close\r\n" in answer for answer in answers] == [False] * before + [True]
    assert client.closed


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
async def test_who_came_as_the_worker_stopped_gets_one_answer(start: Start, ca: CA, fast: bool) -> None:
    """What it sent may not have been read yet; it does not have for ever to send it."""
    worker = await start("lookup_timeout_ms = 5000")
    expected = await answer_to(worker, ca, GOOD)
    client, late = worker.connect(fast=fast), worker.connect(fast=fast)
    for one in (client, late):
        one.protocol.shutdown()
    client.send(get(path_of(ca.request(GOOD))) * 2)
    answer = await client.settle()
    assert answer.endswith(b"\r\nconnection: close\r\n\r\n" + expected)
    assert client.closed
    now = asyncio.get_running_loop().time()
    closed = []
    for waited in (0, 2):
        late.protocol.sweep(now + waited)
        closed.append(late.closed)
    assert closed == [False, True]
    assert not late.received


@pytest.mark.parametrize("sent", [b"GET /M", None], ids=["half a head", "a request answered"])
async def test_a_connection_with_nothing_to_answer_ends_at_once(
    start: Start, ca: CA, sent: bytes | None
) -> None:
    worker = await start("lookup_timeout_ms = 5000")
    client = worker.connect()
    client.send(get(path_of(ca.request(GOOD))) if sent is None else sent)
    received = await client.settle()
    client.protocol.shutdown()
    assert client.closed
    assert client.received == received


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
async def test_a_body_that_comes_after_the_worker_was_told_to_stop(start: Start, ca: CA, fast: bool) -> None:
    worker = await start("lookup_timeout_ms = 5000")
    expected = await answer_to(worker, ca, GOOD)
    client = worker.connect(fast=fast)
    message = post(b"/", ca.request(GOOD))
    client.send(message[:-10])
    await asyncio.sleep(0)
    client.protocol.shutdown()
    assert not client.closed
    client.send(message[-10:])
    answer = await client.settle()
    assert answer.endswith(b"\r\nconnection: close\r\n\r\n" + expected)
    assert client.closed


@pytest.mark.invariant("E6")
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
async def test_a_client_may_close_its_half_while_many_of_its_requests_wait(
    start: Start, ca: CA, gate: Gate, fast: bool
) -> None:
    """E6: more of them than the HTTP library reads ahead."""
    worker = await start("lookup_timeout_ms = 5000")
    expected = await answer_to(worker, ca, GOOD)
    worker.path.cache.clear()
    gate.close()
    client = worker.connect(fast=fast)
    client.send(get(path_of(ca.request(GOOD))) * 3 * PIPELINE)
    client.end()
    await asyncio.sleep(0)
    gate.open()
    assert (await client.settle()).count(expected) == 3 * PIPELINE
    assert client.closed


@pytest.mark.invariant("F1")
@pytest.mark.conformance("H-20")
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
async def test_no_more_is_answered_than_the_client_reads(start: Start, ca: CA, fast: bool) -> None:
    """F1: though all of it came at once and could be answered at once."""
    worker = await start("lookup_timeout_ms = 5000")
    expected = await answer_to(worker, ca, GOOD)
    client = worker.connect(fast=fast, room=3 * len(expected))
    client.send(get(path_of(ca.request(GOOD))) * 50)
    for _ in range(20):
        await asyncio.sleep(0)
    assert 1 <= client.received.count(expected) <= 4
    assert (await client.settle()).count(expected) == 50
    client.leave()
