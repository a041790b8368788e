"""A CA that is signed for: its ledger filled, `ocsp-signer run` at work, and workers that answer."""

import contextlib
import http.client
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import redis

from bench.scale.corpus import ISSUER, REVOKED_EVERY, Drawn, create_ca, drawn_corpus, write_index
from bench.scale.watched import Failed
from bench.serve import servers
from bench.serve.corpus import Corpus
from bench.serve.processes import PROC, Processes, free_port
from bench.serve.servers import Responder
from signer.ledger.ledger import Ledger
from store.embedded import EmbeddedStore

__all__ = ["Intake", "Place", "command", "made", "wait_until"]

CACHE = "64MiB"
POLL = 0.05
PATIENCE = 600.0  # seconds
STOP_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Place:
    """A directory with everything, the store running. `drawn` are some of the certificates."""

    config: Path
    url: str  # of the store
    admin: int
    token: str
    corpus: Corpus
    drawn: list[Drawn]

    @property
    def directory(self) -> Path:
        return self.config.parent

    @contextlib.contextmanager
    def ledger(self) -> Iterator[tuple[Ledger, int]]:
        """With the issuer's id."""
        with contextlib.closing(Ledger.open(f"sqlite:///{self.directory / 'ledger.db'}")) as ledger:
            yield ledger, ledger.issuer(ISSUER).id

    @contextlib.contextmanager
    def signer(self) -> Iterator[Processes]:
        """`ocsp-signer run`, once it takes revocations and has signed every change."""
        with (self.directory / "run.log").open("wb") as log:
            process = subprocess.Popen(
                command("run", self.config), stdout=log, stderr=log, cwd=self.directory
            )
            try:
                with contextlib.closing(Intake(self)) as intake:
                    wait_until(lambda: _runs(process, log.name) and intake.answers())
                self.wait_until_signed()
                yield Processes(process.pid)
            finally:
                _end(process)

    def wait_until_signed(self) -> None:
        """Raises Failed. The ledger is opened once: that takes longer than to ask it."""
        with self.ledger() as (ledger, issuer):
            wait_until(lambda: ledger.tail_position(issuer) >= ledger.generation(issuer))

    @contextlib.contextmanager
    def workers(self, count: int) -> Iterator[list[Responder]]:
        """Each a responder with one worker, on any core."""
        with contextlib.ExitStack() as stack:
            started = []
            for number in range(count):
                responder = stack.enter_context(servers.responder(self.corpus, f"worker-{number}", CACHE))
                _unpin(responder.processes)
                started.append(responder)
            yield started


@contextlib.contextmanager
def made(
    certificates: int, draw: int, page_bits: int | None = None, revoked_every: int = REVOKED_EVERY
) -> Iterator[Place]:
    """With all of them imported and signed; their index.txt is still there. Nothing is left behind."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-revoke-") as name,
        EmbeddedStore(Path(name) / ".ocspeed") as store,
    ):
        directory, admin, token = Path(name), free_port(), secrets.token_hex(32)
        config = create_ca(directory, admin, token, page_bits)
        index = directory / "index.txt"
        drawn = write_index(index, certificates, 1, draw, revoked_every)
        _do("import", config, "--issuer", ISSUER, str(index), "-q")
        _do("sign", config, "--all", "-q")
        try:
            yield Place(config, store.url, admin, token, drawn_corpus(directory, drawn), drawn)
        finally:
            with redis.Redis.from_url(store.url) as client:
                client.flushall()  # or it would all be saved


def command(verb: str, config: Path, *arguments: str) -> list[str]:
    """`ocsp-signer`; `verb` may have two words."""
    program = Path(sys.executable).with_name("ocsp-signer")
    return [str(program), *verb.split(), *arguments, "--config", str(config)]


def _do(verb: str, config: Path, *arguments: str) -> None:
    done = subprocess.run(command(verb, config, *arguments), cwd=config.parent, stdout=subprocess.DEVNULL)
    if done.returncode != 0:
        raise Failed(f"ocsp-signer {verb}: exit status {done.returncode}")


class Intake:
    """A caller of the intake API on a kept connection."""

    def __init__(self, place: Place) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", place.admin, timeout=PATIENCE)
        self._headers = {"Authorization": f"Bearer {place.token}", "Content-Type": "application/json"}

    def close(self) -> None:
        self._connection.close()

    def answers(self) -> bool:
        """Whether it can be asked."""
        try:
            return (
                self._ask("GET", f"/intake/v1/{ISSUER}/certificates/1", b"")[0] == http.HTTPStatus.NOT_FOUND
            )
        except OSError:
            self._connection.close()
            return False

    def revoke(self, serial: int) -> None:
        """Durable when it returns. Raises Failed."""
        body = msgspec.json.encode({"serial": f"{serial:x}", "reason": "superseded"})
        status, answer = self._ask("POST", f"/intake/v1/{ISSUER}/revocations", body)
        if status != http.HTTPStatus.OK:
            raise Failed(f"serial {serial:x} was not revoked: {answer!r}")

    def _ask(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        self._connection.request(method, path, body, self._headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()


def wait_until(condition: Callable[[], bool]) -> None:
    """Raises Failed."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"not after {PATIENCE:.0f} s")
        time.sleep(POLL)


def _runs(process: "subprocess.Popen[bytes]", log: str) -> bool:
    if process.poll() is not None:
        raise Failed(f"ocsp-signer run ended:\n{Path(log).read_text()[-2000:]}")
    return True


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _unpin(processes: Processes) -> None:
    """bench-serve keeps them on one core; here they are as an operator's are."""
    for pid in processes.pids:
        for task in (PROC / str(pid) / "task").iterdir():
            os.sched_setaffinity(int(task.name), range(os.cpu_count() or 1))
