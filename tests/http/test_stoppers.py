"""What stops other responders: none of it stops this one, keeps it busy afterwards, or fills its log.

A real `ocsp-responder serve` of two workers, with two CAs of one name and two keys.
"""

import base64
import contextlib
import os
import resource
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from _fastpath.ocsp import MALFORMED_REQUEST, UNAUTHORIZED
from bench.serve.processes import Processes
from tests.clients.commands import wait_until
from tests.conformance.http import target_of
from tests.proxies.origin import Origin, fresh, ocsp_request, origin, serving

WINDOW = 0.4  # seconds
AT_EASE = 0.5  # of a core, and of waiting for one, that a process at rest does not reach
LINES = 10  # of the log that any number of these may come to


@dataclass
class Town:
    """The responder, one good answer, and whom it consists of."""

    origin: Origin
    pid: int
    request: bytes
    answer: bytes
    workers: tuple[int, ...]

    @property
    def port(self) -> int:
        return self.origin.port

    @property
    def log(self) -> str:
        return (self.origin.service.directory / "serve.log").read_text()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 20)

    def get(self, target: str, method: str = "GET") -> tuple[int, bytes]:
        answer = self.origin.web.request(method, target)
        return answer.code, answer.body

    def check(self, lines_before: int) -> None:
        """It answers, by the same processes, which have nothing to do, and said little."""
        for _ in range(4):
            assert self.origin.web.get(self.request).body == self.answer
        assert Processes(self.pid).pids == self.workers
        wait_until(self.rests, "a rest", 60)
        assert self.log.count("\n") - lines_before <= LINES, self.log[-3000:]

    def rests(self) -> bool:
        """Whether no process has something to do all the time, be it that it gets no core to do it."""
        before = [busy(pid) for pid in self.workers]
        began = time.monotonic()
        time.sleep(WINDOW)
        elapsed = time.monotonic() - began
        return all(
            busy(pid) - then < AT_EASE * elapsed for pid, then in zip(self.workers, before, strict=True)
        )


def busy(pid: int) -> float:
    """Seconds that a process has run or has waited for a core."""
    tasks = (Path("/proc") / str(pid) / "task").iterdir()
    return sum(sum(map(int, (task / "schedstat").read_text().split()[:2])) for task in tasks) / 1e9


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    with origin(tmp_path_factory.mktemp("o"), "workers = 2") as made:
        yield made


@contextlib.contextmanager
def low_limit() -> Iterator[None]:
    """As services are started by default; and with hashes as they are by default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONHASHSEED", "random")
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def town(made: Origin) -> Iterator[Town]:
    shelf = made.shelf()
    serial = made.new_serial()
    shelf.put(fresh(serial))
    request = ocsp_request(shelf.ca, serial)
    with low_limit(), serving(made) as process:
        yield Town(made, process.pid, request, made.web.get(request).body, Processes(process.pid).pids)


# Each does its worst so many times.


def connect_and_leave(town: Town, times: int) -> None:
    """After this `openssl ocsp` spins."""
    for number in range(times):
        with town.connect() as connection:
            if number % 3 == 1:
                connection.shutdown(socket.SHUT_WR)
            elif number % 3 == 2:
                reset: Any = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)


def ask_for_nothing(town: Town, times: int) -> None:
    """HEAD, and GET of what is no request, end some."""
    for number in range(times):
        target = ("/", "/favicon.ico", "/index.html", "/M")[number % 4]
        assert town.get(target) == (200, MALFORMED_REQUEST)
        assert town.get(target, "HEAD") == (200, b"")
        assert town.get(target_of(town.request), "HEAD") == (200, b"")


def send_bad_base64(town: Town, times: int) -> None:
    text = base64.b64encode(town.request).decode()
    for number in range(times):
        place = number % len(text)
        assert town.get(f"/{text[:place]}!{text[place:]}") == (200, MALFORMED_REQUEST)
        assert town.get(f"/{text[: place - place % 4 + 1]}") == (200, MALFORMED_REQUEST)


def send_bad_der(town: Town, times: int) -> None:
    """Cut, with lengths that lie, and with an octet too many."""
    request = town.request
    for number in range(times):
        cut = number % len(request)
        for der in (
            request[:cut],
            b"\x30\x84\xff\xff\xff\xff" + request,
            request + b"\0" * (1 + cut),
            b"\x30\x80" * 50,
        ):
            assert town.origin.web.post(der).body == MALFORMED_REQUEST
    for place in range(len(request)):
        if request[place] < 0x80:
            longer = request[:place] + bytes([request[place] + 0x7F]) + request[place + 1 :]
            assert town.origin.web.post(longer).body in (MALFORMED_REQUEST, UNAUTHORIZED)


def double_slashes(town: Town, times: int) -> None:
    """cfssl redirects them."""
    plain = base64.b64encode(town.request).decode()
    for number in range(times):
        for target in ("/" * (2 + number % 5) + plain, f"//{target_of(town.request)[1:]}"):
            assert town.get(target) == (200, town.answer)
    assert town.get("//") == town.get("/a//b") == (200, MALFORMED_REQUEST)


def ask_another_issuer(town: Town, times: int) -> None:
    """Some look answers up by the serial alone: here two CAs even have one name."""
    one, two = town.origin.shelf("one"), town.origin.shelf("two")
    for _ in range(max(1, times // 50)):
        mine, shared = town.origin.new_serial(), town.origin.new_serial()
        one.put(fresh(mine), fresh(shared))
        two.put(fresh(shared, revoked=True))
        answers = [town.origin.web.ask(ocsp_request(shelf.ca, shared)) for shelf in (one, two)]
        assert answers[0] != answers[1] and min(map(len, answers)) > 100
        assert len(town.origin.web.ask(ocsp_request(one.ca, mine))) > 100
        assert town.origin.web.ask(ocsp_request(two.ca, mine)) == UNAUTHORIZED


def post_too_much(town: Town, times: int) -> None:
    """Boulder writes a line of log for each."""
    limit = 16_384
    for number in range(times):
        if number % 3 == 0:
            assert town.origin.web.post(bytes(limit + 1)).code == 413
            continue
        with town.connect() as connection:
            chunked = b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n" % (2 * limit) + bytes(2 * limit)
            claimed = b"Content-Length: %d\r\n\r\n" % (1 << 40)
            connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + (chunked if number % 3 == 1 else claimed))
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 413 ")


def talk_something_else(town: Town, times: int) -> None:
    """TLS, SMTP, DER, HTTP/2, and noise."""
    hello = bytes.fromhex("16030100c8010000c40303") + bytes(200)
    words = (hello, b"EHLO x\r\n", town.request, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", os.urandom(400))
    for number in range(times):
        with town.connect() as connection:
            connection.sendall(words[number % len(words)] + b"\r\n\r\n")
            try:
                assert connection.recv(1 << 16)[:12] in (b"HTTP/1.1 400", b"")
            except ConnectionError:
                pass


def leave_in_the_middle(town: Town, times: int) -> None:
    """Of a head, of a content, of an answer."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(town.request)
    whole = head + town.request
    for number in range(times):
        with town.connect() as connection:
            connection.sendall(whole[: 1 + number * 7 % len(whole)] if number % 4 else whole * 50)


