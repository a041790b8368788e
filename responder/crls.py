"""CRLs as they are served: fetched from the object store, verified, kept in memory, sent until their nextUpdate."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace

import structlog

from _fastpath.http import imf_fixdate
from responder.answers import Conditions, HttpAnswer, http_refusal, not_modified
from responder.counters import Counters
from responder.crl_trust import CrlVersion, UntrustedCrl, verify_crl
from store.config import ObjectTarget
from store.errors import ConfigError, StoreError
from store.model import Issuer
from store.objects import ObjectStore, StoredObject, open_object_store, read_object_async

__all__ = ["CRL_PREFIX", "CrlEndpoint"]

log = structlog.get_logger()

CRL_PREFIX = b"/crl/"  # no OCSP request begins so: its base64 begins with M
PATH = re.compile(rb"/(crl/([a-z0-9][a-z0-9._-]{0,62})/(?:[0-9]{1,9}-[0-9]{1,9}|full|ca)\.crl)")
MAX_AGE = 14_400  # U-05: root programs fetch every 4 h
RECHECK = 1.0  # seconds for which a version is served without asking the object store again
MEMORY = 256 << 20  # octets of CRLs kept
RETRY_AFTER = (b"retry-after", b"60")


@dataclass(frozen=True, slots=True)
class _Loaded:
    """One version of a CRL with what its header fields say."""

    stored: StoredObject
    etag: bytes
    version: CrlVersion
    checked_at: float  # loop time


class CrlEndpoint:
    """Answers GET and HEAD for the paths of CRL URLs."""

    def __init__(self, target: ObjectTarget | str, issuers: Iterable[Issuer], counters: Counters) -> None:
        self._target = target
        self._issuers = {issuer.name: issuer for issuer in issuers}
        self._counters = counters
        self._store: ObjectStore | None = None
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()
        self._octets = 0
        self._served: dict[str, CrlVersion] = {}  # the newest by path, also when it is no longer in memory
        self._refused: dict[str, tuple[StoredObject, str]] = {}  # tag without data, and why
        self._lock = asyncio.Lock()

    async def answer(self, raw_path: bytes, conditions: Conditions, now: int) -> HttpAnswer:
        """200, 304, 404, or 503 where there is a CRL but none that may be sent. A Range is passed over (U-10)."""
        try:
            answer = await self._answer(raw_path, conditions, now)
        except Exception:
            log.exception("CRL request could not be answered")
            answer = http_refusal(503, now, RETRY_AFTER)
        self._counters.add("crl_responses_total", str(answer.code))
        return answer

    async def _answer(self, raw_path: bytes, conditions: Conditions, now: int) -> HttpAnswer:
        match = PATH.fullmatch(raw_path)
        issuer = self._issuers.get(match[2].decode()) if match else None
        if match is None or issuer is None:
            return http_refusal(404, now)
        path = match[1].decode()
        try:
            loaded = await self._load(path, issuer)
        except (StoreError, ConfigError, UntrustedCrl) as error:
            log.error("CRL cannot be served", path=path, reason=str(error))
            return http_refusal(503, now, RETRY_AFTER)
        if loaded is None:
            return http_refusal(404, now)
        if now >= loaded.version.next_update:
            log.error("CRL has expired", path=path)
            return http_refusal(503, now, RETRY_AFTER)  # B1: nothing is sent past nextUpdate
        answer = _http_answer(loaded, now)
        matches = conditions.match(loaded.etag, loaded.version.this_update)
        return not_modified(answer) if matches else answer

    async def _load(self, path: str, issuer: Issuer) -> _Loaded | None:
        loop = asyncio.get_running_loop()
        known = self._loaded.get(path)
        if known is not None and loop.time() - known.checked_at < RECHECK:
            return known
        async with self._lock:  # one fetch at a time: a CRL may have 10 MB
            known = self._loaded.get(path)
            if known is not None and loop.time() - known.checked_at < RECHECK:
                return known
            try:
                loaded = await self._fetch(path, issuer, known)
            except (StoreError, UntrustedCrl) as error:
                if known is None:
                    raise
                # U-06: what was good stays good until its nextUpdate, whatever lies in its place.
                log.error("CRL is not renewed", path=path, reason=str(error))
                loaded = replace(known, checked_at=loop.time())
            self._keep(path, loaded)
            return loaded

    async def _fetch(self, path: str, issuer: Issuer, known: _Loaded | None) -> _Loaded | None:
        """The version in the object store, verified. Raises ConfigError, StoreUnavailable, UntrustedCrl."""
        now = asyncio.get_running_loop().time()
        if self._store is None:
            self._store = open_object_store(self._target)
        refused, reason = self._refused.get(path, (None, ""))
        stored = await read_object_async(self._store, path, refused or (known.stored if known else None))
        if stored is None:
            return None
        if stored is refused:
            raise UntrustedCrl(reason)
        if known is not None and stored.data == known.stored.data:
            self._refused.pop(path, None)
            return replace(known, stored=stored, checked_at=now)
        try:
            # In a thread: hashing 10 MB would hold up every other request.
            version = await asyncio.to_thread(verify_crl, stored.data, issuer, self._served.get(path))
        except UntrustedCrl as error:
            self._counters.add("crl_versions_refused_total")
            self._refused[path] = StoredObject(b"", stored.e_tag), str(error)
            raise
        self._refused.pop(path, None)
        self._served[path] = version
        return _Loaded(stored, b'"' + version.sha256.encode() + b'"', version, now)

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


def _http_answer(loaded: _Loaded, now: int) -> HttpAnswer:
    """The header fields of U-07."""
    age = max(0, min(MAX_AGE, loaded.version.next_update - now))
    headers = (
        (b"date", imf_fixdate(now)),
        (b"content-type", b"application/pkix-crl"),
        (b"content-length", b"%d" % len(loaded.stored.data)),
        (b"last-modified", imf_fixdate(loaded.version.this_update)),
        (b"etag", loaded.etag),
        (b"expires", imf_fixdate(loaded.version.next_update)),
        (b"cache-control", b"public, max-age=%d, no-transform" % age),
    )
    return HttpAnswer(200, headers, loaded.stored.data)
