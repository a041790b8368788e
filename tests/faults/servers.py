"""Store servers that are killed, stopped in their tracks, limited in what they may write, and started again."""

import contextlib
import os
import resource
import signal
import subprocess
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from store.embedded import find_program
from tests.ports import free_port
from tests.responder.conftest import wait_until

__all__ = ["Sentinel", "Server"]


class Server:
    """One on loopback that keeps its data for its next start only as its options say."""

    def __init__(self, directory: Path, *options: str, program: str | None = None) -> None:
        directory.mkdir()
        self.directory = directory
        self.port = free_port()
        self._program = find_program(program)
        self._options = options
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        command = [self._program, "--port", str(self.port), "--save", "", "--appendonly", "no"]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *self._options], cwd=self.directory, stdout=log, restore_signals=False
            )
        wait_until(self.answers, 30)

    def answers(self) -> bool:
        with contextlib.suppress(redis.RedisError), self.client() as client:
            return bool(client.ping())
        return False

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, protocol=3, retry=Retry(NoBackoff(), 0), socket_timeout=5)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def hang(self) -> None:
        """Its connections stay, and nothing answers on them."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def limit_files(self, octets: int) -> None:
        """It can write no file beyond this, as on a full disk; RLIM_INFINITY ends that."""
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (octets, resource.RLIM_INFINITY))


class Sentinel:
    """One that watches `primary` at a port, which may be that of a relay."""

    SERVICE = "primary"
    DOWN_AFTER = 400  # ms of silence until it gives a server up

    def __init__(self, directory: Path, primary: int) -> None:
        directory.mkdir()
        self.port = free_port()
        file = directory / "sentinel.conf"
        file.write_text(
            f"port {self.port}\nsentinel monitor {self.SERVICE} 127.0.0.1 {primary} 1\n"
            f"sentinel down-after-milliseconds {self.SERVICE} {self.DOWN_AFTER}\n"
            f"sentinel failover-timeout {self.SERVICE} 3000\n"
        )
        with (directory / "log").open("wb") as log:
            self._process = subprocess.Popen([find_program(None), file, "--sentinel"], stdout=log)
        wait_until(self._answers, 30)

    @property
    def url(self) -> str:
        """As `store.url` names it, behind one that is not there."""
        return f"redis+sentinel://127.0.0.1:1,127.0.0.1:{self.port}/{self.SERVICE}"

    def primary(self) -> int:
        """The port of the one that it names."""
        with self.client() as client:
            return int(client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", self.SERVICE)[1])

    def replicas(self) -> int:
        with self.client() as client:
            return len(client.execute_command("SENTINEL REPLICAS", self.SERVICE))

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, protocol=3, retry=Retry(NoBackoff(), 0), socket_timeout=5)

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError), self.client() as client:
            return bool(client.ping())
        return False

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
