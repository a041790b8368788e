"""Faults that nobody foresaw on the fast path: logged, and the slow path gives the answer all the same (H-01)."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

import responder.lookup
from _fastpath.ocsp import INTERNAL_ERROR
from responder.app import Application
from responder.config import load_settings
from responder.counters import Counters
from store.embedded import EmbeddedStore
from store.trust import TrustedTemplate
from tests.responder.ca import CA, Shelf
from tests.responder.conftest import GOOD, GOOD_TOO, REVOKED, FakeClock, write_config
from tests.responder.connections import Client, Worker
from tests.responder.test_both_paths import get, path_of, post


class FaultyClock(FakeClock):
    """Fails once, at the reading that it was told to. The fast path reads it where anything could go wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: dict[str, int] = {}  # which reading of which kind, from 1

    def _count(self, kind: str) -> None:
        if kind in self.faults:
            self.faults[kind] -= 1
            if self.faults[kind] == 0:
                del self.faults[kind]
                raise ZeroDivisionError

    def now(self) -> int:
        self._count("now")
        return super().now()

    def monotonic(self) -> float:
        self._count("monotonic")
        return super().monotonic()


@pytest.fixture
def clock() -> FaultyClock:
    return FaultyClock()


@pytest.fixture
async def worker(
    tmp_path: Path,
    ca: CA,
    server: EmbeddedStore,
    shelf: Shelf,
    counters: Counters,
    clock: FaultyClock,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Worker]:
    monkeypatch.setattr(responder.lookup, "HEARTBEAT", 60.0)  # its readings are not the ones to fail
    section = 'lookup_timeout_ms = 5000\nverify = "all"'
    application = Application(load_settings(write_config(tmp_path, ca, server.url, section)), counters, clock)
    await application.start()
    yield Worker(application)
    await application.stop()


READINGS = {
    "before the answer is sought": (False, "now", 1),
    "when the answer is at hand": (True, "now", 1),
    "before the store is asked": (False, "monotonic", 1),
    "when the store has answered": (False, "now", 2),
}


def messages(ca: CA, serial: int) -> dict[str, bytes]:
    request = ca.request(serial)
    return {
        "get": get(path_of(request)),
        "post": post(b"/", request),
        "close": get(path_of(request), b"Connection: close"),
    }


async def answer(client: Client, message: bytes) -> tuple[bytes, bool]:
    """What is written for a message, and whether the connection ends."""
    before = len(client.received)
    client.send(message)
    return (await client.settle())[before:], client.closed


@pytest.mark.conformance("H-01", "R-11", "Q-01")
@pytest.mark.parametrize(("warm", "kind", "reading"), READINGS.values(), ids=READINGS)
@pytest.mark.parametrize("form", ["get", "post", "close"])
async def test_a_fault_on_the_fast_path_is_answered_by_the_slow_one(
    worker: Worker,
    ca: CA,
    counters: Counters,
    clock: FaultyClock,
    form: str,
    warm: bool,
    kind: str,
    reading: int,
) -> None:
    message = messages(ca, GOOD)[form]
    if warm:
        await answer(worker.connect(), message)
    slow = counters.value("http_slow_requests_total")
    client = worker.connect()
    clock.faults[kind] = reading
    with capture_logs() as logs:
        found = await answer(client, message)
    assert clock.faults == {}
    (event,) = logs
    assert (event["event"], event["log_level"], event["exc_info"]) == ("fast path failed", "error", True)
    assert counters.value("http_slow_requests_total") - slow == 1
    assert counters.value("ocsp_responses_total", "internal_error", "GET") == 0
    assert found == await answer(worker.connect(fast=False), message)
    assert b"200 OK" in found[0]


@pytest.mark.conformance("H-01", "R-11")
async def test_after_a_fault_the_connection_goes_on_as_before(
    worker: Worker, ca: CA, counters: Counters, clock: FaultyClock
) -> None:
    """What was sent with the request that met it is answered in turn, what follows is plain again (E6)."""
    whole = b"".join(messages(ca, serial)["get"] for serial in (GOOD, REVOKED, GOOD_TOO))
    expected, _ = await answer(worker.connect(fast=False), whole)
    client = worker.connect()
    clock.faults["now"] = 2
    assert (await answer(client, whole))[0] == expected
    assert clock.faults == {}
    slow = counters.value("http_slow_requests_total")
    assert (await answer(client, whole))[0] == expected
    assert counters.value("http_slow_requests_total") == slow


@pytest.fixture
def one_fault(monkeypatch: pytest.MonkeyPatch) -> list[ZeroDivisionError]:
    """The next signature that is to be verified is not: there is a fault instead. Empty after it."""
    verifies = TrustedTemplate.verifies
    faults = [ZeroDivisionError()]

    def verifies_at_last(trusted: TrustedTemplate, body: bytes) -> bool:
        if faults:
            raise faults.pop()
        return verifies(trusted, body)

    monkeypatch.setattr(TrustedTemplate, "verifies", verifies_at_last)
    return faults


@pytest.mark.conformance("H-01", "R-11")
async def test_a_fault_while_a_record_is_judged_leaves_nobody_waiting(
    worker: Worker, ca: CA, counters: Counters, one_fault: list[ZeroDivisionError]
) -> None:
    """Neither the client that asked nor one that joined its lookup; the store's connection has no part in it."""
    message = messages(ca, GOOD)["post"]
    clients = [worker.connect(), worker.connect()]
    with capture_logs() as logs:
        for client in clients:
            client.send(message)
        found = [await client.settle() for client in clients]
    assert one_fault == []
    assert [(event["event"], event["exc_info"]) for event in logs] == [("fast path failed", True)] * 2
    expected, _ = await answer(worker.connect(fast=False), message)
    assert found == [expected] * 2
    assert counters.value("ocsp_responses_total", "good", "POST") == 3
    assert counters.value("store_connections_total") == 1


@pytest.mark.conformance("H-01", "R-02")
async def test_a_fault_on_the_slow_path_is_internal_error_and_over(
    worker: Worker, ca: CA, one_fault: list[ZeroDivisionError]
) -> None:
    message = messages(ca, GOOD)["post"]
    with capture_logs() as logs:
        failed, closed = await answer(worker.connect(fast=False), message)
    assert one_fault == []
    assert failed.endswith(INTERNAL_ERROR) and b"200 OK" in failed and not closed
    assert [(event["event"], event["exc_info"]) for event in logs] == [
        ("request could not be answered", True)
    ]
    assert len((await answer(worker.connect(), message))[0]) > 500
