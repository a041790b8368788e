"""A primary and its replica, real servers, which clients reach at one address: killed, emptied, put back, promoted."""

import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from store.writer import install_functions
from tests.faults.relay import Relay
from tests.faults.servers import Server
from tests.responder.conftest import wait_until

__all__ = ["Stores"]

OPTIONS = (
    "--repl-diskless-sync-delay", "0", "--repl-diskless-load", "swapdb", "--hz", "100", "--loglevel", "warning"
)  # fmt: skip
PATIENCE = 30.0  # seconds


class Stores:
    """What happens is the same in every run: what reaches a replica has reached it before anything else begins."""

    def __init__(self, directory: Path) -> None:
        self._kept = directory / "kept.rdb"
        self._primary = Server(directory / "one", *OPTIONS)
        self._replica = Server(directory / "two", *OPTIONS)
        self._address = Relay(self._primary.port)
        self._link = Relay(self._primary.port)
        self.up = True

    def __enter__(self) -> Self:
        self._address.__enter__()
        self._link.__enter__()
        self._open()
        self._follow()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._link.__exit__(kind, error, trace)
        self._address.__exit__(kind, error, trace)
        for server in (self._primary, self._replica):
            server.kill()

    @property
    def port(self) -> int:
        """Of the address."""
        return self._address.port

    @property
    def parted(self) -> bool:
        """Whether the replica hears nothing, and does not know it."""
        return self._link.back.swallows

    @property
    def has_dump(self) -> bool:
        return self._kept.exists()

    def kill(self) -> None:
        """The primary, with all that was in it."""
        self._primary.kill()
        self.up = False
        (self._primary.directory / "dump.rdb").unlink(missing_ok=True)

    def start(self, *, dump: bool) -> None:
        """The primary again: empty, or as it was when it was dumped. Its operator loads the functions."""
        if dump:
            shutil.copy(self._kept, self._primary.directory / "dump.rdb")
        self._primary.start()
        self._open()
        self.up = True

    def flush(self) -> None:
        with self._primary.client() as client:
            client.flushall()

    def take_dump(self) -> None:
        with self._primary.client() as client:
            client.save()
        (self._primary.directory / "dump.rdb").rename(self._kept)

    def part(self) -> None:
        """From now on nothing that is written reaches the replica."""
        self._catch_up()
        self._link.back.swallows = True

    def fail_over(self) -> None:
        """The replica becomes the primary, whatever it has; the old one comes back empty and follows it."""
        self._catch_up()
        if self.up:
            self.kill()
        self._primary, self._replica = self._replica, self._primary
        with self._primary.client() as client:
            client.replicaof("NO", "ONE")
        self._open()
        self._address.target = self._link.target = self._primary.port
        self._address.cut()
        self._link.cut()
        self._link.back.swallows = False
        self._replica.start()
        self._follow()
        self.up = True

    def _open(self) -> None:
        with self._primary.client() as client:
            install_functions(client, "test")

    def _follow(self) -> None:
        with self._replica.client() as client:
            client.replicaof("127.0.0.1", str(self._link.port))

    def _catch_up(self) -> None:
        """Wait until the replica has everything, unless it is parted."""
        if self.parted or not self.up:
            return
        with self._primary.client() as primary, self._replica.client() as replica:
            primary.set("mark", "x")
            if primary.wait(1, 20) == 1:
                return
            # Servers look after each other once a second; a new connection does not wait for that, nor a second one.
            replica.replicaof("NO", "ONE")
            self._follow()
            wait_until(lambda: _follows(replica), PATIENCE)
            replica.client_kill_filter(_type="master")
            wait_until(lambda: _follows(replica), PATIENCE)
            primary.set("mark", "y")
            wait_until(lambda: primary.wait(1, 1000) == 1, PATIENCE)


def _follows(client: redis.Redis) -> bool:
    return bool(client.info("replication").get("master_link_status") == "up")
