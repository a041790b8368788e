"""TLS servers that ask about the certificates of their clients."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.commands import background, listens, run, version, wait_until
from tests.clients.report import Report
from tests.clients.staplers import APACHE_MODULES
from tests.clients.wire import CAPTURED, sent
from tests.clients.world import STATUSES, Subject, World
from tests.ports import free_port

pytestmark = pytest.mark.slow

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
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {subject};
        ssl_certificate_key {key};
        ssl_client_certificate {issuer};
        ssl_verify_client on;
        ssl_ocsp leaf;
        return 200 ok;
    }}
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
LoadModule ssl_module {modules}/mod_ssl.so
Listen 127.0.0.1:{port}
SSLEngine on
SSLCertificateFile {subject}
SSLCertificateKeyFile {key}
SSLCACertificateFile {issuer}
SSLVerifyClient require
SSLOCSPEnable leaf
{more}
"""
Refusal = tuple[str, str]  # what the client gets, and what the log says


@dataclass(frozen=True)
class Server:
    """A server program that checks its clients, and what it does with good, revoked and never issued."""

    name: str
    tool: str
    config: str
    command: tuple[str, ...]
    more: str
    shape: str
    outcomes: tuple[tuple[str, str], ...]  # HTTP status that the client gets, and words in the server's log
    note: str


NGINX_COMMAND = ("nginx", "-e", "{log}", "-c", "{config}")
APACHE_COMMAND = ("apache2", "-X", "-f", "{config}")
SERVERS = (
    Server("nginx `ssl_ocsp leaf`", "nginx", NGINX, NGINX_COMMAND, "", "nginx",
           (("200", ""), ("400", "certificate revoked"), ("400", "OCSP response not successful (6: unauthorized)")),
           "certificates of clients"),
    Server("Apache `SSLOCSPEnable leaf`, `SSLOCSPUseRequestNonce off`", "Apache", APACHE, APACHE_COMMAND,
           "SSLOCSPUseRequestNonce off", "apache",
           (("200", ""), ("000", "certificate status: revoked"), ("000", "OCSP response not successful: 6")),
           "certificates of clients"),
    Server("Apache `SSLOCSPEnable leaf`", "Apache", APACHE, APACHE_COMMAND, "", "apache nonce",
           (("000", "Bad OCSP responder answer (bad nonce)"),) * 2 + (("000", "OCSP response not successful: 6"),),
           "insists on its nonce by default, which answers signed ahead of time cannot have"),
)  # fmt: skip


@contextmanager
def checking(server: Server, subject: Subject, directory: Path) -> Iterator[int]:
    """The server with a certificate of its own; gives its port."""
    port, log, config = free_port(), directory / "error.log", directory / "server.conf"
    config.write_text(
        server.config.format(
            directory=directory,
            log=log,
            port=port,
            subject=subject.path,
            key=subject.key,
            issuer=subject.issuer,
            modules=APACHE_MODULES,
            more=server.more,
        )
    )
    (directory / "index.html").write_text("ok")
    command = (word.format(log=log, config=config) for word in server.command)
    with background(directory / "output", *command):
        wait_until(lambda: listens(port), server.name)
        yield port


def http_status(subject: Subject, port: int, directory: Path) -> str:
    """What curl gets with this certificate for its own; 000 where the handshake ends it."""
    _, output = run(
        *("curl", "--silent", "--output", directory / "body", "--write-out", "%{http_code}"),
        *("--cacert", subject.issuer, "--cert", subject.path, "--key", subject.key),
        f"https://127.0.0.1:{port}/index.html",
    )
    return output


@pytest.mark.conformance("K-05", "K-06", "Q-08")
@pytest.mark.parametrize("authority", ["ec", "rsa"])
@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name.replace("`", ""))
def test_client_certificates(
    served: World, server: Server, authority: str, tmp_path_factory: pytest.TempPathFactory, report: Report
) -> None:
    directory = tmp_path_factory.mktemp("t")
    served.hop.take()
    with checking(server, served.subjects[authority, "good"], directory) as port:
        for status, (code, words) in zip(STATUSES, server.outcomes, strict=True):
            (directory / "error.log").write_text("")
            assert http_status(served.subjects[authority, status], port, directory) == code, status
            assert words in (log := (directory / "error.log").read_text()), log
    requests = [request for connection in served.hop.take() for request in sent(connection)]
    assert len(requests) == len(STATUSES)
    for request in requests:
        assert CAPTURED[server.shape].sends(request, served.hop.port), request.raw
    said = ["served" if code == "200" else f"refused: `{words}`" for code, words in server.outcomes]
    asks = CAPTURED[server.shape].summary
    report.add("asking", server.name, version(server.tool), asks, *said, server.note)
