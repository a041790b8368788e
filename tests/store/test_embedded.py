"""The embedded server across processes: shared, restarted with its pages, adopted after a kill, never doubled."""

import multiprocessing
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
import redis

from store.config import StoreSection
from store.connection import Endpoint
from store.embedded import EmbeddedStore, find_program
from store.errors import ConfigError, StoreError, StoreUnavailable
from store.primary import replication_id
from store.schema import HEAD_FIELD, Head, issuer_key
from store.writer import PageWriter, PutStatus, check_functions
from tests.store.conftest import REDIS, VALKEY, Engine
from tests.store.pages import KEY, page

ROOT = Path(__file__).parents[2]

# Holds the server of the directory it is given until its standard input ends.
HOLDER = """
import sys
from pathlib import Path
from store.embedded import EmbeddedStore
with EmbeddedStore(Path(sys.argv[1])) as store:
    print("owner" if store.owned else "guest", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(
    params=[pytest.param(VALKEY, id="valkey"), pytest.param(REDIS, id="redis", marks=pytest.mark.slow)]
)
def engine(request: pytest.FixtureRequest) -> Engine:
    found: Engine = request.param
    return found


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state directory; a server that a test left there is ended."""
    directory = tmp_path_factory.mktemp("e")
    yield directory
    if (directory / "store" / "valkey.sock").exists():
        with client_of(directory) as client:
            client.shutdown(nosave=True)


def client_of(directory: Path) -> redis.Redis:
    return Endpoint.of(StoreSection(), directory).client()


def run_id(directory: Path) -> Any:
    """What differs between two runs of a server."""
    with client_of(directory) as client:
        return client.info("server")["run_id"]


def put_a_page(store: EmbeddedStore, directory: Path) -> PutStatus:
    with client_of(directory) as client:
        return PageWriter(client, store.url).put_pages([page({b"\1": True}, 1)])[0].status


