"""Connections to a server of one's own: by unix socket, TCP and TLS, as the user of deploy/acl, or not at all."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from _fastpath.ocsp import TRY_LATER
from responder.config import load_settings
from responder.counters import Counters
from store.connection import Endpoint, check_server
from store.embedded import find_program
from store.errors import StoreUnavailable
from store.writer import install_functions
from tests.conformance.http import Client
from tests.ports import free_port
from tests.responder.ca import CA, Shelf, good, revoked
from tests.responder.conftest import GOOD, FakeClock, serving, wait_until, write_config
from tests.store.test_acl import ADMIN, PASSWORD, RESPONDER, SIGNER, write_users

pytestmark = pytest.mark.slow  # the embedded server has no TLS: this takes redis-server

LONG_ENOUGH = 1.5  # seconds: a store that is believed has been read by then


@dataclass(frozen=True, slots=True)
class Server:
    """A Redis that asks for a login everywhere, and for a client certificate by TLS."""

    directory: Path
    port: int
    tls_port: int

    def url(self, way: str) -> str:
        files = f"ssl_certfile={self.directory}/client.pem&ssl_keyfile={self.directory}/client.key"
        tls = f"rediss://127.0.0.1:{self.tls_port}"
        return {
            "unix": f"unix://{self.directory}/s",
            "tcp": f"redis://127.0.0.1:{self.port}",
            "tls": f"{tls}?ssl_ca_certs={self.directory}/store.pem&{files}",
            "tls, another CA": f"{tls}?ssl_ca_certs={self.directory}/client.pem&{files}",
            "tls, no CA": f"{tls}?{files}",
            "tls, another name": f"rediss://localhost:{self.tls_port}?ssl_ca_certs={self.directory}/store.pem&{files}",
            "tls, no client certificate": f"{tls}?ssl_ca_certs={self.directory}/store.pem",
            "tls where there is none": f"rediss://127.0.0.1:{self.port}?ssl_ca_certs={self.directory}/store.pem",
            "no tls where there is": f"redis://127.0.0.1:{self.tls_port}",
        }[way]


def make_certificate(directory: Path, name: str) -> None:
    """One that vouches for itself, for 127.0.0.1 and no name."""
    made = ("-keyout", directory / f"{name}.key", "-out", directory / f"{name}.pem")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    subject = ("-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1")
    command = [*map(str, ("openssl", "req", "-x509", *key, *subject, *made))]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("s"), free_port(), free_port())
    write_users(made.directory / "users.acl")
    for name in ("store", "client"):
        make_certificate(made.directory, name)
    options = {
        "port": made.port,
        "tls-port": made.tls_port,
        "tls-cert-file": made.directory / "store.pem",
        "tls-key-file": made.directory / "store.key",
        "tls-ca-cert-file": made.directory / "client.pem",
        "unixsocket": made.directory / "s",
        "dir": made.directory,
        "aclfile": made.directory / "users.acl",
        "save": "",
    }
    command = [find_program("redis-server")]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    with (made.directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until(lambda: (made.directory / "s").exists())
        yield made
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def shelf(store: Server, ca: CA) -> Iterator[Shelf]:
    """What the administrator has put there."""
    with redis.Redis.from_url(store.url("unix"), username=ADMIN, password=PASSWORD, protocol=3) as client:
        client.flushall()
        install_functions(client, store.url("unix"))
        shelf = Shelf(ca, client)
        shelf.put(good(GOOD))
        yield shelf


@contextlib.contextmanager
def asked(directory: Path, ca: CA, url: str, user: str, password: str) -> Iterator[Client]:
    """The responder over this store."""
    path = write_config(directory, ca, url, "lookup_timeout_ms = 2000")
    (directory / "password").write_text(password)
    login = f'url = "{url}"\nusername = "{user}"\npassword_file = "password"\n'
    path.write_text(path.read_text().replace(f'url = "{url}"\n', login))
    with serving(load_settings(path), Counters.private(), FakeClock()) as port:
        yield Client(port)


REFUSED = [
    ("tls, another CA", RESPONDER, PASSWORD),
    ("tls, no CA", RESPONDER, PASSWORD),
    ("tls, another name", RESPONDER, PASSWORD),
    ("tls, no client certificate", RESPONDER, PASSWORD),
    ("tls where there is none", RESPONDER, PASSWORD),
    ("no tls where there is", RESPONDER, PASSWORD),
    ("tls", RESPONDER, "guess"),
    ("unix", RESPONDER, "guess"),
    ("tcp", "default", PASSWORD),
    ("tcp", "nobody", PASSWORD),
]


@pytest.mark.parametrize("way", ["unix", "tcp", "tls"])
def test_answers_and_changes_come_by_every_way(
    store: Server, shelf: Shelf, ca: CA, tmp_path: Path, way: str
) -> None:
    """With the rights of deploy/acl alone; a change is pushed, since nothing else would end a cached answer."""
    request = ca.request(GOOD)
    with asked(tmp_path, ca, store.url(way), RESPONDER, PASSWORD) as web:
        wait_until(lambda: len(web.get(request).body) > 100)
        before = web.get(request).body
        assert web.get(request).body == before
        shelf.put(revoked(GOOD))
        wait_until(lambda: web.get(request).body not in (before, TRY_LATER))


@pytest.mark.parametrize(("way", "user", "password"), REFUSED)
def test_no_other_store_is_believed_and_nobody_else_let_in(
    store: Server, shelf: Shelf, ca: CA, tmp_path: Path, way: str, user: str, password: str
) -> None:
    with asked(tmp_path, ca, store.url(way), user, password) as web:
        until = time.monotonic() + LONG_ENOUGH
        while time.monotonic() < until:
            assert web.post(ca.request(GOOD)).body == TRY_LATER


@pytest.mark.parametrize("way", ["unix", "tcp", "tls"])
def test_redis_py_goes_by_every_way(store: Server, shelf: Shelf, way: str) -> None:
    """Which is what the signer does, by TLS with the certificate that its URL names."""
    endpoint = Endpoint(store.url(way), SIGNER, PASSWORD)
    with endpoint.client() as client:
        check_server(client, endpoint.url)
        assert client.hlen(shelf.key_of(GOOD)) == 2


@pytest.mark.parametrize(("way", "user", "password"), REFUSED)
def test_redis_py_refuses_the_same(store: Server, way: str, user: str, password: str) -> None:
    endpoint = Endpoint(store.url(way), user, password)
    with endpoint.client() as client, pytest.raises(StoreUnavailable) as caught:
        check_server(client, endpoint.url)
    assert password not in str(caught.value)
