"""CRLs over HTTP: GET and HEAD of the paths of their URLs, conditions, ranges, and header fields of conformance U-07."""

import re
from collections.abc import Iterable

import structlog

from _fastpath.http import imf_fixdate
from responder.answers import Conditions, Header, HttpAnswer, http_refusal, not_modified
from responder.counters import Counters
from responder.crl_trust import UntrustedCrl
from responder.crl_versions import CrlVersions, LoadedCrl, TooManyWaiting
from responder.ranges import RangeRequest, ranged
from store.config import ObjectTarget
from store.errors import ConfigError, StoreError
from store.model import Issuer

__all__ = ["CRL_PREFIX", "CrlEndpoint"]

log = structlog.get_logger()

CRL_PREFIX = b"/crl/"  # no OCSP request begins so: its base64 begins with M
PATH = re.compile(rb"/(crl/([a-z0-9][a-z0-9._-]{0,62})/(?:[0-9]{1,9}-[0-9]{1,9}|full|ca)\.crl)")
MAX_AGE = 14_400  # U-05: root programs fetch every 4 h
RETRY_AFTER = (b"retry-after", b"60")


class CrlEndpoint:
    """Answers GET and HEAD for the paths of CRL URLs."""

    def __init__(self, target: ObjectTarget | str, issuers: Iterable[Issuer], counters: Counters) -> None:
        self._issuers = {issuer.name: issuer for issuer in issuers}
        self._counters = counters
        self._versions = CrlVersions(target, counters)

    async def answer(self, method: str, raw_path: bytes, headers: Iterable[Header], now: int) -> HttpAnswer:
        """200, 206, 304, 404, 416, or 503 where there is a CRL but none that may be sent."""
        try:
            answer = await self._answer(method, raw_path, list(headers), now)
        except Exception:
            log.exception("CRL request could not be answered")
            answer = http_refusal(503, now, RETRY_AFTER)
        self._counters.add("crl_responses_total", str(answer.code))
        return answer

    async def _answer(self, method: str, raw_path: bytes, headers: list[Header], now: int) -> HttpAnswer:
        match = PATH.fullmatch(raw_path)
        issuer = self._issuers.get(match[2].decode()) if match else None
        if match is None or issuer is None:
            return http_refusal(404, now)
        path = match[1].decode()
        try:
            loaded = await self._versions.get(path, issuer)
        except (StoreError, ConfigError, UntrustedCrl, TooManyWaiting) as error:
            log.error("CRL cannot be served", path=path, reason=str(error))
            return http_refusal(503, now, RETRY_AFTER)
        if loaded is None:
            return http_refusal(404, now)
        if now >= loaded.version.next_update:
            log.error("CRL has expired", path=path)
            return http_refusal(503, now, RETRY_AFTER)  # B1: nothing is sent past nextUpdate
        answer = _http_answer(loaded, now)
        # RFC 9110 section 13.2.2: what the client has comes before the part that it asks for.
        if Conditions.of(headers).match(loaded.etag, loaded.version.this_update):
            return not_modified(answer)
        return ranged(answer, RangeRequest.of(headers), loaded.etag, now) if method == "GET" else answer


def _http_answer(loaded: LoadedCrl, now: int) -> HttpAnswer:
    """The header fields of U-07."""
    version = loaded.version
    headers = (
        (b"date", imf_fixdate(now)),
        (b"content-type", b"application/pkix-crl"),
        (b"content-length", b"%d" % len(loaded.stored.data)),
        (b"last-modified", imf_fixdate(version.this_update)),
        (b"etag", loaded.etag),
        (b"expires", imf_fixdate(version.next_update)),
        (b"cache-control", b"public, max-age=%d, no-transform" % min(MAX_AGE, version.next_update - now)),
        (b"accept-ranges", b"bytes"),
    )
    return HttpAnswer(200, headers, loaded.stored.data, version.this_update)
