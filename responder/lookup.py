"""Lookups in the store: one connection per worker, kept up, logged in and told of every change.

Invalidations are tracked on the connection that sends the lookups: on another they could be overtaken.
"""

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Protocol

import structlog
from redis.exceptions import RedisError

from _fastpath.replies import Command, ReplyQueue
from responder.counters import Counters
from responder.errors import LookupFailed, TryLaterCause
from responder.wire import BYTES, MAP, NULLABLE_BYTES, Expected, Request, Wire, pack
from store.connection import Endpoint
from store.primary import INFO, primary_id
from store.schema import HEAD_FIELD, KEY_PREFIX

__all__ = ["Listener", "StoreLink"]

log = structlog.get_logger()

Connector = Callable[[Callable[[], asyncio.Protocol]], Awaitable[object]]

CONNECT_TIMEOUT = 2.0
HANDSHAKE_TIMEOUT = 2.0
HEARTBEAT = 1.0
MAX_MISSED = 2
UNRECONCILED = 0.1  # seconds between two looks at the heads of a server that is not to be used yet
PRESENCE = pack(*INFO)
MIN_BACKOFF, MAX_BACKOFF = 0.05, 1.0


class Listener(Protocol):
    """Who wants to know of the connection's state."""

    def head_keys(self) -> Sequence[bytes]:
        """Of the hashes that have the heads."""

    def admits(self, replication_id: bytes, heads: Sequence[bytes | None]) -> bool:
        """Whether the primary with this replication id is to be used, the heads being these."""

    def connected(self, channel: ReplyQueue) -> None:
        """A new connection tracks changes from now on; whatever was read before is in doubt."""

    def verified(self, at: float) -> None:
        """The connection answered what was sent to it at this loop time."""

    def invalidated(self, keys: list[bytes] | None) -> None:
        """These keys changed; None: any may have."""

    def disconnected(self) -> None:
        """Changes are not told from now on, until it is connected again."""


@dataclass(frozen=True, slots=True)
class _Login:
    connect: Connector
    commands: tuple[tuple[tuple[bytes | str, ...], Expected], ...]


@dataclass(frozen=True, slots=True)
class _Admitted:
    """A primary that the signer has reconciled."""

    replication_id: bytes
    asked_at: float  # loop time


