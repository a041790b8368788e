"""Connections of clients that mean ill, are slow, do not read, or leave: all is bounded, and answers keep their order."""

import contextlib
import logging
import select
import socket
import struct
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from _fastpath.ocsp import UNAUTHORIZED
from responder import protocol
from responder.config import load_settings
from responder.counters import Counters
from store.embedded import EmbeddedStore
from tests.responder.ca import CA, Shelf
from tests.responder.conftest import GOOD, FakeClock, Gate, serving, wait_until, write_config
from tests.responder.test_http import raw, status_of, url_path

Serve = Callable[[str], AbstractContextManager[int]]


@pytest.fixture
def serve(
    tmp_path: Path,
    ca: CA,
    server: EmbeddedStore,
    counters: Counters,
    clock: FakeClock,
    shelf: Shelf,
    monkeypatch: pytest.MonkeyPatch,
) -> Serve:
    """Serve with these lines in [responder]; connections are looked at often."""
    monkeypatch.setattr(protocol, "SWEEP_INTERVAL", 0.02)

    def serve(section: str = "") -> AbstractContextManager[int]:
        path = write_config(tmp_path, ca, server.url, f"lookup_timeout_ms = 5000\n{section}")
        return serving(load_settings(path), counters, clock)

    return serve


@pytest.fixture
def get(ca: CA) -> bytes:
    return f"GET {url_path(ca.request(GOOD))} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


@pytest.fixture
def post(ca: CA) -> bytes:
    body = ca.request(GOOD)
    return b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def slow(request: bytes) -> bytes:
    """The same request in a form that the fast path leaves alone: with a query, which has no say."""
    return request.replace(b" HTTP/1.1\r\n", b"?slow HTTP/1.1\r\n", 1)


def begun(counters: Counters) -> int:
    """Requests that were read, on either path, while there was no answer."""
    fast = counters.value("ocsp_cache_lookups_total", "worker", "miss")
    return fast + counters.value("http_slow_requests_total")


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 10)


def send_until_refused(connection: socket.socket, data: bytes, most: int) -> int:
    """Octets sent until the other side takes no more."""
    connection.setblocking(False)
    sent = 0
    while sent < most and select.select([], [connection], [], 1.0)[1]:
        offset = sent % len(data)
        sent += connection.send(data[offset:] + data[:offset])
    connection.settimeout(10)
    return sent


@pytest.mark.conformance("H-20")
@pytest.mark.invariant("F1")
def test_a_client_that_does_not_read_is_not_read_from(serve: Serve, get: bytes) -> None:
    """F1: and when it reads, every request is answered, in order."""
    most = 32 << 20
    with serve("") as port, connect(port) as connection:
        sent = send_until_refused(connection, get * 200, most)
        assert sent < most
        connection.shutdown(socket.SHUT_WR)
        received = bytearray()
        while chunk := connection.recv(1 << 20):
            received += chunk
        assert received.count(b"HTTP/1.1 200 OK\r\n") == sent // len(get)


@pytest.mark.conformance("H-01", "Q-12")
@pytest.mark.invariant("F1")
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"GET /" + b"a" * 9000, 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 6000, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a" * 6000, 431),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"a" * 13_000, 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"a" * 13_000, 413),
    ],
    ids=["target", "value", "name", "chunk extension", "trailer"],
)
def test_what_has_no_end_is_refused(serve: Serve, data: bytes, code: int) -> None:
    """F1: the limits hold before a line ends."""
    with serve("header_limit = 4096\nbody_limit = 1024") as port:
        response = raw(port, data)
    assert status_of(response) == code
    assert b"connection: close" in response


@pytest.mark.conformance("H-01")
@pytest.mark.invariant("F3")
@pytest.mark.parametrize(
    "data",
    [
        b"GET /",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a",
    ],
    ids=["request line", "header", "no body", "body", "chunk"],
)
def test_a_message_that_does_not_end_is_408(serve: Serve, data: bytes) -> None:
    """F3."""
    with serve("header_timeout = 0\nbody_timeout = 0") as port:
        assert status_of(raw(port, data)) == 408


