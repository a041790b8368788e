"""The three proxies with the configurations of deploy/, other ports and paths put in."""

import contextlib
import getpass
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.clients.commands import background, listens, wait_until
from tests.conformance.http import Client
from tests.ports import free_port
from tests.proxies.origin import Origin

__all__ = ["DEPLOY", "FRONTS", "Front", "Kind"]

DEPLOY = Path(__file__).parents[2] / "deploy"
# Packages bring what is around it.
NGINX_MAIN = """
user {user};
daemon off;
pid {directory}/pid;
error_log {directory}/error.log;
worker_processes 2;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/ocsp.conf;
}}
"""
Edits = dict[str, str]


@dataclass(frozen=True, slots=True)
class Front:
    """A running proxy."""

    kind: "Kind"
    port: int
    text: str  # its configuration

    @property
    def web(self) -> Client:
        return Client(self.port)


@dataclass(frozen=True, slots=True)
class Kind:
    """A proxy program: how its configuration becomes a running one, and what it can do."""

    name: str
    file: str  # below deploy/
    start: Callable[[Path, str, int], AbstractContextManager[object]]
    edits: Callable[[Origin, int, int, Path], Edits]
    says_age: bool  # or passes on the Date of the responder
    refreshes: bool  # has a way to take an entry out of turn

    @contextlib.contextmanager
    def before(
        self,
        origin: Origin,
        directory: Path,
        *,
        by: int | None = None,
        more: Edits | None = None,
        started: bool = True,
    ) -> Iterator[Front]:
        """Run it before a responder, which it reaches at port `by` if that is another one than the responder's.

        `started` says whether the responder runs already: then it is waited for.
        """
        port = free_port()
        text = (DEPLOY / self.file).read_text()
        edits = self.edits(origin, by or origin.port, port, directory) | (more or {})
        for old, new in edits.items():
            assert old in text, f"{self.file} has no {old!r}"
            text = text.replace(old, new)
        directory.mkdir(exist_ok=True)
        with self.start(directory, text, port):
            wait_until(lambda: listens(port), self.name)
            front = Front(self, port, text)
            if started:
                wait_until(lambda: front.web.request("GET", "/").code == 200, f"the way through {self.name}")
            yield front


@contextlib.contextmanager
def _nginx(directory: Path, text: str, port: int) -> Iterator[None]:
    (directory / "ocsp.conf").write_text(text)
    main = directory / "nginx.conf"
    main.write_text(NGINX_MAIN.format(directory=directory, user=getpass.getuser()))
    with background(directory / "output", "nginx", "-e", directory / "error.log", "-c", main):
        yield


def _nginx_edits(origin: Origin, by: int, port: int, directory: Path) -> Edits:
    return {
        "127.0.0.1:2560": f"127.0.0.1:{by}",
        "listen 80;": f"listen 127.0.0.1:{port};",
        "listen [::]:80;": "",
        "/var/cache/nginx/ocsp": f"{directory}/cache",
    }


@contextlib.contextmanager
def _haproxy(directory: Path, text: str, port: int) -> Iterator[None]:
    config = directory / "haproxy.cfg"
    config.write_text(text)
    with background(directory / "output", "haproxy", "-db", "-f", config):
        yield


def _haproxy_edits(origin: Origin, by: int, port: int, directory: Path) -> Edits:
    return {
        "127.0.0.1:2560": f"127.0.0.1:{by}",
        "port 9560": f"port {origin.service.admin_port}",
        "bind :80\n": f"bind 127.0.0.1:{port}\n",
        "    bind :::80 v6only\n": "",
    }


@contextlib.contextmanager
def _varnish(directory: Path, text: str, port: int) -> Iterator[None]:
    (directory / "ocsp.vcl").write_text(text)
    command = (
        *("varnishd", "-F", "-n", directory / "n", "-f", directory / "ocsp.vcl"),
        *("-a", f"127.0.0.1:{port}", "-s", "malloc,64m", "-T", "none", "-j", "none"),
        *("-p", "thread_pools=1", "-p", "thread_pool_min=20"),
    )
    with background(directory / "output", *command):
        yield


def _varnish_edits(origin: Origin, by: int, port: int, directory: Path) -> Edits:
    return {'"2560"': f'"{by}"'}


FRONTS = (
    Kind("nginx", "nginx/ocsp.conf", _nginx, _nginx_edits, says_age=False, refreshes=True),
    Kind("haproxy", "haproxy/haproxy.cfg", _haproxy, _haproxy_edits, says_age=True, refreshes=False),
    Kind("varnish", "varnish/ocsp.vcl", _varnish, _varnish_edits, says_age=True, refreshes=True),
)
