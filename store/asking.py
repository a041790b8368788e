"""Asking a responder over one kept connection, by GET and by POST (RFC 6960 appendix A.1). Redirects are answers."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Self
from urllib.parse import quote, urlsplit

from store.errors import UsageError

__all__ = ["RESPONSE_TYPE", "Answer", "AskFailed", "Asker", "NotConnected", "fields_of"]

TIMEOUT = 10.0  # seconds; clients wait for less (H-18)
MOST = 65_536  # octets of an answer
RESPONSE_TYPE = "application/ocsp-response"


class AskFailed(Exception):
    """No whole answer came; the message says why."""


class NotConnected(AskFailed):
    """Nobody was there to be asked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came over HTTP. Names of header fields are in lower case, several lines of a name are one list."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Asker:
    """For one base URL, as certificates name it. Not for several threads. Raises UsageError for what is no such URL."""

    def __init__(self, url: str, timeout: float = TIMEOUT) -> None:
        self.url = url
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if not host or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
            raise UsageError(f"{url}: not a URL of a responder", remedy="such as http://127.0.0.1:2560")
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._path = parts.path
        self._connection = kind(host, port, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def get(self, request: bytes) -> Answer:
        """Ask for a DER OCSPRequest. Raises AskFailed, as all three of these do."""
        return self.get_path("/" + quote(base64.b64encode(request), safe=""))

    def get_path(self, path: str) -> Answer:
        """The same below the base URL in a spelling of somebody else's, which begins with a slash."""
        return self._ask("GET", self._path.rstrip("/") + path, None)

    def post(self, request: bytes) -> Answer:
        return self._ask("POST", self._path or "/", request)

    def _ask(self, method: str, target: str, body: bytes | None) -> Answer:
        """Once more over a new connection if a kept one has been closed meanwhile."""
        kept = self._connection.sock is not None
        try:
            if not kept:
                self._connect()
            return self._exchange(method, target, body)
        except (OSError, HTTPException) as error:
            self._connection.close()
            if not kept or isinstance(error, TimeoutError):
                raise AskFailed(_said(error)) from None
        except AskFailed:
            self._connection.close()
            raise
        return self._ask(method, target, body)

    def _connect(self) -> None:
        """Only when there is something to ask: `openssl ocsp` spins when a client leaves without a word."""
        try:
            self._connection.connect()
        except OSError as error:
            raise NotConnected(_said(error)) from None

    def _exchange(self, method: str, target: str, body: bytes | None) -> Answer:
        headers = {} if body is None else {"Content-Type": "application/ocsp-request"}
        self._connection.request(method, target, body, headers)
        with self._connection.getresponse() as answer:
            buffer = bytearray(MOST + 1)
            size = answer.readinto(buffer)  # `read` takes a chunk of negative size for all that comes
            if size > MOST:
                raise AskFailed(f"more than {MOST} octets")
            if answer.length:  # `read` with a size says nothing of it
                raise AskFailed(f"the body ends {answer.length} octets too early")
            if not answer.isclosed():
                self._connection.close()
            return Answer(answer.status, fields_of(answer), bytes(buffer[:size]))


def fields_of(answer: HTTPResponse) -> dict[str, str]:
    """By name in lower case; several lines of a name are one list."""
    fields: dict[str, str] = {}
    for name, value in answer.getheaders():
        known = fields.get(name.lower())
        fields[name.lower()] = value if known is None else f"{known}, {value}"
    return fields


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
