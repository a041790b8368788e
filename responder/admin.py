"""The admin listener: /livez, /readyz and /metrics, never on the public port."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from _fastpath.http import MARGIN
from responder.config import Settings
from store.clock import Clock
from store.errors import StoreError
from store.model import Issuer
from store.reader import StoreReader

__all__ = ["Readiness", "admin_app", "check_readiness"]

log = structlog.get_logger()

CHECK_TIMEOUT = 2.0  # seconds for /readyz to look at the store


@dataclass(frozen=True, slots=True)
class Readiness:
    """What stands between this host and good answers; nothing when it is ready."""

    causes: list[str] = field(default_factory=list)
    issuers: dict[str, str] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        return not self.causes


def check_readiness(settings: Settings, clock: Clock) -> Readiness:
    """Look at the store as a lookup would: issuer records, templates and whether page 0 is whole. Blocks."""
    result = Readiness()
    if not settings.ocsp_issuers:
        return result
    with settings.store.client() as client:
        reader = StoreReader(client, settings.store.url)
        for issuer in settings.ocsp_issuers:
            try:
                fault = _issuer_fault(reader, issuer, clock.now())
            except StoreError as error:
                fault = error.message
            result.issuers[issuer.name] = fault or "ok"
            if fault:
                result.causes.append(f"issuer {issuer.name}: {fault}")
    return result


def _issuer_fault(reader: StoreReader, issuer: Issuer, now: int) -> str | None:
    """Why an issuer cannot be answered for now, or None. Raises StoreError."""
    record = reader.issuer(issuer.name)
    if record is None:
        return "nothing is signed for it; run `ocsp-signer sign`"
    if record.fingerprint != issuer.id.fingerprint:
        return "the store's issuer has another name or key than the configured certificate"
    if record.head is None or record.head.replication_id != reader.replication_id():
        return "the store was emptied, restored or failed over, and no signer has reconciled it; run `ocsp-signer sign`"
    (header,) = reader.whole_headers(issuer.name, record.page_epoch, [0])
    if header is None:
        return "page 0 has no header, or not as many records as it says; run `ocsp-signer sign --all`"
    if not record.templates:
        return None  # its responses were signed elsewhere and end each by itself
    templates = [reader.template(number) for number in record.templates.values()]
    validities = [template.validity for template in templates if template is not None]
    if not validities:
        return "none of its templates is there; run `ocsp-signer sign --all`"
    if header.count and now >= header.this_update + max(validities) - MARGIN:
        return "its responses have expired; run `ocsp-signer sign`"
    return None


def admin_app(check: Callable[[], Readiness], registry: CollectorRegistry) -> Starlette:
    """The admin listener's application; `check` may block."""
    one_at_a_time = asyncio.Lock()

    async def livez(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT), one_at_a_time:
                readiness = await asyncio.to_thread(check)
        except TimeoutError:
            readiness = Readiness(["the store does not answer"])
        body = {"ready": readiness.ready, "causes": readiness.causes, "issuers": readiness.issuers}
        return JSONResponse(body, status_code=200 if readiness.ready else 503)

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)])
