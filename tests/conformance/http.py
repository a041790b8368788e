"""A plain HTTP client: the target goes out as it is written, and every header field comes back."""

import base64
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPResponse
from urllib.parse import quote

__all__ = ["Client", "Response", "target_of"]


@dataclass(frozen=True, slots=True)
class Response:
    """What came back; names of header fields are in lower case."""

    code: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Client:
    """Asks a port of this host, every time over a new connection."""

    port: int
    always: tuple[tuple[str, str], ...] = ()  # header fields of every request

    def send(self, message: bytes, method: str = "GET") -> Response:
        """The response to these octets."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
            connection.sendall(message)
            response = HTTPResponse(connection, method=method)
            response.begin()
            fields = [(name.lower(), value) for name, value in response.getheaders()]
            assert len(dict(fields)) == len(fields), fields  # none of them twice
            if method == "HEAD" and response.will_close:
                assert response.fp.read() == b""  # HTTPResponse would not look for it
            return Response(response.status, dict(fields), response.read())

    def request(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        version: str = "1.1",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """One request with `Host`, with a length where there is a body, and with what `headers` says."""
        fields = {"Host": "ocsp.test", **dict(self.always)}
        fields |= {"Content-Length": str(len(body))} if body else {}
        lines = [f"{method} {target} HTTP/{version}"]
        lines += [f"{name}: {value}" for name, value in {**fields, **(headers or {})}.items()]
        return self.send("\r\n".join([*lines, "", ""]).encode() + body, method)

    def get(self, request: bytes) -> Response:
        return self.request("GET", target_of(request))

    def post(self, request: bytes) -> Response:
        return self.request("POST", "/", request, headers={"Content-Type": "application/ocsp-request"})

    def ask(self, request: bytes) -> bytes:
        """The body, which has to be the same by GET and by POST (Q-01)."""
        got, posted = self.get(request), self.post(request)
        assert (got.code, posted.code) == (200, 200)
        assert got.body == posted.body
        return got.body


def target_of(request: bytes) -> str:
    """The request target of a GET as RFC 6960 A.1 has it."""
    return "/" + quote(base64.b64encode(request).decode(), safe="")
