"""The intake API over HTTP: who calls, what of, and how it is answered. Nothing is said before it is durable."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from signer.admin.bodies import Lines, whole
from signer.admin.expected import Chunk, Expected
from signer.admin.metrics import Metrics
from signer.admin.openapi import document
from signer.admin.problems import Problem, described
from signer.admin.tokens import Tokens
from signer.config import IntakeSection
from signer.intake.api import (
    CORRECT,
    Answer,
    Intake,
    IntakeIssuer,
    Item,
    Refusal,
    UnknownIssuer,
    Work,
    refusal,
)
from signer.intake.rows import RowError
from signer.ledger.errors import LedgerError
from signer.ledger.mass_revocation import new_batch_id
from store.errors import ConfigError

__all__ = ["BATCH", "BODY_TYPES", "IntakeEndpoints"]

PREFIX = "/intake/v1/{issuer}"
BATCH = "application/x-ndjson"
BODY_TYPES = {  # of each verb, beside batches
    "certificates": ("application/json", "application/pkix-cert", "application/x-pem-file"),
    "reservations": ("application/json",),
    "revocations": ("application/json",),
}
NO_STORE = {"Cache-Control": "no-store"}
OFF = Refusal(
    403,
    "the intake API is off",
    "set `tokens` or `client_ca` in [intake] of ocsp.toml, and start `ocsp-signer run` again",
)


class IntakeEndpoints:
    """Routes of the API; `tokens` is None when only client certificates are asked for."""

    def __init__(
        self, intake: Intake, section: IntakeSection, tokens: Tokens | None, metrics: Metrics
    ) -> None:
        self._intake = intake
        self._section = section
        self._tokens = tokens
        self._metrics = metrics
        self._busy = 0
        self._document = msgspec.json.encode(document())

    def routes(self) -> list[Route]:
        one = Route(PREFIX + "/certificates/{serial}", self._find, methods=["GET"])
        api = Route("/intake/v1/openapi.json", self._describe, methods=["GET"])
        return [api, one] + [
            Route(f"{PREFIX}/{verb}", self._endpoint(verb), methods=["POST"]) for verb in BODY_TYPES
        ]

    async def _describe(self, request: Request) -> Response:
        return Response(self._document, media_type="application/json")

    async def _find(self, request: Request) -> Response:
        self._caller(request)
        issuer = self._issuer(request)
        try:
            found = await asyncio.to_thread(self._intake.find, issuer, request.path_params["serial"])
        except RowError as error:
            raise Problem(Refusal(400, str(error), CORRECT)) from None
        except LedgerError as error:
            raise Problem(refusal(error)) from None
        return _json(found)

    def _endpoint(self, verb: str) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            actor = self._caller(request)
            issuer = self._issuer(request)
            media_type = _media_type(request, verb)
            if self._busy >= self._section.limit_concurrency:
                raise Problem(Refusal(503, "too many requests are under way", "come again in a second"))
            self._busy += 1
            try:
                return await self._answer(request, issuer, verb, media_type, actor)
            finally:
                self._busy -= 1

        return endpoint

    def _caller(self, request: Request) -> str:
        """Whom the journal names. Raises Problem."""
        if not self._section.enabled:
            raise Problem(OFF)
        peer = request.state.peer
        if self._section.client_ca is not None and peer is not None:
            return f"intake {peer}"
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        name = self._bearer(token.strip()) if scheme.lower() == "bearer" and token else None
        if name is None:
            raise Problem(
                Refusal(
                    401,
                    "the caller is not known",
                    "send Authorization: Bearer TOKEN, or a certificate of the client CA",
                ),
                headers={"WWW-Authenticate": 'Bearer realm="intake"'},
            )
        return f"intake {name}"

    def _bearer(self, token: str) -> str | None:
        if self._tokens is None:
            return None
        try:
            self._tokens.refresh()
        except ConfigError as error:
            raise Problem(
                Refusal(503, "the file of tokens cannot be used", "the log of ocsp-signer says why")
            ) from error
        return self._tokens.name(token)

    def _issuer(self, request: Request) -> IntakeIssuer:
        try:
            return self._intake.issuer(request.path_params["issuer"])
        except UnknownIssuer as error:
            raise Problem(Refusal(404, error.message, error.remedy)) from None

    async def _answer(
        self, request: Request, issuer: IntakeIssuer, verb: str, media_type: str, actor: str
    ) -> Response:
        name, batch = issuer.issuer.name, new_batch_id() if media_type == BATCH else None
        work = self._intake.work(issuer, verb, "application/json" if batch else media_type, actor, batch)
        expected = Expected(name, work, request) if verb == "revocations" else None
        try:
            return await (self._many if batch else self._one)(request, work, expected, name, verb)
        except ClientDisconnect:
            return Response(status_code=400)  # to nobody

    async def _one(
        self, request: Request, work: Work, expected: Expected | None, issuer: str, verb: str
    ) -> Response:
        body = await whole(request, self._section.timeout)
        items = await asyncio.to_thread(work.read, [body])
        if expected is not None and not isinstance(items[0], RowError):
            await expected.check(items)
        (found,) = await self._carry_out(work, items)
        self._metrics.taken_in(issuer, verb, _outcome(found))
        if isinstance(found, Refusal):
            raise Problem(found)
        return _json(found.certificate)

    async def _many(
        self, request: Request, work: Work, expected: Expected | None, issuer: str, verb: str
    ) -> Response:
        section = self._section
        lines = Lines(request, octets=section.body_limit, lines=section.line_limit, pause=section.timeout)
        told: list[bytes] = []
        outcomes: Counter[str] = Counter()
        try:
            chunks = _read(work, lines)
            async for chunk in chunks if expected is None else expected.checked(chunks):
                found = await self._carry_out(work, [item for _, item in chunk])
                for (number, _), one in zip(chunk, found, strict=True):
                    outcomes[_outcome(one)] += 1
                    told.append(msgspec.json.encode({"line": number} | _line(one)))
            counts = {"lines": outcomes.total(), "outcomes": outcomes}
        except Problem as problem:
            problem.more |= {"lines": outcomes.total(), "outcomes": outcomes}
            raise
        finally:
            for outcome, count in outcomes.items():
                self._metrics.taken_in(issuer, verb, outcome, count)
        told.append(msgspec.json.encode(counts | {"batch": work.batch}))
        return Response(b"\n".join(told) + b"\n", headers=NO_STORE, media_type=BATCH)

    async def _carry_out(self, work: Work, items: list[Item]) -> list[Answer | Refusal]:
        """Durable when it returns. Raises Problem when the ledger cannot be had."""
        try:
            submitted = await asyncio.to_thread(work.submit, items)
            if submitted.done is None:
                return submitted.answers([])
            async with asyncio.timeout(self._section.timeout):
                results = await asyncio.wrap_future(submitted.done)
        except TimeoutError:
            raise Problem(
                Refusal(
                    503,
                    f"the ledger was not to be had for {self._section.timeout} s: whether it has this is not known",
                    "send it again: sent twice is no harm",
                )
            ) from None
        except LedgerError as error:
            raise Problem(refusal(error)) from None
        return submitted.answers(results)


async def _read(work: Work, lines: Lines) -> AsyncIterator[Chunk]:
    async for chunk in lines.chunks():
        items = await asyncio.to_thread(work.read, [line for _, line in chunk])
        yield list(zip((number for number, _ in chunk), items, strict=True))


def _media_type(request: Request, verb: str) -> str:
    found = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if found != BATCH and found not in BODY_TYPES[verb]:
        known = ", ".join((*BODY_TYPES[verb], BATCH))
        raise Problem(Refusal(415, f"Content-Type {found[:80]!r} is not taken", f"send one of {known}"))
    return found


def _outcome(found: Answer | Refusal) -> str:
    return "rejected" if isinstance(found, Refusal) else found.outcome


def _line(found: Answer | Refusal) -> dict[str, Any]:
    if isinstance(found, Refusal):
        return {"outcome": "rejected", "problem": described(found)}
    return {"outcome": found.outcome, "certificate": found.certificate}


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), headers=NO_STORE, media_type="application/json")
