"""A real store, a CA whose answers are in it, and the responder over both, in this process."""

import asyncio
import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
import redis
import uvicorn
import uvloop
from cryptography.hazmat.primitives.serialization import Encoding

from responder.app import Application
from responder.config import Settings, load_settings
from responder.counters import Counters
from responder.wire import Wire
from store.embedded import EmbeddedStore
from tests.responder.ca import CA, NOW, Shelf, good, revoked

GOOD, REVOKED, GOOD_TOO = 0x5A17_0000_0000_0001, 0x5A17_0000_0000_0003, 0x5A17_0000_0000_0005


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that workers run on; it differs from asyncio's where a deadline is due already."""
    return {"uvloop": uvloop.new_event_loop}


class FakeClock:
    """Wall time that tests set; monotonic time as it is."""

    def __init__(self) -> None:
        self.seconds = NOW

    def now(self) -> int:
        return self.seconds

    def wall(self) -> float:
        return self.now()

    def monotonic(self) -> float:
        return time.monotonic()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(tmp_path_factory.mktemp("s")) as store:
        yield store


@pytest.fixture
def short_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for sockets: their paths have at most 107 octets."""
    return tmp_path_factory.mktemp("s")


@pytest.fixture(scope="session")
def ca() -> CA:
    return CA("demo")


@pytest.fixture
def client(server: EmbeddedStore) -> Iterator[redis.Redis]:
    """The store, empty but for its functions."""
    with redis.Redis.from_url(server.url, protocol=3) as client:
        client.flushall()
        yield client


@pytest.fixture
def shelf(ca: CA, client: redis.Redis) -> Shelf:
    """Two good certificates and a revoked one, published."""
    shelf = Shelf(ca, client)
    shelf.put(good(GOOD), revoked(REVOKED), good(GOOD_TOO))
    return shelf


def write_config(directory: Path, ca: CA, store_url: str, responder: str = "") -> Path:
    """An ocsp.toml with one issuer."""
    (directory / "ca.pem").write_bytes(ca.certificate.public_bytes(Encoding.PEM))
    (directory / "objects").mkdir(exist_ok=True)
    path = directory / "ocsp.toml"
    path.write_text(
        f'[store]\nurl = "{store_url}"\n[responder]\n{responder}\n'
        f'[[issuer]]\nname = "{ca.name}"\ncertificate = "ca.pem"\n'
    )
    return path


@pytest.fixture
def settings(tmp_path: Path, ca: CA, server: EmbeddedStore) -> Settings:
    # A wait that a busy machine does not exceed: 40 ms are the subject of test_lookup alone.
    return load_settings(write_config(tmp_path, ca, server.url, "lookup_timeout_ms = 5000"))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def counters() -> Counters:
    return Counters.private()


@pytest.fixture
async def application(
    settings: Settings, counters: Counters, clock: FakeClock, shelf: Shelf
) -> AsyncIterator[Application]:
    """A worker in this event loop, connected."""
    application = Application(settings, counters, clock)
    await application.start()
    yield application
    await application.stop()


class Gate:
    """Holds back what the store answers, from `close` to `open`: both paths wait for it. Nothing overtakes anything."""

    def __init__(self) -> None:
        self.pass_on = Wire.data_received
        self._closed = False
        self._held: deque[tuple[Wire, bytes]] = deque()

    def close(self) -> None:
        self._closed = True

    def open(self) -> None:
        self._closed = False
        if self._held:
            self._held[0][0]._loop.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        while self._held and not self._closed:
            self.pass_on(*self._held.popleft())

    def take(self, wire: Wire, data: bytes) -> None:
        self._held.append((wire, data))
        if not self._closed:
            self._release()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()

    monkeypatch.setattr(Wire, "data_received", lambda wire, data: gate.take(wire, data))
    yield gate
    gate.open()


def uvicorn_config(application: Application, *, lifespan: Literal["on", "off"]) -> uvicorn.Config:
    """As `responder.server` has it, in this process and without logs."""
    return uvicorn.Config(
        application,
        loop="uvloop",
        http="responder.protocol:connection",
        ws="none",
        lifespan=lifespan,
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
    )


@contextlib.contextmanager
def serving(settings: Settings, counters: Counters, clock: FakeClock) -> Iterator[int]:
    """A worker behind a real socket, in a thread of this process; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn_config(Application(settings, counters, clock), lifespan="on")
        worker = uvicorn.Server(config)
        thread = threading.Thread(target=worker.run, args=([listener],))
        thread.start()
        try:
            wait_until(lambda: worker.started)
            yield listener.getsockname()[1]
        finally:
            worker.should_exit = True
            thread.join()


@pytest.fixture
def port(settings: Settings, counters: Counters, clock: FakeClock, shelf: Shelf) -> Iterator[int]:
    with serving(settings, counters, clock) as port:
        yield port


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Poll until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


async def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """The same without blocking the event loop."""
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("waited in vain")
