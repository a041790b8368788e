from collections.abc import Callable
from typing import Protocol, final

from _fastpath.serve import FastPath

class _SlowPath(Protocol):
    def read(self, data: bytes) -> None:
        """What the fast path leaves alone: whole messages, or the beginning of one."""

    def await_body(self) -> None:
        """The rest of a POST is awaited from now on."""

    def hold(self, held: bool) -> None:
        """Whether nothing more is to be read."""

    def finish(self) -> None:
        """The last answer is written."""

    def shutdown(self) -> None:
        """The HTTP library has the request whose answer was to be the last."""

@final
class Connection:
    """One client's connection on the fast path: what it sends is answered request after request, in order (E6)."""

    write: Callable[[bytes], None]  # the transport's
    due: float  # loop time at which the client has taken too long

    def __init__(self, path: FastPath, protocol: _SlowPath) -> None: ...
    @property
    def plain(self) -> bool:
        """Whether the fast path may have what comes next."""

    @property
    def waiting(self) -> bool:
        """Whether a request waits for the store."""

    @property
    def busy(self) -> bool:
        """Whether anything was read that is not answered yet."""

    def data_received(self, data: bytes) -> None:
        """What the client sent."""

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
        """Nobody is there to answer. Whether somebody waited."""
