"""Clients that ask the responder themselves: what they send, and what they make of good, revoked and never issued."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path

import pytest

from tests.clients.commands import background, listens, run, version, wait_until
from tests.clients.report import Report
from tests.clients.wire import CAPTURED, LONG_PATH, sent
from tests.clients.world import STATUSES, Subject, World
from tests.ports import free_port

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
AUTHORITIES = ("ec", "rsa")


@dataclass(frozen=True)
class Client:
    """One way to ask: a command, the requests it makes, and what it says of the three certificates."""

    name: str
    tool: str
    command: str  # words, with the places of `Bench` left open
    shapes: tuple[str, ...]
    pattern: str  # finds the verdict in what it prints
    verdicts: tuple[tuple[int, str], ...]  # exit status and words, in the order of STATUSES
    also: tuple[str, ...] = ()  # said of good and revoked
    note: str = ""
    connects: bool = False  # to a TLS server, whose certificate it asks about


OPENSSL = "openssl ocsp -issuer {issuer} -cert {subject} -CAfile {issuer} -url {url}"
OPENSSL_PATTERN = r"(?<=: )(good|revoked)$|Responder Error: .*"
OPENSSL_VERDICTS = ((0, "good"), (0, "revoked"), (1, "Responder Error: unauthorized (6)"))
VERIFIED, NO_NONCE = "Response verify OK", "WARNING: no nonce in response"
OPENSSL_CLIENTS = (
    Client("`openssl ocsp`", "openssl", OPENSSL, ("openssl",), OPENSSL_PATTERN, OPENSSL_VERDICTS,
           (VERIFIED, NO_NONCE), "warns that its nonce did not come back"),
    Client("`openssl ocsp -no_nonce`", "openssl", f"{OPENSSL} -no_nonce", ("openssl bare",), OPENSSL_PATTERN,
           OPENSSL_VERDICTS, (VERIFIED,)),
    Client("`openssl ocsp -sha256`", "openssl", OPENSSL.replace("-cert", "-sha256 -cert"), ("openssl sha256",),
           OPENSSL_PATTERN, OPENSSL_VERDICTS, (VERIFIED, NO_NONCE), "the answer's CertID is SHA-256 too"),
)  # fmt: skip

# It unlinks the output file when it fails: never a device.
OCSPTOOL = "ocsptool --ask={url} --load-issuer={issuer} --load-cert={subject} --load-trust={issuer} --outfile={scratch}"
OCSPTOOL_PATTERN = r"Certificate Status: \w+|Response Status: unauthorized"
OCSPTOOL_SAYS = ("Certificate Status: good", "Certificate Status: revoked", "Response Status: unauthorized")
GNUTLS_CLIENTS = (
    Client("`ocsptool --ask`", "GnuTLS", OCSPTOOL, ("gnutls",), OCSPTOOL_PATTERN,
           tuple(zip((0, 0, 1), OCSPTOOL_SAYS, strict=True)), ("Verifying OCSP Response: Success.",)),
    Client("`ocsptool --ask --nonce`", "GnuTLS", f"{OCSPTOOL} --nonce", ("gnutls nonce",), OCSPTOOL_PATTERN,
           tuple(zip((1, 1, 1), OCSPTOOL_SAYS, strict=True)), ("could not read response's nonce",),
           "exits with 1: it insists on its nonce, which answers signed ahead of time cannot have"),
    Client("`gnutls-cli --ocsp`", "GnuTLS", "gnutls-cli --ocsp --x509cafile={issuer} --port={port} 127.0.0.1",
           ("gnutls nonce",), r"OCSP server flags certificate not revoked|Certificate was revoked|Got OCSP response with no data",
           ((0, "OCSP server flags certificate not revoked"), (1, "Certificate was revoked"),
            (1, "Got OCSP response with no data")),
           note="asks about the certificate of a TLS server; sends a nonce and goes on without it", connects=True),
)  # fmt: skip

JAVA = "java -cp {java} Check ocsp {issuer} {subject}"
JAVA_PATTERN = r"^VALID|^[A-Z]+: [^,\n]*"
JAVA_VERDICTS = (
    (0, "VALID"),
    (1, "REVOKED: Certificate has been revoked"),
    (1, "UNSPECIFIED: OCSP response error: UNAUTHORIZED"),
)
JAVA_CLIENTS = (
    Client("Java `PKIXRevocationChecker`", "Java", JAVA, ("java",), JAVA_PATTERN, JAVA_VERDICTS,
           note="NO_FALLBACK, without SOFT_FAIL"),
    Client("the same, nonce on", "Java", JAVA.replace("-cp", "-Djdk.security.certpath.ocspNonce=true -cp"),
           ("java nonce",), JAVA_PATTERN, JAVA_VERDICTS, note="`jdk.security.certpath.ocspNonce`; goes on without it"),
    Client("the same, long URL", "Java", f"{JAVA} {{url}}{LONG_PATH}", ("java post",), JAVA_PATTERN, JAVA_VERDICTS,
           note="POST above 255 characters"),
)  # fmt: skip

NSS_PATTERN = (
    r"succeeded|Peer's Certificate has been revoked|The OCSP server has refused this request as unauthorized"
)
NSS_VERDICTS = tuple((0, words) for words in NSS_PATTERN.split("|"))  # it exits with 0 whatever it found
NSS_CLIENTS = (
    Client("`ocspclnt -S`", "NSS", "ocspclnt -S {status} -d {nss}", ("nss", "nss post"), NSS_PATTERN, NSS_VERDICTS,
           note="asks again by POST when it got no status by GET"),
    Client("`ocspclnt -V`", "NSS", "ocspclnt -V {status} -u s -d {nss}", ("nss", "nss post"), NSS_PATTERN, NSS_VERDICTS,
           note="validates the whole chain"),
    Client("`ocspclnt -S -l -t`", "NSS", "ocspclnt -S {status} -l {url} -t ca -d {nss}", ("nss locator",), NSS_PATTERN,
           NSS_VERDICTS, note="a responder by choice, with the service locator of the certificate's own"),
    Client("`vfychain -pp`", "NSS", "vfychain -d {nss} -pp -u 1 -g leaf -m ocsp -s failIfNoInfo -a {subject}",
           ("nss", "nss post"), r"Chain is good!|ERROR -\d+: .*",
           ((0, "Chain is good!"), (1, "ERROR -8180: Peer's Certificate has been revoked."),
            (1, "ERROR -8180: Peer's Certificate has been revoked.")),
           note="`failIfNoInfo`; says revoked of whatever it has no status for"),
)  # fmt: skip

GO_VERDICTS = ((0, "good"), (0, "revoked"), (1, "ocsp: error from server: unauthorized"))
GO_CLIENTS = tuple(
    Client(f"Go `x/crypto/ocsp`, {method}{digest and ' ' + digest}", "x/crypto",
           f"{{go}} {method} {digest or 'sha1'} {{issuer}} {{subject}}", (f"go {method.lower()} {digest}".rstrip(),),
           r"^good|^revoked|^ocsp: .*", GO_VERDICTS,
           note="leaves `+` and `=` as they are in the path" if method == "GET" else "")
    for method in ("GET", "POST")
    for digest in ("", "sha256")
)  # fmt: skip
PYTHON_CLIENTS = tuple(
    Client(f"pyca/cryptography, {method}{digest and ' ' + digest}", "cryptography",
           f"{{python}} {{here}}/ask.py {method} {digest or 'sha1'} {{issuer}} {{subject}} {{url}}",
           (f"python {method.lower()} {digest}".rstrip(),), r"^[A-Z]+$",
           ((0, "GOOD"), (0, "REVOKED"), (0, "UNAUTHORIZED")))
    for method in ("GET", "POST")
    for digest in ("", "sha256")
)  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """Where everything is that a command names."""

    world: World
    nss_databases: dict[str, Path]
    java: Path
    go: Path

    def command(self, client: Client, authority: str, status: str, scratch: Path, port: int = 0) -> list[str]:
        """The words of a client's command for one certificate."""
        subject = self.world.subjects[authority, status]
        places = {
            "issuer": subject.issuer,
            "subject": subject.path,
            "status": status,
            "url": self.world.hop.url,
            "nss": self.nss_databases[authority],
            "java": self.java,
            "go": self.go,
            "python": sys.executable,
            "here": HERE,
            "port": port,
            "scratch": scratch / "output",
        }
        return [word.format(**places) for word in client.command.split()]


