"""TLS servers that staple our answers: their configuration, and a running one with a port for each certificate."""

import base64
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.clients.commands import background, listens, run, wait_until
from tests.clients.world import STATUSES, Subject, World
from tests.ports import free_port

__all__ = ["STAPLERS", "Stapler", "haproxy_says", "stored_answer"]

APACHE_MODULES = Path("/usr/lib/apache2/modules")
NGINX = """
daemon off;
master_process off;
pid {directory}/nginx.pid;
error_log {log} info;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    ssl_stapling on;
    ssl_stapling_verify on;
    ssl_trusted_certificate {issuer};
    ssl_certificate_key {key};
{servers}
}}
"""
NGINX_SERVER = """    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {chain};
        return 200 ok;
    }}
"""
APACHE = """
ServerRoot {directory}
ServerName localhost
DocumentRoot {directory}
PidFile {directory}/pid
ErrorLog {log}
LogLevel info
Mutex file:{directory} default
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule socache_shmcb_module {modules}/mod_socache_shmcb.so
LoadModule ssl_module {modules}/mod_ssl.so
SSLStaplingCache shmcb:{directory}/stapling(65536)
SSLUseStapling on
SSLStaplingReturnResponderErrors off
{servers}
"""
APACHE_SERVER = """
Listen 127.0.0.1:{port}
<VirtualHost 127.0.0.1:{port}>
SSLEngine on
SSLCertificateFile {chain}
SSLCertificateKeyFile {key}
SSLUseStapling on
SSLStaplingReturnResponderErrors off
</VirtualHost>
"""
HAPROXY = """
global
    stats socket {directory}/s level admin
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 5s
{servers}
"""
HAPROXY_SERVER = """
frontend on-{port}
    bind 127.0.0.1:{port} ssl crt {chain}
    http-request return status 200 content-type text/plain string ok
"""

Ports = dict[str, int]  # by status
Subjects = dict[str, Subject]


@dataclass(frozen=True)
class Stapler:
    """One server program, and which of `wire.CAPTURED` it sends, if it asks at all."""

    name: str
    tool: str
    serving: Callable[[World, Subjects, Path], AbstractContextManager[Ports]]
    shape: str | None
    note: str


def _chains(directory: Path, subjects: Subjects, *, with_key: bool = False) -> dict[str, Path]:
    """Certificate, issuer and perhaps key of each subject in a file."""
    chains = {}
    for status, subject in subjects.items():
        parts = [subject.path, subject.issuer, *([subject.key] if with_key else [])]
        chains[status] = directory / f"{status}.pem"
        chains[status].write_bytes(b"".join(part.read_bytes() for part in parts))
    return chains


def _sections(template: str, chains: dict[str, Path], ports: Ports, key: Path) -> str:
    return "".join(template.format(port=ports[it], chain=chains[it], key=key) for it in STATUSES)


def _ports() -> Ports:
    return {status: free_port() for status in STATUSES}


def _started(ports: Ports) -> None:
    wait_until(lambda: all(listens(port) for port in ports.values()), "a TLS server")


def _said(log: Path, words: str) -> Callable[[], bool]:
    return lambda: words in log.read_text()


def staples(port: int, issuer: Path) -> bool:
    """Whether there is a staple in the handshake."""
    _, output = run("openssl", "s_client", "-status", "-connect", f"127.0.0.1:{port}", "-CAfile", issuer)
    return "OCSP Response Status" in output


@contextmanager
def nginx(world: World, subjects: Subjects, directory: Path) -> Iterator[Ports]:
    """It asks when somebody has connected, and answers that one without a staple."""
    ports, log, config = _ports(), directory / "error.log", directory / "nginx.conf"
    subject = subjects["good"]
    servers = _sections(NGINX_SERVER, _chains(directory, subjects), ports, subject.key)
    config.write_text(
        NGINX.format(directory=directory, log=log, issuer=subject.issuer, key=subject.key, servers=servers)
    )
    with background(directory / "output", "nginx", "-e", log, "-c", config):
        _started(ports)
        for status in STATUSES:
            staples(ports[status], subject.issuer)
        wait_until(lambda: staples(ports["good"], subject.issuer), "nginx's staple")
        wait_until(
            _said(log, 'certificate status "revoked" in the OCSP response'), "nginx on the revoked one"
        )
        wait_until(_said(log, "OCSP response not successful (6: unauthorized)"), "nginx on the unknown one")
        yield ports


@contextmanager
def apache(world: World, subjects: Subjects, directory: Path) -> Iterator[Ports]:
    """It asks within the handshake."""
    ports, log, config = _ports(), directory / "error.log", directory / "httpd.conf"
    servers = _sections(APACHE_SERVER, _chains(directory, subjects), ports, subjects["good"].key)
    config.write_text(APACHE.format(directory=directory, log=log, modules=APACHE_MODULES, servers=servers))
    with background(directory / "output", "apache2", "-X", "-f", config):
        _started(ports)
        yield ports


def stored_answer(world: World, subject: Subject, path: Path, digest: str = "sha1") -> bytes:
    """What the responder says, in a file, as an operator's script would fetch it."""
    run(
        *("openssl", "ocsp", "-no_nonce", f"-{digest}", "-issuer", subject.issuer, "-cert", subject.path),
        *("-url", world.service.url, "-respout", path, "-noverify"),
    )
    return path.read_bytes()


def haproxy_says(directory: Path, response: bytes) -> str:
    """Give a running HAProxy a response over its stats socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(directory / "s"))
        connection.sendall(b"set ssl ocsp-response " + base64.b64encode(response) + b"\n")
        reply = b""
        while chunk := connection.recv(1 << 16):
            reply += chunk
    return reply.decode().strip()


@contextmanager
def haproxy(world: World, subjects: Subjects, directory: Path) -> Iterator[Ports]:
    """It reads what lies beside its certificates; 2.6 does not ask."""
    ports, config = _ports(), directory / "haproxy.cfg"
    chains = _chains(directory, subjects, with_key=True)
    for status, chain in chains.items():
        stored_answer(world, subjects[status], chain.with_suffix(".pem.ocsp"))
    servers = _sections(HAPROXY_SERVER, chains, ports, subjects["good"].key)
    config.write_text(HAPROXY.format(directory=directory, servers=servers))
    with background(directory / "output", "haproxy", "-db", "-f", config):
        _started(ports)
        yield ports


@contextmanager
def s_server(world: World, subjects: Subjects, directory: Path) -> Iterator[Ports]:
    """It asks within the handshake and passes on whatever it gets."""
    ports = _ports()
    with ExitStack() as stack:
        for status, subject in subjects.items():
            command = (
                *("openssl", "s_server", "-accept", f"127.0.0.1:{ports[status]}", "-status", "-www"),
                *("-cert", subject.path, "-key", subject.key),
                *("-CAfile", subject.issuer, "-cert_chain", subject.issuer),
            )
            stack.enter_context(background(directory / f"{status}.log", *command))
        _started(ports)
        yield ports


STAPLERS = (
    Stapler("nginx", "nginx", nginx, "nginx", "`ssl_stapling_verify on`; staples good alone, from the second handshake on"),
    Stapler("Apache mod_ssl", "Apache", apache, "apache", "staples revoked too; `SSLStaplingReturnResponderErrors off`"),
    Stapler("HAProxy", "HAProxy", haproxy, None, "from `.ocsp` files; staples revoked too, ignores unauthorized"),
    Stapler("`openssl s_server -status`", "openssl", s_server, "openssl bare", "staples whatever it was answered"),
)  # fmt: skip
