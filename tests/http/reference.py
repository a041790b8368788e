"""A second reading of HTTP/1 requests, from RFC 9112 and RFC 9110 alone: strict, slow, and with nothing of ours in it."""

import re
from dataclasses import dataclass

__all__ = ["Reading", "Request", "read"]

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
REQUEST_LINE = re.compile(rb"(%s) ([\x21-\x7e]+) HTTP/1\.([01])" % TOKEN)
FIELD_LINE = re.compile(
    rb"(%s):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\x20-\x7e\x80-\xff\t]*[\x21-\x7e\x80-\xff])?)?)[ \t]*" % TOKEN
)
QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
EXTENSION = rb"[ \t]*;[ \t]*%s(?:[ \t]*=[ \t]*(?:%s|%s))?" % (TOKEN, TOKEN, QUOTED)
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]+)(?:%s)*" % EXTENSION)


class Refused(Exception):
    """Not a request, or one whose end cannot be told for certain."""


class Unfinished(Exception):
    """More has to come."""


@dataclass(frozen=True, slots=True)
class Request:
    """One message."""

    method: bytes
    target: bytes
    fields: tuple[tuple[bytes, bytes], ...]  # names in lower case
    body: bytes
    closes: bool

    def values(self, name: bytes) -> list[bytes]:
        """The members of a list field."""
        return _members(self.fields, name)


@dataclass(frozen=True, slots=True)
class Reading:
    """The requests in what a connection carried, and how it ended: refused, unfinished, or neither."""

    requests: tuple[Request, ...]
    refused: bool
    unfinished: bool


def read(octets: bytes) -> Reading:
    """Requests up to the first that ends the connection; what follows is nobody's."""
    found: list[Request] = []
    rest = _Rest(octets)
    try:
        while True:
            rest.skip_empty_lines()
            if not rest.octets:
                return Reading(tuple(found), refused=False, unfinished=False)
            found.append(_request(rest))
            if found[-1].closes:
                return Reading(tuple(found), refused=False, unfinished=False)
    except Refused:
        return Reading(tuple(found), refused=True, unfinished=False)
    except Unfinished:
        return Reading(tuple(found), refused=False, unfinished=True)


class _Rest:
    """What was not read yet."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets

    def skip_empty_lines(self) -> None:
        """RFC 9112 section 2.2."""
        while self.octets.startswith(b"\r\n"):
            self.octets = self.octets[2:]

    def line(self) -> bytes:
        """Up to CR LF; neither of both alone is anywhere (sections 2.2 and 7.1)."""
        line, end, rest = self.octets.partition(b"\r\n")
        if b"\n" in line or b"\r" in (line if end else line[:-1]):
            raise Refused
        if not end:
            raise Unfinished
        self.octets = rest
        return line

    def take(self, size: int) -> bytes:
        if len(self.octets) < size:
            raise Unfinished
        taken, self.octets = self.octets[:size], self.octets[size:]
        return taken


def _request(rest: _Rest) -> Request:
    match = REQUEST_LINE.fullmatch(rest.line())
    if match is None:
        raise Refused
    method, target, minor = match.groups()
    fields = _fields(rest)
    body, doubtful = _body(rest, fields, minor)
    options = [option.lower() for option in _members(fields, b"connection")]
    closes = doubtful or b"close" in options or (minor == b"0" and b"keep-alive" not in options)
    return Request(method, target, fields, body, closes)


def _fields(rest: _Rest) -> tuple[tuple[bytes, bytes], ...]:
    """Section 5; folded lines (section 5.2) begin with white space and so have no name."""
    fields = []
    while line := rest.line():
        match = FIELD_LINE.fullmatch(line)
        if match is None:
            raise Refused
        fields.append((match[1].lower(), match[2]))
    return tuple(fields)


def _members(fields: tuple[tuple[bytes, bytes], ...], name: bytes) -> list[bytes]:
    parts = [part.strip(b" \t") for field, value in fields if field == name for part in value.split(b",")]
    return [part for part in parts if part]


def _body(rest: _Rest, fields: tuple[tuple[bytes, bytes], ...], minor: bytes) -> tuple[bytes, bool]:
    """Section 6; whether the framing is in doubt, so that nothing is read behind it."""
    names = [name for name, _ in fields]
    if b"transfer-encoding" in names:
        if b"content-length" in names:
            raise Refused
        codings = [coding.lower() for coding in _members(fields, b"transfer-encoding")]
        if codings != [b"chunked"]:
            raise Refused  # no other coding is known here
        return _chunks(rest), minor == b"0"
    lengths = [value for name, value in fields if name == b"content-length"]
    if not lengths:
        return b"", False
    if len(lengths) > 1 or not re.fullmatch(rb"[0-9]+", lengths[0]):
        raise Refused
    return rest.take(int(lengths[0])), False


def _chunks(rest: _Rest) -> bytes:
    """Section 7.1."""
    content = b""
    while True:
        match = CHUNK_LINE.fullmatch(rest.line())
        if match is None:
            raise Refused
        size = int(match[1], 16)
        if size == 0:
            _fields(rest)
            return content
        content += rest.take(size)
        if rest.take(2) != b"\r\n":
            raise Refused
