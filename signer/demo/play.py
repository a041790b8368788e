"""The demo from beginning to end: a CA, its import, its signing, its service, the checks, and then it stays."""

import contextlib
import fcntl
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from _fastpath.certid import serial_from_int
from _fastpath.page import hash32
from signer.context import Context
from signer.demo import checks
from signer.demo.authority import Authority, create_authority
from signer.intake.importer import stage
from signer.intake.scope import Scope, Shards
from signer.ledger.values import LedgerIssuer
from signer.ocsp.batch import Pool
from signer.ocsp.service import open_service
from store.errors import OcspeedError

__all__ = ["Demo", "prepare_directory"]

ISSUER = "demo"
SHARDS = 4
MARKER = ".ocspeed-demo"
PREFERRED_PORTS = (2560, 9560, 9561)
READY_TIMEOUT = 20.0
ENDING = (signal.SIGINT, signal.SIGTERM)

CONFIG = """\
# Written by `ocsp-signer demo`. `ocsp-signer init` writes a commented file for a real CA.
[responder]
listen = "127.0.0.1:{port}"
admin = "127.0.0.1:{admin_port}"

[signer]
admin = "127.0.0.1:{signer_port}"

[[issuer]]
name = "demo"
certificate = "ca.pem"
signer = {{ key = "responder.key", certificate = "responder.pem" }}
crl = {{ key = "ca.key", shards = {shards}, url = "http://127.0.0.1:{port}/crl/{{issuer}}/{{series}}-{{index}}.crl" }}
"""

Say = Callable[[str], None]
Bar = Callable[[str, int], contextlib.AbstractContextManager[Callable[[int], None]]]


def prepare_directory(directory: Path) -> IO[str]:
    """An empty directory; only what an earlier demo left is removed. Raises OcspeedError for anything else.

    Returns the open marker, whose lock says that this demo is at work.
    """
    try:
        return _prepare(directory)
    except OSError as error:
        raise OcspeedError(
            f"{directory}: cannot hold a demo: {error.strerror}", remedy="choose another with --dir DIR"
        ) from None


def _prepare(directory: Path) -> IO[str]:
    if directory.exists() and not directory.is_dir():
        raise OcspeedError(f"{directory}: not a directory", remedy="choose another with --dir DIR")
    if directory.exists() and any(directory.iterdir()):
        if not (directory / MARKER).exists():
            raise OcspeedError(
                f"{directory}: not empty, and not from an earlier demo",
                remedy="choose another with --dir DIR",
            )
        _lock(directory / MARKER).close()
        shutil.rmtree(directory)
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    return _lock(directory / MARKER)


def _lock(marker: Path) -> IO[str]:
    """The marker, open and locked. Raises OcspeedError if a demo is at work there."""
    file = marker.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise OcspeedError(
            f"{marker.parent}: a demo is at work there",
            remedy="end it first, or choose another with --dir DIR",
        ) from None
    return file


def _free_ports() -> list[int]:
    """The usual ports if nobody has them, else others that are free."""
    with contextlib.ExitStack() as stack:
        ports = []
        for preferred in PREFERRED_PORTS:
            probe = stack.enter_context(socket.socket())
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", preferred))
            except OSError:
                probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
        return ports


