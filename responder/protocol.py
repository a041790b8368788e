"""uvicorn's HTTP/1 protocol with the fast path before it, bounds on size, number and time, and refusals in turn.

While nothing is under way, what a client sends is offered to the fast path; what that leaves goes, untouched, to
the HTTP library. A request on either path holds back all that follow it, so that answers keep their order (E6).
"""

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

import httptools
import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from _fastpath.connection import Connection, Connections
from _fastpath.serve import FastPath
from responder.answers import http_refusal
from responder.config import ResponderSection
from responder.counters import Counters
from store.clock import Clock

if TYPE_CHECKING:
    from _fastpath.connection import Library

__all__ = ["REFUSAL", "OCSPProtocol", "ServingState", "connection"]

REASONS = {
    400: b"Bad Request",
    408: b"Request Timeout",
    414: b"URI Too Long",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}
VERSIONS = ("1.0", "1.1")
RETRY_AFTER = (b"retry-after", b"1")
# Key in a scope's state: the code to refuse a request with whose body came to nothing.
REFUSAL = "ocspeed.refusal"
PIPELINE = 16  # requests read ahead of the one being answered
SLICE = 512  # octets given to the parser at a time: below 30 requests
FRAMING = 8  # octets of chunked coding allowed for one of the body limit
FIRST_WAIT = 10.0  # seconds at most until a new connection sends something (F3)
LAST_WAIT = 5.0  # seconds for the rest of a message once the worker stops, of those that server.GRACE gives
SWEEP_INTERVAL = 1.0
SWEEP_SLICE, SWEEP_PAUSE = 16, 0.001  # connections looked at in a row, and seconds for others in between


class _Phase(Enum):
    """Which part of a message comes next."""

    START = auto()
    HEAD = auto()
    BODY = auto()


class ServingState:
    """What connections need of their worker; kept in the lifespan state under `KEY`."""

    KEY = "ocspeed"

    def __init__(self, section: ResponderSection, path: FastPath, counters: Counters, clock: Clock) -> None:
        self.section = section
        self.path = path
        self.counters = counters
        self.clock = clock
        self.shared: Connections | None = None  # as soon as a client has come
        self._server_state: ServerState | None = None  # uvicorn's
        self._answered = 0  # by the fast path, as far as uvicorn was told
        self._timer: asyncio.Handle | None = None
        self._slices: asyncio.Handle | None = None

    def share(self, library: "Callable[[Connection], Library]", server_state: ServerState) -> Connections:
        """What all connections of uvicorn's server share; `library` makes a protocol of the HTTP library."""
        section = self.section
        self._server_state = server_state
        self.shared = Connections(
            self.path,
            members=server_state.connections,
            library=library,
            left=partial(self.counters.add, "http_disconnects_total"),
            plain=not section.access_log,
            limit=section.limit_concurrency,
            header_timeout=section.header_timeout,
            body_timeout=section.body_timeout,
            write_timeout=section.write_timeout,
        )
        self._set_dues(self.shared)
        return self.shared

    def start(self) -> None:
        """End what takes too long, from now on: one timer for all connections."""
        self._timer = asyncio.get_running_loop().call_later(SWEEP_INTERVAL, self._sweep)

    def stop(self) -> None:
        """End the timers."""
        for timer in (self._timer, self._slices):
            if timer is not None:
                timer.cancel()

    def _set_dues(self, connections: Connections) -> None:
        now = asyncio.get_running_loop().time()
        connections.idle_due = now + self.section.keep_alive + SWEEP_INTERVAL
        connections.first_due = now + min(FIRST_WAIT, self.section.keep_alive) + SWEEP_INTERVAL

    def _sweep(self) -> None:
        if self.shared is not None and self._server_state is not None:
            self._set_dues(self.shared)
            self._look(self.shared, tuple(self._server_state.connections))
            self._server_state.total_requests += self.path.answered - self._answered
            self._answered = self.path.answered
        cache = self.path.cache
        self.counters.set("ocsp_cache_bytes", cache.size)
        self.counters.set("ocsp_cache_entries", len(cache))
        self.counters.set("ocsp_cache_removals_total", cache.evicted, "evicted")
        self.counters.set("ocsp_cache_removals_total", cache.invalidated, "invalidated")
        self.start()

    def _look(self, shared: Connections, members: tuple[object, ...], first: int = 0) -> None:
        """End what takes too long; thousands whose time is over at once hold nobody up who asks meanwhile (F3)."""
        loop = asyncio.get_running_loop()
        behind = first + SWEEP_SLICE
        shared.sweep(members[first:behind], loop.time())
        if behind < len(members):
            self._slices = loop.call_later(SWEEP_PAUSE, self._look, shared, members, behind)


