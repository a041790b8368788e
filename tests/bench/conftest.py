"""A server whose every octet the test decides."""

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

# The benchmark is for Linux: epoll, /proc and processor affinity.
collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]

# Pieces of the answer to a request's octets, sent one by one; None ends the connection.
Script = Callable[[bytes], list[bytes | None]]


@dataclass
class ScriptedServer:
    """Answers each request with what `script` makes of it; `segments` are what its reads returned."""

    script: Script = lambda _: []
    segments: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    def serve(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self.connections += 1
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while octets := self._request(connection):
                for piece in self.script(octets):
                    if piece is None:
                        return
                    connection.sendall(piece)
                    time.sleep(0.002)  # a segment of its own

    def _request(self, connection: socket.socket) -> bytes:
        """One request: the generator sends its next after our answer. A body is there when its length says so."""
        octets = b""
        while b"\r\n\r\n" not in octets or len(octets) < _size(octets):
            segment = connection.recv(65536)
            if not segment:
                return b""
            self.segments.append(segment)
            octets += segment
        return octets


def _size(octets: bytes) -> int:
    head, _, _ = octets.partition(b"\r\n\r\n")
    _, found, rest = head.partition(b"Content-Length: ")
    return len(head) + 4 + (int(rest.split(b"\r\n")[0]) if found else 0)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        scripted.port = listener.getsockname()[1]
        thread = threading.Thread(target=scripted.serve, args=(listener,), daemon=True)
        thread.start()
        yield scripted
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
