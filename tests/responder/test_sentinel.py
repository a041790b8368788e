"""A store with a replica and a Sentinel: the responder and the signer's clients follow the primary."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from responder.app import Application
from responder.config import load_settings
from responder.counters import Counters
from store.config import StoreSection
from store.connection import Endpoint
from store.embedded import find_program
from store.writer import install_functions
from tests.ports import free_port
from tests.responder.ca import CA, Shelf, good, revoked
from tests.responder.conftest import GOOD, FakeClock, eventually, wait_until, write_config
from tests.responder.connections import Worker

SERVICE = "primary"
DOWN_AFTER = 400  # ms of silence until the Sentinel gives a server up


def plain_client(port: int) -> redis.Redis:
    return redis.Redis(port=port, protocol=3, retry=Retry(NoBackoff(), 0), socket_timeout=2)


def answers(port: int) -> bool:
    with plain_client(port) as client, contextlib.suppress(redis.RedisError):
        return bool(client.ping())
    return False


@dataclass
class Cluster:
    """Two servers and a Sentinel."""

    ports: tuple[int, int]
    sentinel: int
    processes: list[subprocess.Popen[bytes]]

    @property
    def url(self) -> str:
        """With a Sentinel that is not there before the one that is."""
        return f"redis+sentinel://127.0.0.1:1,127.0.0.1:{self.sentinel}/{SERVICE}"

    def primary(self) -> int:
        with plain_client(self.sentinel) as client:
            return int(client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    def replica_is_ready(self) -> bool:
        with plain_client(self.ports[1]) as replica, plain_client(self.sentinel) as sentinel:
            linked = replica.info("replication").get("master_link_status") == "up"
            return linked and len(sentinel.execute_command("SENTINEL REPLICAS", SERVICE)) == 1


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    program = find_program(None)
    ports, sentinel = (free_port(), free_port()), free_port()
    watched = tmp_path / "sentinel.conf"
    watched.write_text(
        f"port {sentinel}\nsentinel monitor {SERVICE} 127.0.0.1 {ports[0]} 1\n"
        f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER}\n"
        f"sentinel failover-timeout {SERVICE} 3000\n"
    )
    server = [program, "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"]
    commands = [
        [*server, "--port", str(ports[0])],
        [*server, "--port", str(ports[1]), "--replicaof", "127.0.0.1", str(ports[0])],
        [program, str(watched), "--sentinel"],
    ]
    with contextlib.ExitStack() as stack:
        processes = []
        for number, command in enumerate(commands):
            directory = tmp_path / f"{number}"
            directory.mkdir()
            process = subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.kill)
            processes.append(process)
        cluster = Cluster(ports, sentinel, processes)
        wait_until(lambda: all(answers(port) for port in (*ports, sentinel)))
        wait_until(cluster.replica_is_ready, 30)
        yield cluster


@contextlib.asynccontextmanager
async def running(tmp_path: Path, ca: CA, url: str, counters: Counters) -> AsyncIterator[Application]:
    settings = load_settings(write_config(tmp_path, ca, url, "lookup_timeout_ms = 2000"))
    application = Application(settings, counters, FakeClock())
    await application.start()
    yield application
    await application.stop()


async def ask(worker: Worker, ca: CA) -> bytes:
    client = worker.connect()
    body = ca.request(GOOD)
    client.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    return await client.settle()


@pytest.mark.slow
async def test_a_failover(tmp_path: Path, ca: CA, cluster: Cluster, counters: Counters) -> None:
    """The replica is promoted: its answers are given, and its changes are told of."""
    endpoint = Endpoint.of(StoreSection(url=cluster.url), tmp_path)
    with endpoint.client() as client:
        install_functions(client, endpoint.url)
        shelf = Shelf(ca, client)
        shelf.put(good(GOOD))
        async with running(tmp_path, ca, cluster.url, counters) as application:
            worker = Worker(application)
            before = await ask(worker, ca)
            assert ca.template.certificates in before
            client.execute_command("WAIT", 1, 2000)
            cluster.processes[0].kill()
            await eventually(lambda: cluster.primary() == cluster.ports[1], 30)
            await eventually(lambda: counters.value("store_unreconciled") == 1, 30)
            shelf.write_head()  # until then it is as if there were no store
            await eventually(application.link.up.is_set, 30)
            await asyncio.sleep(0)
            assert await ask(worker, ca) == before  # out of the new primary
            assert counters.value("store_connections_total") == 2
            told = counters.value("store_invalidations_total")
            shelf.put(revoked(GOOD))  # the writer follows as well
            await eventually(lambda: counters.value("store_invalidations_total") > told)
            assert await ask(worker, ca) != before


async def test_a_demoted_primary_is_not_read(
    tmp_path: Path, ca: CA, cluster: Cluster, counters: Counters
) -> None:
    """The Sentinel still names the server, which says itself that it is none."""
    with plain_client(cluster.ports[0]) as client:
        client.replicaof("127.0.0.1", str(cluster.ports[1]))
        async with running(tmp_path, ca, cluster.url, counters) as application:
            assert not application.link.up.is_set()
            assert counters.value("store_connections_total") == 0
