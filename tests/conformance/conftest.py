"""The responder over a real store and real sockets, as tests/responder sets it up, and a client that hides nothing."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from responder.config import load_settings
from responder.counters import Counters
from store.embedded import EmbeddedStore
from tests.conformance.http import Client
from tests.responder.ca import CA, Shelf
from tests.responder.conftest import (
    FakeClock,
    ca,
    client,
    clock,
    counters,
    port,
    server,
    serving,
    settings,
    shelf,
    write_config,
)
from tests.signer.conftest import store_url, works

__all__ = ["ca", "client", "clock", "counters", "port", "server", "settings", "shelf", "store_url", "works"]

Serve = Callable[[str], AbstractContextManager[int]]


@pytest.fixture
def web(port: int) -> Client:
    """A client of the responder with its default settings."""
    return Client(port)


@pytest.fixture
def serve(
    tmp_path: Path, ca: CA, server: EmbeddedStore, counters: Counters, clock: FakeClock, shelf: Shelf
) -> Serve:
    """Serve with these lines in [responder]; gives the port."""

    def serve(section: str) -> AbstractContextManager[int]:
        path = write_config(tmp_path, ca, server.url, section)
        return serving(load_settings(path), counters, clock)

    return serve
