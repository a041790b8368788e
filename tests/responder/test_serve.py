"""The commands as processes: start, health, metrics, reload, loss of the store, stop, and what a bad set-up says."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import redis

from _fastpath.ocsp import TRY_LATER
from store.embedded import EmbeddedStore
from store.schema import HEAD_FIELD, Head, issuer_key
from tests.ports import free_port
from tests.responder.ca import CA, Shelf, good
from tests.responder.conftest import GOOD, GOOD_TOO, wait_until, write_config

PROGRAM = (sys.executable, "-c", "from responder.cli import main; main()")
ROOT = Path(__file__).parents[2]


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    return subprocess.run(
        [*PROGRAM, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60
    )


@dataclass
class Service:
    process: subprocess.Popen[bytes]
    public: str
    admin: str
    config: Path
    log: Path

    def ask(self, request: bytes) -> bytes:
        return httpx.post(f"{self.public}/", content=request, timeout=10).content

    def metric(self, line_start: str) -> float:
        text = httpx.get(f"{self.admin}/metrics").text
        values = [float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(line_start)]
        assert values, text
        return sum(values)

    def workers(self) -> list[int]:
        """Every worker there ever was, the first ones first."""
        started = re.findall(r"Started server process \[(\d+)\]", self.log.read_text())
        return [int(pid) for pid in started if int(pid) != self.process.pid]  # which serves the admin port

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.public}/", timeout=10).status_code == 200
        except httpx.TransportError:
            return False


def start(directory: Path, ca: CA, store_url: str, extra: str = "") -> Service:
    public, admin = free_port(), free_port()
    section = f'listen = "127.0.0.1:{public}"\nadmin = "127.0.0.1:{admin}"\nlookup_timeout_ms = 2000\n{extra}'
    config = write_config(directory, ca, store_url, section)
    log = directory / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen([*PROGRAM, "serve", "--config", str(config)], cwd=ROOT, stderr=stderr)
    return Service(process, f"http://127.0.0.1:{public}", f"http://127.0.0.1:{admin}", config, log)


def stop(service: Service) -> int:
    service.process.send_signal(signal.SIGTERM)
    return service.process.wait(timeout=20)


@pytest.fixture
def service(short_path: Path, ca: CA, server: EmbeddedStore, shelf: Shelf) -> Iterator[Service]:
    service = start(short_path, ca, server.url, "workers = 2")
    try:
        wait_until(lambda: len(service.workers()) == 2 and service.answers(), 30)
        yield service
    finally:
        if service.process.poll() is None:
            stop(service)


def test_serve_reload_and_stop(service: Service, ca: CA) -> None:
    assert len(service.ask(ca.request(GOOD))) > 100
    assert httpx.get(f"{service.admin}/livez").text == "ok\n"
    ready = httpx.get(f"{service.admin}/readyz")
    assert (ready.status_code, ready.json()) == (
        200,
        {"ready": True, "causes": [], "issuers": {"demo": "ok"}},
    )
    wait_until(lambda: service.metric("ocsp_workers") == 2)
    assert service.metric("store_up") == 1
    assert service.metric('ocsp_responses_total{method="POST",status="good"}') == 1
    assert service.metric("ocsp_build_info") == 1
    assert httpx.get(f"{service.public}/metrics").content != httpx.get(f"{service.admin}/metrics").content

    service.process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(service.workers()) == 4, 20)
    assert len(service.ask(ca.request(GOOD))) > 100
    wait_until(lambda: service.metric("ocsp_workers") == 2)
    assert service.metric('ocsp_responses_total{method="POST",status="good"}') == 2

    assert stop(service) == 0
    assert "Traceback" not in service.log.read_text()
    assert not list(service.config.parent.glob(".ocspeed/*.counters"))


def test_a_dead_worker_is_replaced(service: Service, ca: CA) -> None:
    workers = service.workers()
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    wait_until(lambda: len(service.workers()) == 3, 20)
    assert workers[0] not in service.workers()[1:]
    assert len(service.ask(ca.request(GOOD))) > 100


def test_readiness_names_its_causes(service: Service, shelf: Shelf, ca: CA) -> None:
    shelf.client.flushall()
    ready = httpx.get(f"{service.admin}/readyz")
    assert ready.status_code == 503
    assert ready.json()["causes"] == ["issuer demo: nothing is signed for it; run `ocsp-signer sign`"]
    shelf.publish()
    assert httpx.get(f"{service.admin}/readyz").status_code == 200
    shelf.client.hset(issuer_key(ca.name), HEAD_FIELD, Head(1, b"5" * 40).encode())
    assert "no signer has reconciled it" in httpx.get(f"{service.admin}/readyz").json()["causes"][0]
    shelf.write_head()
    shelf.client.delete(shelf.key_of(GOOD), *(f"ocsp:page:demo:1:{page}" for page in range(4)))
    assert "page 0 has no header" in httpx.get(f"{service.admin}/readyz").json()["causes"][0]


def test_serve_alone_runs_the_embedded_store(short_path: Path, ca: CA) -> None:
    """After `ocsp-signer sign` has left its pages in the state directory; a killed store is started again."""
    state = short_path / ".ocspeed"
    with EmbeddedStore(state) as store, redis.Redis.from_url(store.url, protocol=3) as client:
        Shelf(ca, client).put(good(GOOD), good(GOOD_TOO))
    service = start(short_path, ca, "embedded:")
    try:
        wait_until(service.answers)
        wait_until(lambda: service.ask(ca.request(GOOD)) != TRY_LATER)
        with redis.Redis(unix_socket_path=str(state / "store" / "valkey.sock")) as client:
            pid = client.info("server")["process_id"]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: "store is not reconciled yet" in service.log.read_text(), 20)
        assert service.ask(ca.request(GOOD_TOO)) == TRY_LATER  # empty: a fault, not an absence (C4)
        assert service.ask(ca.request(GOOD)) != TRY_LATER  # cached, as if the store were away
    finally:
        assert stop(service) == 0
    assert "Traceback" not in service.log.read_text()


@pytest.mark.parametrize("field", ["listen", "admin"])
def test_a_busy_port_is_named(tmp_path: Path, ca: CA, field: str) -> None:
    other = {"listen": "admin", "admin": "listen"}[field]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        section = f'{field} = "127.0.0.1:{port}"\n{other} = "127.0.0.1:{free_port()}"'
        result = run("serve", "--config", str(write_config(tmp_path, ca, "unix:///nowhere", section)))
    assert result.returncode == 1
    assert f"responder.{field} = '127.0.0.1:{port}': Address already in use" in result.stderr
    assert "Traceback" not in result.stderr


def test_check_config(tmp_path: Path, ca: CA) -> None:
    path = write_config(tmp_path, ca, "rediss://user:secret@store.test:6380/0", 'prefix = "/ocsp"')
    text = run("check-config", "--config", str(path))
    assert text.returncode == 0 and "issuer demo: CN=Responder test CA" in text.stdout
    body = json.loads(run("check-config", "--config", str(path), "--json").stdout)
    assert body["store"] == "rediss://store.test:6380/0"
    assert [issuer["name"] for issuer in body["issuers"]] == ["demo"]
    assert "secret" not in text.stdout + json.dumps(body)


def test_check_config_tells_of_a_ca_certificate_that_has_ended(tmp_path: Path) -> None:
    """It is no reason not to serve: other issuers would suffer."""
    ended = CA("demo", days=0)
    path = write_config(tmp_path, ended, "unix:///nowhere", "")
    result = run("check-config", "--config", str(path), "--json")
    assert result.returncode == 0
    (warning,) = json.loads(result.stdout)["warnings"]
    assert warning.startswith("issuer demo: the CA certificate ended at 20")
    assert result.stderr == f"warning: {warning}\n"


@pytest.mark.parametrize("command", ["serve", "check-config"])
def test_a_bad_configuration_exits_2_and_says_what_to_do(tmp_path: Path, command: str) -> None:
    result = run(command, "--config", str(tmp_path / "none.toml"))
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {tmp_path}/none.toml: no such file\n  ")
    assert "Traceback" not in result.stderr


def test_a_reload_with_a_bad_file_keeps_the_workers(service: Service, ca: CA) -> None:
    service.config.write_text(service.config.read_text() + "[responder.nonsense]\n")
    service.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "worker cannot start" in service.log.read_text(), 20)
    assert len(service.ask(ca.request(GOOD))) > 100
    assert service.process.poll() is None


def test_help_is_quick() -> None:
    """Nothing but typer is imported for --help."""
    heavy = "('redis', 'uvicorn', 'cryptography', 'msgspec', 'prometheus_client', 'starlette', 'structlog', 'obstore')"
    code = (
        "import sys; from responder.cli import app\n"
        "try: app(['serve', '--help'])\n"
        "except SystemExit: pass\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert result.stdout.rstrip().endswith("[]"), result.stdout
    assert "SIGHUP" in result.stdout
