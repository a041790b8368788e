"""The strict reader of request heads: what it takes llhttp takes with the same meaning, and what it leaves alone."""

import random

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _fastpath.head import parse_head

CASES = [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)]
TIERS = ["fast", pytest.param("slow", marks=pytest.mark.slow)]

PATH = b"/MFQwUjBQME4wTDAJBgUrDgMCGgUABBTx%2BmZ/x+/pA=="
SEEDS = [
    b"GET %b HTTP/1.1\r\nHost: ocsp.example\r\n\r\n" % PATH,
    b"GET %b HTTP/1.0\r\n\r\n" % PATH,
    b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % PATH,
    b'GET %b HTTP/1.1\r\nHost: x\r\nConnection: Keep-Alive\r\nIf-None-Match: "0af3"\r\n\r\n' % PATH,
    b"GET %b HTTP/1.0\r\nConnection: keep-alive\r\nUser-Agent: a b/1 (c; d)\r\n\r\n" % PATH,
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 84\r\nContent-Type: application/ocsp-request\r\n\r\n",
    b"POST /ocsp HTTP/1.0\r\nCONTENT-LENGTH:3\r\nAccept: */*\r\nconnection: close\r\n\r\n",
    b"POST /ocsp/ HTTP/1.1\r\nhost:\r\ncontent-length: 0  \r\nX-A: 1\r\nX-A: 2\r\n\r\n",
]
LINES = [
    b"Host: y",
    b'X: a, b;c="d"',
    b"X:",
    b"X:  v  ",
    b"X: a\tb",
    b"X:\tv",
    b"X: a\t",
    b"X : v",
    b" folded",
    b"\tfolded",
    b": v",
    b"X",
    b"X: \0",
    b"X: \x7f",
    b"X: \xc3\xa9",
    b"\xc3\xa9: x",
    b"X: a\rb",
    b"X: a\nY: b",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: close, keep-alive",
    b"Connection: keep-alive, close",
    b"Connection: upgrade",
    b"Connection: closed",
    b"Connection: clos",
    b"Connection:",
    b"Connect\ron: close",
    b"Proxy-Connection: close",
    b"Proxy-Connection: keep-alive",
    b"Upgrade: h2c",
    b"Upgrade: websocket",
    b"Expect: 100-continue",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding:",
    b"transfer_encoding: chunked",
    b"Content-Length: 5",
    b"Content-Length: +5",
    b"Content-Length: -5",
    b"Content-Length: 005",
    b"Content-Length: 000005",
    b"Content-Length: 0000005",
    b"Content-Length: 5,5",
    b"Content-Length: 5 5",
    b"Content-Length: 5 ",
    b"Content-Length: 0x5",
    b"Content-Length: 5\t",
    b"Content-Length:",
    b"Content-Length: 4294967301",
    b"Content-Length: 18446744073709551621",
    b"content_length: 5",
    b"Content-Length : 5",
    b"Content-Type: text/plain",
    b"Content-Type: application/ocsp-request",
    b"Content-Type: application/ocsp-request; charset=x",
    b'If-None-Match: "a"',
    b"If-None-Match: *",
    b"If-None-Match:",
    b'If-None-Match: W/"a", "b"',
    b"If-Modified-Since: Sat, 21 Nov 2026 10:00:00 GMT",
    b"Sec-WebSocket-Key: x",
    b"HTTP2-Settings: AAMAAABkAAQAAP__",
    b"Trailer: X",
    b"TE: trailers",
]
TARGETS = [
    b"/",
    b"*",
    b"//M",
    b"/M?x",
    b"/M#x",
    b"/M%",
    b"/M%zz",
    b"/M%00",
    b"/M M",
    b"/M\tM",
    b"/M\xff",
    b"/M\\x",
    b"/M|x",
    b"http://x/M",
    b"x:443",
    b"M",
    b"/M;a=b",
    b"/M'",
    b"/M&x",
    b"/M,x",
    b"/../M",
    b"/M" + b"A" * 600,
]
VERSIONS = [
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/1.2",
    b"HTTP/2.0",
    b"HTTP/0.9",
    b"http/1.1",
    b"HTTP/1.1 ",
    b"HTTP/1.",
    b"",
    b"RTSP/1.0",
]
METHODS = [
    b"GET",
    b"POST",
    b"HEAD",
    b"get",
    b"PUT",
    b"GETS",
    b"PRI",
    b"CONNECT",
    b" GET",
    b"OPTIONS",
    b"SOURCE",
]
SPACES = [b" ", b"  ", b"\t", b"\0", b"\r", b"\n", b"\x0b", b"\xa0"]
ENDS = [b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r\n", b"\r\n ", b"\r\n\t", b" \r\n"]


class Reader:
    """What llhttp finds, without any of its leniencies."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.head_complete = self.keeps = self.upgrades = False
        self.complete = 0

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.head_complete = True
        # uvicorn's rule, asked at uvicorn's time: the parser forgets it with the message.
        self.keeps = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        self.upgrades = self.parser.should_upgrade()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete += 1

    def ends_head(self, data: bytes) -> bool:
        self.parser.feed_data(data)
        return self.head_complete

    def values(self, name: bytes) -> list[bytes]:
        return [value for found, value in self.fields if found == name]


def check(data: bytes) -> bool:
    """Compare the two readers; whether the strict one took the head."""
    found = parse_head(data)
    if found is None:
        return False
    method, target, closes, size, length, if_none_match = found
    reader = Reader()
    assert not reader.ends_head(data[: size - 1])
    assert reader.ends_head(data[size - 1 : size])
    assert reader.parser.get_method() == method.encode()
    assert reader.target == target
    assert reader.keeps is not closes
    assert not reader.upgrades
    lengths = [int(value) for value in reader.values(b"content-length")]
    assert lengths == ([length] if method == "POST" else [])
    # Conditions are for GET alone here.
    tags = [value.rstrip(b" ") for value in reader.values(b"if-none-match")]
    if method == "GET":
        assert tags == ([] if if_none_match is None else [if_none_match])
    else:
        assert if_none_match is None
    for name in (b"expect", b"transfer-encoding", b"upgrade", b"if-modified-since"):
        assert not reader.values(name)
    body = bytes(min(length, 4096))
    if length:
        assert not reader.complete
        reader.parser.feed_data(body)
    assert reader.complete == (length == len(body)) and reader.body == body
    return True


def mutate(source: random.Random, data: bytes) -> bytes:
    """One change somewhere in a head."""
    lines = data.split(b"\r\n")
    at = source.randrange(len(data) + 1)
    kind = source.randrange(12)
    if kind < 2:  # an octet changed, by a bit or wholly
        octet = data[at - 1] ^ 1 << source.randrange(8) if kind else source.randrange(256)
        return data[: at - 1] + bytes([octet]) + data[at:] if at else data
    if kind == 2:
        return data[:at] + source.choice(SPACES) + data[at:]
    if kind == 3:
        return data[:at] + data[at + source.randrange(1, 4) :]
    if kind in (4, 5, 6):
        lines.insert(source.randrange(1, max(2, len(lines) - 1)), source.choice(LINES))
        return b"\r\n".join(lines)
    if kind == 7:
        end = source.randrange(len(lines))
        return b"\r\n".join(lines[: end + 1]) + source.choice(ENDS) + b"\r\n".join(lines[end + 1 :])
    if kind == 8:
        lines.insert(1, source.choice(lines))
        return b"\r\n".join(lines)
    parts = lines[0].split(b" ")
    chosen = (METHODS, TARGETS, VERSIONS)[kind - 9]
    parts[min(kind - 9, len(parts) - 1)] = source.choice(chosen)
    return b"\r\n".join([b" ".join(parts), *lines[1:]])


@pytest.mark.conformance("H-16")
@pytest.mark.invariant("E5")
@pytest.mark.parametrize("cases", CASES)
def test_what_is_taken_means_the_same_to_llhttp(cases: int) -> None:
    """E5: mutated heads. The strict reader may refuse more, and never takes more."""
    source = random.Random(cases)
    taken = 0
    for _ in range(cases):
        data = source.choice(SEEDS)
        for _ in range(source.choice((0, 1, 1, 1, 2, 3))):
            data = mutate(source, data)
        taken += check(data)
    assert taken > cases // 5


@pytest.mark.invariant("E5")
@pytest.mark.conformance("H-16")
@pytest.mark.parametrize("tier", TIERS)
def test_heads_made_of_odd_parts_mean_the_same_to_llhttp(tier: str) -> None:
    """E5."""
    line = (
        st.sampled_from(LINES)
        | st.binary(max_size=20).map(lambda value: b"X: " + value)
        | st.binary(max_size=12)
    )
    start = st.tuples(
        st.sampled_from(METHODS[:2] * 10 + METHODS),
        st.sampled_from([b" "] * 20 + SPACES),
        st.sampled_from([PATH] * 10 + TARGETS),
        st.sampled_from(VERSIONS[:2] * 10 + VERSIONS).map(lambda version: b" " + version),
    ).map(b"".join)
    end = st.sampled_from([b"\r\n"] * 30 + ENDS)
    heads = st.tuples(start, end, st.lists(st.tuples(line, end).map(b"".join), max_size=6).map(b"".join), end)

    @settings(settings.get_profile(tier))
    @given(heads.map(b"".join))
    def compare(data: bytes) -> None:
        check(data)

    compare()


@pytest.mark.invariant("E5")
@pytest.mark.parametrize("line", LINES, ids=repr)
def test_every_odd_field_line(line: bytes) -> None:
    for seed in SEEDS:
        first, rest = seed.split(b"\r\n", 1)
        for data in (b"%b\r\n%b\r\n%b" % (first, line, rest), b"%b\r\n%b\r\n\r\n" % (first, line)):
            check(data)


LEFT_ALONE = {
    "folded": b"GET /M HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
    "bare line feeds": b"GET /M HTTP/1.1\nHost: x\n\n",
    "bare carriage return": b"GET /M HTTP/1.1\r\nX: a\rb\r\n\r\n",
    "nul": b"GET /M HTTP/1.1\r\nX: a\0\r\n\r\n",
    "tab": b"GET /M HTTP/1.1\r\nX:\ta\r\n\r\n",
    "space before the colon": b"GET /M HTTP/1.1\r\nX : a\r\n\r\n",
    "no colon": b"GET /M HTTP/1.1\r\nX\r\n\r\n",
    "not ASCII": b"GET /M HTTP/1.1\r\nX: \xe9\r\n\r\n",
    "absolute": b"GET http://x/M HTTP/1.1\r\n\r\n",
    "query": b"GET /M?x HTTP/1.1\r\n\r\n",
    "fragment": b"GET /M#x HTTP/1.1\r\n\r\n",
    "asterisk": b"GET * HTTP/1.1\r\n\r\n",
    "two spaces": b"GET  /M HTTP/1.1\r\n\r\n",
    "empty line before": b"\r\nGET /M HTTP/1.1\r\n\r\n",
    "HTTP/1.2": b"GET /M HTTP/1.2\r\n\r\n",
    "HTTP/0.9": b"GET /M\r\n\r\n",
    "HEAD": b"HEAD /M HTTP/1.1\r\n\r\n",
    "small letters": b"get /M HTTP/1.1\r\n\r\n",
    "GET with a length": b"GET /M HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "chunked": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "both lengths": b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
    "signed length": b"POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n",
    "list of lengths": b"POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n",
    "long length": b"POST / HTTP/1.1\r\nContent-Length: 0000005\r\n\r\n",
    "no length": b"POST / HTTP/1.1\r\n\r\n",
    "empty length": b"POST / HTTP/1.1\r\nContent-Length:\r\n\r\n",
    "another media type": b"POST / HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\n",
    "upgrade": b"GET /M HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    "expect": b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
    "list of options": b"GET /M HTTP/1.1\r\nConnection: close, te\r\n\r\n",
    "two connections": b"GET /M HTTP/1.1\r\nConnection: close\r\nConnection: close\r\n\r\n",
    "proxy": b"GET /M HTTP/1.1\r\nProxy-Connection: close\r\n\r\n",
    "date condition": b"GET /M HTTP/1.1\r\nIf-Modified-Since: x\r\n\r\n",
    "two conditions": b'GET /M HTTP/1.1\r\nIf-None-Match: "a"\r\nIf-None-Match: "b"\r\n\r\n',
    "not whole": b"GET /M HTTP/1.1\r\nHost: x\r\n",
    "nothing": b"",
}


@pytest.mark.conformance("H-16")
@pytest.mark.invariant("E5")
@pytest.mark.parametrize("data", LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_what_is_left_to_the_http_library(data: bytes) -> None:
    """E5: framing in doubt, and everything that asks for more than an answer."""
    assert parse_head(data) is None


@pytest.mark.conformance("H-16")
def test_what_is_read() -> None:
    assert parse_head(SEEDS[0] + b"GET /") == ("GET", PATH, False, len(SEEDS[0]), 0, None)
    assert parse_head(SEEDS[3]) == ("GET", PATH, False, len(SEEDS[3]), 0, b'"0af3"')
    assert parse_head(SEEDS[4]) == ("GET", PATH, True, len(SEEDS[4]), 0, None)
    assert parse_head(SEEDS[5] + b"0") == ("POST", b"/", False, len(SEEDS[5]), 84, None)
    assert parse_head(SEEDS[6]) == ("POST", b"/ocsp", True, len(SEEDS[6]), 3, None)


@pytest.mark.parametrize("seed", SEEDS, ids=range(len(SEEDS)))
def test_no_part_of_a_head_is_one(seed: bytes) -> None:
    """Nothing behind the end is looked at, and nothing before it is enough."""
    for size in range(len(seed)):
        assert parse_head(seed[:size]) is None
    whole = parse_head(seed)
    assert whole is not None
    for rest in (b"\0", b"\r\n", b"Content-Length: 9\r\n\r\n"):
        assert parse_head(seed + rest) == whole
