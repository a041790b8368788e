"""The responder over a real store and real sockets, as tests/responder sets it up, and a client that hides nothing."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import redis

from responder.config import load_settings
from responder.counters import Counters
from store.embedded import EmbeddedStore
from tests.conformance.http import Client
from tests.responder.ca import CA, NOW, Shelf, good, revoked
from tests.responder.conftest import (
    GOOD,
    GOOD_TOO,
    REVOKED,
    FakeClock,
    ca,
    client,
    clock,
    counters,
    server,
    serving,
    shelf,
    write_config,
)
from tests.signer.conftest import store_url, works

__all__ = ["World", "ca", "client", "clock", "counters", "server", "shelf", "store_url", "works"]

Serve = Callable[[str], AbstractContextManager[int]]


@dataclass(frozen=True, slots=True)
class World:
    """A responder with its default settings, what is in its store, and its clock."""

    ca: CA
    store: EmbeddedStore
    shelf: Shelf
    clock: FakeClock
    counters: Counters
    web: Client


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all tests of a file: starting and ending it takes longer than most of them."""
    ca, clock, counters = CA("shared"), FakeClock(), Counters.private()
    with (
        EmbeddedStore(tmp_path_factory.mktemp("s")) as store,
        redis.Redis.from_url(store.url, protocol=3) as client,
    ):
        shelf = Shelf(ca, client)
        shelf.put(good(GOOD), revoked(REVOKED), good(GOOD_TOO))
        # A clock that jumps looks like a lost store until the next heartbeat: that is not the subject here.
        section = "lookup_timeout_ms = 5000\nmax_unverified = 604800"
        path = write_config(tmp_path_factory.mktemp("w"), ca, store.url, section)
        with serving(load_settings(path), counters, clock) as port:
            yield World(ca, store, shelf, clock, counters, Client(port))


# A field that means nothing to an origin and that the fast path leaves to the HTTP library.
WAYS = {"fast": (), "slow": (("Proxy-Connection", "keep-alive"),)}


@pytest.fixture(params=WAYS)
def world(shared: World, request: pytest.FixtureRequest) -> World:
    """The shared responder with its clock at NOW, asked so that the fast path answers, and so that it does not."""
    shared.clock.seconds = NOW
    return replace(shared, web=Client(shared.web.port, WAYS[request.param]))


@pytest.fixture
def web(world: World) -> Client:
    """A client of it."""
    return world.web


@pytest.fixture
def serve(
    tmp_path: Path, ca: CA, server: EmbeddedStore, counters: Counters, clock: FakeClock, shelf: Shelf
) -> Serve:
    """Serve with these lines in [responder], over a store of its own; gives the port."""

    def serve(section: str) -> AbstractContextManager[int]:
        path = write_config(tmp_path, ca, server.url, section)
        return serving(load_settings(path), counters, clock)

    return serve
