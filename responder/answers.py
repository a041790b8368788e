"""HTTP answers: which header fields go with which OCSPResponse (conformance group H). No I/O, no clock."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from _fastpath.answer import Entry, error_response
from _fastpath.http import imf_fixdate
from responder.errors import ERROR_BODIES, Status

__all__ = [
    "Conditions",
    "Header",
    "HttpAnswer",
    "error_answer",
    "http_date",
    "http_refusal",
    "not_modified",
    "ocsp_answer",
]

Header = tuple[bytes, bytes]

NO_STORE = (b"cache-control", b"no-store")
CLOSE = (b"connection", b"close")
ALLOW = (b"allow", b"GET, HEAD, POST")
ENTITY_TAG = re.compile(rb'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')
CLOSING = frozenset({400, 408, 413, 414, 431, 503})  # the rest of the message is not read, or not wanted


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Status code, all header fields, and the body, which HEAD leaves out."""

    code: int
    headers: tuple[Header, ...]
    body: bytes | memoryview
    last_modified: int = 0  # seconds since 1970, of a 200


@dataclass(frozen=True, slots=True)
class Conditions:
    """The precondition fields of a GET or HEAD (RFC 9110 section 13.1)."""

    if_none_match: bytes | None = None
    if_modified_since: bytes | None = None

    @classmethod
    def of(cls, headers: Iterable[Header]) -> "Conditions":
        """From header fields with lower-case names; several lines of a list are one list."""
        tags = [value for name, value in headers if name == b"if-none-match"]
        dates = [value for name, value in headers if name == b"if-modified-since"]
        return cls(b",".join(tags) if tags else None, dates[0] if len(dates) == 1 else None)

    def match(self, etag: bytes, last_modified: int) -> bool:
        """Whether the client has this representation; If-None-Match wins (H-09)."""
        if self.if_none_match is not None:
            tags = ENTITY_TAG.findall(self.if_none_match)  # weak comparison: W/ does not count
            return self.if_none_match.strip() == b"*" or etag in tags
        if self.if_modified_since is not None:
            date = http_date(self.if_modified_since)
            return date is not None and last_modified <= date
        return False


def http_date(value: bytes) -> int | None:
    """Seconds since 1970, or None for what is not an HTTP-date: such a field is ignored."""
    try:
        date = parsedate_to_datetime(value.decode("ascii"))
        return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return None


def ocsp_answer(entry: Entry, now: int, cap: int) -> HttpAnswer:
    """A signed answer with the freshness of H-02 to H-08; `cap` is the longest max-age in seconds.

    POST answers are the same: without Content-Location no cache reuses them (H-12).
    """
    return _taken_apart(entry.response(now, cap), entry.produced_at)


def _taken_apart(response: bytes, last_modified: int = 0) -> HttpAnswer:
    """A whole 200 of the fast path, as ASGI wants it: header fields have one writer."""
    head, _, body = response.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")[1:]
    headers = tuple((name, value) for name, _, value in (line.partition(b": ") for line in lines))
    return HttpAnswer(200, headers, body, last_modified)


def error_answer(status: Status, now: int) -> HttpAnswer:
    """An OCSPResponse without responseBytes: 200, and kept by no cache (H-01, H-06)."""
    return _taken_apart(error_response(ERROR_BODIES[status], now))


def not_modified(answer: HttpAnswer) -> HttpAnswer:
    """The 304 that stands for a 200: its header fields but those of the content (H-09)."""
    headers = tuple(header for header in answer.headers if not header[0].startswith(b"content-"))
    return HttpAnswer(304, headers, b"")


def http_refusal(code: int, now: int, *extra: Header) -> HttpAnswer:
    """A fault of transport, not of OCSP: no body worth reading, kept by no cache (H-01)."""
    headers: tuple[Header, ...] = ((b"date", imf_fixdate(now)), (b"content-length", b"0"), NO_STORE, *extra)
    if code == 405:
        headers += (ALLOW,)
    if code in CLOSING:
        headers += (CLOSE,)
    return HttpAnswer(code, headers, b"")
