"""The servers that are measured: ours, and the peers that this machine has."""

import contextlib
import http.client
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import unquote_to_bytes

import redis
from prometheus_client.parser import text_string_to_metric_families

from bench.serve.corpus import Corpus, write_config
from bench.serve.generator import Schedule, run
from bench.serve.processes import (
    GENERATOR_CORE,
    Processes,
    free_port,
    started,
    wait_for_child,
    wait_for_port,
)
from bench.serve.starlette_peer import PREFIX

__all__ = [
    "MissingPeer", "Responder", "Server", "StoreServer",
    "answers_of", "nginx", "openssl", "responder", "starlette",
]  # fmt: skip

READY_TIMEOUT = 20.0
POLL = 0.005  # seconds
GAUGE_INTERVAL = 1.3
ATTEMPTS = 5  # at filling the caches: on a busy machine a lookup may come too late
ERROR_SIZE = 5  # octets of an OCSPResponse that is an error
HERE = Path(__file__).parent


class MissingPeer(Exception):
    """This machine has not what a peer needs."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where it listens and what it runs in."""

    port: int
    processes: Processes


@dataclass(frozen=True, slots=True)
class Responder(Server):
    """Ours, with its admin port."""

    admin: int

    def settled_metrics(self) -> dict[str, float]:
        """After gauges were written again: workers do that once a second."""
        time.sleep(GAUGE_INTERVAL)
        return self.metrics()

    def metrics(self) -> dict[str, float]:
        """Samples as `name,label values` (labels sorted by their names) of /metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return {
            ",".join((sample.name, *sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


class StoreServer:
    """The store's server process: on the core of the generator, its commands counted."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = redis.Redis.from_url(url, decode_responses=True)
        info = self.client.info("server")
        self.version = (
            f"{info.get('server_name', 'redis')} {info.get('valkey_version', info['redis_version'])}"
        )
        self.processes = Processes(int(info["process_id"]))
        self.processes.pin(GENERATOR_CORE)

    def hgets(self) -> int:
        """HGET commands so far."""
        stats = self.client.info("commandstats")
        return int(stats.get("cmdstat_hget", {}).get("calls", 0))


@contextlib.contextmanager
def responder(corpus: Corpus, name: str, cache: str, more: str = "") -> Iterator[Responder]:
    """`ocsp-responder serve` with one worker, so large a cache and `more` settings; it has answered once."""
    port, admin = free_port(), free_port()
    config = write_config(corpus.directory, name, port, admin, cache, more)
    program = Path(sys.executable).with_name("ocsp-responder")
    with started([program, "serve", "--config", config], corpus.directory) as (process, log):
        _wait_for_answer(port, corpus.questions.path(corpus.serials[0], escaped=True).decode(), process, log)
        yield Responder(port, Processes(process.pid), admin)


def _wait_for_answer(port: int, path: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + READY_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        if _answers(port, path):
            return
        time.sleep(POLL)
    raise RuntimeError(f"the responder has no answer:\n{log.read_text()[-2000:]}")


def _answers(port: int, path: str) -> bool:
    """Whether a certificate's answer can be had."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return len(connection.getresponse().read()) > ERROR_SIZE
    return False


def answers_of(server: Server, corpus: Corpus, serials: Sequence[int]) -> dict[int, bytes]:
    """The OCSPResponse to each serial, as we serve them now. Raises RuntimeError."""
    bodies: dict[int, bytes] = {}
    for _ in range(ATTEMPTS):
        left = [serial for serial in serials if serial not in bodies]
        if not left:
            return bodies
        outcome = run(corpus.questions.gets(left, 8), server.port, Schedule(keep_every=1))
        for request, answer in outcome.kept:
            body = answer.partition(b"\r\n\r\n")[2]
            if request.serial is not None and len(body) > ERROR_SIZE:
                bodies[request.serial] = body
    raise RuntimeError(f"{len(serials) - len(bodies)} certificates have no answer: {outcome.statuses}")


def _expires_line(server: Server, corpus: Corpus) -> str:
    path = corpus.questions.path(corpus.serials[0], escaped=False).decode()
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=10) as answer:
        return f'add_header Expires "{parsedate_to_datetime(answer.headers["expires"]):%a, %d %b %Y %H:%M:%S GMT}";'


def _write_answers(root: Path, corpus: Corpus, answers: dict[int, bytes]) -> None:
    """Each answer under the path of its GET; a slash of base64 begins a directory."""
    for serial, body in answers.items():
        file = root / unquote_to_bytes(corpus.questions.path(serial, escaped=False)[1:]).decode()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)


@contextlib.contextmanager
def nginx(corpus: Corpus, ours: Server, answers: dict[int, bytes]) -> Iterator[Server]:
    """nginx over our own answers as files."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if program is None:
        raise MissingPeer("nginx is not installed (apt-get install nginx-light, or make tools)")
    directory = corpus.directory / "nginx"
    _write_answers(directory / "answers", corpus, answers)
    shutil.copy(HERE / "nginx.conf", directory)
    port = free_port()
    (directory / "listen.conf").write_text(f"listen 127.0.0.1:{port};\n{_expires_line(ours, corpus)}\n")
    command: list[str | Path] = [program, "-p", directory, "-c", directory / "nginx.conf"]
    if os.geteuid() == 0:
        command += ["-g", "user root;"]  # the files are in a directory of ours alone
    with started(command, directory) as (process, log):
        wait_for_port(port, process, log)
        wait_for_child(process, log)  # whose time is the cost of an answer
        yield Server(port, Processes(process.pid))


@contextlib.contextmanager
def starlette(corpus: Corpus, store: StoreServer, answers: dict[int, bytes]) -> Iterator[Server]:
    """The Starlette responder over the same store, with a key for each answer."""
    with redis.Redis.from_url(store.url) as client:
        client.mset({f"{PREFIX}{serial:x}": body for serial, body in answers.items()})
    port = free_port()
    command = [
        sys.executable, "-m", "uvicorn", "bench.serve.starlette_peer:app", "--port", str(port), "--loop", "uvloop",
        "--http", "httptools", "--no-access-log", "--no-server-header", "--app-dir", str(HERE.parents[1]),
    ]  # fmt: skip
    with _environment("PEER_STORE", store.url), started(command, corpus.directory) as (process, log):
        wait_for_port(port, process, log)
        yield Server(port, Processes(process.pid))


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


@contextlib.contextmanager
def openssl(corpus: Corpus) -> Iterator[Server]:
    """`openssl ocsp -index`, which signs each answer as it is asked, and listens on every address.

    It is not asked whether it listens: it would wait for a request from a connection that ended, for ever.
    """
    program = shutil.which("openssl")
    if program is None:
        raise MissingPeer("openssl is not installed")
    port = free_port()
    command = [
        program, "ocsp", "-index", "index.txt", "-port", str(port), "-CA", "ca.pem", "-rsigner", "responder.pem",
        "-rkey", "responder.key", "-nmin", "60", "-ignore_err",
    ]  # fmt: skip
    with started(command, corpus.directory) as (process, log):
        _wait_for_line("waiting for OCSP client connections", process, log)
        yield Server(port, Processes(process.pid))


def _wait_for_line(text: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + READY_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        if text in log.read_text():
            return
        time.sleep(POLL)
    raise RuntimeError(f"{process.args!r} did not start:\n{log.read_text()[-2000:]}")