@pytest.fixture(scope="module")
def bench(served: World, nss_databases: dict[str, Path], java_classes: Path, go_program: Path) -> Bench:
    return Bench(served, nss_databases, java_classes, go_program)


@contextmanager
def tls_server(subject: Subject, log: Path) -> Iterator[int]:
    """`openssl s_server` with this certificate and no staple."""
    port = free_port()
    command = (
        "openssl",
        "s_server",
        "-accept",
        f"127.0.0.1:{port}",
        "-cert",
        subject.path,
        "-key",
        subject.key,
        "-www",
    )
    with background(log, *command):
        wait_until(lambda: listens(port), "openssl s_server")
        yield port


def ask(bench: Bench, client: Client, authority: str, status: str, directory: Path) -> tuple[int, str]:
    """Exit status and everything that was printed."""
    if not client.connects:
        return run(*bench.command(client, authority, status, directory))
    with tls_server(bench.world.subjects[authority, status], directory / "server.log") as port:
        return run(*bench.command(client, authority, status, directory, port))


def check(bench: Bench, client: Client, authority: str, directory: Path) -> None:
    """The verdicts are the expected ones, and the requests on the wire are exactly of the shapes told."""
    seen = set()
    bench.world.hop.take()
    for status, (code, words) in zip(STATUSES, client.verdicts, strict=True):
        found, output = ask(bench, client, authority, status, directory)
        verdict = re.search(client.pattern, output, re.MULTILINE)
        assert verdict and (found, verdict[0]) == (code, words), f"{status}: exit {found}\n{output}"
        if status != "unknown":
            assert all(words in output for words in client.also), output
        requests = [request for connection in bench.world.hop.take() for request in sent(connection)]
        assert requests, "the certificate's URL was not asked"
        for request in requests:
            fitting = [name for name in client.shapes if CAPTURED[name].sends(request, bench.world.hop.port)]
            assert fitting, request.raw
            seen.update(fitting)
    assert seen == set(client.shapes)


