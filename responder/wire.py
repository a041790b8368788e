"""One connection to the store: commands out in few writes, replies and invalidations in, in server order.

Replies belong to the connection their commands went over: each connection has its own queue, and when anything
about it is in doubt it is closed with all who wait on it, so that a reply can never reach another lookup (C1, E6).
"""

import asyncio
from collections.abc import Callable
from math import inf
from typing import Any, cast

import hiredis
import structlog

from _fastpath.replies import Command, ReplyQueue, Surprise
from responder.counters import Counters, bounds_of, slot_of
from responder.errors import LookupFailed, TryLaterCause

__all__ = ["BYTES", "MAP", "NULLABLE_BYTES", "Expected", "Invalidation", "Request", "Wire", "pack"]

log = structlog.get_logger()

Expected = tuple[type, ...]  # what a reply must be an instance of
Invalidation = Callable[[list[bytes] | None], None]  # keys that changed; None: any may have

BYTES: Expected = (bytes,)
NULLABLE_BYTES: Expected = (bytes, type(None))
MAP: Expected = (dict,)


def pack(*parts: bytes | str) -> bytes:
    """A command as it goes over the wire."""
    command: Any = parts  # its stub knows tuples of one only
    request: bytes = hiredis.pack_command(command)
    return request


class Request(Command):
    """A command whose reply a coroutine waits for."""

    def __init__(
        self,
        *parts: bytes | str,
        expected: Expected,
        deadline: float = inf,
    ) -> None:
        super().__init__(pack(*parts), deadline)
        self._expected = expected
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def take(self, reply: Any, now: float) -> None:
        if not isinstance(reply, self._expected):
            raise TypeError(f"a reply of type {type(reply).__name__}")
        if not self.future.done():
            self.future.set_result(reply)

    def fail(self, cause: TryLaterCause) -> None:
        if not self.future.done():
            self.future.set_exception(LookupFailed(cause))


class Wire(asyncio.Protocol):
    """One connection from connect to close. Never used again after `close`."""

    def __init__(
        self,
        waiting_room: int,
        counters: Counters,
        invalidated: Invalidation,
        monotonic: Callable[[], float],
    ) -> None:
        self.lost = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._counters = counters
        self._invalidated = invalidated
        self._monotonic = monotonic  # as loop time, but the time of some loops is of whole milliseconds
        self.replies = ReplyQueue(
            flush=lambda: self._loop.call_soon(self._flush),
            arm=self._arm,
            invalidated=self._invalidate,
            refused=lambda message: log.warning("store refused a command", error=message),
            room=waiting_room,
            tally=counters.tally,
            slot=slot_of("store_seconds", "lookup"),
            bounds=bounds_of("store_seconds"),
        )
        self._transport: asyncio.WriteTransport | None = None
        self._sweeper: asyncio.Handle | None = None
        self._put_off = False  # whether what is queued waits for another tick

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
        return self.replies.oldest

    def send(self, command: Command) -> TryLaterCause | None:
        """Queue a command; it leaves with others of this loop tick or the next. The cause why it cannot be, else None."""
        cause: TryLaterCause | None = self.replies.submit(command, self._loop.time())
        return cause

    def beat(self, heartbeat: Command) -> None:
        """Queue a heartbeat, however many commands wait."""
        self.replies.put(heartbeat, self._loop.time())

    def _flush(self) -> None:
        """Write what is queued; a tick later while replies are awaited, as then more will be queued to go along."""
        if self.replies.under_way > 0 and not self._put_off:
            self._put_off = True
            self._loop.call_soon(self._flush)
            return
        self._put_off = False
        if not self.lost.is_set() and self._transport is not None:
            self._transport.write(self.replies.take_outgoing())

    def data_received(self, data: bytes) -> None:
        try:
            self.replies.feed(data, self._monotonic())
        except Surprise as error:
            log.warning("store answered what was not asked", error=str(error))
            self.close("store_protocol")

    def _invalidate(self, keys: list[bytes] | None) -> None:
        self._counters.add("store_invalidations_total")
        self._invalidated(keys)

    def _arm(self, deadline: float) -> None:
        """One timer for all: it is set anew only for a deadline before the one it waits for."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._sweeper = self._loop.call_at(deadline, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        self.replies.overdue(self._loop.time())

    def close(self, cause: TryLaterCause) -> None:
        """Give up the connection and fail everybody who waits on it."""
        if self.lost.is_set():
            return
        self.lost.set()
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._transport is not None:
            self._transport.abort()
        self.replies.close(cause)
