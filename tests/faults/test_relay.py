"""What the relay of these tests does to octets, with a real store behind it."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.faults.relay import Relay, follows
from tests.faults.servers import Server
from tests.responder.conftest import wait_until


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("s") / "store", "--repl-diskless-sync-delay", "0")
    yield server
    server.kill()


@pytest.fixture
def relay(store: Server) -> Iterator[Relay]:
    with Relay(store.port) as relay:
        yield relay


def impatient(relay: Relay) -> redis.Redis:
    return redis.Redis(port=relay.port, retry=Retry(NoBackoff(), 0), socket_timeout=0.2)


@pytest.fixture
def client(relay: Relay) -> Iterator[redis.Redis]:
    with impatient(relay) as client:
        yield client


def test_it_passes_on_and_knows_what_was_asked(relay: Relay, client: redis.Redis) -> None:
    client.set("a", "1")
    since = time.monotonic()
    assert client.get("a") == b"1"
    assert relay.commands(since) == [[[b"GET", b"a"]]]
    assert [b"SET", b"a", b"1"] in relay.commands()[0]


@pytest.mark.parametrize("direction", ["there", "back"])
def test_octets_vanish_on_the_way(relay: Relay, client: redis.Redis, direction: str) -> None:
    """Also on a connection that is made meanwhile; when it is over, what misses some ends."""
    client.set("a", "1")
    way = getattr(relay, direction)
    way.swallows = True
    with pytest.raises(redis.TimeoutError):
        client.set("a", direction)
    with impatient(relay) as other, pytest.raises(redis.TimeoutError):
        other.ping()
    relay.heal()
    assert client.get("a") == (b"1" if direction == "there" else b"back")


def test_what_is_held_back_comes_later(relay: Relay, client: redis.Redis) -> None:
    client.ping()
    relay.back.hold()
    threading.Timer(0.05, relay.back.release).start()
    assert client.ping()


def test_delay_is_for_each_way(relay: Relay, client: redis.Redis) -> None:
    client.ping()
    relay.there.delay = relay.back.delay = 0.05
    began = time.monotonic()
    client.ping()
    assert time.monotonic() - began >= 0.1


def test_connections_are_cut_and_lead_elsewhere(relay: Relay, client: redis.Redis, store: Server) -> None:
    client.ping()
    relay.cut()
    assert client.ping()  # anew
    assert len(relay.lines) == 2
    relay.target = 1  # where nobody listens
    relay.cut()
    with pytest.raises(redis.ConnectionError):
        client.ping()
    relay.target = store.port
    assert client.ping()


def test_faults_concern_some_lines_only(relay: Relay, client: redis.Redis, tmp_path: Path) -> None:
    """A replica's link is told from clients by what is said on it."""
    replica = Server(tmp_path / "replica", "--replicaof", "127.0.0.1", str(relay.port))
    try:
        with replica.client() as its:
            wait_until(lambda: its.info("replication")["master_link_status"] == "up", 30)
            relay.back.concerns = follows
            relay.back.swallows = True
            client.set("a", "lost")
            time.sleep(0.1)
            assert its.get("a") != b"lost"
            assert its.info("replication")["master_link_status"] == "up"
    finally:
        replica.kill()


def test_a_server_hangs_and_goes_on(store: Server, client: redis.Redis) -> None:
    client.ping()
    store.hang()
    with pytest.raises(redis.TimeoutError):
        client.ping()
    store.go_on()
    assert client.ping()
