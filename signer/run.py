"""`ocsp-signer run`: the tail, the schedule, the CRLs and the intake of every issuer, until told to stop."""

import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import structlog
from cryptography import x509

from signer.admin.listener import admin_listener
from signer.admin.metrics import Metrics
from signer.config import IssuerTable
from signer.context import Context
from signer.crl.alarm import late_issuers
from signer.crl.service import CrlService
from signer.errors import ResponderChanged, SigningFault, TokenUnavailable, WorkersLost
from signer.files import held
from signer.ocsp.batch import Pool
from signer.ocsp.service import IssuerService, open_service
from signer.reports import Reports
from signer.threads import Beside
from signer.watch import IndexWatch, follow
from store.errors import OcspeedError, StoreError

__all__ = ["Runner", "only_signer"]

log = structlog.get_logger()

POLL = 0.02  # seconds between looks at the ledger
IDLE_STEP = 1.0  # the schedule is looked at once a second even if nothing changed
PATROL = 1.0  # between looks for what the store has lost
BACK_OFF = 1.0  # after the store failed
TOKEN_RETRY = 5.0  # after its token did
RETRY = 60.0  # after an issuer failed
CRL_CHECK = 5.0  # between looks at which shards are due
WATCH = 60.0  # between looks at the age of CRLs, on the thread that does not build them


@dataclass(slots=True)
class _Issuer:
    """One issuer in the loop."""

    name: str
    service: IssuerService | None = None
    responder: x509.Certificate | None = None  # that `service` signs under
    retry_at: float = 0.0
    patrol_at: float = 0.0
    stopped: bool = False


def only_signer(directory: Path) -> AbstractContextManager[None]:
    """Hold the state directory's signer lock. Raises OcspeedError if another `run` has it."""
    path = directory / "signer.lock"

    def taken(process: str) -> None:
        raise OcspeedError(
            f"{path}: another `ocsp-signer run` is at work (process {process})",
            remedy="stop that one first; one signer a ledger is enough",
        )

    return held(path, taken)


class _Press:
    """The CRLs of one issuer in the loop. What goes wrong with them holds up no other's."""

    def __init__(self, table: IssuerTable, reports: Reports) -> None:
        self._table = table
        self._reports = reports
        self._service: CrlService | None = None
        self._retry_at = 0.0

    def step(self, context: Context) -> None:
        name, now = self._table.name, context.clock.monotonic()
        if now < self._retry_at:
            return
        try:
            if self._service is None:
                self._service = context.crl_service(name)
            self._service.step(lambda done: self._reports.crl(name, done))
            self._reports.crls_well(name)
        except OcspeedError as error:
            self._service = None
            self._retry_at = now + RETRY
            self._reports.crl_trouble(name, error)


