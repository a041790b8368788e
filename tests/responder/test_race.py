"""Records that change while they are looked up: what was read before a change is not kept behind it (A1)."""

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import redis

from _fastpath.certid import serial_from_int
from responder import lookup
from responder.app import Application
from responder.config import Settings
from responder.counters import Counters
from responder.lookup import _Login
from responder.wire import BYTES, Request, Wire
from store.connection import Endpoint
from tests.responder.ca import CA, Shelf, good, revoked
from tests.responder.conftest import GOOD, GOOD_TOO, REVOKED, FakeClock
from tests.responder.connections import Worker
from tests.responder.test_both_paths import get, path_of

ROUNDS = [60, pytest.param(3_000, marks=pytest.mark.slow)]
SERIALS = (GOOD, REVOKED, GOOD_TOO)
LONGEST = 0.003  # seconds for which what a connection carries is on its way: some times that of a change


class Distance:
    """Lets what the store sends take its time, on each connection by itself and in order."""

    def __init__(self) -> None:
        self.source = random.Random(1)
        self._under_way: dict[Wire, deque[bytes]] = {}

    def carry(self, wire: Wire, data: bytes, arrive: Any) -> None:
        under_way = self._under_way.setdefault(wire, deque())
        under_way.append(data)
        if len(under_way) == 1:
            self._wait(wire, under_way, arrive)

    def _wait(self, wire: Wire, under_way: deque[bytes], arrive: Any) -> None:
        delay = self.source.choice((0.0, self.source.uniform(0, LONGEST)))
        wire._loop.call_later(delay, self._arrive, wire, under_way, arrive)

    def _arrive(self, wire: Wire, under_way: deque[bytes], arrive: Any) -> None:
        arrive(wire, under_way.popleft())
        if under_way:
            self._wait(wire, under_way, arrive)


@pytest.fixture
def distance(monkeypatch: pytest.MonkeyPatch) -> Iterator[Distance]:
    distance = Distance()
    arrive = Wire.data_received
    monkeypatch.setattr(Wire, "data_received", lambda wire, data: distance.carry(wire, data, arrive))
    yield distance


class Race:
    """One certificate after the other: its record changes while somebody asks; then it is asked for again."""

    def __init__(self, application: Application, ca: CA, client: redis.Redis, shelf: Shelf) -> None:
        self.application = application
        self.worker = Worker(application)
        self.client = client
        self.pages = {serial: shelf.key_of(serial) for serial in SERIALS}
        self.records = {serial: (ca.record(good(serial)), ca.record(revoked(serial))) for serial in SERIALS}
        self.messages = {serial: get(path_of(ca.request(serial))) for serial in SERIALS}
        self.source = random.Random(2)
        self.trackers: list[Wire] = []
        self.overtaken = 0

    async def run(self, rounds: int) -> int:
        """The number of answers that still were the old ones after the worker had been told of the change."""
        bodies: dict[int, list[bytes]] = {}
        for serial in SERIALS:
            bodies[serial] = [await self.change_and_ask(serial, new) for new in (0, 1)]
        return sum([await self.stale(serial, bodies) for serial in self.source.choices(SERIALS, k=rounds)])

    async def stale(self, serial: int, bodies: dict[int, list[bytes]]) -> bool:
        old = self.source.randrange(2)
        await self.change_and_ask(serial, old)
        self.application.source.cache.clear()
        client = self.worker.connect(fast=self.source.random() < 0.8)
        client.send(self.messages[serial])
        await asyncio.sleep(self.source.choice((0, self.source.uniform(0, 0.001))))
        await self.change(serial, 1 - old)
        first = body_of(await client.settle())
        client.leave()
        assert first in bodies[serial]
        self.overtaken += first == bodies[serial][old]
        await self.told()
        return await self.ask(serial) != bodies[serial][1 - old]

    async def change_and_ask(self, serial: int, new: int) -> bytes:
        await self.change(serial, new)
        await self.told()
        self.application.source.cache.clear()
        return await self.ask(serial)

    async def change(self, serial: int, new: int) -> None:
        record = self.records[serial][new]
        await asyncio.to_thread(self.client.hset, self.pages[serial], serial_from_int(serial), record)

    async def told(self) -> None:
        """Wait until everything that the store says of the changes so far was heard."""
        await self.application.link.execute(Request(b"PING", expected=BYTES))
        for tracker in self.trackers:
            request = Request(b"PING", expected=BYTES)
            tracker.send(request)
            await request.future

    async def ask(self, serial: int) -> bytes:
        client = self.worker.connect()
        client.send(self.messages[serial])
        answer = body_of(await client.settle())
        client.leave()
        return answer


def body_of(answer: bytes) -> bytes:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n") and len(body) > 100
    return body


@pytest.mark.conformance("R-20")
@pytest.mark.invariant("A1")
@pytest.mark.parametrize("rounds", ROUNDS)
async def test_no_answer_outlives_its_record(
    application: Application, ca: CA, client: redis.Redis, shelf: Shelf, distance: Distance, rounds: int
) -> None:
    """A1: the store tells of a change on the connection that the lookup went over, so behind its reply."""
    race = Race(application, ca, client, shelf)
    assert await race.run(rounds) == 0
    assert race.overtaken > rounds // 10  # or nothing was at stake


@contextlib.asynccontextmanager
async def tracked_elsewhere(
    settings: Settings, counters: Counters, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Application, Wire]]:
    """A worker that is told of changes on another connection than its lookups go over."""
    login = lookup._login

    def without_tracking(endpoint: Endpoint) -> _Login:
        found = login(endpoint)
        assert b"TRACKING" in found.commands[-1][0]
        return _Login(found.connect, found.commands[:-1])

    monkeypatch.setattr(lookup, "_login", without_tracking)
    application = Application(settings, counters, clock)
    complete = login(settings.store)
    tracker = Wire(1000, counters, application.issuers.invalidated, time.monotonic)
    await complete.connect(lambda: tracker)
    await lookup._handshake(tracker, complete)
    await application.start()
    try:
        yield application, tracker
    finally:
        await application.stop()
        tracker.close("store_down")


async def test_tracking_elsewhere_would_keep_stale_answers(
    settings: Settings,
    ca: CA,
    client: redis.Redis,
    shelf: Shelf,
    counters: Counters,
    clock: FakeClock,
    distance: Distance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the test above would find: an invalidation that overtakes a reply leaves the old answer behind."""
    async with tracked_elsewhere(settings, counters, clock, monkeypatch) as (application, tracker):
        race = Race(application, ca, client, shelf)
        race.trackers.append(tracker)
        assert await race.run(100) > 0
