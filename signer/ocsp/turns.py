"""OCSP signing of all issuers, a turn at a time; what goes wrong with one of them holds up no other."""

from collections.abc import Iterable
from dataclasses import dataclass

import structlog
from cryptography import x509

from signer.clock_watch import ClockWatch
from signer.context import Context
from signer.errors import ClockStopped, ResponderChanged, SigningFault, TokenUnavailable, WorkersLost
from signer.ocsp.batch import Pool
from signer.ocsp.repager import Repager
from signer.ocsp.service import IssuerService, open_service
from signer.reports import Reports
from store.errors import OcspeedError, StoreError

__all__ = ["Turns"]

log = structlog.get_logger()

IDLE = 1.0  # the schedule is looked at once a second even if nothing changed
PATROL = 1.0  # between looks for what the store has lost
RESPONDERS = 60.0  # between looks for another responder certificate


@dataclass(frozen=True, slots=True)
class _Mishap:
    """What an error means for its issuer."""

    kind: type[OcspeedError]
    words: str
    wait: float | None  # seconds until the next attempt; None: there is none
    anew: bool = False  # everything is opened again, and all pages are looked at for what the store lost


MISHAPS = (  # the first that fits
    _Mishap(SigningFault, "issuer stopped", None),
    _Mishap(ClockStopped, "clock in doubt", 1.0),
    _Mishap(WorkersLost, "workers lost", 1.0),
    _Mishap(ResponderChanged, "responder changed", 1.0, anew=True),
    _Mishap(TokenUnavailable, "token unavailable", 5.0),
    _Mishap(StoreError, "store failed", 1.0, anew=True),
    _Mishap(OcspeedError, "issuer failed", 60.0),
)


@dataclass(slots=True)
class _Issuer:
    """One issuer in the loop."""

    name: str
    repager: Repager
    service: IssuerService | None = None
    responder: x509.Certificate | None = None  # that `service` signs under
    retry_at: float | None = 0.0
    patrol_at: float = 0.0

    @property
    def busy(self) -> bool:
        return self.service is None or self.service.busy or self.repager.busy


class Turns:
    """For one thread. Nothing is signed while the clock is in doubt (B6)."""

    def __init__(
        self, context: Context, pool: Pool, issuers: Iterable[str], reports: Reports, watch: ClockWatch
    ) -> None:
        self._context = context
        self._clock = context.clock
        self._pool = pool
        bounds = {table.name: table.ocsp.repage_above for table in context.settings.root.issuer}
        self._issuers = [_Issuer(name, Repager(name, bounds[name])) for name in issuers]
        self._reports = reports
        self._watch = watch
        self._version = -1
        self._stepped = 0.0
        self._responders_at = self._clock.monotonic()

    @property
    def busy(self) -> bool:
        """Whether the next turn has something to do, for certain and without waiting."""
        now = self._clock.monotonic()
        return any(
            issuer.retry_at is not None and now >= issuer.retry_at and issuer.busy for issuer in self._issuers
        )

    def turn(self) -> None:
        """To be called many times a second: what was committed is signed by the next turn."""
        now = self._clock.monotonic()
        if not self._watch.trusted():
            return
        if now >= self._responders_at:
            self._responders_at = now + RESPONDERS
            for issuer in self._issuers:
                self._look_for_responder(issuer)
        latest = self._context.ledger.data_version()
        if latest == self._version and not self.busy and now - self._stepped < IDLE:
            return
        self._version, self._stepped = latest, now
        for issuer in self._issuers:
            if issuer.retry_at is not None and now >= issuer.retry_at:
                self._take(issuer)

    def _take(self, issuer: _Issuer) -> None:
        try:
            self._step(issuer)
        except OcspeedError as error:
            mishap = next(mishap for mishap in MISHAPS if isinstance(error, mishap.kind))
            if mishap.anew:
                issuer.service = None
                self._context.disconnect()  # what a connection leads to may not be what it was
            issuer.retry_at = None if mishap.wait is None else self._clock.monotonic() + mishap.wait
            self._reports.trouble(issuer.name, mishap.words, error, critical=mishap.wait is None)

    def _step(self, issuer: _Issuer) -> None:
        service = issuer.service
        if service is None:
            self._context.ensure_store()
            issuer.responder = self._responder(issuer.name)
            service = self._open(issuer, "issuer ready")
        # What is signed into another one, before that is looked at, would hide what it lacks.
        self._context.require_primary(service.primary)
        self._reports.signed(issuer.name, service.step())
        self._reports.faulty(issuer.name, service.faulty)
        self._reports.queue(issuer.name, service.waiting)
        now = self._clock.monotonic()
        if now >= issuer.patrol_at:
            service.patrol()
            issuer.patrol_at = now + PATROL
        if issuer.repager.step(self._context, service):
            issuer.service = None  # whatever happens now: its pages are not in force any more
            self._open(issuer, "re-paged")

    def _open(self, issuer: _Issuer, event: str) -> IssuerService:
        self._context.accept_primary()
        service = open_service(self._context, issuer.name, self._pool)
        self._context.require_primary(service.primary)
        missing = service.enqueue_missing()
        log.info(event, issuer=issuer.name, pages=service.page_count, missing_pages=missing)
        self._reports.lateness.watch(issuer.name, service.ages)
        issuer.service = service
        return service

    def _responder(self, name: str) -> x509.Certificate | None:
        """Whose certificate an issuer's responses are signed under; None if they are signed elsewhere."""
        if self._context.settings.issuer(name).imports_responses:
            return None
        return self._context.ocsp_signer(name).certificate

    def _look_for_responder(self, issuer: _Issuer) -> None:
        """Begin to sign with a new certificate as soon as it is there; pages move to it as their time comes."""
        if self._context.settings.issuer(issuer.name).imports_responses:
            return
        try:
            signer, unfit = self._context.responder(issuer.name)
            validity = self._context.settings.issuer(issuer.name).ocsp.validity
            self._reports.responder(issuer.name, signer.not_after, validity, self._clock.now())
        except OcspeedError as error:
            log.error("no fit responder certificate", issuer=issuer.name, reason=str(error))
            return
        for defect in unfit:
            log.error("responder certificate not used", issuer=issuer.name, reason=str(defect))
        if issuer.service is not None and signer.certificate != issuer.responder:
            log.info("responder certificate changed", issuer=issuer.name, not_after=signer.not_after)
            issuer.service = None