def holder(directory: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def test_a_restart_finds_the_pages_and_the_functions(directory: Path, engine: Engine) -> None:
    with EmbeddedStore(directory, program=engine.program) as store:
        assert store.owned
        assert put_a_page(store, directory) is PutStatus.WRITTEN
        before = run_id(directory)
    with EmbeddedStore(directory, program=engine.program) as store, client_of(directory) as client:
        assert run_id(directory) != before
        assert client.hlen(KEY) == 2
        check_functions(client, store.url)


def test_a_snapshot_is_loaded_once(directory: Path) -> None:
    """After a crash the store is empty: pages from before a revocation do not come back (R-20)."""
    with EmbeddedStore(directory) as store:
        put_a_page(store, directory)
    with EmbeddedStore(directory) as store, client_of(directory) as client:
        assert client.hlen(KEY) == 2
        os.kill(client.info("server")["process_id"], signal.SIGKILL)
        store.ensure_running()
        assert client.hlen(KEY) == 0
        assert put_a_page(store, directory) is PutStatus.WRITTEN


@pytest.mark.invariant("C4")
def test_settings_of_the_server(directory: Path, engine: Engine) -> None:
    with EmbeddedStore(directory, program=engine.program) as store, client_of(directory) as client:
        assert {
            name: client.config_get(name)[name]
            for name in (
                "maxmemory-policy",
                "hash-max-listpack-value",
                "hash-max-listpack-entries",
                "save",
                "port",
            )
        } == {
            "maxmemory-policy": "noeviction",
            "hash-max-listpack-value": "640",
            "hash-max-listpack-entries": "512",
            "save": "",
            "port": "0",
        }
        assert stat.S_IMODE(store.socket.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(store.socket.stat().st_mode) == 0o700


def test_a_second_process_uses_the_first_ones_server(directory: Path) -> None:
    with EmbeddedStore(directory) as store:
        before = run_id(directory)
        guest = holder(directory)
        assert guest.stdout is not None
        assert guest.stdout.readline() == b"guest\n"
        guest.communicate()
        assert guest.returncode == 0
        assert run_id(directory) == before
        assert store.owned
    with pytest.raises(redis.ConnectionError), client_of(directory) as client:
        client.ping()


def test_a_guest_takes_over_when_the_owner_leaves(directory: Path) -> None:
    owner = holder(directory)
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"owner\n"
    with EmbeddedStore(directory) as store:
        owned_at_first = store.owned
        put_a_page(store, directory)
        owner.communicate()
        store.ensure_running()
        assert (owned_at_first, store.owned) == (False, True)
        with client_of(directory) as client:
            assert client.hlen(KEY) == 2


def test_a_killed_owners_server_is_adopted_with_its_pages(directory: Path) -> None:
    owner = holder(directory)
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"owner\n"
    with EmbeddedStore(directory) as guest:
        put_a_page(guest, directory)
    before = run_id(directory)
    owner.kill()
    owner.communicate()
    assert run_id(directory) == before
    with EmbeddedStore(directory) as heir, client_of(directory) as client:
        assert heir.owned
        assert run_id(directory) == before
        assert client.hlen(KEY) == 2
    with pytest.raises(redis.ConnectionError), client_of(directory) as client:
        client.ping()


def test_ctrl_c_for_us_is_not_for_the_server(directory: Path) -> None:
    with EmbeddedStore(directory), client_of(directory) as client:
        assert os.getpgid(client.info("server")["process_id"]) != os.getpgid(0)


def race(directory: Path, barrier: Barrier, found: "Queue[tuple[bool, Any]]") -> None:
    """One racer: all start together, and nobody leaves before all have arrived."""
    barrier.wait()
    with EmbeddedStore(directory) as store:
        found.put((store.owned, run_id(directory)))
        barrier.wait()


def test_racing_processes_share_one_server(directory: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    found: Queue[tuple[bool, Any]] = spawn.Queue()
    barrier = spawn.Barrier(4)
    racers = [spawn.Process(target=race, args=(directory, barrier, found)) for _ in range(4)]
    for racer in racers:
        racer.start()
    results = [found.get() for _ in racers]
    for racer in racers:
        racer.join()
    assert [racer.exitcode for racer in racers] == [0] * 4
    assert len({name for _, name in results}) == 1
    assert sum(owned for owned, _ in results) == 1


def test_two_stores_of_one_process_share_one_server(directory: Path) -> None:
    with EmbeddedStore(directory) as first, EmbeddedStore(directory) as second:
        assert (first.owned, second.owned) == (True, False)


def test_a_dead_servers_socket_is_no_obstacle(directory: Path) -> None:
    with EmbeddedStore(directory) as store, client_of(directory) as client:
        os.kill(client.info("server")["process_id"], signal.SIGKILL)
        store.ensure_running()
        assert client.ping()


def test_pages_that_cannot_be_saved_are_not_thrown_away(directory: Path) -> None:
    store = EmbeddedStore(directory)
    store.ensure_running()
    put_a_page(store, directory)
    (directory / "store" / "dump.rdb").mkdir()
    with pytest.raises(StoreError, match="could not save"):
        store.stop()
    with client_of(directory) as client:
        assert client.hlen(KEY) == 2
    shutil.rmtree(directory / "store" / "dump.rdb")
    store.ensure_running()
    assert store.owned
    store.stop()
    with EmbeddedStore(directory), client_of(directory) as client:
        assert client.hlen(KEY) == 2


def test_a_socket_path_that_is_too_long_is_named(tmp_path: Path) -> None:
    fits = tmp_path / ("d" * (107 - len(os.fsencode(tmp_path)) - len("//store/valkey.sock")))
    assert len(os.fsencode(EmbeddedStore(fits).socket)) == 107
    with pytest.raises(ConfigError, match="at most 107 octets") as caught:
        EmbeddedStore(fits.with_name(fits.name + "d"))
    assert caught.value.remedy is not None
    assert "shorter" in caught.value.remedy


def test_the_longest_socket_path_works(tmp_path: Path) -> None:
    longest = tmp_path / ("d" * (107 - len(os.fsencode(tmp_path)) - len("//store/valkey.sock")))
    with EmbeddedStore(longest), client_of(longest) as client:
        assert client.ping()


def test_a_directory_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot hold the embedded store"):
        EmbeddedStore(tmp_path / "file").ensure_running()


def test_a_server_that_ends_at_once_points_to_its_log(directory: Path) -> None:
    with pytest.raises(StoreUnavailable, match="ended with code") as caught:
        EmbeddedStore(directory, program="false").ensure_running()
    assert "valkey.log" in str(caught.value)
    with EmbeddedStore(directory) as store:  # the lock was given back
        assert store.owned


def test_a_missing_program_is_named() -> None:
    with pytest.raises(StoreUnavailable, match="no such-server on PATH") as caught:
        find_program("such-server")
    assert "ocspeed[embedded]" in str(caught.value)


def head_of(directory: Path) -> tuple[bytes, bytes]:
    """The stored head, and the replication id of the server."""
    with client_of(directory) as client:
        head = client.hget(issuer_key("demo"), HEAD_FIELD)
        assert isinstance(head, bytes)
        return head, replication_id(client)


def save_with_head(directory: Path) -> bytes:
    """A store that was ended in order, with the head of its server."""
    with EmbeddedStore(directory) as store, client_of(directory) as client:
        head = Head(7, replication_id(client)).encode()
        client.hset(issuer_key("demo"), HEAD_FIELD, head)
        client.hset(issuer_key("other"), HEAD_FIELD, Head(7, b"5" * 40).encode())
        assert store.owned
    return head


def test_an_orderly_restart_carries_the_head_over(directory: Path) -> None:
    """A2: responders need no signer where nothing was lost; a head of yet another server is no concern."""
    before = save_with_head(directory)
    with EmbeddedStore(directory), client_of(directory) as client:
        head, present = head_of(directory)
        assert head == Head(7, present).encode() != before
        assert client.hget(issuer_key("other"), HEAD_FIELD) == Head(7, b"5" * 40).encode()


def test_a_snapshot_that_was_put_back_is_not_trusted(directory: Path) -> None:
    """A2: octet for octet the one that was left, with its times, but a copy."""
    before = save_with_head(directory)
    kept = directory / "kept"
    shutil.copytree(directory / "store", kept, ignore=shutil.ignore_patterns("*.sock"))
    with EmbeddedStore(directory):
        """It lives on, and changes."""
    for file in kept.iterdir():
        shutil.copy2(file, directory / "store" / file.name)
    with EmbeddedStore(directory):
        head, present = head_of(directory)
        assert head == before != Head(7, present).encode()
