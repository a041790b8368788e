"""What each HTTP request is answered with: OCSP by GET, HEAD and POST, CRLs, and refusals (conformance H-01)."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog

from _fastpath.errors import MalformedRequest
from _fastpath.http import (
    TOLERATED_DOUBLE_ENCODING,
    TOLERATED_LINE_BREAK,
    TOLERATED_PADDING,
    TOLERATED_SPACE,
    TOLERATED_URL_ALPHABET,
    decode_get_path,
)
from _fastpath.lookup import StatusSource
from _fastpath.request import parse_request
from responder.answers import Conditions, HttpAnswer, error_answer, http_refusal, not_modified, ocsp_answer
from responder.config import ResponderSection
from responder.counters import Counters
from responder.crls import CRL_PREFIX, CrlEndpoint
from responder.errors import Failed, Malformed, Refused, TryLater, Unauthorized
from responder.protocol import REFUSAL
from responder.resolver import Resolver
from store.clock import Clock

__all__ = ["Endpoints", "Receive", "Scope", "Send"]

log = structlog.get_logger()

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MEDIA_TYPES = frozenset(
    # The last two are what clients send that set none themselves (K-09).
    {b"", b"application/ocsp-request", b"application/octet-stream", b"application/x-www-form-urlencoded"}
)
TOLERATED = {
    TOLERATED_SPACE: "space",
    TOLERATED_LINE_BREAK: "line_break",
    TOLERATED_PADDING: "padding",
    TOLERATED_URL_ALPHABET: "url_alphabet",
    TOLERATED_DOUBLE_ENCODING: "double_encoding",
}


class _HttpRefusal(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class _ClientLeft(Exception):
    pass


class Endpoints:
    """The public listener's ASGI application, but for its life cycle."""

    def __init__(
        self,
        section: ResponderSection,
        resolver: Resolver,
        source: StatusSource,
        crls: CrlEndpoint,
        counters: Counters,
        clock: Clock,
    ) -> None:
        self._section = section
        self._prefix = section.prefix.encode()
        self._resolver = resolver
        self._source = source
        self._crls = crls
        self._counters = counters
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = self._clock.monotonic()
        self._counters.add("http_slow_requests_total")
        try:
            answer = await self.handle(scope, receive)
        except _ClientLeft:
            return
        await send({"type": "http.response.start", "status": answer.code, "headers": list(answer.headers)})
        body = b"" if scope["method"] == "HEAD" else answer.body
        await send({"type": "http.response.body", "body": body})
        self._counters.observe("ocsp_request_seconds", self._clock.monotonic() - began)

    async def handle(self, scope: Scope, receive: Receive) -> HttpAnswer:
        """The answer to one request. The query never has a say (H-19)."""
        method: str = scope["method"]
        path: bytes = scope["raw_path"]
        try:
            if method in ("GET", "HEAD") and path.startswith(CRL_PREFIX):
                return await self._crls.answer(method, path, scope["headers"], self._clock.now())
            if method in ("GET", "HEAD"):
                rest = self._below_prefix(path)
                answer = await self._ocsp(method, lambda: self._decode(rest))
                return _conditional(answer, Conditions.of(scope["headers"]), self._counters)
            if method == "POST":
                self._below_prefix(path)
                body = await self._body(scope, receive)
                return await self._ocsp(method, lambda: body)
            raise _HttpRefusal(405)
        except _HttpRefusal as refusal:
            self._counters.add("http_refusals_total", str(refusal.code))
            return http_refusal(refusal.code, self._clock.now())

    async def _ocsp(self, method: str, read: Callable[[], bytes]) -> HttpAnswer:
        try:
            request = parse_request(self._measured(read()))
            entry = await self._resolver.resolve(request)
        except MalformedRequest:
            return self._refused(Malformed(), method)
        except Refused as refused:
            return self._refused(refused, method)
        except Exception:
            # H-01: nginx and HAProxy staple nothing and Java throws on a 500; a fault of ours is an OCSP answer too.
            log.exception("request could not be answered")
            return self._refused(Failed(), method)
        now = self._clock.now()
        self._counters.add("ocsp_responses_total", "revoked" if entry.revoked else "good", method)
        self._counters.observe("ocsp_response_age_seconds", now - entry.this_update)
        return ocsp_answer(entry, now, self._source.max_age_limit() or 0)

    def _measured(self, request: bytes) -> bytes:
        self._counters.add_amount("ocsp_request_bytes_total", len(request))
        return request

    def _refused(self, refused: Refused, method: str) -> HttpAnswer:
        self._counters.add("ocsp_responses_total", refused.status, method)
        if isinstance(refused, Unauthorized):
            self._counters.add("ocsp_unauthorized_total", refused.cause)
        elif isinstance(refused, TryLater):
            self._counters.add("ocsp_try_later_total", refused.cause)
        return error_answer(refused.status, self._clock.now())

    def _below_prefix(self, path: bytes) -> bytes:
        rest = path.removeprefix(self._prefix)
        if self._prefix and (rest == path or rest[:1] not in (b"", b"/")):
            raise _HttpRefusal(404)
        return rest

    def _decode(self, path: bytes) -> bytes:
        request, tolerated = decode_get_path(path, strict=self._section.strict_base64)
        if tolerated:
            for bit, kind in TOLERATED.items():
                if tolerated & bit:
                    self._counters.add("ocsp_tolerated_total", kind)
        return request

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """The body of a POST. Raises _ClientLeft, or _HttpRefusal: 415, 413 before more than the limit is kept.

        The connection times it, and says in the scope what was wrong with one that did not come.
        """
        headers: dict[bytes, bytes] = dict(scope["headers"])
        media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if media_type not in MEDIA_TYPES:
            raise _HttpRefusal(415)
        declared = headers.get(b"content-length", b"0")
        if len(declared) > 18 or int(declared) > self._section.body_limit:
            raise _HttpRefusal(413)
        parts: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _ClientLeft
            if REFUSAL in scope["state"]:
                raise _HttpRefusal(scope["state"][REFUSAL])
            parts.append(message["body"])
            size += len(parts[-1])
            if size > self._section.body_limit:
                raise _HttpRefusal(413)
            more = message["more_body"]
        return b"".join(parts)


def _conditional(answer: HttpAnswer, conditions: Conditions, counters: Counters) -> HttpAnswer:
    """A 304 where the client has what the answer says; answers without an ETag are no representations."""
    headers = dict(answer.headers)
    etag = headers.get(b"etag")
    if etag is None or not conditions.match(etag, answer.last_modified):
        return answer
    counters.add("ocsp_not_modified_total")
    return not_modified(answer)
