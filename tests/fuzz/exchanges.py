"""HTTP: what servers answer `crl verify` and `audit` with, and what clients ask of CRLs beside their path."""

import socket
import threading
from email.utils import format_datetime
from functools import cache

import h11

from responder.answers import Conditions, HttpAnswer, http_date
from responder.ranges import RangeRequest, ranged
from signer.audit.client import AskFailed, Client
from signer.crl.fetch import Fetcher, FetchFault, Limits
from signer.crl.verify_set import Target, look_by_http, verify_one
from store.clock import SystemClock
from tests.fuzz.crls import crl_files, floor_issuer
from tests.store.offline import moment

__all__ = [
    "answers",
    "check_answer",
    "check_conditions",
    "check_fetch",
    "conditions",
    "fetches",
]

URL = "http://c.example/crl/r1/0-0.crl"
MOST = 1 << 16  # octets
NOW = 1_790_000_000
TAG = b'"0af3"'
BODY = bytes(range(200))


class _Origin:
    """A server on this machine that says the same to everybody, whatever is asked, and closes."""

    def __init__(self) -> None:
        self.said: dict[bytes, bytes] = {}  # by the first letter of the method
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._socket.getsockname()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            client, _ = self._socket.accept()
            with client:
                asked = b""
                while b"\r\n\r\n" not in asked and (more := client.recv(MOST)):
                    asked += more
                try:
                    client.sendall(self.said.get(asked[:1], b""))
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(MOST):
                        pass
                except OSError:
                    continue  # it did not want to hear more


@cache
def _origin() -> _Origin:
    return _Origin()


def _response(body: bytes, *lines: bytes, length: bool = True) -> bytes:
    fields = [b"HTTP/1.1 200 OK", *lines] + ([b"Content-Length: %d" % len(body)] if length else [])
    return b"\r\n".join([*fields, b"", body])


def _chunked(body: bytes) -> bytes:
    parts = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in (body[:9], body[9:]))
    return _response(parts + b"0\r\n\r\n", b"Transfer-Encoding: chunked", length=False)


def fetches() -> list[bytes]:
    """Two octets with the size of what HEAD is told, that, and what GET is told."""
    crl = crl_files()[1][1:]
    date = format_datetime(moment(NOW), usegmt=True).encode()
    usual = (
        b"Content-Type: application/pkix-crl",
        b"Cache-Control: public, max-age=60",
        b"Last-Modified: " + date,
        b"ETag: " + TAG,
        b"Expires: " + date,
    )
    head = _response(b"", *usual, b"Content-Length: %d" % len(crl), length=False)
    answers = [
        (head, _response(crl, *usual)),
        (head, _chunked(crl)),
        (_response(b""), b"HTTP/1.1 100 Continue\r\n\r\n" + _response(crl, b"Age: 7, 8", length=False)),
        (_response(b"", b"Date: " + date), _response(crl, b"Cache-Control: s-maxage=x, stale-if-error=9")),
        (head, b"HTTP/1.0 302 Found\r\nLocation: //[x\r\n\r\n"),
        (head, _response(b"", b"Transfer-Encoding: chunked", length=False) + b"-9\r\n" + bytes(20)),
    ]
    return [len(first).to_bytes(2) + first + second for first, second in answers]


def check_fetch(data: bytes) -> None:
    """Whatever a server says, one verdict; a body that h11 takes too is the same one."""
    size = int.from_bytes(data[:2])
    origin = _origin()
    origin.said = {b"H": data[2 : 2 + size], b"G": data[2 + size :]}
    fetcher = Fetcher(Limits(timeout=5.0, max_size=MOST, connect_to=origin.address), SystemClock())
    verify_one(Target(URL), look_by_http(fetcher), floor_issuer().certificate)
    try:
        response = fetcher.get(URL)
    except FetchFault:
        return
    assert len(response.body) <= MOST
    theirs = _by_h11(origin.said[b"G"])
    assert theirs is None or theirs == response.body


