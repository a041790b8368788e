"""Fetching CRLs and lists of them by HTTP, bounded in time, octets and redirects; no proxy, cache or credential has a say."""

import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import SplitResult, urljoin, urlsplit

from signer.crl.preflight import MAX_SIZE
from store.asking import fields_of
from store.clock import Clock

__all__ = ["FetchFault", "Fetcher", "Limits", "Response", "split_url"]

PART = 1 << 16  # octets read at a time
MOVED = frozenset({301, 302, 303, 307, 308})
REDIRECTS = 5  # of those that are followed at all
DEFAULT_PORTS = {"http": 80, "https": 443}


class FetchFault(Exception):
    """A URL without an answer that can be looked at. `check` names what failed."""

    def __init__(self, check: str, message: str) -> None:
        super().__init__(message)
        self.check = check


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one fetch may take."""

    timeout: float = 60.0  # seconds, redirects not included; CRLite gives up after 300 (P-09)
    max_size: int = MAX_SIZE  # octets
    follow_redirects: bool = False
    connect_to: tuple[str, int] | None = None  # host and port asked instead of those in the URL


@dataclass(frozen=True, slots=True)
class Response:
    """The 200 of a URL; names of header fields are in lower case, several lines of a name are one list."""

    url: str
    headers: Mapping[str, str]
    body: bytes  # of HEAD: none
    at: int  # seconds since 1970, when it came


def split_url(url: str) -> SplitResult:
    """The parts of an http or https URL. Raises FetchFault for what cannot be asked for as it is written."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise FetchFault("url", f"not a URL: {error}") from None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or port == 0:
        raise FetchFault("url", "not a URL of http:// or https:// with a host")
    if not all("!" <= letter <= "~" for letter in url):
        raise FetchFault("url", "not printable ASCII without spaces")
    return parts


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Asks as somebody does who has never asked before, each time over a new connection. For any number of threads."""

    limits: Limits
    clock: Clock

    def get(self, url: str) -> Response:
        """The whole body of a 200. Raises FetchFault: nothing else is an answer."""
        return self._follow(url, "GET")

    def head(self, url: str) -> Response:
        """The header fields of a 200. Raises FetchFault."""
        return self._follow(url, "HEAD")

    def _follow(self, url: str, method: str) -> Response:
        target = url
        for _ in range(REDIRECTS if self.limits.follow_redirects else 1):
            code, response = self._ask(target, method)
            if code not in MOVED:
                break
            target = _joined(target, response.headers.get("location", ""))
            if not self.limits.follow_redirects:
                raise FetchFault("redirect", f"status {code} to {target}, which is not followed")
        else:
            raise FetchFault("redirect", f"more than {REDIRECTS} redirects, the last to {target}")
        if code != 200:
            raise FetchFault("status", f"status {code}, not 200")
        return response

    def _ask(self, url: str, method: str) -> tuple[int, Response]:
        parts = split_url(url)
        host, port = self.limits.connect_to or (
            parts.hostname or "",
            parts.port or DEFAULT_PORTS[parts.scheme],
        )
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = kind(host, port, timeout=self.limits.timeout)
        target = url.partition("#")[0][len(f"{parts.scheme}://{parts.netloc}") :] or "/"
        with _bounded(connection, self.limits.timeout):
            connection.request(
                method,
                target,
                headers={"Host": parts.netloc, "Accept-Encoding": "identity", "Connection": "close"},
            )
            with (
                connection.getresponse() as answer
            ):  # or the socket stays open where it is not read to its end
                # A failed answer is not read: its body has no bound that anybody promised.
                body = self._body(answer) if method == "GET" and answer.status == 200 else b""
                return answer.status, Response(url, fields_of(answer), body, self.clock.now())

    def _body(self, answer: HTTPResponse) -> bytes:
        parts: list[bytes] = []
        left = self.limits.max_size + 1
        part = memoryview(bytearray(PART))
        # `read` takes a chunk of negative size for all that comes.
        while left > 0 and (size := answer.readinto(part[: min(PART, left)])):
            parts.append(bytes(part[:size]))
            left -= size
        if left <= 0:
            raise FetchFault("size", f"more than {self.limits.max_size} octets")
        declared = answer.getheader("Content-Length")
        body = b"".join(parts)
        # `read` with a size gives what came before the connection ended, and says nothing.
        if declared is not None and not answer.chunked and declared != str(len(body)):
            raise FetchFault(
                "length", f"the body ends after {len(body)} octets, Content-Length says {declared}"
            )
        return body


def _joined(url: str, location: str) -> str:
    """Where a redirect leads. Raises FetchFault."""
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise FetchFault("redirect", f"to {location!r}, which is not a URL: {error}") from None


@contextmanager
def _bounded(connection: HTTPConnection, seconds: float) -> Iterator[None]:
    """Ends a connection that takes too long over all: a socket's own timeout starts anew with every octet.

    Raises FetchFault for every fault of transport.
    """
    over = threading.Event()

    def cut() -> None:
        over.set()
        with suppress(OSError):
            opened.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    try:
        connection.connect()
        opened: socket.socket = connection.sock
        timer.start()
        yield
        if over.is_set():  # a body that ends with the connection seems whole
            raise TimeoutError
    except (FetchFault, OSError, HTTPException, ValueError) as error:
        if over.is_set() or isinstance(error, TimeoutError):
            raise FetchFault("fetch", f"no whole answer within {seconds:g} s") from None
        if isinstance(error, FetchFault):
            raise
        raise FetchFault("fetch", _said(error)) from None
    finally:
        timer.cancel()
        connection.close()


def _said(error: Exception) -> str:
    """In words of this side: OpenSSL's name a line of its source."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its TLS certificate does not verify: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS with this server: does it speak plain http://? ({error.reason or error})"
    return str(error) or type(error).__name__
