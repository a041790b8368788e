"""An HTTP server on loopback that says what a test tells it to, right or wrong, octet for octet."""

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Said", "http_message", "saying"]

Said = Callable[[str, str], bytes | list[bytes]]  # of method and target; a list comes with pauses


def http_message(code: int, body: bytes = b"", **fields: str) -> bytes:
    """A response with a true Content-Length, unless `fields` says another; underscores stand for hyphens."""
    named = {"Content-Length": str(len(body))} | {
        name.replace("_", "-"): value for name, value in fields.items()
    }
    lines = [f"HTTP/1.1 {code} said", *(f"{name}: {value}" for name, value in named.items() if value), "", ""]
    return "\r\n".join(lines).encode() + body


@contextmanager
def saying(said: Said, pause: float = 0.1) -> Iterator[str]:
    """Serve; gives the base URL."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            method, target, _ = self.rfile.readline().decode().split()
            while self.rfile.readline().strip():
                pass
            answer = said(method, target)
            try:
                for part in answer if isinstance(answer, list) else [answer]:
                    self.wfile.write(part)
                    if isinstance(answer, list):
                        time.sleep(pause)
            except OSError:
                pass  # the client has had enough

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            raise

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            assert isinstance(server.socket, socket.socket)
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