def _by_h11(data: bytes) -> bytes | None:
    """The body of a final response that is there whole."""
    connection, body = h11.Connection(h11.CLIENT), b""
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    try:
        connection.receive_data(data)
        connection.receive_data(b"")
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                body += bytes(event.data)
            elif not isinstance(event, (h11.Response, h11.InformationalResponse)):
                return None
    except h11.RemoteProtocolError:
        return None
    return body


def answers() -> list[bytes]:
    kind = b"Content-Type: application/ocsp-response"
    body = bytes.fromhex("30030a0106")
    return [
        _response(body, kind),
        _response(body, kind, b"Connection: close", length=False),
        _response(b"5\r\n" + body + b"\r\n0\r\n\r\n", kind, b"Transfer-Encoding: chunked", length=False),
        _response(body),
        b"HTTP/1.1 503 x\r\n\r\n",
    ]


def check_answer(data: bytes) -> None:
    """An OCSPResponse or one exception, by both methods over one connection; h11 finds no other body."""
    origin = _origin()
    origin.said = {b"G": data, b"P": data}
    with Client("http://{}:{}".format(*origin.address)) as client:
        for ask in (client.get, client.post):
            try:
                body = ask(b"0")
            except AskFailed:
                continue
            theirs = _by_h11(data)
            assert len(body) <= MOST and (theirs is None or theirs == body)


# What a client asks for


def conditions() -> list[bytes]:
    date = format_datetime(moment(NOW), usegmt=True).encode()
    return [
        b"range:bytes=0-9\nif-range:" + TAG,
        b"range:bytes=-5\nif-range:" + date,
        b"range:Bytes= 150- ",
        b"range:bytes=200-300",
        b"range:bytes=0-1,5-6",
        b"if-none-match:W/" + TAG + b', "x"\nif-modified-since:' + date,
        b"if-modified-since:" + date,
        b"if-modified-since:Sunday, 06-Nov-94 08:49:37 GMT",
        b"if-none-match:*",
    ]


def check_conditions(data: bytes) -> None:
    """Of the whole always a part, and the one that was asked for; what is no condition is none."""
    headers = [
        (name.lower(), value) for name, _, value in (line.partition(b":") for line in data.split(b"\n"))
    ]
    asked = RangeRequest.of(headers)
    answer = ranged(HttpAnswer(200, ((b"content-length", b"200"),), BODY, NOW), asked, TAG, NOW)
    fields = dict(answer.headers)
    if answer.code == 206:
        span, _, size = fields[b"content-range"].removeprefix(b"bytes ").partition(b"/")
        first, last = map(int, span.split(b"-"))
        assert size == b"200" and answer.body == BODY[first : last + 1]
        assert fields[b"content-length"] == b"%d" % len(answer.body)
        assert _asked(dict(headers)[b"range"]) == (first, last)
    elif answer.code == 416:
        assert _asked(dict(headers)[b"range"]) is None
    else:
        assert answer.body == BODY
    _check_match(headers)


def _asked(value: bytes) -> tuple[int, int] | None:
    """First and last octet of the one range that there is, by hand; None if there is nothing in it."""
    first, last = (part.strip() for part in value.partition(b"=")[2].split(b"-"))
    if not first:
        return (max(0, 200 - int(last)), 199) if int(last) else None
    end = min(199, int(last)) if last else 199
    return (int(first), end) if int(first) <= end else None


def _check_match(headers: list[tuple[bytes, bytes]]) -> None:
    matched = Conditions.of(headers).match(TAG, NOW)
    tags = b",".join(value for name, value in headers if name == b"if-none-match")
    if any(name == b"if-none-match" for name, _ in headers):
        assert not matched or TAG in tags or tags.strip() == b"*"
        return
    dates = [http_date(value) for name, value in headers if name == b"if-modified-since"]
    assert matched is (len(dates) == 1 and dates[0] is not None and dates[0] >= NOW)
