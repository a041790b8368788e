"""The signer's admin listener: /livez, /healthz, /metrics and the intake API. Never on a public address."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus

import msgspec
import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from signer.admin.bodies import discard
from signer.admin.intake import IntakeEndpoints
from signer.admin.metrics import Metrics
from signer.admin.problems import Problem, response
from signer.intake.api import Refusal

__all__ = ["admin_app"]

log = structlog.get_logger()

ELSEWHERE = "docs/intake.md and /intake/v1/openapi.json name them all"
FAULT = Refusal(500, "a fault of ocsp-signer", "the log of ocsp-signer says more; sent again it is no harm")


def admin_app(intake: IntakeEndpoints, metrics: Metrics, causes: Callable[[], list[str]]) -> Starlette:
    """`causes` says what is wrong with the signer, and may block."""

    async def livez(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def healthz(request: Request) -> Response:
        found = await asyncio.to_thread(causes)
        body = msgspec.json.encode({"healthy": not found, "causes": found})
        return Response(body, 503 if found else 200, media_type="application/json")

    async def serve_metrics(request: Request) -> Response:
        text = await asyncio.to_thread(generate_latest, metrics.registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    async def problem(request: Request, error: Exception) -> Response:
        found = _problem_of(request, error)
        metrics.refused(found.refusal.status)
        await discard(request)
        return response(found)

    own = [Route("/livez", livez), Route("/healthz", healthz), Route("/metrics", serve_metrics)]
    handlers = {Problem: problem, HTTPException: problem, Exception: problem}
    return Starlette(routes=own + intake.routes(), exception_handlers=handlers)


def _problem_of(request: Request, error: Exception) -> Problem:
    if isinstance(error, HTTPException):  # a path or method that there is not
        refusal = Refusal(error.status_code, error.detail, ELSEWHERE)
        return Problem(refusal, headers=dict(error.headers or {}))
    if not isinstance(error, Problem):
        log.error("intake failed", path=request.url.path, exc_info=error)
        return Problem(FAULT)
    if error.refusal.status == HTTPStatus.SERVICE_UNAVAILABLE:
        log.warning("intake refused", path=request.url.path, reason=error.refusal.message)
    return error