class _Flow(FlowControl):
    """Reading stays paused while there is something read that the parser did not get yet."""

    holding = False

    def resume_reading(self) -> None:
        if not self.holding:
            super().resume_reading()


class OCSPProtocol(HttpToolsProtocol):
    """One connection of a client."""

    def __init__(self, fast: Connection, **named: Any) -> None:
        super().__init__(**named)
        self._serving: ServingState = self.app_state[ServingState.KEY]
        self._section = self._serving.section
        self._phase = _Phase.START
        self._octets = 0  # of this phase, give or take a slice
        self._header_size = 0
        self._held = memoryview(b"")
        self._refusal = 400
        self._farewell: int | None = None  # code that follows the answers still due
        self._ended = False  # what the client sends from now on is not read as HTTP
        self._active: Any = None  # uvicorn's cycle of the request that is being answered
        self.fast = fast
        self.data_received = fast.data_received  # type: ignore[method-assign]  # a transport may look it up once

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow: _Flow = _Flow(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there to answer: uvicorn marks the last request only, which need not be the one under way."""
        self._ended = True
        self._held = memoryview(b"")
        if self.fast.lost() or self._answering or self.pipeline:
            self._serving.counters.add("http_disconnects_total")
        self.pipeline.clear()
        if self._answering:
            self._active.disconnected = True
            self._active.message_event.set()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client may close its half and still read: what it asked for whole is answered, then we close."""
        self.fast.hand_over()
        if self._phase is _Phase.BODY:
            self._end(400)
        self._ended = True
        if not self._answering and not self.pipeline:
            return False
        self.cycle.keep_alive = False
        return True

    @property
    def _answering(self) -> bool:
        return self._active is not None and not self._active.response_complete

    # The fast path

    def _become_plain(self) -> None:
        """Offer the next request to the fast path once the HTTP library is between two, and nothing is due."""
        self.fast.allow(
            not (
                self._held
                or self._ended
                or self._answering
                or self.pipeline
                or self._phase is not _Phase.START
                or self._farewell is not None
                or self._section.access_log
                or len(self.connections) > self._section.limit_concurrency
            )
        )

    def shutdown(self) -> None:
        """The worker stops: what was read is answered, the last answer says that the connection ends (E3)."""
        if not self.fast.drain():
            self.fast.hand_over()
            if self._phase is not _Phase.START:  # the client owes the rest, not we an answer
                self.fast.due = min(self.fast.due, self.loop.time() + LAST_WAIT)
            super().shutdown()

    def finish(self) -> None:
        """The last answer is written."""
        self._ended = True
        self.transport.close()

    def hold(self, held: bool) -> None:
        """Whether what was read has to wait for an answer: then no more is read."""
        self.flow.holding = held
        if held:
            self.flow.pause_reading()
        else:
            self.flow.resume_reading()

    # The HTTP library

    def read(self, data: bytes) -> None:
        """What the fast path leaves alone."""
        if not self._ended:
            self._held = memoryview(bytes(self._held) + data if self._held else data)
            self._feed()
            self._become_plain()

    def _feed(self) -> None:
        """Parse what was read, as long as not too many requests wait; then it is kept and no more is read (F1)."""
        while self._held and not self._ended and len(self.pipeline) < PIPELINE:
            part, self._held = self._held[:SLICE], self._held[SLICE:]
            self._parse(part)
        if self._ended:
            self._held = memoryview(b"")
        self.hold(bool(self._held))

    def _parse(self, part: memoryview) -> None:
        try:
            self.parser.feed_data(part)
        except httptools.HttpParserUpgrade:
            self._decline_upgrade()
        except httptools.HttpParserError:
            self._end(self._refusal)
        else:
            self._measure(len(part))

    def _measure(self, octets: int) -> None:
        """The parser keeps a field until its end and tells of chunk extensions never: bound them by what it got (F1)."""
        self._octets += octets
        section = self._section
        if self._phase is _Phase.HEAD and self._octets > len(self.url) + section.header_limit + SLICE:
            self._end(431)
        elif (
            self._phase is _Phase.BODY and self._octets > FRAMING * section.body_limit + section.header_limit
        ):
            self._end(413)

    def _enter(self, phase: _Phase, due: float) -> None:
        self._phase = phase
        self._octets = 0
        self.fast.due = due

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_size = 0
        self._enter(_Phase.HEAD, self.loop.time() + self._section.header_timeout)

    def on_url(self, url: bytes) -> None:
        if len(self.url) + len(url) > self._section.target_limit:
            self._refuse(414)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_size += len(name) + len(value) + 4  # colon, space, line end
        if self._header_size > self._section.header_limit:
            self._refuse(431)
        if self._phase is _Phase.HEAD:  # of a trailer nothing is taken (RFC 9110 section 6.5.1)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser.get_http_version() not in VERSIONS:
            self._refuse(400)
        if len(self.connections) > self._section.limit_concurrency:
            self._refuse(503)  # H-20
        # The parser takes what follows an Upgrade for another protocol: such a body cannot be read.
        fields = dict(self.headers)
        if self.parser.should_upgrade() and (fields.keys() & {b"content-length", b"transfer-encoding"}):
            self._refuse(400)
        super().on_headers_complete()
        if self.fast.draining:
            self.cycle.keep_alive = False
        self._enter(_Phase.BODY, self.loop.time() + self._section.body_timeout)

    def on_body(self, body: bytes) -> None:
        if (
            len(self.cycle.body) <= self._section.body_limit
        ):  # beyond, it is refused with 413 whatever follows
            super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._enter(_Phase.START, inf)
        self._ended = not self.cycle.keep_alive
        if not self._answering:
            self.fast.due = self.loop.time() + self._section.keep_alive

    def _refuse(self, code: int) -> None:
        self._refusal = code
        raise httptools.HttpParserError(f"refused with {code}")  # ends in _parse

    def _decline_upgrade(self) -> None:
        """An upgrade is declined by answering as usual; the parser is of no use after it, so the connection ends."""
        self._ended = True
        self.cycle.keep_alive = False

    # Answering

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._active = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self._proceed()
            self._feed()
            self._become_plain()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.fast.block(True)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.fast.block(False)
        self._proceed()
        self._become_plain()

    def _proceed(self) -> None:
        """Start the next request once the client has read, or say why the connection ends, or wait for more."""
        if self._answering or self.flow.write_paused or self.transport.is_closing():
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._farewell is not None:
            self._say_farewell(self._farewell)
        elif self._phase is _Phase.START:
            self.fast.due = self.loop.time() + self._section.keep_alive

    def _end(self, code: int) -> None:
        """Refuse the message that is coming in, after the answers still due, and close (E6).

        Where the next message would begin is not known.
        """
        self._ended = True
        self.fast.due = inf
        if self._phase is not _Phase.BODY:
            self._farewell = code
            self._proceed()
            return
        self.cycle.keep_alive = False
        if self.cycle.response_complete:
            self.transport.close()
        else:
            self.cycle.scope["state"][REFUSAL] = code
            self.cycle.message_event.set()

    def _say_farewell(self, code: int) -> None:
        extra = (RETRY_AFTER,) if code == 503 else ()
        answer = http_refusal(code, self._serving.clock.now(), *extra)
        self._serving.counters.add("http_refusals_total", str(answer.code))
        lines = [b"HTTP/1.1 %d %b" % (answer.code, REASONS[answer.code])]
        lines += [name + b": " + value for name, value in answer.headers]
        self.transport.write(b"\r\n".join([*lines, b"", b""]))
        self.transport.close()

    # Time

    def sweep(self, now: float) -> None:
        """End the connection if the client is too slow: to read, to send a message, to begin one (F3)."""
        if self.fast.stalled(now):
            self.transport.abort()
        elif self._held or self.fast.waiting:
            self.fast.due = max(self.fast.due, now + self._section.header_timeout)  # it waits for us
        elif now >= self.fast.due and not self.transport.is_closing():
            self.fast.hand_over()
            self.overdue()

    def overdue(self) -> None:
        """The client has taken too long."""
        if self._phase is _Phase.START:
            self.transport.close()
        else:
            self._end(408)


def connection(
    config: uvicorn.Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None
) -> Connection:
    """uvicorn's protocol for a new connection."""
    serving: ServingState = app_state[ServingState.KEY]
    shared = serving.shared
    if shared is None:
        library = partial(OCSPProtocol, config=config, server_state=server_state, app_state=app_state)
        shared = serving.share(library, server_state)
    return Connection(shared)
