"""SIGTERM and SIGHUP under load: what a worker has read it answers, and says that the connection ends (E6)."""

import contextlib
import random
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from _fastpath.ocsp import UNAUTHORIZED
from tests.responder.ca import CA
from tests.responder.conftest import GOOD, GOOD_TOO, REVOKED, wait_until
from tests.responder.test_both_paths import UNISSUED, get, path_of, post
from tests.responder.test_serve import Service, service, stop

__all__ = ["service"]  # a fixture

CALLERS = 6
RELOADS = [1, pytest.param(12, marks=pytest.mark.slow)]
TCP_CLOSE = 7  # of the kernel: reset by the other side; an end without that is CLOSE_WAIT
ENOUGH = 400  # requests answered between two signals


def questions(ca: CA) -> dict[bytes, bool]:
    """Requests of both paths, in up to two segments, and whether a signed answer is due."""
    found: dict[bytes, bool] = {}
    for serial in (GOOD, GOOD_TOO, REVOKED, UNISSUED):
        der, signed = ca.request(serial), serial != UNISSUED
        plain = get(path_of(der))
        found |= {
            plain: signed,
            plain.replace(b" HTTP", b"?slow HTTP", 1): signed,
            post(b"/", der): signed,
        }
    return found


class Line:
    """A connection of a client that sends one request and waits for its answer."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 20)

    def send(self, request: bytes) -> None:
        head, mark, body = request.partition(b"\r\n\r\n")
        self.socket.sendall(head + mark)
        if body:
            self.socket.sendall(body)

    def receive(self) -> tuple[bytes, bytes]:
        """Head and body of an answer; both empty at the end. Raises ConnectionError for what was cut off."""
        received = b""
        while b"\r\n\r\n" not in received:
            part = self.socket.recv(1 << 16)
            if not part:
                if received:
                    raise ConnectionError("half an answer")
                return b"", b""
            received += part
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(body) < length:
            part = self.socket.recv(1 << 16)
            if not part:
                raise ConnectionError("half an answer")
            body += part
        return head, body

    @property
    def was_reset(self) -> bool:
        """Whether the other side closed before it read all that was sent: the kernel resets such a connection."""
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            (state,) = struct.unpack_from("B", self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8))
            if state == TCP_CLOSE:
                return True
            time.sleep(0.01)
        return False


@dataclass
class Load:
    """Clients that ask without a pause, and what became of their requests."""

    port: int
    questions: dict[bytes, bool]
    answered: int = 0
    unread: int = 0  # the connection ended before they were read: to be asked again, as HTTP has it
    lost: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def call(self, number: int) -> None:
        source = random.Random(number)
        while not self.ended.is_set():
            try:
                line = Line(self.port)
            except ConnectionError as error:
                self.lose(f"no connection: {error}")
                return
            with contextlib.closing(line.socket):
                self.converse(line, source)

    def converse(self, line: Line, source: random.Random) -> None:
        for _ in range(source.choice((1, 5, 1000))):
            request, signed = source.choice(list(self.questions.items()))
            try:
                line.send(request)
                head, body = line.receive()
            except (ConnectionResetError, BrokenPipeError):
                head = body = b""
            except ConnectionError as error:
                return self.lose(str(error))
            if not head:
                return self.give_up(line, request)
            if not (len(body) > 100 if signed else body == UNAUTHORIZED):
                self.lose(f"{request!r}: {body!r}")
            with self.lock:
                self.answered += 1
            if b"connection: close" in head or self.ended.is_set():
                return None

    def give_up(self, line: Line, request: bytes) -> None:
        if not line.was_reset:
            self.lose(f"read and not answered: {request!r}")
        with self.lock:
            self.unread += 1

    def lose(self, what: str) -> None:
        if not self.ended.is_set() or "no connection" not in what:
            with self.lock:
                self.lost.append(what)

    def wait_for_more(self) -> None:
        due = self.answered + ENOUGH
        wait_until(lambda: self.answered >= due or bool(self.lost), 60)


@contextlib.contextmanager
def loaded(port: int, questions: dict[bytes, bool]) -> Iterator[Load]:
    load = Load(port, questions)
    callers = [threading.Thread(target=load.call, args=(number,)) for number in range(CALLERS)]
    for caller in callers:
        caller.start()
    try:
        yield load
    finally:
        load.ended.set()
        for caller in callers:
            caller.join()


def port_of(service: Service) -> int:
    return int(service.public.rpartition(":")[2])


@pytest.mark.parametrize("reloads", RELOADS)
def test_nothing_that_was_read_is_lost(service: Service, ca: CA, reloads: int) -> None:
    """Reloads while clients ask, and at last the end."""
    with loaded(port_of(service), questions(ca)) as load:
        load.wait_for_more()
        for number in range(1, reloads + 1):
            service.process.send_signal(signal.SIGHUP)
            wait_until(lambda: len(service.workers()) == 2 + 2 * number, 60)  # noqa: B023
            load.wait_for_more()
        load.ended.set()  # from now on there may be nobody to connect to
        assert stop(service) == 0
    assert load.lost == []
    assert load.answered >= ENOUGH * (1 + reloads)
    assert "Traceback" not in service.log.read_text()


def test_a_request_half_read_is_awaited_and_its_answer_says_that_the_connection_ends(
    service: Service, ca: CA
) -> None:
    """The body of a POST comes after the workers were told to end."""
    before = service.log.read_text().count("Shutting down")
    asked = {serial: post(b"/", ca.request(serial)) for serial in (GOOD, UNISSUED)}
    asked[REVOKED] = post(b"/?slow", ca.request(REVOKED))
    lines = [(Line(port_of(service)), request) for request in [*asked.values()] * 8]
    for line, request in lines:
        line.socket.sendall(request[:-20])
    ready = Line(port_of(service))
    ready.send(get(b"/"))
    assert ready.receive()[1]  # what was sent before is read by now, or soon
    service.process.send_signal(signal.SIGTERM)
    wait_until(lambda: service.log.read_text().count("Shutting down") >= before + 2)
    for line, request in lines:
        line.socket.sendall(request[-20:])
        head, body = line.receive()
        assert head.startswith(b"HTTP/1.1 200 OK\r\n") and b"\r\nconnection: close" in head, request
        assert len(body) > 100 if request != asked[UNISSUED] else body == UNAUTHORIZED, request
        assert line.receive() == (b"", b"")
        line.socket.close()
    assert ready.receive() == (b"", b"")
    ready.socket.close()
    assert service.process.wait(timeout=20) == 0


@pytest.mark.invariant("F3")
@pytest.mark.slow
@pytest.mark.parametrize("path", [b"/", b"/?slow"], ids=["fast", "slow"])
def test_a_request_that_never_ends_is_refused_before_the_worker_ends(
    service: Service, ca: CA, path: bytes
) -> None:
    """F3: the client has half of the time that the worker has, however much it had before."""
    line = Line(port_of(service))
    line.socket.sendall(post(path, ca.request(GOOD))[:-20])
    ready = Line(port_of(service))
    ready.send(get(b"/"))
    assert ready.receive()[1]
    service.process.send_signal(signal.SIGTERM)
    head, _ = line.receive()
    for one in (line, ready):
        one.socket.close()
    assert head.startswith(b"HTTP/1.1 408 ")
    assert service.process.wait(timeout=20) == 0
    assert "Traceback" not in service.log.read_text()