def tool_version(client: Client) -> str:
    return installed("cryptography") if client.tool == "cryptography" else version(client.tool)


def check_and_report(bench: Bench, client: Client, authority: str, directory: Path, report: Report) -> None:
    check(bench, client, authority, directory)
    asks = "; ".join(CAPTURED[name].summary for name in client.shapes)
    said = [f"`{words}`" for _, words in client.verdicts]
    report.add("asking", client.name, tool_version(client), asks, *said, client.note)


def named(client: Client) -> str:
    return client.name.replace("`", "")


@pytest.mark.conformance("K-01", "R-03", "Q-05", "Q-08")
@pytest.mark.parametrize("authority", AUTHORITIES)
@pytest.mark.parametrize("client", OPENSSL_CLIENTS, ids=named)
def test_openssl(bench: Bench, client: Client, authority: str, tmp_path: Path, report: Report) -> None:
    check_and_report(bench, client, authority, tmp_path, report)


@pytest.mark.conformance("K-03", "Q-08")
@pytest.mark.parametrize("authority", AUTHORITIES)
@pytest.mark.parametrize("client", GNUTLS_CLIENTS, ids=named)
def test_gnutls(bench: Bench, client: Client, authority: str, tmp_path: Path, report: Report) -> None:
    check_and_report(bench, client, authority, tmp_path, report)


@pytest.mark.conformance("K-02", "H-01")
@pytest.mark.parametrize("authority", AUTHORITIES)
@pytest.mark.parametrize("client", JAVA_CLIENTS, ids=named)
def test_java(bench: Bench, client: Client, authority: str, tmp_path: Path, report: Report) -> None:
    check_and_report(bench, client, authority, tmp_path, report)


@pytest.mark.conformance("K-04", "Q-06")
@pytest.mark.parametrize("authority", AUTHORITIES)
@pytest.mark.parametrize("client", NSS_CLIENTS, ids=named)
def test_nss(bench: Bench, client: Client, authority: str, tmp_path: Path, report: Report) -> None:
    check_and_report(bench, client, authority, tmp_path, report)


@pytest.mark.conformance("Q-01", "Q-05", "H-14")
@pytest.mark.parametrize("authority", AUTHORITIES)
@pytest.mark.parametrize("client", GO_CLIENTS + PYTHON_CLIENTS, ids=named)
def test_libraries(bench: Bench, client: Client, authority: str, tmp_path: Path, report: Report) -> None:
    check_and_report(bench, client, authority, tmp_path, report)
