"""What messages are made of, and a message with the answers that the responder itself gives to it."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["CLOSING", "Case", "Parts", "chunk"]

CLOSING = (400, 408, 413, 414, 431, 503)


def chunk(data: bytes, extension: bytes = b"", end: bytes = b"\r\n") -> bytes:
    """One chunk (RFC 9112 section 7.1)."""
    return b"%x%s%s%s%s" % (len(data), extension, end, data, end)


@dataclass(frozen=True, slots=True)
class Parts:
    """What cases are made of."""

    target: bytes  # of a GET for certificate A
    body: bytes  # of a POST for certificate A
    hidden: bytes  # a whole GET for certificate C, which nobody asks about

    @property
    def chunked(self) -> bytes:
        """The body in one chunk."""
        return chunk(self.body) + b"0\r\n\r\n"

    def post(self, fields: bytes, content: bytes | None = None, version: bytes = b"1.1") -> bytes:
        """POST with these field lines, each with its line end."""
        content = self.body if content is None else content
        return b"POST / HTTP/%s\r\nHost: ocsp.test\r\n%s\r\n%s" % (version, fields, content)

    def both(self, transfer: bytes) -> bytes:
        """These lines about the transfer beside a Content-Length: by it all is content, by chunks the hidden one follows."""
        content = self.chunked + self.hidden
        return self.post(b"Content-Length: %d\r\n%s\r\n" % (len(content), transfer), content)

    def lengths(self, fields: bytes) -> bytes:
        """`%d` in the field lines is the length of the body; the hidden request follows."""
        return self.post(fields.replace(b"%d", b"%d" % len(self.body)), self.body + self.hidden)

    def chunks(self, content: bytes) -> bytes:
        return self.post(b"Transfer-Encoding: chunked\r\n", content)

    def get(self, fields: bytes, content: bytes = b"") -> bytes:
        return b"GET %s HTTP/1.1\r\nHost: ocsp.test\r\n%s\r\n%s" % (self.target, fields, content)


@dataclass(frozen=True, slots=True)
class Case:
    """A message, and the codes with which the responder itself answers."""

    name: str
    message: Callable[[Parts], bytes]
    direct: tuple[int, ...]
    follows: bool = False  # the hidden request may rightly be taken for the next one
    differs: str = ""  # why the responder reads it otherwise than RFC 9112 has it

    @property
    def closes(self) -> bool:
        return (self.direct or (0,))[-1] in CLOSING or "HTTP/1.0" in self.name
