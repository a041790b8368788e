"""A worker: one configuration, one store connection, one row of counters, and the ASGI application over them."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import structlog
from uvicorn.config import STARTUP_FAILURE

from _fastpath.cache import Cache
from _fastpath.lookup import StatusSource
from _fastpath.serve import Counts, FastPath
from responder.config import ResponderSection, Settings, load_settings
from responder.counters import CounterFile, Counters, bounds_of, slot_of
from responder.crls import CrlEndpoint
from responder.endpoints import Endpoints, Receive, Scope, Send
from responder.errors import TryLaterCause
from responder.floor import FloorWatch
from responder.floor_file import FLOOR_FILE
from responder.issuers import Issuers
from responder.lookup import StoreLink
from responder.protocol import ServingState
from responder.resolver import Resolver
from store.clock import Clock
from store.errors import OcspeedError
from store.logs import configure

__all__ = ["Application", "WorkerFactory"]

log = structlog.get_logger()

WARM_UP = 1.0  # seconds that a start waits for the store before it serves tryLater


class Application:
    """ASGI: connects at start-up, answers, and disconnects at shutdown."""

    def __init__(self, settings: Settings, counters: Counters, clock: Clock) -> None:
        section = settings.responder
        timeout = section.lookup_timeout_ms / 1000
        self.link = StoreLink(
            settings.store,
            waiting_room=section.waiting_room,
            counters=counters,
            monotonic=clock.monotonic,
        )
        self.source = StatusSource(
            Cache(section.cache),
            damaged=self._damaged,
            below_floor=self._below_floor,
            wall=clock.wall,
            monotonic=clock.monotonic,
            max_age_cap=section.max_age_cap,
            max_unverified=section.max_unverified,
            timeout=timeout,
        )
        self.floor = FloorWatch(settings.state_directory / FLOOR_FILE, self.source)
        self._asks_store = bool(settings.ocsp_issuers)
        self.issuers = Issuers(
            settings.ocsp_issuers,
            self.link,
            self.source,
            counters,
            verify_all=section.verify == "all",
            timeout=timeout,
        )
        self.resolver = Resolver(self.issuers, self.source, clock)
        crls = CrlEndpoint(settings.objects, settings.issuers, counters)
        self._endpoints = Endpoints(section, self.resolver, self.source, crls, counters, clock)
        self._state = ServingState(section, fast_path(section, self.source, counters), counters, clock)
        self._counters = counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._endpoints(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(scope, receive, send)

    def _damaged(self, issuer: str, serial: bytes, reason: str) -> None:
        """C1: a record that is not the one asked for condemns the connection that it came on."""
        log.error("record refused", issuer=issuer, serial=serial.hex(), reason=reason)
        self.link.drop("store_down")

    def _below_floor(self, issuer: str, serial: bytes) -> None:
        """C3: an older record was put back, or the store lost a revocation."""
        self._counters.add("ocsp_floor_refusals_total")
        log.error("good record of a revoked certificate", issuer=issuer, serial=serial.hex())

    async def start(self) -> None:
        """Connect; wait a moment for the issuers, so that the first answers are not tryLater."""
        self._state.start()
        if not self._asks_store:
            return
        self.floor.start()
        self.link.start(self.issuers)
        try:
            async with asyncio.timeout(WARM_UP):
                await self.link.up.wait()
                await self.issuers.settled()
        except TimeoutError:
            log.warning("serving without the store: it did not answer yet")

    async def stop(self) -> None:
        """Disconnect from the store and give the counters back."""
        self._state.stop()
        await self.floor.stop()
        await self.link.stop()
        self._counters.release()

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        scope["state"][ServingState.KEY] = self._state
        await self.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})


def fast_path(section: ResponderSection, source: StatusSource, counters: Counters) -> FastPath:
    """The fast path of a worker over its cache and store."""
    counts = Counts(counters.tally, slot_of, bounds_of, get_args(TryLaterCause))
    return FastPath(
        source,
        counts,
        failed=lambda: log.exception("fast path failed"),
        prefix=section.prefix.encode(),
        head_limit=min(section.target_limit, section.header_limit),
        body_limit=section.body_limit,
    )


@dataclass(frozen=True)
class WorkerFactory:
    """What the supervisor hands a worker: the file to read anew, so that SIGHUP takes up its changes."""

    config: Path
    counters: Path
    verbosity: int
    clock: Clock

    def __call__(self) -> Application:
        configure(self.verbosity, throttled=True)
        try:
            settings = load_settings(self.config)
            counters = CounterFile(self.counters).claim()
        except OcspeedError as error:
            log.error("worker cannot start", reason=str(error))
            sys.exit(STARTUP_FAILURE)
        return Application(settings, counters, self.clock)
