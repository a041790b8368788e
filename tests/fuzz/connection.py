"""Whole connections: what the fast path and the slow one do with the same octets, over a real store."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import redis
import uvloop

from responder.app import Application
from responder.config import load_settings
from responder.counters import Counters
from tests.fuzz.target import Target
from tests.responder.ca import CA, Shelf, good, revoked
from tests.responder.conftest import GOOD, REVOKED, FakeClock, write_config
from tests.responder.connections import Worker
from tests.responder.test_both_paths import FORMS, Question, outcomes, questions

__all__ = ["CONNECTION", "connection_target"]

CONNECTION = "connection"

MOST = 16_384  # octets; longer ones are no other to the two paths


class _World:
    """A worker over a store with one good certificate and one revoked."""

    def __init__(self, store_url: str, directory: Path) -> None:
        self.ca = CA("demo")
        with redis.Redis.from_url(store_url, protocol=3) as client:
            client.flushall()
            Shelf(self.ca, client).put(good(GOOD), revoked(REVOKED))
        settings = load_settings(write_config(directory, self.ca, store_url, "lookup_timeout_ms = 5000"))
        self._loop = uvloop.new_event_loop()
        application = Application(settings, Counters.private(), FakeClock())
        self._worker = self._loop.run_until_complete(_started(application))

    def seeds(self) -> list[bytes]:
        """Every form of some questions, in one segment."""
        ders = questions(self.ca)
        return [
            b"\0\0" + put(Question(b"", ders[kind], b'"00"'))
            for put in FORMS.values()
            for kind in ("good", "revoked", "malformed")
        ]

    def check(self, data: bytes) -> None:
        """The first two octets say where the rest is cut."""
        message = data[2 : 2 + MOST]
        if not message:
            return
        cut = int.from_bytes(data[:2]) % (len(message) + 1)
        self._loop.run_until_complete(self._compare((message[:cut], message[cut:])))

    async def _compare(self, segments: tuple[bytes, ...]) -> None:
        fast = await outcomes(self._worker, [segments], fast=True)
        assert fast == await outcomes(self._worker, [segments], fast=False)


async def _started(application: Application) -> Worker:
    await application.start()
    return Worker(application)


def connection_target() -> Target:
    """Over the store that OCSPEED_FUZZ_STORE names, which it empties."""
    with TemporaryDirectory() as directory:
        world = _World(os.environ["OCSPEED_FUZZ_STORE"], Path(directory))
    return Target(world.seeds, world.check)
