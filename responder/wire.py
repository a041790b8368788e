"""One connection to the store: commands out in one write a loop tick, replies and invalidations in, in server order.

Replies belong to the connection their commands went over: each connection has its own queue, and when anything
about it is in doubt it is closed with all who wait on it, so that a reply can never reach another lookup (C1, E6).
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import hiredis
import structlog

from responder.counters import Counters
from responder.errors import LookupFailed, TryLaterCause

__all__ = ["BYTES", "INTEGER", "MAP", "NULLABLE_BYTES", "Expected", "Invalidation", "Wire", "pack"]

log = structlog.get_logger()

Expected = tuple[type, ...]  # what a reply must be an instance of
Invalidation = Callable[[list[bytes] | None], None]  # keys that changed; None: any may have

BYTES: Expected = (bytes,)
NULLABLE_BYTES: Expected = (bytes, type(None))
INTEGER: Expected = (int,)
MAP: Expected = (dict,)
MAX_REPLY = 1 << 20  # octets of a reply not yet whole; records are below 8 KiB
NOT_ENOUGH: Any = Ellipsis  # no RESP value decodes to it


def pack(*parts: bytes | str) -> bytes:
    """A command as it goes over the wire."""
    command: Any = parts  # its stub knows tuples of one only
    request: bytes = hiredis.pack_command(command)
    return request


class _Command:
    """One command under way and everybody who waits for its reply."""

    __slots__ = ("expected", "request", "sent_at", "waiters")

    def __init__(self, request: bytes, expected: Expected, sent_at: float) -> None:
        self.request = request
        self.expected = expected
        self.sent_at = sent_at
        self.waiters: list[tuple[float, asyncio.Future[Any]]] = []  # (deadline in loop time, future)


class Wire(asyncio.Protocol):
    """One connection from connect to close. Never used again after `close`."""

    def __init__(self, waiting_room: int, counters: Counters, invalidated: Invalidation) -> None:
        self.lost = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._waiting_room = waiting_room
        self._counters = counters
        self._invalidated = invalidated
        self._reader = hiredis.Reader(notEnoughData=NOT_ENOUGH)
        self._transport: asyncio.WriteTransport | None = None
        self._queue: deque[_Command] = deque()
        self._shared: dict[bytes, _Command] = {}
        self._outgoing: list[bytes] = []
        self._waiting = 0
        self._sweeper: asyncio.Handle | None = None
        self._sweeps_at = 0.0  # loop time; uvloop's handles for what is due already do not tell it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because the classes of uvloop's transports have no base in asyncio.
        self._transport = cast(asyncio.WriteTransport, transport)
        if self.lost.is_set():  # given up while it was connecting
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.close("store_down")

    @property
    def oldest(self) -> float | None:
        """When the oldest command without a reply was queued, in loop time."""
        return self._queue[0].sent_at if self._queue else None

    def submit(self, deadline: float, *requests: tuple[bytes, Expected]) -> list[asyncio.Future[Any]]:
        """Queue commands, or join equal ones that are under way. Raises LookupFailed."""
        if self.lost.is_set():
            raise LookupFailed("store_down")
        if self._waiting >= self._waiting_room or len(self._queue) >= self._waiting_room:
            raise LookupFailed("waiting_room")
        self._sweep_at(deadline)
        self._waiting += len(requests)
        return [self._wait_for(request, expected, deadline) for request, expected in requests]

    def _wait_for(self, request: bytes, expected: Expected, deadline: float) -> asyncio.Future[Any]:
        command = self._shared.get(request)
        if command is None:
            command = self._shared[request] = self.enqueue(request, expected)
        future: asyncio.Future[Any] = self._loop.create_future()
        command.waiters.append((deadline, future))
        return future

    def enqueue(self, request: bytes, expected: Expected) -> _Command:
        """Queue a command that nobody waits for yet; it leaves with all others of this loop tick."""
        command = _Command(request, expected, self._loop.time())
        self._queue.append(command)
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(request)
        return command

    def _flush(self) -> None:
        if not self.lost.is_set() and self._transport is not None:
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while not self.lost.is_set():
                reply = self._reader.gets()
                if reply is NOT_ENOUGH:
                    break
                self._take(reply)
        except hiredis.ProtocolError:
            self.close("store_protocol")
        if self._reader.len() > MAX_REPLY:
            self.close("store_protocol")

    def _take(self, reply: Any) -> None:
        if isinstance(reply, hiredis.PushNotification):
            self._push(reply)
        elif not self._queue:
            self.close("store_protocol")
        else:
            self._answer(self._queue.popleft(), reply)

    def _push(self, push: list[Any]) -> None:
        if len(push) != 2 or push[0] != b"invalidate" or not isinstance(push[1], list | None):
            self.close("store_protocol")
            return
        self._counters.add("store_invalidations_total")
        self._invalidated(push[1])

    def _answer(self, command: _Command, reply: Any) -> None:
        if self._shared.get(command.request) is command:
            del self._shared[command.request]
        failure: TryLaterCause | None = None
        if isinstance(reply, hiredis.ReplyError):
            log.warning("store refused a command", error=str(reply))
            failure = "store_error"
        elif not isinstance(reply, command.expected):
            failure = "store_protocol"
        for _, future in command.waiters:
            if failure is not None:
                _fail(future, failure)
            elif not future.done():
                future.set_result(reply)
        self._counters.observe("store_seconds", self._loop.time() - command.sent_at, "lookup")
        self._waiting -= len(command.waiters)
        if failure == "store_protocol":
            self.close(failure)

    def _sweep(self) -> None:
        """Fail those whose deadline has come. Their commands stay queued, so that replies keep their places."""
        now = self._loop.time()
        for command in self._queue:
            late = [future for deadline, future in command.waiters if deadline <= now]
            if late:
                command.waiters = [waiter for waiter in command.waiters if waiter[0] > now]
                self._waiting -= len(late)
                for future in late:
                    _fail(future, "lookup_timeout")
        self._sweeper = None
        deadlines = [deadline for command in self._queue for deadline, _ in command.waiters]
        if deadlines:
            self._sweep_at(min(deadlines))

    def _sweep_at(self, deadline: float) -> None:
        """One timer for all: it is set anew only for a deadline before the one it waits for."""
        if self._sweeper is not None:
            if self._sweeps_at <= deadline:
                return
            self._sweeper.cancel()
        self._sweeper = self._loop.call_at(deadline, self._sweep)
        self._sweeps_at = deadline

    def close(self, cause: TryLaterCause) -> None:
        """Give up the connection and fail everybody who waits on it."""
        if self.lost.is_set():
            return
        self.lost.set()
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._transport is not None:
            self._transport.abort()
        for command in self._queue:
            for _, future in command.waiters:
                _fail(future, cause)
        self._queue.clear()
        self._shared.clear()


def _fail(future: asyncio.Future[Any], cause: TryLaterCause) -> None:
    if not future.done():
        future.set_exception(LookupFailed(cause))
