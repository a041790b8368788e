import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Protocol, final

from _fastpath.serve import FastPath

class Library(Protocol):
    """The HTTP library's protocol for a connection, as far as the fast path knows it."""

    def connection_made(self, transport: Any) -> None: ...
    def eof_received(self) -> bool: ...
    def pause_writing(self) -> None: ...
    def read(self, data: bytes) -> None:
        """What the fast path leaves alone: whole messages, or the beginning of one."""

    def hold(self, held: bool) -> None:
        """Whether nothing more is to be read."""

    def finish(self) -> None:
        """The last answer is written."""

    def overdue(self) -> None:
        """The client has taken too long."""

    def shutdown(self) -> None:
        """The worker stops."""

@final
class Connections:
    """What all connections of a worker share. Times are seconds.

    `members` has everybody who is connected: each with `sweep` and `shutdown`. `library` makes the HTTP library's
    protocol for a connection, `left` is told of clients that left though they waited or had something to read.
    Without `plain` the library answers everything; so it does beyond `limit` connections.
    """

    first_due: float  # loop time until which a connection made now must have sent something
    idle_due: float  # loop time until which one that begins to wait now must have sent something

    def __init__(
        self,
        path: FastPath,
        *,
        members: set[Any],
        library: Callable[[Connection], Library],
        left: Callable[[], None],
        plain: bool,
        limit: int,
        header_timeout: float,
        body_timeout: float,
        write_timeout: float,
    ) -> None: ...
    def sweep(self, members: Iterable[object], now: float) -> None:
        """End those of these members that take too long, at this loop time, if they are still there."""

@final
class Connection(asyncio.Protocol):
    """One client's connection. It is a transport's protocol until something comes for the HTTP library."""

    due: float  # loop time at which the client has taken too long

    def __init__(self, shared: Connections) -> None: ...
    @property
    def plain(self) -> bool:
        """Whether the fast path may have what comes next."""

    @property
    def draining(self) -> bool:
        """Whether the answer under way, or else to the next request, is to be the last."""

    @property
    def waiting(self) -> bool:
        """Whether a request waits for the store."""

    def eof_received(self) -> bool: ...
    def shutdown(self) -> None:
        """The worker stops: what was read is answered, the last answer says that the connection ends (E3)."""

    def sweep(self, now: float) -> None:
        """End the connection if the client is too slow: to read, to send a message, to begin one (F3)."""

    def stalled(self, now: float) -> bool:
        """Whether answers have lain unread for too long; one of several MB may take its time."""

    def allow(self, plain: bool) -> None:
        """Whether the HTTP library is between two requests, so that the next may be answered here."""

    def block(self, blocked: bool) -> None:
        """Whether the client does not read what is written."""

    def hand_over(self) -> None:
        """Leave what was begun to the HTTP library, from its first octet."""

    def drain(self) -> bool:
        """Let the answer of a request that waits, if it is the only one, say that the connection ends.

        False if there is none such.
        """

    def lost(self) -> bool:
        """Nobody is there to answer. Whether somebody waited, or did not read."""
