"""Lookups in the store: one connection per worker, kept up, logged in and told of every change.

Invalidations are tracked on the connection that sends the lookups: on another they could be overtaken.
"""

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from responder.counters import Counters
from responder.errors import LookupFailed, TryLaterCause
from responder.wire import BYTES, INTEGER, MAP, NULLABLE_BYTES, Expected, Wire, pack
from store.connection import Endpoint
from store.reader import encode_hget, encode_hlen
from store.schema import KEY_PREFIX

__all__ = ["Listener", "StoreLink"]

log = structlog.get_logger()

Connector = Callable[[Callable[[], asyncio.Protocol]], Awaitable[object]]

CONNECT_TIMEOUT = 2.0
HANDSHAKE_TIMEOUT = 2.0
HEARTBEAT = 1.0
MAX_MISSED = 2
MIN_BACKOFF, MAX_BACKOFF = 0.05, 1.0
PING = pack(b"PING")


class Listener(Protocol):
    """Who wants to know of the connection's state."""

    def connected(self) -> None:
        """A new connection tracks changes from now on; whatever was read before is in doubt."""

    def invalidated(self, keys: list[bytes] | None) -> None:
        """These keys changed; None: any may have."""


@dataclass(frozen=True, slots=True)
class _Login:
    connect: Connector
    commands: tuple[tuple[bytes, Expected], ...]


class StoreLink:
    """Keeps one tracked connection to the store and sends lookups over it."""

    def __init__(self, endpoint: Endpoint, *, waiting_room: int, counters: Counters) -> None:
        self._login = _login(endpoint)
        self._url = endpoint.url
        self._waiting_room = waiting_room
        self._counters = counters
        self._wire: Wire | None = None
        self._task: asyncio.Task[None] | None = None
        self.up = asyncio.Event()

    def start(self, listener: Listener) -> None:
        """Connect, and connect again whenever the connection is lost, until `stop`."""
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

    async def hget(self, key: bytes, field: bytes, deadline: float) -> bytes | None:
        """One field of a hash; `deadline` is in loop time. Raises LookupFailed, as all that follow."""
        value: bytes | None = await self._execute(deadline, (encode_hget(key, field), NULLABLE_BYTES))
        return value

    async def header_and_length(self, key: bytes, header: bytes, deadline: float) -> tuple[bytes | None, int]:
        """One field of a hash and the number of its fields, in one batch."""
        value, length = await self._execute(
            deadline, (encode_hget(key, header), NULLABLE_BYTES), (encode_hlen(key), INTEGER)
        )
        return value, length

    async def get(self, key: bytes, deadline: float) -> bytes | None:
        """A string."""
        value: bytes | None = await self._execute(deadline, (pack(b"GET", key), NULLABLE_BYTES))
        return value

    async def hgetall(self, key: bytes, deadline: float) -> dict[bytes, bytes]:
        """All fields of a hash; empty where there is no such key."""
        fields: dict[bytes, bytes] = await self._execute(deadline, (pack(b"HGETALL", key), MAP))
        return fields

    async def _execute(self, deadline: float, *requests: tuple[bytes, Expected]) -> Any:
        """The reply to one request, or the list of several's."""
        wire = self._wire
        if wire is None or not self.up.is_set():
            raise LookupFailed("store_down")
        futures = wire.submit(deadline, *requests)
        try:
            return await (futures[0] if len(futures) == 1 else asyncio.gather(*futures))
        except asyncio.CancelledError:
            wire.close("store_down")  # C1: after a cancellation the connection is closed, never used again
            raise

    async def _run(self, listener: Listener) -> None:
        backoff = 0.0
        while True:
            await asyncio.sleep(backoff * random.uniform(0.5, 1.0))
            wire = await self._open(listener)
            if wire is None:
                backoff = min(MAX_BACKOFF, max(MIN_BACKOFF, backoff * 2))
                continue
            backoff = 0.0
            try:
                await self._heartbeat(wire)
            finally:
                self._down()
                wire.close("store_down")

    async def _open(self, listener: Listener) -> Wire | None:
        """A connection that is logged in and tracks changes, or None."""
        self._wire = wire = Wire(self._waiting_room, self._counters, listener.invalidated)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await self._login.connect(lambda: wire)
            await _handshake(wire, self._login)
        except (OSError, LookupFailed) as error:
            log.warning("store cannot be reached", url=self._url, error=str(error) or "no answer")
            wire.close("store_down")
            return None
        except BaseException:
            wire.close("store_down")
            raise
        if wire.lost.is_set():
            return None
        self._counters.add("store_connections_total")
        self._counters.set("store_up", 1)
        self.up.set()
        log.info("store connected", url=self._url)
        listener.connected()
        return wire

    def _down(self) -> None:
        self.up.clear()
        self._counters.set("store_up", 0)
        log.warning("store connection lost", url=self._url)

    async def _heartbeat(self, wire: Wire) -> None:
        """A PING a second; two without an answer end the connection."""
        loop = asyncio.get_running_loop()
        while not wire.lost.is_set():
            if wire.oldest is not None and loop.time() - wire.oldest >= MAX_MISSED * HEARTBEAT:
                wire.close("store_down")
            else:
                wire.enqueue(PING, BYTES)
            try:
                async with asyncio.timeout(HEARTBEAT):
                    await wire.lost.wait()
            except TimeoutError:
                continue


async def _handshake(wire: Wire, login: _Login) -> None:
    """Log in and start tracking. Raises LookupFailed."""
    deadline = asyncio.get_running_loop().time() + HANDSHAKE_TIMEOUT
    replies = await asyncio.gather(*wire.submit(deadline, *login.commands), return_exceptions=True)
    for reply in replies:
        if isinstance(reply, BaseException):
            raise reply
    hello: Any = replies[0]
    if hello.get(b"proto") != 3:
        raise LookupFailed("store_protocol")


def _login(endpoint: Endpoint) -> _Login:
    """How redis-py would connect and log in: address, TLS, user and database are its settings."""
    pool: Any = endpoint.async_client().connection_pool
    settings = pool.make_connection()
    hello: tuple[bytes | str, ...] = (b"HELLO", b"3")
    if settings.password:
        hello += (b"AUTH", settings.username or "default", settings.password)
    commands = [(pack(*hello), MAP)]
    if settings.db:
        commands.append((pack(b"SELECT", str(settings.db)), BYTES))
    commands.append((pack(b"CLIENT", b"TRACKING", b"ON", b"BCAST", b"PREFIX", KEY_PREFIX), BYTES))
    return _Login(_connector(settings), tuple(commands))


def _connector(settings: Any) -> Connector:
    """How to open the connection that a redis-py connection object describes."""
    path: str | None = getattr(settings, "path", None)
    tls: Any = getattr(settings, "ssl_context", None)

    async def connect(protocol: Callable[[], asyncio.Protocol]) -> object:
        loop = asyncio.get_running_loop()
        if path is not None:
            return await loop.create_unix_connection(protocol, path)
        context: ssl.SSLContext | None = tls.get() if tls is not None else None
        return await loop.create_connection(protocol, settings.host, settings.port, ssl=context)

    return connect
