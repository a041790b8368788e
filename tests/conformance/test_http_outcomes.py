"""Group H: every outcome by every method in both versions of HTTP, what is refused, and what limits do."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from cryptography.x509 import ocsp

from _fastpath.ocsp import MALFORMED_REQUEST, TRY_LATER, UNAUTHORIZED
from responder.counters import Counters
from tests.conformance.conftest import Serve, World
from tests.conformance.http import Client, Response, target_of
from tests.responder.ca import CA, THIS_UPDATE, VALIDITY
from tests.responder.conftest import GOOD, REVOKED, wait_until

MEDIA_TYPE = "application/ocsp-response"
SUCCESS_FIELDS = {
    "date",
    "content-type",
    "content-length",
    "last-modified",
    "etag",
    "expires",
    "cache-control",
}
ERROR_FIELDS = {"date", "content-type", "content-length", "cache-control"}


def good_and_late(world: World) -> bytes:
    world.clock.seconds = THIS_UPDATE + VALIDITY - 60
    return world.ca.request(GOOD)


OUTCOMES: dict[str, tuple[Callable[[World], bytes], bytes | None]] = {
    "good": (lambda world: world.ca.request(GOOD), None),
    "revoked": (lambda world: world.ca.request(REVOKED), None),
    "unissued": (lambda world: world.ca.request(GOOD + 1), UNAUTHORIZED),
    "another CA": (lambda world: CA("demo").request(GOOD), UNAUTHORIZED),
    "malformed": (lambda world: world.ca.request(GOOD)[:-1], MALFORMED_REQUEST),
    "late": (good_and_late, TRY_LATER),
}


@pytest.mark.conformance(
    "H-01", "H-02", "H-05", "H-06", "H-10", "H-11", "H-12", "H-13", "H-17", "Q-01", "R-02"
)
@pytest.mark.invariant("A8", "E3")
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize(("ask", "error"), OUTCOMES.values(), ids=OUTCOMES)
def test_every_outcome_by_every_method(
    world: World, ask: Callable[[World], bytes], error: bytes | None, version: str
) -> None:
    request = ask(world)
    accept = {"Accept": "text/html", "Accept-Encoding": "gzip, br, deflate", "Connection": "close"}
    get, head = (
        world.web.request(method, target_of(request), version=version, headers=accept)
        for method in ("GET", "HEAD")
    )
    post = world.web.request("POST", "/", request, version=version, headers=accept)
    assert get.body == post.body and head.body == b""
    assert get.headers == post.headers == head.headers
    assert [answer.code for answer in (get, head, post)] == [200] * 3
    check_fields(get, error)


def check_fields(answer: Response, error: bytes | None) -> None:
    """The header fields are these and no others: no Vary, no cookie, no coding, no location, nothing of https."""
    headers = {name: value for name, value in answer.headers.items() if name != "connection"}
    assert headers["content-type"] == MEDIA_TYPE
    assert headers["content-length"] == str(len(answer.body))
    if error is not None:
        assert answer.body == error
        assert set(headers) == ERROR_FIELDS
        assert headers["cache-control"] == "no-store"
        return
    response = ocsp.load_der_ocsp_response(answer.body)
    assert response.response_status is ocsp.OCSPResponseStatus.SUCCESSFUL
    assert set(headers) == SUCCESS_FIELDS
    age, *directives = headers["cache-control"].split(", ")
    assert age.removeprefix("max-age=").isdigit()
    assert directives == ["public", "no-transform", "must-revalidate"]


def test_requests_take_the_way_that_they_are_meant_to(world: World) -> None:
    request = world.ca.request(GOOD)
    before = world.counters.value("http_slow_requests_total")
    world.web.get(request)
    world.web.post(request)
    slow = world.counters.value("http_slow_requests_total") - before
    assert slow == (2 if world.web.always else 0)


@pytest.mark.conformance("H-01")
def test_the_root_is_a_malformed_request(web: Client) -> None:
    for method in ("GET", "POST"):
        answer = web.request(method, "/")
        assert (answer.code, answer.body) == (200, MALFORMED_REQUEST)
    assert web.request("HEAD", "/").code == 200


@pytest.mark.conformance("H-01", "H-17")
@pytest.mark.invariant("E3")
@pytest.mark.parametrize(
    ("method", "target", "headers", "code"),
    [
        ("PUT", "/", {}, 405),
        ("OPTIONS", "*", {}, 405),
        ("DELETE", "/M", {}, 405),
        ("POST", "/", {"Content-Type": "text/plain"}, 415),
        ("POST", "/", {"Content-Length": "16385"}, 413),
        ("GET", "/" + "M" * 8192, {}, 414),
        ("GET", "/M", {"X": "a" * 33_000}, 431),
        ("GET", "/M", {"Content-Length": "-1"}, 400),
        ("GET", "/M", {"Transfer-Encoding": "chunked", "Content-Length": "1"}, 400),
    ],
    ids=lambda value: str(value)[:20],
)
def test_faults_of_transport(
    web: Client, method: str, target: str, headers: dict[str, str], code: int
) -> None:
    answer = web.request(method, target, headers=headers)
    assert (answer.code, answer.body) == (code, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers.get("allow") == ("GET, HEAD, POST" if code == 405 else None)
    assert not {"location", "strict-transport-security", "upgrade"} & set(answer.headers)


@contextlib.contextmanager
def silent(client: redis.Redis, milliseconds: int) -> Iterator[None]:
    """The store answers nobody for so long, and everybody after it."""
    client.client_pause(milliseconds)
    try:
        yield
    finally:
        client.ping()  # returns when the pause is over


def unissued(ca: CA, count: int) -> list[bytes]:
    return [ca.request(GOOD + 1000 + number) for number in range(count)]


@pytest.mark.conformance("H-01", "H-06")
@pytest.mark.invariant("F5")
def test_a_full_waiting_room_is_try_later(
    serve: Serve, ca: CA, client: redis.Redis, counters: Counters
) -> None:
    """Twelve lookups at once where four may wait: those too many are told so, the others get their answer."""
    first, *others = unissued(ca, 13)
    with serve("waiting_room = 4\nlookup_timeout_ms = 10000") as port, ThreadPoolExecutor(12) as pool:
        web = Client(port)
        wait_until(lambda: web.post(first).body == UNAUTHORIZED)
        before = counters.value("ocsp_try_later_total", "waiting_room")
        with silent(client, 1000):
            answers = list(pool.map(web.post, others))
        refused = counters.value("ocsp_try_later_total", "waiting_room") - before
    bodies = [answer.body for answer in answers]
    assert bodies.count(TRY_LATER) == refused >= 8
    assert bodies.count(UNAUTHORIZED) == 12 - refused
    for answer in answers:
        check_fields(answer, answer.body)


@pytest.mark.conformance("H-18", "R-11")
def test_a_silent_store_holds_nobody_up(
    serve: Serve, ca: CA, client: redis.Redis, counters: Counters
) -> None:
    """The answer comes at the end of `lookup_timeout_ms`, not with the store's reply."""
    first, second = unissued(ca, 2)
    with serve("lookup_timeout_ms = 100") as port:
        web = Client(port)
        wait_until(lambda: web.post(first).body == UNAUTHORIZED)
        assert counters.value("ocsp_try_later_total", "lookup_timeout") == 0
        with silent(client, 1000):
            check_fields(web.post(second), TRY_LATER)
        assert counters.value("ocsp_try_later_total", "lookup_timeout") == 1


