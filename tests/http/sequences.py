"""Several messages on one connection, with something between, and odd octets at every joint of a message."""

from collections.abc import Callable

from tests.http.lines import UNKNOWN
from tests.http.parts import Case, Parts

__all__ = ["CASES", "JOINTS", "LENIENT", "ODD", "joint"]


def _between(octets: bytes, codes: tuple[int, ...], differs: str = "") -> Case:
    """These octets between two requests."""
    return Case(
        f"between two: {octets!r}",
        lambda p: p.lengths(b"Content-Length: %d\r\n").replace(p.hidden, octets + p.hidden),
        codes,
        True,
        differs,
    )


def _sequence(
    name: str, messages: Callable[[Parts], list[bytes]], codes: tuple[int, ...], differs: str = ""
) -> Case:
    return Case(f"sequence {name}", lambda p: b"".join(messages(p)), codes, True, differs)


def _post(p: Parts) -> bytes:
    return p.post(b"Content-Length: %d\r\n" % len(p.body))


LF_BETWEEN = "empty lines between two requests may end with LF alone"
CASES = (
    _between(b"", (200, 200)),
    _between(b"\r\n", (200, 200)),
    _between(b"\r\n\r\n\r\n", (200, 200)),
    _between(b"\n", (200, 200), LF_BETWEEN),
    _between(b"\r", (200, 200), LF_BETWEEN),
    _between(b"\n\n\r\n", (200, 200), LF_BETWEEN),
    _between(b" ", (200, 400)),
    _between(b"\t", (200, 400)),
    _between(b"\0", (200, 400)),
    _between(b"x", (200, 400), UNKNOWN),
    _between(b"0\r\n\r\n", (200, 400)),
    _between(b"0\r\n", (200, 400)),
    _between(b"\xff", (200, 400)),
    _between(b"HTTP/1.1 200 OK\r\n\r\n", (200, 400)),
    _between(b"SM\r\n\r\n", (200, 400)),
    _sequence("of three methods", lambda p: [_post(p), _post(p).replace(b"POST", b"PUT"), p.hidden], (200, 405, 200)),
    _sequence("of five", lambda p: [_post(p), p.get(b""), p.chunks(p.chunked), p.get(b"").replace(b"GET", b"HEAD"), p.hidden], (200,) * 5),
    _sequence("that closes in the middle", lambda p: [_post(p), p.get(b"Connection: close\r\n"), p.hidden], (200, 200)),
    _sequence("that falls back to HTTP/1.0", lambda p: [_post(p), p.get(b"").replace(b"1.1", b"1.0"), p.hidden], (200, 200)),
    _sequence("with an error in the middle", lambda p: [_post(p), p.get(b"X : y\r\n"), p.hidden], (200, 400)),
    _sequence("with two errors", lambda p: [b"\0\r\n\r\n", b"\0\r\n\r\n", p.hidden], (400,)),
    _sequence("with a body nobody reads", lambda p: [p.get(b"Content-Length: 3\r\n", b"abc"), p.hidden], (200, 200)),
    _sequence("that ends within a line", lambda p: [_post(p), p.hidden[:9]], (200,)),
    _sequence("that ends within a head", lambda p: [_post(p), p.hidden[:-2]], (200,)),
    _sequence("that ends within a content", lambda p: [p.hidden, _post(p)[:-1]], (200,)),
    _sequence("of twenty", lambda p: [_post(p), p.hidden] * 10, (200,) * 20),
    _sequence("of nothing", lambda p: [], ()),
    _sequence("of empty lines", lambda p: [b"\r\n" * 9], ()),
    _sequence("of a preface of HTTP/2", lambda p: [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0\0\0\4\0\0\0\0\0", p.hidden], (400,)),
    _sequence("of TLS", lambda p: [bytes.fromhex("16030100c8010000c40303"), bytes(200), p.hidden], (400,)),
    _sequence("of a PROXY line", lambda p: [b"PROXY TCP4 192.0.2.1 192.0.2.2 1 80\r\n", p.hidden], (400,)),
    _sequence("of a PROXY header", lambda p: [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", bytes(12), p.hidden], (400,)),
    _sequence("of SMTP", lambda p: [b"EHLO ocsp.test\r\n", p.hidden], (400,)),
    _sequence("of DER", lambda p: [p.body, p.hidden], (400,)),
)  # fmt: skip

# Where one octet too many can stand, in a POST in one chunk with an extension and a trailer.
JOINTS = (
    "^POST / HTTP/1.1|", "PO^ST", "POST^ /", "POST ^/", "/^ HTTP", "/ ^HTTP", "HTTP/^1.1", "HTTP/1^.1", "HTTP/1.1^|", "^Host:", "Ho^st:",
    "Host^:", "Host: ^ocsp", "Host: oc^sp", "ocsp.test^|", "ocsp.test|^", "^Transfer", "Transfer^-Encoding", "Transfer-Encoding^:",
    "Encoding:^ chunked", "Encoding: ^chunked", "chun^ked", "chunked^|", "chunked|^|", "^SIZE", "SIZE^;", "SIZE;^a", "SIZE;a^=", "SIZE;a=^b",
    "SIZE;a=b^|", "SIZE;a=b|^", "^END", "END^|", "END|^", "^0|", "0^|", "0|^", "^Tail", "Ta^il", "Tail^:", "Tail: ^x", "Tail: x^|", "x|^|",
)  # fmt: skip
ODD = (
    b"\0",
    b"\r",
    b"\n",
    b"\r\n",
    b"\t",
    b" ",
    b"\x0b",
    b"\x0c",
    b"\x1f",
    b"\x7f",
    b"\x85",
    b"\xa0",
    b"\xff",
    b":",
    b";",
    b",",
    b'"',
    b"\\",
)
# Where one does no harm: empty lines before a request, white space in its line, extensions of chunks that have no name.
LENIENT = frozenset(
    (
        ("^POST / HTTP/1.1|", b"\r"), ("^POST / HTTP/1.1|", b"\n"),
        ("POST^ /", b" "), ("POST ^/", b" "), ("/^ HTTP", b" "), ("/ ^HTTP", b" "),
        ("SIZE^;", b";"), ("SIZE;^a", b";"), ("SIZE;a^=", b";"), ("SIZE;a=^b", b";"),
    )
)  # fmt: skip
SHAPE = "POST / HTTP/1.1|Host: ocsp.test|Transfer-Encoding: chunked||SIZE;a=b|END|0|Tail: x||"


def joint(p: Parts, place: str, octets: bytes) -> bytes:
    """The message with these octets at a joint; `END` stands for all of the content."""
    assert SHAPE.count(place.replace("^", "")) == 1, place
    before, after = (
        part.replace("|", "\r\n").encode().replace(b"SIZE", b"%x" % len(p.body)).replace(b"END", p.body)
        for part in SHAPE.replace(place.replace("^", ""), place).split("^")
    )
    return before + octets + after + p.hidden
