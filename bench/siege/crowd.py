"""Slow clients: `python -m bench.siege.crowd PORT COUNT` keeps so many connections, each as slow as it may be, until SIGTERM.

A quarter each sends an endless header, sends an endless body, asks for much and reads next to nothing, or says nothing.
Whoever is cut comes back. Prints one JSON object a second.
"""

import itertools
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from enum import Enum

__all__ = ["Client", "Mode", "main"]

HOST = "127.0.0.1"
SLICES = 100  # of a second, in each of which as many clients have their turn
WINDOW = 2048  # octets that may come to one who does not read
ASKED = b"GET /M HTTP/1.1\r\nHost: x\r\n\r\n" * 60


class Mode(Enum):
    """What slowhttptest calls slowloris, R-U-Dead-Yet, slow read; and silence."""

    HEADER = b"GET / HTTP/1.1\r\nHost: x\r\nX: "
    BODY = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 16000\r\n\r\n"
    READ = ASKED
    IDLE = b""


class Client:
    """One connection, made anew whenever it ends."""

    def __init__(self, port: int, mode: Mode) -> None:
        self._port = port
        self._mode = mode
        self._connection: socket.socket | None = None
        self.cut = 0  # times that the server has ended it

    @property
    def connected(self) -> bool:
        return self._connection is not None

    def turn(self) -> None:
        """Do the little that is done in a second."""
        try:
            if self._connection is None:
                self._connection = self._connect()
            elif not self._go_on(self._connection):
                raise ConnectionResetError
        except BlockingIOError:
            pass
        except OSError:
            self.cut += self._connection is not None
            self.leave()

    def leave(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> socket.socket:
        connection = socket.socket()
        if self._mode is Mode.READ:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW)
        connection.settimeout(1.0)
        try:
            connection.connect((HOST, self._port))
            connection.setblocking(False)
            if self._mode.value:
                connection.send(self._mode.value)
        except OSError:
            connection.close()
            raise
        return connection

    def _go_on(self, connection: socket.socket) -> bool:
        """An octet in its direction; false once the server has said something else than was asked, or nothing more."""
        if self._mode is Mode.READ:
            return bool(connection.recv(8))
        try:
            connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            if self._mode is not Mode.IDLE:
                connection.send(b"a")
            return True
        return False


def main(port: int, count: int) -> None:
    """Until SIGTERM, when nothing else wants the core."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    clients = [Client(port, mode) for mode, _ in zip(itertools.cycle(Mode), range(count), strict=False)]
    for second in _seconds(clients):
        found = {"seconds": second, "connected": sum(client.connected for client in clients)}
        print(json.dumps(found | {"cut": sum(client.cut for client in clients)}), flush=True)  # noqa: T201


def _seconds(clients: list[Client]) -> Iterator[int]:
    """Everyone's turn once a second, spread over it."""
    begin = time.monotonic()
    for number in itertools.count():
        for client in clients[number % SLICES :: SLICES]:
            client.turn()
        if number % SLICES == SLICES - 1:
            yield (number + 1) // SLICES
        time.sleep(max(0.0, begin + (number + 1) / SLICES - time.monotonic()))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
