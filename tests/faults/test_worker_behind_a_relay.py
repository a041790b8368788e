"""C1, C4, C6, A8: a worker of this process and a real store, with a network between them that does what networks do."""

import asyncio
import os
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path

import pytest
from cryptography.x509 import ocsp

from _fastpath.certid import serial_from_int
from responder.app import Application
from responder.config import load_settings
from responder.counters import Counters
from responder.errors import TryLater
from store.writer import install_functions
from tests.faults.relay import Relay
from tests.faults.servers import Server
from tests.responder.ca import CA, Shelf, good, revoked
from tests.responder.conftest import FakeClock, eventually, write_config
from tests.responder.test_resolver import ask, resolve_eventually

BOUND = 4.0  # seconds: three heartbeats, and what whole seconds of wall time make of them
WARM = range(0x5A17_2000, 0x5A17_2000 + 20)
COLD = range(0x5A17_3000, 0x5A17_3000 + 20)


class Place:
    """A store with certificates in it, and the relay that leads there."""

    def __init__(self, server: Server, relay: Relay, ca: CA) -> None:
        self.server, self.relay, self.ca = server, relay, ca
        self.client = server.client()
        self.fill()

    def fill(self, doomed: Sequence[int] = ()) -> None:
        """As a signer does with an empty store: all that is known, then the head."""
        install_functions(self.client, "test")
        self.shelf = Shelf(self.ca, self.client)
        self.shelf.put(*map(good, WARM), *map(good, COLD), *map(revoked, doomed))

    @asynccontextmanager
    async def worker(self, directory: Path, section: str = "") -> AsyncIterator[Application]:
        url = f"redis://127.0.0.1:{self.relay.port}"
        settings = load_settings(write_config(directory, self.ca, url, section))
        application = Application(settings, Counters.private(), FakeClock())
        await application.start()
        try:
            yield application
        finally:
            await application.stop()

    async def says(self, worker: Application, serial: int) -> str:
        """What it says of a certificate, which is about no other one."""
        try:
            answer = await worker.resolver.resolve(ask(self.ca, serial))
        except TryLater:
            return "tryLater"
        response = ocsp.load_der_ocsp_response(answer.body)
        assert response.serial_number == serial
        return response.certificate_status.name

    async def all_say(self, worker: Application, serials: range, wanted: str) -> bool:
        return {await self.says(worker, serial) for serial in serials} == {wanted}


@pytest.fixture
def place(tmp_path: Path, ca: CA) -> Iterator[Place]:
    server = Server(tmp_path / "store")
    try:
        with Relay(server.port) as relay:
            place = Place(server, relay, ca)
            yield place
            place.client.close()
    finally:
        server.kill()


def fetched(relay: Relay, since: float) -> Counter[bytes]:
    """How often each certificate was, from a monotonic time on."""
    commands = [words for line in relay.commands(since) for words in line]
    known = {serial_from_int(serial) for serial in (*WARM, *COLD)}
    return Counter(words[2] for words in commands if words[0] == b"HGET" and words[2] in known)


@pytest.mark.invariant("C6", "A8")
async def test_a_black_hole_and_its_end(tmp_path: Path, place: Place) -> None:
    """What is cached goes on, the rest is tryLater; then each certificate is fetched once, however many ask for it."""
    async with place.worker(tmp_path, "lookup_timeout_ms = 1000") as worker:
        for serial in WARM:
            await resolve_eventually(worker, ask(place.ca, serial))
        place.relay.vanish()
        assert await place.says(worker, COLD[0]) == "tryLater"
        await eventually(lambda: not worker.link.up.is_set())
        assert await place.all_say(worker, WARM, "GOOD")
        assert await place.all_say(worker, COLD, "tryLater")
        limit = worker.source.max_age_limit()
        assert limit is not None and limit < 300
        healed = time.monotonic()
        place.relay.heal()
        await eventually(worker.link.up.is_set)
        crowd = [place.says(worker, serial) for serial in (*WARM, *COLD) for _ in range(10)]
        assert set(await asyncio.gather(*crowd)) == {"GOOD"}
        often = fetched(place.relay, healed)
        assert len(often) == len(WARM) + len(COLD)
        assert set(often.values()) == {1}