class StoreLink:
    """Keeps one tracked connection to the store and sends lookups over it."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        waiting_room: int,
        counters: Counters,
        monotonic: Callable[[], float],
    ) -> None:
        self._login = _login(endpoint)
        self._url = endpoint.url
        self._waiting_room = waiting_room
        self._counters = counters
        self._monotonic = monotonic
        self._wire: Wire | None = None
        self._task: asyncio.Task[None] | None = None
        self.up = asyncio.Event()

    def start(self, listener: Listener) -> None:
        """Connect, and connect again whenever the connection is lost, until `stop`."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run(listener))

    async def stop(self) -> None:
        """Close the connection for good."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.drop("store_down")

    def drop(self, cause: TryLaterCause) -> None:
        """Close the present connection; a new one follows."""
        if self._wire is not None:
            self._wire.close(cause)

    async def execute(self, *requests: Request) -> list[Any]:
        """The replies to requests that leave together. Raises LookupFailed."""
        wire = self._wire
        if wire is None or not self.up.is_set():
            raise LookupFailed("store_down")
        try:
            return await _replies(wire, requests)
        except asyncio.CancelledError:
            wire.close("store_down")  # C1: after a cancellation the connection is closed, never used again
            raise

    async def get(self, key: bytes, deadline: float) -> bytes | None:
        """A string; `deadline` is in loop time. Raises LookupFailed, as all that follow."""
        reply: bytes | None
        (reply,) = await self.execute(Request(b"GET", key, expected=NULLABLE_BYTES, deadline=deadline))
        return reply

    async def hgetall(self, key: bytes, deadline: float) -> dict[bytes, bytes]:
        """All fields of a hash; empty where there is no such key."""
        fields: dict[bytes, bytes]
        (fields,) = await self.execute(Request(b"HGETALL", key, expected=MAP, deadline=deadline))
        return fields

    async def _run(self, listener: Listener) -> None:
        backoff = 0.0
        while True:
            await asyncio.sleep(backoff * random.uniform(0.5, 1.0))
            backoff = min(MAX_BACKOFF, max(MIN_BACKOFF, backoff * 2))
            wire = await self._open(listener)
            if wire is None:
                continue
            try:
                admitted = await self._admission(wire, listener)
                if admitted is not None:
                    backoff = 0.0
                    await self._use(wire, listener, admitted)
            finally:
                wire.close("store_down")

    async def _open(self, listener: Listener) -> Wire | None:
        """A connection that is logged in and tracks changes, or None."""

        def changed(keys: list[bytes] | None) -> None:
            if self.up.is_set():
                listener.invalidated(keys)

        self._wire = wire = Wire(self._waiting_room, self._counters, changed, self._monotonic)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await self._login.connect(lambda: wire)
            await _handshake(wire, self._login)
        except (OSError, LookupFailed, RedisError) as error:
            log.warning("store cannot be reached", url=self._url, error=str(error) or "no answer")
            wire.close("store_down")
            return None
        except BaseException:
            wire.close("store_down")
            raise
        return None if wire.lost.is_set() else wire

    async def _admission(self, wire: Wire, listener: Listener) -> _Admitted | None:
        """Wait until the server is one that the signer has reconciled: until then it is as if it were away (A2)."""
        told = False
        try:
            while True:
                asked_at = self._loop.time()
                info, *heads = await _replies(wire, _admission_requests(listener.head_keys()))
                replication_id = primary_id(info)
                if replication_id is None:
                    return None
                if listener.admits(replication_id, heads):
                    return _Admitted(replication_id, asked_at)
                if not told:
                    told = True
                    log.warning("store is not reconciled yet", url=self._url, primary=replication_id.decode())
                    self._counters.set("store_unreconciled", 1)
                await asyncio.sleep(UNRECONCILED)
        except LookupFailed as error:
            log.warning("store connection lost", url=self._url, cause=error.cause)
            return None
        finally:
            self._counters.set("store_unreconciled", 0)

    async def _use(self, wire: Wire, listener: Listener, admitted: _Admitted) -> None:
        """Look up and be told of changes over this connection until it is lost."""
        self._counters.add("store_connections_total")
        self._counters.set("store_up", 1)
        self.up.set()
        log.info("store connected", url=self._url)
        try:
            listener.connected(wire.replies)
            listener.verified(admitted.asked_at)
            await self._heartbeat(wire, listener, admitted.replication_id)
        finally:
            self._down()
            listener.disconnected()

    def _down(self) -> None:
        self.up.clear()
        self._counters.set("store_up", 0)
        log.warning("store connection lost", url=self._url)

    async def _heartbeat(self, wire: Wire, listener: Listener, replication_id: bytes) -> None:
        """Ask once a second whether it still is the same primary; two without an answer end the connection."""
        while not wire.lost.is_set():
            now = self._loop.time()
            if wire.oldest is not None and now - wire.oldest >= MAX_MISSED * HEARTBEAT:
                wire.close("store_down")
            else:
                wire.beat(_Heartbeat(wire, listener, now, replication_id))
            try:
                async with asyncio.timeout(HEARTBEAT):
                    await wire.lost.wait()
            except TimeoutError:
                continue


class _Heartbeat(Command):
    def __init__(self, wire: Wire, listener: Listener, asked_at: float, replication_id: bytes) -> None:
        super().__init__(PRESENCE, inf)
        self._wire = wire
        self._listener = listener
        self._asked_at = asked_at
        self._replication_id = replication_id

    def take(self, reply: Any, now: float) -> None:
        if not isinstance(reply, bytes):
            raise TypeError("INFO is a string")
        if primary_id(reply) == self._replication_id:
            self._listener.verified(self._asked_at)
        else:
            log.warning("store is another primary than before, or none")
            self._wire.close("store_down")

    def fail(self, cause: TryLaterCause) -> None:
        """Whoever closed the connection knows."""


async def _replies(wire: Wire, requests: Sequence[Request]) -> list[Any]:
    """Send them in one batch. Raises LookupFailed."""
    for request in requests:
        cause = wire.send(request)
        if cause is not None:
            request.fail(cause)
    results = await asyncio.gather(*(request.future for request in requests), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def _admission_requests(head_keys: Sequence[bytes]) -> list[Request]:
    deadline = asyncio.get_running_loop().time() + HANDSHAKE_TIMEOUT
    heads = [
        Request(b"HGET", key, HEAD_FIELD, expected=NULLABLE_BYTES, deadline=deadline) for key in head_keys
    ]
    return [Request(*INFO, expected=BYTES, deadline=deadline), *heads]


async def _handshake(wire: Wire, login: _Login) -> None:
    """Log in and start tracking. Raises LookupFailed."""
    deadline = asyncio.get_running_loop().time() + HANDSHAKE_TIMEOUT
    hello, *_ = await _replies(
        wire, [Request(*parts, expected=expected, deadline=deadline) for parts, expected in login.commands]
    )
    if hello.get(b"proto") != 3:
        raise LookupFailed("store_protocol")
    if hello.get(b"role") != b"master":
        # Demoted since the Sentinels named it, or configured so: what a replica lags behind nobody can tell (A1).
        log.error("store is a replica; only a primary is used")
        raise LookupFailed("store_down")


def _login(endpoint: Endpoint) -> _Login:
    """How redis-py would connect and log in: address, TLS, user and database are its settings."""
    pool: Any = endpoint.async_client().connection_pool
    settings = pool.make_connection()
    hello: tuple[bytes | str, ...] = (b"HELLO", b"3")
    if settings.password:
        hello += (b"AUTH", settings.username or "default", settings.password)
    commands = [(hello, MAP)]
    if settings.db:
        commands.append(((b"SELECT", str(settings.db)), BYTES))
    commands.append(((b"CLIENT", b"TRACKING", b"ON", b"BCAST", b"PREFIX", KEY_PREFIX), BYTES))
    return _Login(_connector(endpoint, settings), tuple(commands))


def _connector(endpoint: Endpoint, settings: Any) -> Connector:
    """How to open the connection that a redis-py connection object describes."""
    path: str | None = getattr(settings, "path", None)
    tls: Any = getattr(settings, "ssl_context", None)

    async def connect(protocol: Callable[[], asyncio.Protocol]) -> object:
        loop = asyncio.get_running_loop()
        if path is not None:
            return await loop.create_unix_connection(protocol, path)
        context: ssl.SSLContext | None = tls.get() if tls is not None else None
        host, port = await endpoint.find_primary() or (settings.host, settings.port)
        return await loop.create_connection(protocol, host, port, ssl=context)

    return connect