@pytest.mark.conformance("H-20")
@pytest.mark.invariant("F3")
def test_octets_that_trickle_gain_no_time(serve: Serve, counters: Counters) -> None:
    with serve("header_timeout = 1") as port, connect(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")

        def refused() -> bool:
            with contextlib.suppress(OSError):
                connection.sendall(b"a")
            return counters.value("http_refusals_total", "408") == 1

        wait_until(refused)


@pytest.mark.invariant("F3")
@pytest.mark.parametrize("data", [b"", b"\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_idle_connections_are_closed_without_a_word(serve: Serve, data: bytes) -> None:
    """F3: before the first request and after."""
    with serve("keep_alive = 1") as port:
        assert raw(port, data).count(b"HTTP/1.1") == (1 if b"GET" in data else 0)


def test_a_get_whose_body_does_not_come_is_answered_and_closed(serve: Serve) -> None:
    with serve("body_timeout = 0") as port:
        response = raw(port, b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n")
    assert response.count(b"HTTP/1.1") == 1 and status_of(response) == 200


@pytest.mark.conformance("H-20")
@pytest.mark.invariant("F3")
def test_unread_answers_end_the_connection(serve: Serve, get: bytes, counters: Counters) -> None:
    """F3: write_timeout."""
    with serve("write_timeout = 0") as port, connect(port) as connection:
        with contextlib.suppress(OSError):  # it may be cut while we send
            send_until_refused(connection, get * 200, 32 << 20)
        wait_until(lambda: counters.value("http_disconnects_total") == 1)


def test_a_client_that_left_is_no_error(
    serve: Serve,
    get: bytes,
    post: bytes,
    gate: Gate,
    counters: Counters,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither with several requests under way nor in the middle of a body."""
    with serve("") as port:
        gate.close()
        for number, data in enumerate((get, post, slow(get) * 3, slow(post) * 3, post[:-1]), 1):
            with connect(port) as connection:
                connection.sendall(data)
                if data == post[:-1]:
                    time.sleep(0.2)  # nothing tells that it was read
                else:
                    wait_until(lambda: begun(counters) == number)  # noqa: B023
                reset: Any = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        wait_until(lambda: counters.value("http_disconnects_total") == 5)
        gate.open()
        assert status_of(raw(port, get.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))) == 200
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert counters.value("ocsp_responses_total", "malformed_request", "POST") == 0


@pytest.mark.invariant("E6")
@pytest.mark.parametrize(
    "bad", [b"\0\r\n\r\n", b"GET /" + b"a" * 9000, b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"]
)
def test_a_refusal_follows_the_answers_still_due(
    serve: Serve, get: bytes, post: bytes, gate: Gate, bad: bytes, counters: Counters
) -> None:
    """E6."""
    with serve("") as port, connect(port) as connection:
        gate.close()
        connection.sendall(get + post + get + bad)
        wait_until(lambda: counters.value("ocsp_cache_lookups_total", "worker", "miss") > 0)
        gate.open()
        received = b""
        while chunk := connection.recv(1 << 16):
            received += chunk
    codes = [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]]
    assert codes == [b"200"] * 3 + [b"414" if b"aaa" in bad else b"400"]


@pytest.mark.parametrize("count", [1, 40])
def test_a_client_may_close_its_half(serve: Serve, get: bytes, post: bytes, count: int) -> None:
    """What it asked for whole is answered."""
    for request, answers in ((get, count), (post, count), (get + post, 2 * count)):
        with serve("") as port, connect(port) as connection:
            connection.sendall(request * count)
            connection.shutdown(socket.SHUT_WR)
            received = b""
            while chunk := connection.recv(1 << 16):
                received += chunk
        assert received.count(b"HTTP/1.1 200 OK\r\n") == answers


def test_half_a_request_then_the_end_is_no_request(serve: Serve, post: bytes) -> None:
    for data, codes in ((post[:-1], [b"400"]), (post + post[:30], [b"200"])):
        with serve("") as port, connect(port) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            received = b""
            while chunk := connection.recv(1 << 16):
                received += chunk
        assert [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]] == codes
        assert UNAUTHORIZED not in received
