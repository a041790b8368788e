"""A TCP relay on loopback that does what networks do: it delays, holds back, swallows, cuts, and leads elsewhere.

What clients send is read as commands on the way, so that a test can count what was asked of a store.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import hiredis

__all__ = ["Line", "Relay", "Way", "follows"]


@dataclass(eq=False)
class Line:
    """One connection: its two sockets, and what its client has said so far."""

    near: socket.socket
    far: socket.socket
    commands: list[tuple[float, list[bytes]]] = field(default_factory=list)  # monotonic time, words
    gap: bool = False  # octets of it were swallowed: no TCP would deliver what follows

    def cut(self) -> None:
        for end in (self.near, self.far):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def follows(line: Line) -> bool:
    """Whether it is a replica's connection to its primary."""
    return any(words[0].upper() in (b"PSYNC", b"REPLCONF") for _, words in line.commands[:10])


class Way:
    """One direction, and what befalls the octets that go there on the lines that it `concerns`."""

    def __init__(self) -> None:
        self.delay = 0.0  # seconds
        self.swallows = False  # octets vanish, and neither side is told
        self.concerns: Callable[[Line], bool] = lambda line: True
        self.lock = threading.Lock()  # for `swallows` and the gaps that it makes
        self._free = threading.Event()
        self._free.set()

    def hold(self) -> None:
        """Keep what comes until `release`, as a network does that comes back in time for TCP."""
        self._free.clear()

    def release(self) -> None:
        self._free.set()

    def carry(self, line: Line, data: bytes, sink: socket.socket) -> None:
        if self.concerns(line):
            time.sleep(self.delay)
            self._free.wait()
            with self.lock:
                if self.swallows:
                    line.gap = True
                    return
        sink.sendall(data)


class Relay:
    """Passes on what comes to `port` to `target`, both of them loopback ports; a changed target is for new connections."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.there, self.back = Way(), Way()  # to the target, and from it
        self.lines: list[Line] = []  # all there ever were
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for way in (self.there, self.back):
            way.release()

    def cut(self) -> None:
        """End every connection."""
        for line in list(self.lines):
            line.cut()

    def vanish(self) -> None:
        """A black hole: nothing gets through in either direction, on connections old and new, and nobody is told."""
        self.there.swallows = self.back.swallows = True

    def heal(self) -> None:
        """The end of it. Connections that miss something end, the others go on."""
        for way in (self.there, self.back):
            with way.lock:
                way.swallows = False
        for line in list(self.lines):
            if line.gap:
                line.cut()

    def commands(self, since: float = 0.0) -> list[list[list[bytes]]]:
        """What was asked from a monotonic time on, by connection."""
        return [[words for at, words in line.commands if at >= since] for line in list(self.lines)]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self.target))
                except OSError:
                    near.close()
                    continue
                line = Line(near, far)
                self.lines.append(line)
                threading.Thread(target=self._go_there, args=(line,), daemon=True).start()
                threading.Thread(target=self._come_back, args=(line,), daemon=True).start()

    def _go_there(self, line: Line) -> None:
        reader = hiredis.Reader()
        with contextlib.suppress(OSError):
            while data := line.near.recv(1 << 16):
                now = time.monotonic()
                reader.feed(data)
                line.commands += [(now, words) for words in iter(reader.gets, False)]
                self.there.carry(line, data, line.far)
        _end(line.near, line.far)

    def _come_back(self, line: Line) -> None:
        with contextlib.suppress(OSError):
            while data := line.far.recv(1 << 16):
                self.back.carry(line, data, line.near)
        _end(line.far, line.near)


def _end(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
    source.close()