@contextlib.contextmanager
def _signals_later() -> Iterator[None]:
    """Signals that would end us are kept until the end of the block."""
    kept: list[int] = []
    before = {
        number: signal.signal(number, lambda received, frame: kept.append(received)) for number in ENDING
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if kept:
            signal.raise_signal(kept[0])


@dataclass(slots=True)
class Demo:
    """`say` prints a line of progress; `bar` shows a task of so many steps."""

    directory: Path
    certificates: int
    say: Say
    bar: Bar
    port: int = 0
    admin_port: int = 0

    @property
    def file(self) -> Path:
        return self.directory / "ocsp.toml"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def play(self, seed: int) -> Iterator[Context]:
        """Set up, serve and check; the body runs while it is served. Raises OcspeedError."""
        began = time.monotonic()
        with (
            prepare_directory(self.directory),
            Context.open(self._write_config(), create_ledger=True) as context,
        ):
            authority = create_authority(
                self.directory, self.certificates, context.clock.now(), self.url, self._crl_url, seed
            )
            self.say(f"made a CA in {self.directory} with {self.certificates:,} certificates in index.txt")
            issuer = self._import(context, authority)
            self._sign(context)
            urls = self._publish(context)
            with self._serving():
                self.say(f"serving on {self.url}")
                self._check(context, authority, issuer, urls, seed)
                self.say(f"all checks passed, {time.monotonic() - began:.1f} s after the start")
                yield context

    def _write_config(self) -> Path:
        self.port, self.admin_port, signer_port = _free_ports()
        text = CONFIG.format(
            port=self.port, admin_port=self.admin_port, signer_port=signer_port, shards=SHARDS
        )
        self.file.write_text(text)
        return self.file

    def _crl_url(self, serial: int) -> str:
        index = hash32(serial_from_int(serial)) % SHARDS
        return f"{self.url}/crl/{ISSUER}/0-{index}.crl"

    def _import(self, context: Context, authority: Authority) -> LedgerIssuer:
        now = context.clock.now()
        size = authority.index.stat().st_size
        scope = Scope(context.issuer(ISSUER), Shards(ISSUER, []), now)
        with (
            self.bar("import", size) as advance,
            stage("openssl-index", authority.index, scope, advance, self.directory) as staged,
        ):
            issuer = context.ledger_issuer(ISSUER, staged.certificates)
            staged.write(context.ledger, issuer.id, now, lambda count: None)
            report = staged.report
        self.say(
            f"imported {report.rows:,} rows: {report.good:,} good, {report.revoked:,} revoked, "
            f"{report.adjusted.count:,} of them adjusted (a reason that no CRL may carry)"
        )
        return issuer

    def _sign(self, context: Context) -> None:
        began = time.monotonic()
        with Pool(self.file, context.settings.root.signer.worker_count) as pool:
            service = open_service(context, ISSUER, pool)
            with self.bar("sign", service.page_count) as advance:
                tally = service.sign_all(advance)
        if tally.faults:
            raise OcspeedError(f"page {tally.faults[0].page} was not signed: {tally.faults[0].message}")
        rate = tally.responses / (time.monotonic() - began)
        self.say(f"signed {tally.responses:,} responses in {tally.pages:,} pages, {rate:,.0f} a second")

    def _publish(self, context: Context) -> list[str]:
        job = context.crl_job(ISSUER)
        outcomes = job.build(job.shards(), lambda outcome: None)
        for outcome in outcomes:
            if outcome.message:
                raise OcspeedError(f"{outcome.url}: {outcome.message}")
        entries = sum(outcome.entries or 0 for outcome in outcomes)
        self.say(f"published {len(outcomes)} CRL shards with {entries:,} entries")
        return [outcome.url for outcome in outcomes]

    @contextlib.contextmanager
    def _serving(self) -> Iterator[None]:
        """`ocsp-responder serve` as a child in a session of its own: Ctrl-C is ours, and ends it."""
        program = Path(sys.executable).with_name("ocsp-responder")
        command = [str(program), "serve", "--config", str(self.file)]
        process = None
        with (self.directory / "responder.log").open("wb") as log:
            try:
                with _signals_later():  # or a child could be started that nobody knows of
                    process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
                self._wait_until_ready(process)
                yield
            finally:
                if process is not None:
                    process.terminate()
                    process.wait()

    def _wait_until_ready(self, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + READY_TIMEOUT
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(urllib.error.URLError, OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/readyz", timeout=2).close()
                return
            threading.Event().wait(0.05)
        raise OcspeedError(
            "the responder did not get ready", remedy=f"its log is {self.directory / 'responder.log'}"
        )

    def _check(
        self, context: Context, authority: Authority, issuer: LedgerIssuer, urls: list[str], seed: int
    ) -> None:
        client = checks.Client.of(self.url, self.directory)
        with contextlib.closing(client.connection):
            asked = checks.check_answers(client, context.ledger, issuer, seed)
            self.say(f"checked {asked} answers against the ledger, each signature verified")
            unissued = checks.check_unissued(client, context.ledger, issuer, seed)
            self.say(f"checked {unissued} serials that nobody issued: all unauthorized, none good")
            revoked = context.ledger.counts(issuer.id, context.clock.now()).revoked
            checks.check_crls(client, urls, revoked)
            self.say(f"checked {len(urls)} CRLs: signatures, distribution points, {revoked:,} entries")
        for verdict in checks.check_with_openssl(authority, self.url):
            self.say(f"openssl ocsp says {verdict}, Response verify OK")
