"""`ocsp-signer run`: the tail, the schedule, the CRLs and the intake of every issuer, until told to stop."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

import structlog

from signer import run_state
from signer.admin.listener import admin_listener
from signer.admin.metrics import Metrics
from signer.clock_watch import ClockWatch
from signer.config import IssuerTable
from signer.context import Context
from signer.crl.alarm import late_issuers
from signer.crl.service import CrlService
from signer.errors import ClockStopped, SignerAtWork
from signer.files import held
from signer.lateness import Lateness
from signer.ledger.errors import LedgerError
from signer.ocsp.batch import Pool
from signer.ocsp.turns import Turns
from signer.renewal import renew_for_ever
from signer.reports import Reports
from signer.restored import check_audited
from signer.steady import RecordingClock, SteadyClock
from signer.threads import Beside
from signer.watch import IndexWatch, follow
from signer.witness import witness
from store.clock import Clock
from store.errors import OcspeedError

__all__ = ["Runner", "only_signer"]

log = structlog.get_logger()

POLL = 0.02  # seconds between looks at the ledger
IDLE = 1.0  # where there is nothing to look for in it
RETRY = 60.0  # after the CRLs of an issuer failed
CRL_CHECK = 5.0  # between looks at which shards are due
WATCH = 60.0  # between looks at what is late
TELL = 5.0  # between words to `status`


def only_signer(directory: Path) -> AbstractContextManager[None]:
    """Hold the state directory's signer lock. Raises SignerAtWork if another process has it."""
    path = directory / "signer.lock"

    def taken(process: str) -> None:
        raise SignerAtWork(path, process)

    return held(path, taken)


@contextmanager
def _by(context: Context, clock: Clock) -> Iterator[None]:
    """What is signed with this context goes by another clock, until the end; who was given the first one keeps it."""
    before, context.clock = context.clock, clock
    try:
        yield
    finally:
        context.clock = before


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
            check_audited(context.ledger)
            if any(table.ocsp.enabled for table in context.settings.root.issuer):
                context.ensure_store()
            for table in context.settings.root.issuer:
                if table.signs_responses:
                    context.ocsp_signer(table.name)
                if not table.crl.offline:
                    context.crl_signer(table.name)
                context.ledger_issuer(table.name)
            names = [table.name for table in context.settings.root.issuer]
            tables = context.settings.root.issuer
            lateness = Lateness(context.ledger, tables)
            reports = Reports(Metrics(context.ledger, names, lateness, context.clock), lateness)
            clock = SteadyClock(context.clock, witness(context.ledger, tables))
            recording = RecordingClock(clock)
            others = [
                Beside("crl", lambda: self._run_crls(clock, reports, stop), stop),
                Beside("watch", lambda: self._run_watches(recording, reports, stop), stop),
                Beside("renew", lambda: self._run_renewals(reports, stop), stop),
            ]
            with admin_listener(context, recording, reports, stop), _by(context, clock):
                for other in others:
                    other.start()
                try:
                    self._run_ocsp(context, clock, reports, stop)
                finally:
                    stop.set()
                    for other in others:
                        other.join()
                    run_state.remove(context.settings.state_directory)
            for other in others:
                other.check()

    def _run_ocsp(
        self, context: Context, clock: SteadyClock, reports: Reports, stop: threading.Event
    ) -> None:
        issuers = [table.name for table in context.settings.root.issuer if table.ocsp.enabled]
        watch = ClockWatch(clock, context.ledger, reports)
        if not issuers:  # CRLs alone (P-02)
            self._turn_by_turn(lambda: bool(watch.trusted()), IDLE, context, clock, reports, stop)
            return
        with Pool(self._file, context.settings.root.signer.worker_count, clock) as pool:
            log.info("signing", issuers=issuers)
            self._turn_by_turn(
                Turns(context, pool, issuers, reports, watch).turn, POLL, context, clock, reports, stop
            )

    def _turn_by_turn(
        self,
        turn: Callable[[], object],
        pause: float,
        context: Context,
        clock: SteadyClock,
        reports: Reports,
        stop: threading.Event,
    ) -> None:
        """Turn after turn; every few seconds a word to `status`, and once a minute what is late."""
        watched, told = clock.monotonic(), 0.0
        while not stop.wait(pause):
            now = clock.monotonic()
            if now - told >= TELL:
                _tell_status(context, clock, reports)
                told = now
            if now - watched >= WATCH:
                _watch(context, reports)
                watched = now
            turn()

    def _run_crls(self, clock: SteadyClock, reports: Reports, stop: threading.Event) -> None:
        with Context.open(self._file, clock) as context:
            presses = [
                _Press(table, reports) for table in context.settings.root.issuer if not table.crl.offline
            ]
            while not stop.is_set():
                for press in presses if clock.doubt is None else ():
                    press.step(context)
                stop.wait(CRL_CHECK)

    def _run_watches(self, clock: RecordingClock, reports: Reports, stop: threading.Event) -> None:
        with Context.open(self._file, clock) as context:
            tables = context.settings.root.issuer
            watches = [IndexWatch(context, table.name, table.watch) for table in tables if table.watch]
            if watches:
                follow(watches, stop, reports.watched, reports.watch_trouble)

    def _run_renewals(self, reports: Reports, stop: threading.Event) -> None:
        with Context.open(self._file) as context:
            renew_for_ever(context, stop, reports.renewal)


def _tell_status(context: Context, clock: SteadyClock, reports: Reports) -> None:
    """By the machine's clock, whether it is trusted or not."""
    with suppress(LedgerError):  # which others tell
        run_state.write(context.settings.state_directory, reports.state(clock.machine.now()))


def _watch(context: Context, reports: Reports) -> None:
    """Of what is late, by the time that is trusted."""
    try:
        now = context.clock.now()
    except ClockStopped:
        return  # which is told already
    for name, words in reports.lateness.alarms(now):
        log.critical("responses late", issuer=name, reason=words)
    _tell_of_crls(context, now)


def _tell_of_crls(context: Context, now: int) -> None:
    """D8: tell of CRLs that are too old, whether building them fails, hangs or never was tried."""
    for issuer, found in late_issuers(context.ledger, context.settings.root.issuer, now):
        oldest = max(found, key=lambda one: (one.age is None, one.age or 0))
        log.critical(
            "crls overdue",
            issuer=issuer.name,
            shards=len(found),
            oldest=oldest.url,
            age=oldest.age,
            next_update=oldest.next_update,
        )
