"""Re-paging in the loop of `run`: what was asked for, what was left over, and what is due as pages have grown."""

from collections.abc import Iterator

import structlog

from signer.context import Context
from signer.ocsp.growth import measure
from signer.ocsp.repage import Repaging
from signer.ocsp.service import IssuerService
from store.errors import OcspeedError, StoreError

__all__ = ["Repager"]

log = structlog.get_logger()

ACTOR = "ocsp-signer"
LOOK = 1.0  # seconds between looks at what was asked for
MEASURE = 600.0  # between looks at the size of pages, and after a failure


class Repager:
    """One issuer's. `bound` is the mean number of certificates a page above which there will be more; 0: never."""

    def __init__(self, name: str, bound: int) -> None:
        self._name = name
        self._bound = bound
        self._service: IssuerService | None = None
        self._work: Iterator[int] | None = None
        self._look_at = 0.0
        self._measure_at = 0.0

    @property
    def busy(self) -> bool:
        return self._work is not None

    def step(self, context: Context, service: IssuerService) -> bool:
        """A piece of work beside `service`. True when another layout is in force, and the service to be opened anew.

        What was begun beside another service is begun again. Raises StoreError; other troubles are logged.
        """
        now = context.clock.monotonic()
        if service is not self._service:
            self._service, self._work = service, None
        try:
            if self._work is None and now >= self._look_at:
                self._look_at = now + LOOK
                self._work = self._find_work(context, service, now)
            if self._work is None or next(self._work, None) is not None:
                return False
        except StoreError:
            raise
        except OcspeedError as error:
            self._look_at = now + MEASURE
            log.error("not re-paged", issuer=self._name, reason=str(error))
        self._work = None
        return context.ledger.issuer(self._name).layout != service.issuer.layout

    def _find_work(self, context: Context, service: IssuerService, now: float) -> Iterator[int] | None:
        other = context.ledger.other_layout(service.issuer.id)
        if other is None:
            if not self._bound or now < self._measure_at:
                return None
            self._measure_at = now + MEASURE
            growth = measure(context, self._name)
            if growth.mean <= self._bound or growth.wanted_bits == service.issuer.page_bits:
                return None
            growth.check_room(self._name, growth.wanted_bits)
            other = context.ledger.begin_layout(service.issuer.id, growth.wanted_bits)
        log.info("re-paging", issuer=self._name, page_epoch=other.page_epoch, page_bits=other.page_bits)
        return Repaging(context, self._name, service).work(ACTOR)
