"""A recording hop: passes octets on to the responder unchanged and keeps every request as it was sent."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Hop", "recording_hop"]

CHUNK = 1 << 16


@dataclass
class Hop:
    """What went through: one buffer per connection, in the order they were opened."""

    port: int
    connections: list[bytearray] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def take(self) -> list[bytes]:
        """What clients sent since the last call, one item a connection that said anything."""
        taken, self.connections = self.connections, []
        return [bytes(sent) for sent in taken if sent]


def _pump(source: socket.socket, target: socket.socket, record: bytearray | None) -> None:
    """Until one side ends; the end is passed on too."""
    with contextlib.suppress(OSError):
        while chunk := source.recv(CHUNK):
            if record is not None:
                record += chunk
            target.sendall(chunk)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _pass_on(client: socket.socket, upstream: int, record: bytearray) -> None:
    with client, socket.create_connection(("127.0.0.1", upstream), 10) as server:
        client.settimeout(20)
        back = threading.Thread(target=_pump, args=(server, client, None))
        back.start()
        _pump(client, server, record)
        back.join()


@contextlib.contextmanager
def recording_hop(listener: socket.socket, upstream: int) -> Iterator[Hop]:
    """Serve `listener` in threads of this process; `upstream` is the responder's port."""
    hop = Hop(listener.getsockname()[1])
    threads: list[threading.Thread] = []

    def accept() -> None:
        with contextlib.suppress(OSError):  # the listener was shut down
            while True:
                client, _ = listener.accept()
                record = bytearray()
                hop.connections.append(record)
                threads.append(threading.Thread(target=_pass_on, args=(client, upstream, record)))
                threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield hop
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        acceptor.join()
        for thread in threads:
            thread.join(20)