@pytest.mark.invariant("C1")
async def test_a_gap_in_what_the_store_says(tmp_path: Path, place: Place) -> None:
    """Replies are missing and the connection goes on: no answer is another certificate's, and the connection ends."""
    async with place.worker(tmp_path, "lookup_timeout_ms = 50") as worker:
        for round in range(5):
            before = worker.link._wire
            place.relay.back.swallows = True
            assert await place.all_say(worker, WARM[:3], "tryLater")
            place.relay.back.swallows = False
            assert before is not None

            async def others(serials: range = COLD[round * 4 : round * 4 + 4]) -> None:
                for serial in serials:
                    assert await place.says(worker, serial) in ("GOOD", "tryLater")

            for _ in range(200):
                await others()
                if before.lost.is_set():
                    break
                await asyncio.sleep(0.01)
            assert before.lost.is_set()
            await eventually(worker.link.up.is_set)
            worker.source.cache.clear()


class Storm:
    """Faults one after the other, chosen by a seed, while certificates are revoked."""

    def __init__(self, place: Place, seed: int) -> None:
        self.place = place
        self.chooser = random.Random(seed)
        self.revoked: dict[int, float] = {}  # and since when, in monotonic time
        self.names: Counter[str] = Counter()

    async def blow(self) -> None:
        faults: tuple[Callable[[], Awaitable[None]], ...] = (
            self.cut,
            self.black_hole,
            self.deaf,
            self.held_back,
            self.slow,
            self.hung,
            self.killed,
        )
        fault = self.chooser.choice(faults)
        self.names[fault.__name__] += 1
        await fault()

    async def pass_time(self) -> None:
        await asyncio.sleep(self.chooser.uniform(0.0, 0.4))

    async def cut(self) -> None:
        self.place.relay.cut()

    async def black_hole(self) -> None:
        self.place.relay.vanish()
        await self.pass_time()
        self.place.relay.heal()

    async def deaf(self) -> None:
        """The store hears, and is not heard."""
        self.place.relay.back.swallows = True
        await self.pass_time()
        self.place.relay.heal()

    async def held_back(self) -> None:
        self.place.relay.back.hold()
        await self.pass_time()
        self.place.relay.back.release()

    async def slow(self) -> None:
        self.place.relay.there.delay = self.chooser.uniform(0.0, 0.1)
        await self.pass_time()
        self.place.relay.there.delay = 0.0

    async def hung(self) -> None:
        self.place.server.hang()
        await self.pass_time()
        self.place.server.go_on()

    async def killed(self) -> None:
        """It comes back empty, and the signer fills it."""
        self.place.server.kill()
        await self.pass_time()
        await asyncio.to_thread(self.place.server.start)
        await asyncio.to_thread(self.place.fill, [*self.revoked])

    async def revoke(self) -> None:
        serial = self.chooser.choice([one for one in (*WARM, *COLD) if one not in self.revoked])
        await asyncio.to_thread(self.place.shelf.put, revoked(serial))
        self.revoked[serial] = time.monotonic()

    async def ask(self, worker: Application, serial: int) -> str:
        """A1: with `max_unverified = 0` nothing goes on for longer than a heartbeat vouches for."""
        late = time.monotonic() > self.revoked.get(serial, inf) + BOUND
        found = await self.place.says(worker, serial)
        assert not late or found != "GOOD", self.names
        return found


@pytest.mark.invariant("A1", "A8", "C4")
@pytest.mark.parametrize("faults", [4, pytest.param(150, marks=pytest.mark.slow)])
async def test_a_storm(tmp_path: Path, place: Place, faults: int) -> None:
    """Every answer is about the certificate asked for or tryLater; afterwards all are right. The seed is printed."""
    seed = int(
        os.environ.get("OCSPEED_SEED") or (1 if faults < 10 else random.SystemRandom().getrandbits(32))
    )
    sys.stderr.write(f"seed {seed}: OCSPEED_SEED={seed} does the same again\n")
    storm = Storm(place, seed)
    over = asyncio.Event()
    async with place.worker(tmp_path, "max_unverified = 0") as worker:

        async def keep_asking() -> Counter[str]:
            found: Counter[str] = Counter()
            while not over.is_set():
                found += Counter([await storm.ask(worker, serial) for serial in (*WARM, *COLD)])
                await asyncio.sleep(0.005)
            return found

        asking = asyncio.create_task(keep_asking())
        for number in range(faults):
            await storm.blow()
            if number % max(1, faults // 20) == 0:
                await storm.revoke()
        over.set()
        assert (await asking).keys() <= {"GOOD", "REVOKED", "tryLater"}
        for serial in (*WARM, *COLD):
            wanted = "REVOKED" if serial in storm.revoked else "GOOD"
            for _ in range(2_000):
                if await place.says(worker, serial) == wanted:
                    break
                await asyncio.sleep(0.01)
            else:
                raise AssertionError(f"{serial:x} is not {wanted}: {storm.names}")
