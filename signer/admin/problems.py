"""What is said to a caller when something is wrong: problem details (RFC 9457)."""

from http import HTTPStatus
from typing import Any

import msgspec
from starlette.responses import Response

from signer.intake.api import Refusal

__all__ = ["Problem", "described", "response"]

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = "1"  # seconds


class Problem(Exception):
    """Ends a request. `more` are members beside those of the RFC."""

    def __init__(self, refusal: Refusal, *, headers: dict[str, str] | None = None, **more: Any) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
        self.headers = headers or {}
        self.more = more


def described(refusal: Refusal) -> dict[str, Any]:
    """`remedy` says what to do."""
    found = {
        "type": "about:blank",
        "title": HTTPStatus(refusal.status).phrase,
        "status": refusal.status,
        "detail": refusal.message,
    }
    return found | ({"remedy": refusal.remedy} if refusal.remedy else {})


def response(problem: Problem) -> Response:
    """The connection ends with it: what is left of the request's body is not waited for."""
    headers = {"Connection": "close", "Cache-Control": "no-store", **problem.headers}
    if problem.refusal.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.setdefault("Retry-After", RETRY_AFTER)
    body = msgspec.json.encode(described(problem.refusal) | problem.more)
    return Response(body, problem.refusal.status, headers, MEDIA_TYPE)