ATTACKS: tuple[Callable[[Town, int], None], ...] = (
    connect_and_leave,
    ask_for_nothing,
    send_bad_base64,
    send_bad_der,
    double_slashes,
    ask_another_issuer,
    post_too_much,
    talk_something_else,
    leave_in_the_middle,
)


@pytest.mark.invariant("F6", "F1", "A7")
@pytest.mark.conformance("H-01", "H-14", "Q-02", "Q-04", "Q-12")
def test_nothing_stops_it(town: Town) -> None:
    lines = town.log.count("\n")
    for attack in ATTACKS:
        attack(town, 8)
    town.check(lines)


@pytest.mark.slow  # two minutes
@pytest.mark.invariant("F6", "F1", "A7")
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_nothing_stops_it_however_often(town: Town, attack: Callable[[Town, int], None]) -> None:
    lines = town.log.count("\n")
    attack(town, 1_000)
    town.check(lines)


def test_one_that_spins_would_be_noticed(town: Town) -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            spinning = Town(town.origin, process.pid, town.request, town.answer, (process.pid,))
            wait_until(lambda: busy(process.pid) > 0, "a start")
            assert not any(spinning.rests() for _ in range(2))
        finally:
            process.kill()


@pytest.mark.slow  # deadlines of ten seconds
@pytest.mark.invariant("F3", "F5")
def test_without_descriptors_it_goes_on(tmp_path_factory: pytest.TempPathFactory) -> None:
    """More connections than descriptors: those that are there are served, and it does not spin."""
    with origin(tmp_path_factory.mktemp("o"), "") as made:
        shelf, serial = made.shelf(), made.new_serial()
        shelf.put(fresh(serial))
        request = ocsp_request(shelf.ca, serial)
        with serving(made) as process:
            (worker,) = (pid for pid in Processes(process.pid).pids if is_worker(pid))
            resource.prlimit(worker, resource.RLIMIT_NOFILE, (100, 100))
            town = Town(made, process.pid, request, made.web.get(request).body, Processes(process.pid).pids)
            lines = town.log.count("\n")
            with town.connect() as kept:
                crowd = [town.connect() for _ in range(300)]
                time.sleep(2)
                kept.sendall(f"GET {target_of(request)} HTTP/1.1\r\n\r\n".encode())
                assert kept.recv(1 << 16).endswith(town.answer)
                wait_until(town.rests, "a rest", 60)
                for connection in crowd:
                    connection.close()
            wait_until(lambda: answers(town), "answers again")
            town.check(lines)


def is_worker(pid: int) -> bool:
    return b"spawn_main" in (Path("/proc") / str(pid) / "cmdline").read_bytes()


def answers(town: Town) -> bool:
    try:
        return town.origin.web.get(town.request).body == town.answer
    except OSError:
        return False


@pytest.mark.invariant("F3")
def test_workers_have_descriptors_for_their_connections(town: Town) -> None:
    """Though the soft limit was lower when it was started."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for pid in town.workers:
        assert resource.prlimit(pid, resource.RLIMIT_NOFILE)[0] >= min(2 * 4096, hard)


@pytest.mark.invariant("F4")
@pytest.mark.parametrize("seed", ["0", pytest.param("4294967295", marks=pytest.mark.slow)])
def test_no_start_with_hashes_that_clients_can_know(
    made: Origin, seed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", seed)
    refused = made.service.responder("serve", expect=2)
    assert "PYTHONHASHSEED" in refused.stderr
