"""Starting and stopping the admin listener of `ocsp-signer run`."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn

from signer.admin.app import admin_app
from signer.admin.intake import IntakeEndpoints
from signer.admin.protocol import AdminProtocol
from signer.admin.tokens import Tokens
from signer.config import IntakeSection
from signer.context import Context
from signer.crl.alarm import late_issuers
from signer.intake.api import Intake, IntakeIssuer
from signer.intake.commits import Committer
from signer.intake.scope import Shards
from signer.ledger.errors import LedgerError
from signer.reports import Reports
from signer.steady import RecordingClock
from signer.threads import Beside
from store.clock import Clock
from store.errors import ConfigError
from store.listening import Address, bind

__all__ = ["admin_listener"]

log = structlog.get_logger()

GRACE = 5  # seconds for requests under way at the end


@contextmanager
def admin_listener(
    context: Context, clock: RecordingClock, reports: Reports, stop: threading.Event
) -> Iterator[None]:
    """Serve until the end of the `with`. Raises AddressUnavailable, ConfigError; sets `stop` if serving fails."""
    root = context.settings.root
    if not root.signer.admin:
        yield
        return
    tokens = Tokens(root.intake.tokens) if root.intake.tokens is not None else None
    with (
        bind("signer.admin", Address.parse(root.signer.admin)) as listener,
        Committer(context.ledger, clock) as committer,
    ):
        intake = Intake(context.ledger, committer, clock, _issuers(context))
        endpoints = IntakeEndpoints(intake, root.intake, tokens, reports.metrics)
        app = admin_app(endpoints, reports.metrics, lambda: _causes(context, clock, reports))
        server = uvicorn.Server(_config(app, root.intake))
        thread = Beside("admin", lambda: server.run([listener]), stop)
        thread.start()
        host, port = listener.getsockname()[:2]
        log.info("admin listener", address=str(Address(host, port)), intake=root.intake.enabled)
        try:
            yield
        finally:
            server.should_exit = True
            thread.join()
    thread.check()


def _config(app: object, section: IntakeSection) -> uvicorn.Config:
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        loop="asyncio",
        http=AdminProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",  # what there is to say, the application says
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        ssl_certfile=section.certificate,
        ssl_keyfile=section.key,
        ssl_ca_certs=str(section.client_ca) if section.client_ca else None,
        ssl_cert_reqs=ssl.CERT_OPTIONAL if section.client_ca else ssl.CERT_NONE,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"intake.certificate, intake.key or intake.client_ca: {error.strerror or error}",
            remedy="name PEM files: the certificate with its chain, its key without a passphrase, the CA",
        ) from None
    return config


def _issuers(context: Context) -> dict[str, IntakeIssuer]:
    found = {}
    for table in context.settings.root.issuer:
        number = context.ledger_issuer(table.name).id
        shards = Shards(table.name, context.ledger.series(number))
        found[table.name] = IntakeIssuer(number, context.issuer(table.name), shards, table.ocsp.url)
    return found


def _causes(context: Context, clock: Clock, reports: Reports) -> list[str]:
    """What somebody has to look at. Only calls what several threads may."""
    causes = reports.troubles()
    tables = context.settings.root.issuer
    now = clock.now()
    try:
        causes += [f"issuer {name}: {words}" for name, words in reports.lateness.alarms(now)]
        for issuer, overdue in late_issuers(context.ledger, tables, now):
            causes.append(f"issuer {issuer.name}: {len(overdue)} CRLs overdue, such as {overdue[0].url}")
    except LedgerError as error:
        causes.append(error.message)
    return causes