@pytest.mark.conformance("H-20")
def test_connections_above_the_limit_get_503_and_the_others_their_answer(serve: Serve, ca: CA) -> None:
    message = f"GET {target_of(ca.request(GOOD))} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    with serve("limit_concurrency = 8\nlookup_timeout_ms = 5000") as port, contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 10)) for _ in range(40)
        ]
        connections.reverse()  # when the last one is answered all have been accepted
        answers = []
        for connection in connections:
            connection.sendall(message)
            answers.append(receive_until(connection, b"", lambda data: b"\r\n\r\n" in data))
        codes = [int(answer.split()[1]) for answer in answers]
        assert codes[:32] == [503] * 32  # more than eight were still open
        assert set(codes[32:]) <= {200, 503}
        for code, answer in zip(codes, answers, strict=True):
            assert (b"\r\nretry-after: 1\r\n" in answer) == (code == 503)
        wait_until(lambda: len(Client(port).get(ca.request(REVOKED)).body) > 100)


@pytest.mark.conformance("H-16")
def test_a_request_needs_no_more_than_its_line_and_host(web: Client, world: World) -> None:
    target = target_of(world.ca.request(GOOD))
    for message in (f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n", f"GET {target} HTTP/1.0\r\n\r\n"):
        answer = web.send(message.encode())
        assert (answer.code, len(answer.body) > 100) == (200, True)
        assert "transfer-encoding" not in answer.headers


@pytest.mark.conformance("H-16")
@pytest.mark.parametrize(
    ("version", "header", "kept"),
    [
        ("1.0", "", False),
        ("1.0", "Connection: close\r\n", False),
        ("1.0", "Connection: Keep-Alive\r\n", None),
        ("1.1", "", True),
        ("1.1", "Connection: close\r\n", False),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_who_closes_the_connection(
    world: World, method: str, version: str, header: str, kept: bool | None
) -> None:
    """None: an HTTP/1.0 connection may be kept where that was asked for, and then the answer has to say so."""
    request = world.ca.request(GOOD)
    target, body = (target_of(request), b"") if method == "GET" else ("/", request)
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    message = f"{method} {target} HTTP/{version}\r\nHost: x\r\n{header}{length}\r\n".encode() + body
    with socket.create_connection(("127.0.0.1", world.web.port), 10) as connection:
        connection.sendall(message)
        head = check_answer(connection)
        if kept is None:
            kept = b"\r\nconnection: keep-alive" in head.lower()
        if kept:
            connection.sendall(message)
            check_answer(connection)
        else:
            assert connection.recv(1) == b""


def check_answer(connection: socket.socket) -> bytes:
    """Read one answer by its declared length, look at it, and give back its header."""
    received = receive_until(connection, b"", lambda data: b"\r\n\r\n" in data)
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    body = receive_until(connection, body, lambda data: len(data) >= length)
    assert ocsp.load_der_ocsp_response(body).serial_number == GOOD
    return head


def receive_until(connection: socket.socket, received: bytes, enough: Callable[[bytes], bool]) -> bytes:
    while not enough(received):
        more = connection.recv(1 << 16)
        assert more, "closed too early"
        received += more
    return received
