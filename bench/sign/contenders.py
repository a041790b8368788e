"""Those who sign: each run says what it took, of which processes."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import redis

from bench.serve.processes import Processes
from bench.sign.corpus import Corpus

__all__ = ["Bare", "Contender", "Ours", "Run", "WrongPass", "store_processes"]

ROOT = Path(__file__).parents[2]
MICROSECONDS = 1e6


class WrongPass(RuntimeError):
    """A pass did not sign everything once, or what it signed does not verify."""


@dataclass(frozen=True, slots=True)
class Run:
    """CPU time in seconds, user and system, of all processes that signed, and of the store."""

    responses: int
    cpu: float
    store_cpu: float
    seconds: float

    @property
    def us(self) -> float:
        """For each response, the store counted."""
        return (self.cpu + self.store_cpu) / self.responses * MICROSECONDS

    @property
    def rate(self) -> float:
        """Responses a second, by the clock."""
        return self.responses / self.seconds


class Contender(Protocol):
    """One way to sign everything once."""

    name: str

    def run(self) -> Run: ...


def store_processes(url: str) -> Processes:
    """Of the server that answers there."""
    with redis.Redis.from_url(url) as client:
        info: dict[str, Any] = client.info("server")
    return Processes(int(info["process_id"]))


class _Worker:
    """A process that does what a line says and answers with an object."""

    def __init__(self, process: "subprocess.Popen[str]", module: str) -> None:
        self._process = process
        self._module = module

    @classmethod
    @contextmanager
    def started(cls, module: str, *arguments: str) -> Iterator["_Worker"]:
        command = [sys.executable, "-m", module, *arguments]
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            yield cls(process, module)
        finally:
            process.communicate()  # its input ends, and so does it

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._module} ended; what it said is above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def cpu(self) -> float:
        """With the processes that it has started."""
        return Processes(self._process.pid).cpu()


class Ours:
    """A pass over all pages of an issuer."""

    def __init__(self, worker: _Worker, name: str, issuer: str, store: Processes, responses: int) -> None:
        self.name = name
        self._worker = worker
        self._issuer = issuer
        self._store = store
        self._responses = responses

    @classmethod
    @contextmanager
    def started(cls, corpus: Corpus, issuer: str, workers: int, store: Processes) -> Iterator["Ours"]:
        name = f"signer, {workers} process{'es' if workers > 1 else ''}"
        with _Worker.started("bench.sign.passes", str(corpus.config), str(workers)) as worker:
            yield cls(worker, name, issuer, store, corpus.responses(issuer))

    def run(self) -> Run:
        _next_second()
        cpu, store_cpu, begin = self._worker.cpu(), self._store.cpu(), time.monotonic()
        self._worker.tell(self._issuer)
        answer = self._worker.hear()
        seconds = time.monotonic() - begin
        run = Run(self._responses, self._worker.cpu() - cpu, self._store.cpu() - store_cpu, seconds)
        if answer["responses"] != self._responses or answer["current"] or answer["messages"]:
            raise WrongPass(f"{self._responses} responses were to be signed: {answer}")
        return run


def _next_second() -> None:
    """The store refuses a page that is not newer than the one it has."""
    second = int(time.time())
    while int(time.time()) == second:
        time.sleep(0.01)


class Bare:
    """The same octets signed, each of the processes its part, and nothing else."""

    def __init__(self, workers: list[_Worker], responses: int) -> None:
        self.name = f"bare loop, {len(workers)} process{'es' if len(workers) > 1 else ''}"
        self._workers = workers
        self._responses = responses

    @classmethod
    @contextmanager
    def started(cls, corpus: Corpus, issuer: str, parts: int) -> Iterator["Bare"]:
        arguments = [str(corpus.config), issuer, str(corpus.key(issuer))]
        with ExitStack() as stack:
            workers = [
                stack.enter_context(_Worker.started("bench.sign.bare", *arguments, str(part), str(parts)))
                for part in range(parts)
            ]
            yield cls(workers, corpus.responses(issuer))

    def run(self) -> Run:
        """The octets of the last pass are looked up before."""
        self._all("load")
        cpu, begin = self._cpu(), time.monotonic()
        signed = self._all("sign")
        run = Run(signed, self._cpu() - cpu, 0.0, time.monotonic() - begin)
        if signed != self._responses:
            raise WrongPass(f"{self._responses} responses were to be signed, the store has {signed}")
        return run

    def _all(self, line: str) -> int:
        for worker in self._workers:
            worker.tell(line)
        answers: list[int] = [worker.hear()["responses"] for worker in self._workers]
        return sum(answers)

    def _cpu(self) -> float:
        return sum(worker.cpu() for worker in self._workers)
