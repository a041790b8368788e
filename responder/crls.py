"""CRLs as they are served: fetched from the object store, kept in memory by version, sent until their nextUpdate."""

import asyncio
import hashlib
import re
from collections import OrderedDict
from dataclasses import dataclass

import structlog
from cryptography import x509

from _fastpath.http import imf_fixdate
from responder.answers import Conditions, HttpAnswer, http_refusal, not_modified
from responder.counters import Counters
from store.errors import ConfigError, StoreError
from store.objects import ObjectStore, StoredObject, open_object_store, read_object_async

__all__ = ["CRL_PREFIX", "CrlEndpoint"]

log = structlog.get_logger()

CRL_PREFIX = b"/crl/"  # no OCSP request begins so: its base64 begins with M
PATH = re.compile(rb"/(crl/[a-z0-9][a-z0-9._-]{0,62}/[0-9]{1,9}-[0-9]{1,9}\.crl)")
MAX_AGE = 14_400  # U-05: root programs fetch every 4 h
RECHECK = 1.0  # seconds for which a version is served without asking the object store again
MEMORY = 256 << 20  # octets of CRLs kept
RETRY_AFTER = (b"retry-after", b"60")


@dataclass(frozen=True, slots=True)
class _Loaded:
    """One version of a CRL with what its header fields say."""

    stored: StoredObject
    etag: bytes
    this_update: int
    next_update: int
    checked_at: float  # loop time


class CrlEndpoint:
    """Answers GET and HEAD for the paths of CRL URLs."""

    def __init__(self, target: str, counters: Counters) -> None:
        self._target = target
        self._counters = counters
        self._store: ObjectStore | None = None
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()
        self._octets = 0
        self._lock = asyncio.Lock()

    async def answer(self, raw_path: bytes, conditions: Conditions, now: int) -> HttpAnswer:
        """200, 304, 404, or 503 where there is a CRL but none that may be sent. A Range is passed over (U-10)."""
        answer = await self._answer(raw_path, conditions, now)
        self._counters.add("crl_responses_total", str(answer.code))
        return answer

    async def _answer(self, raw_path: bytes, conditions: Conditions, now: int) -> HttpAnswer:
        match = PATH.fullmatch(raw_path)
        if match is None:
            return http_refusal(404, now)
        try:
            loaded = await self._load(match[1].decode())
        except (StoreError, ConfigError, ValueError) as error:
            log.error("CRL cannot be served", path=match[1].decode(), reason=str(error))
            return http_refusal(503, now, RETRY_AFTER)
        if loaded is None:
            return http_refusal(404, now)
        if now >= loaded.next_update:
            log.error("CRL has expired", path=match[1].decode())
            return http_refusal(503, now, RETRY_AFTER)  # B1: nothing is sent past nextUpdate
        answer = _http_answer(loaded, now)
        return not_modified(answer) if conditions.match(loaded.etag, loaded.this_update) else answer

    async def _load(self, path: str) -> _Loaded | None:
        loop = asyncio.get_running_loop()
        known = self._loaded.get(path)
        if known is not None and loop.time() - known.checked_at < RECHECK:
            return known
        async with self._lock:  # one fetch at a time: a CRL may have 10 MB
            known = self._loaded.get(path)
            if known is not None and loop.time() - known.checked_at < RECHECK:
                return known
            if self._store is None:
                self._store = open_object_store(self._target)
            stored = await read_object_async(self._store, path, known.stored if known else None)
            loaded = None if stored is None else _read(stored, loop.time())
            self._keep(path, loaded)
            return loaded

    def _keep(self, path: str, loaded: _Loaded | None) -> None:
        """Put a version in the place of the one before, and let the longest unused go when memory is full."""
        before = self._loaded.pop(path, None)
        self._octets -= len(before.stored.data) if before else 0
        if loaded is None:
            return
        self._loaded[path] = loaded
        self._octets += len(loaded.stored.data)
        while self._octets > MEMORY and len(self._loaded) > 1:
            _, oldest = self._loaded.popitem(last=False)
            self._octets -= len(oldest.stored.data)


def _read(stored: StoredObject, checked_at: float) -> _Loaded:
    """Raises ValueError for what is not a CRL with a nextUpdate."""
    crl = x509.load_der_x509_crl(stored.data)
    if crl.next_update_utc is None:
        raise ValueError("the CRL has no nextUpdate")
    return _Loaded(
        stored,
        b'"' + hashlib.sha256(stored.data).hexdigest().encode() + b'"',
        int(crl.last_update_utc.timestamp()),
        int(crl.next_update_utc.timestamp()),
        checked_at,
    )


def _http_answer(loaded: _Loaded, now: int) -> HttpAnswer:
    """The header fields of U-07."""
    age = max(0, min(MAX_AGE, loaded.next_update - now))
    headers = (
        (b"date", imf_fixdate(now)),
        (b"content-type", b"application/pkix-crl"),
        (b"content-length", b"%d" % len(loaded.stored.data)),
        (b"last-modified", imf_fixdate(loaded.this_update)),
        (b"etag", loaded.etag),
        (b"expires", imf_fixdate(loaded.next_update)),
        (b"cache-control", b"public, max-age=%d, no-transform" % age),
    )
    return HttpAnswer(200, headers, loaded.stored.data)
