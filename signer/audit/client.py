"""Asking a responder over one kept connection, by GET and by POST (RFC 6960 appendix A.1)."""

import base64
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import quote, urlsplit

from _fastpath import der
from _fastpath.certid import IssuerID
from store.errors import UsageError

__all__ = ["AskFailed", "Client", "encode_request"]

SEQUENCE = 0x30
TIMEOUT = 10.0  # seconds; clients wait for less (H-18)
MOST = 65_536  # octets of an answer
TYPE = "application/ocsp-response"


class AskFailed(Exception):
    """No OCSPResponse came back; the message says what did."""


def encode_request(issuer: IssuerID, hash_algorithm: int, serial: bytes) -> bytes:
    """An OCSPRequest for one certificate and with nothing else."""
    request = der.encode(SEQUENCE, issuer.encode_cert_id(hash_algorithm, serial))
    return der.encode(SEQUENCE, der.encode(SEQUENCE, der.encode(SEQUENCE, request)))


class Client:
    """For one base URL, as certificates name it. Raises UsageError for what is none."""

    def __init__(self, url: str) -> None:
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
        self._connection = kind(host, port, timeout=TIMEOUT)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, request: bytes) -> bytes:
        """The OCSPResponse. Raises AskFailed."""
        return self._ask("GET", f"{self._path.rstrip('/')}/{quote(base64.b64encode(request), safe='')}", None)

    def post(self, request: bytes) -> bytes:
        """The same by POST."""
        return self._ask("POST", self._path or "/", request)

    def _ask(self, method: str, target: str, body: bytes | None) -> bytes:
        """Once more over a new connection if a kept one has been closed meanwhile."""
        kept = self._connection.sock is not None
        try:
            return self._exchange(method, target, body)
        except (OSError, HTTPException) as error:
            self._connection.close()
            if not kept:
                raise AskFailed(f"{method}: {error or type(error).__name__}") from None
        return self._ask(method, target, body)

    def _exchange(self, method: str, target: str, body: bytes | None) -> bytes:
        headers = {} if body is None else {"Content-Type": "application/ocsp-request"}
        self._connection.request(method, target, body, headers)
        answer = self._connection.getresponse()
        octets = answer.read(MOST)
        if not answer.isclosed():
            self._connection.close()
        if answer.status != 200 or answer.getheader("Content-Type") != TYPE:
            raise AskFailed(f"{method}: status {answer.status}, {answer.getheader('Content-Type')}")
        return octets
