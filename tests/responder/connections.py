"""Connections of clients to a worker in this event loop, without sockets: octets in, octets out, and what was closed."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from uvicorn.server import ServerState

from _fastpath.connection import Connection, Connections
from responder.app import Application
from responder.protocol import OCSPProtocol, ServingState, _Phase
from tests.responder.conftest import uvicorn_config

__all__ = ["Client", "SlowProtocol", "Worker"]

PATIENCE = 60.0  # seconds for what takes milliseconds
TICKS = 8  # of the loop until the application has refused a request whose body it does not want


class SlowProtocol(OCSPProtocol):
    """Without the fast path."""

    def _become_plain(self) -> None:
        self.fast.allow(False)


class Worker:
    """What uvicorn gives every connection of a worker."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.config = uvicorn_config(application, lifespan="off")
        self.config.load()
        self.server_state = ServerState()
        self.state: dict[str, Any] = {ServingState.KEY: application._state}
        self.path = application._state.path
        self._slow = self._share(SlowProtocol)
        self._fast = self._share(OCSPProtocol)

    def _share(self, protocol: type[OCSPProtocol]) -> Connections:
        serving: ServingState = self.state[ServingState.KEY]
        library = partial(protocol, config=self.config, server_state=self.server_state, app_state=self.state)
        return serving.share(library, self.server_state)

    def _looks_up(self) -> bool:
        """Whether the store owes an answer."""
        return bool(self.application.source.channel)

    def connect(self, *, fast: bool = True, room: int = 1 << 20) -> "Client":
        client = Client(Connection(self._fast if fast else self._slow), room, self._looks_up)
        if not fast:
            client.protocol.allow(False)
        return client


class Client(asyncio.Transport):
    """One connection: the transport that the worker writes to, and the hand of the client.

    `room` octets may lie unread before the worker is told to write no more.
    """

    def __init__(self, protocol: Connection, room: int, looks_up: Callable[[], bool]) -> None:
        super().__init__()
        self._looks_up = looks_up
        self.received = bytearray()
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._room = room
        self._unread = 0
        self._reading = True
        self._lost = False
        self._inbox: deque[bytes] = deque()  # an empty one is the end of what the client sends
        self._paused = False
        self.protocol: Any = protocol  # the fast path's, then the HTTP library's
        protocol.connection_made(self)

    # The client

    def send(self, *segments: bytes) -> None:
        """Each of these arrives by itself, as soon as the worker reads."""
        self._inbox.extend(segment for segment in segments if segment)
        self._deliver()

    def end(self) -> None:
        """The client sends no more, and still reads."""
        self._inbox.append(b"")
        self._deliver()

    def leave(self) -> None:
        """The connection is gone."""
        self._lose()

    def read(self) -> None:
        """Take what was written."""
        self._unread = 0
        if self._paused and not self._lost:
            self._paused = False
            self.protocol.resume_writing()

    @property
    def idle(self) -> bool:
        """Whether the worker owes nothing for what was sent."""
        return self._lost or not (self.closed or self._paused or self._inbox or self._owes)

    @property
    def _owes(self) -> bool:
        protocol = self.protocol
        if isinstance(protocol, Connection):
            return protocol.waiting
        return bool(
            (protocol._answering and not self._incomplete)
            or protocol.pipeline
            or protocol.fast.waiting
            or protocol._held
            or protocol._farewell is not None
        )

    @property
    def _incomplete(self) -> bool:
        """Whether the body is awaited of the request that the application has."""
        protocol = self.protocol
        if isinstance(protocol, Connection):
            return False
        return protocol._phase is _Phase.BODY and protocol._active is protocol.cycle

    async def settle(self) -> bytes:
        """All that was written once nothing is owed any more; what is written is read at once."""
        quiet = 0
        async with asyncio.timeout(PATIENCE):
            while quiet < TICKS:
                self.read()
                await asyncio.sleep(0)
                steps = 1 if self._incomplete and not self._lost else TICKS
                waits = self._incomplete and self._looks_up()  # it may be answered without its body
                quiet = quiet + steps if self.idle and not waits else 0
        return bytes(self.received)

    # The transport

    def _deliver(self) -> None:
        while self._inbox and self._reading and not self.closed:
            segment = self._inbox.popleft()
            if segment:
                self.protocol.data_received(segment)
            elif not self.protocol.eof_received():
                self.close()

    def _lose(self) -> None:
        self.closed = True
        if not self._lost:
            self._lost = True
            self._inbox.clear()
            self.protocol.connection_lost(None)

    def write(self, data: Any) -> None:
        assert not self._lost or not data, "written to nobody"
        if self.closed:
            return
        self.received += data
        self._unread += len(data)
        if self._unread > self._room and not self._paused:
            self._paused = True
            self.protocol.pause_writing()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._loop.call_soon(self._lose)

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self._loop.call_soon(self._deliver)

    def is_reading(self) -> bool:
        return self._reading

    def get_write_buffer_size(self) -> int:
        return self._unread