class Runner:
    """Runs until `stop` is set. OCSP is signed on the calling thread, CRLs on one of their own."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def run(self, stop: threading.Event, opened: Context | None = None) -> None:
        """Raises OcspeedError for what makes a start senseless: configuration, keys, another signer.

        `opened` is a context of this process that may own the embedded store, which has one owner.
        """
        whole = Context.open(self._file) if opened is None else nullcontext(opened)
        with whole as context, only_signer(context.settings.state_directory):
            if any(table.ocsp.enabled for table in context.settings.root.issuer):
                context.ensure_store()
            for table in context.settings.root.issuer:
                if table.ocsp.enabled:
                    context.ocsp_signer(table.name)
                if not table.crl.offline:
                    context.crl_signer(table.name)
                context.ledger_issuer(table.name)
            names = [table.name for table in context.settings.root.issuer]
            reports = Reports(Metrics(context.ledger, names))
            others = [
                Beside("crl", lambda: self._run_crls(reports, stop), stop),
                Beside("watch", lambda: self._run_watches(reports, stop), stop),
            ]
            with admin_listener(context, reports, stop):
                for other in others:
                    other.start()
                try:
                    self._run_ocsp(context, reports, stop)
                finally:
                    stop.set()
                    for other in others:
                        other.join()
            for other in others:
                other.check()

    def _run_ocsp(self, context: Context, reports: Reports, stop: threading.Event) -> None:
        issuers = [_Issuer(table.name) for table in context.settings.root.issuer if table.ocsp.enabled]
        if issuers:
            with Pool(self._file, context.settings.root.signer.worker_count) as pool:
                self._sign(context, pool, issuers, reports, stop)
        while not stop.wait(WATCH):  # CRLs alone (P-02)
            _watch(context)

    def _sign(
        self, context: Context, pool: Pool, issuers: list[_Issuer], reports: Reports, stop: threading.Event
    ) -> None:
        log.info("signing", issuers=[issuer.name for issuer in issuers])
        version, stepped, watched = -1, 0.0, context.clock.monotonic()
        while not stop.wait(POLL):
            now = context.clock.monotonic()
            if now - watched >= WATCH:
                _watch(context)
                for issuer in issuers:
                    _look_for_responder(context, issuer)
                watched = now
            latest = context.ledger.data_version()
            busy = any(issuer.service is None or issuer.service.busy for issuer in issuers)
            if latest == version and not busy and now - stepped < IDLE_STEP:
                continue
            version, stepped = latest, now
            for issuer in issuers:
                if not issuer.stopped and now >= issuer.retry_at:
                    self._step(context, pool, issuer, reports)

    def _step(self, context: Context, pool: Pool, issuer: _Issuer, reports: Reports) -> None:
        try:
            if issuer.service is None:
                context.ensure_store()
                issuer.responder = context.ocsp_signer(issuer.name).certificate
                issuer.service = open_service(context, issuer.name, pool)
                missing = issuer.service.enqueue_missing()
                log.info("issuer ready", issuer=issuer.name, missing_pages=missing)
            reports.signed(issuer.name, issuer.service.step())
            now = context.clock.monotonic()
            if now >= issuer.patrol_at:
                issuer.service.patrol()
                issuer.patrol_at = now + PATROL
        except SigningFault as error:
            issuer.stopped = True
            reports.trouble(issuer.name, "issuer stopped", error, critical=True)
        except WorkersLost as error:
            issuer.retry_at = context.clock.monotonic() + BACK_OFF
            reports.trouble(issuer.name, "workers lost", error)
        except ResponderChanged as error:
            issuer.service = None
            issuer.retry_at = context.clock.monotonic() + BACK_OFF
            reports.trouble(issuer.name, "responder changed", error)
        except TokenUnavailable as error:
            issuer.retry_at = context.clock.monotonic() + TOKEN_RETRY
            reports.trouble(issuer.name, "token unavailable", error)
        except StoreError as error:
            # What the store lost meanwhile is found by looking at every page again.
            issuer.service = None
            issuer.retry_at = context.clock.monotonic() + BACK_OFF
            reports.trouble(issuer.name, "store failed", error)
        except OcspeedError as error:
            issuer.retry_at = context.clock.monotonic() + RETRY
            reports.trouble(issuer.name, "issuer failed", error)

    def _run_crls(self, reports: Reports, stop: threading.Event) -> None:
        with Context.open(self._file) as context:
            presses = [
                _Press(table, reports) for table in context.settings.root.issuer if not table.crl.offline
            ]
            while not stop.is_set():
                for press in presses:
                    press.step(context)
                stop.wait(CRL_CHECK)

    def _run_watches(self, reports: Reports, stop: threading.Event) -> None:
        with Context.open(self._file) as context:
            tables = context.settings.root.issuer
            watches = [IndexWatch(context, table.name, table.watch) for table in tables if table.watch]
            if watches:
                follow(watches, stop, reports.watched, reports.watch_trouble)


def _look_for_responder(context: Context, issuer: _Issuer) -> None:
    """Begin to sign with a new certificate as soon as it is there; pages move to it as their time comes."""
    try:
        signer, unfit = context.responder(issuer.name)
    except OcspeedError as error:
        log.error("no fit responder certificate", issuer=issuer.name, reason=str(error))
        return
    for defect in unfit:
        log.error("responder certificate not used", issuer=issuer.name, reason=str(defect))
    if issuer.service is not None and signer.certificate != issuer.responder:
        log.info("responder certificate changed", issuer=issuer.name, not_after=signer.not_after)
        issuer.service = None


def _watch(context: Context) -> None:
    """D8: tell of CRLs that are too old, whether building them fails, hangs or never was tried."""
    tables = context.settings.root.issuer
    for issuer, found in late_issuers(context.ledger, tables, context.clock.now()):
        oldest = max(found, key=lambda one: (one.age is None, one.age or 0))
        log.critical(
            "crls overdue",
            issuer=issuer.name,
            shards=len(found),
            oldest=oldest.url,
            age=oldest.age,
            next_update=oldest.next_update,
        )
