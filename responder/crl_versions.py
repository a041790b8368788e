"""The CRLs a worker has: fetched from the object store, verified, kept in bounded memory, renewed while they are served."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import partial

import structlog

from responder.counters import Counters
from responder.crl_trust import CrlVersion, UntrustedCrl, verify_crl
from store.config import ObjectTarget
from store.errors import StoreError
from store.model import Issuer
from store.objects import ObjectStore, StoredObject, open_object_store, read_object_async

__all__ = ["CrlVersions", "LoadedCrl", "TooManyWaiting"]

log = structlog.get_logger()

RECHECK = 1.0  # seconds for which a version is served without asking the object store again
PATIENCE = 0.5  # seconds a request waits for that where there is a version it can have
MEMORY = 256 << 20  # octets of CRLs kept
FETCHES = 2  # at once, of CRLs in memory, and as many of others: each may have 10 MB
WAITING = 64  # paths not in memory that are looked for at once; anybody can invent them (F2)


class TooManyWaiting(Exception):
    """More is being looked for than can be found in time."""


@dataclass(frozen=True, slots=True)
class LoadedCrl:
    """One version of a CRL: its octets and what they say, which belong together whatever is published meanwhile (D9)."""

    stored: StoredObject
    version: CrlVersion
    checked_at: float  # loop time

    @property
    def etag(self) -> bytes:
        """Strong: the same octets have it on every host, others never."""
        return b'"' + self.version.sha256.encode() + b'"'


_Fetches = dict[str, "asyncio.Task[LoadedCrl | None]"]  # by path


class CrlVersions:
    """The newest version of each path that may be served. For one event loop."""

    def __init__(self, target: ObjectTarget | str, counters: Counters) -> None:
        self._target = target
        self._counters = counters
        self._store: ObjectStore | None = None
        self._loaded: OrderedDict[str, LoadedCrl] = OrderedDict()
        self._octets = 0
        self._served: dict[str, CrlVersion] = {}  # the newest by path, also when it is no longer in memory
        self._refused: dict[str, tuple[StoredObject, str]] = {}  # tag without data, and why
        self._renewing: _Fetches = {}
        self._looking: _Fetches = {}
        # Apart: who asks for what is not there holds up no renewal.
        self._renewals, self._look_ups = asyncio.Semaphore(FETCHES), asyncio.Semaphore(FETCHES)

    async def get(self, path: str, issuer: Issuer) -> LoadedCrl | None:
        """The CRL at a path of the object store, or None if there is none.

        Raises ConfigError, StoreError, UntrustedCrl or TooManyWaiting where there may be one but none to be served.
        """
        known = self._loaded.get(path)
        if known is None:
            if path not in self._looking and len(self._looking) >= WAITING:
                raise TooManyWaiting(f"{WAITING} paths are being looked for")
            return await asyncio.shield(self._fetch(path, issuer, self._looking, self._look_ups))
        if self._age(known) < RECHECK:
            return known
        renewal = self._fetch(path, issuer, self._renewing, self._renewals)
        done, _ = await asyncio.wait({renewal}, timeout=PATIENCE)
        # U-06: an object store that is slow or gone takes nothing away.
        return renewal.result() if done else known

    def _fetch(
        self,
        path: str,
        issuer: Issuer,
        under_way: _Fetches,
        turn: asyncio.Semaphore,
    ) -> "asyncio.Task[LoadedCrl | None]":
        """One fetch for all who wait for a path."""
        if path not in under_way:
            task = asyncio.get_running_loop().create_task(self._update(path, issuer, turn))
            task.add_done_callback(partial(_forget, under_way, path))
            under_way[path] = task
        return under_way[path]

    async def _update(self, path: str, issuer: Issuer, turn: asyncio.Semaphore) -> LoadedCrl | None:
        async with turn:
            known = self._loaded.get(path)
            try:
                loaded = await self._read(path, issuer, known)
            except (StoreError, UntrustedCrl) as error:
                if known is None:
                    raise
                # U-06: what was good stays good until its nextUpdate, whatever lies in its place.
                log.error("CRL is not renewed", path=path, reason=str(error))
                loaded = replace(known, checked_at=self._now())
            self._keep(path, loaded)
            return loaded

    async def _read(self, path: str, issuer: Issuer, known: LoadedCrl | None) -> LoadedCrl | None:
        """The version in the object store, verified. Raises ConfigError, StoreError, UntrustedCrl."""
        now = self._now()
        if self._store is None:
            self._store = open_object_store(self._target)
        refused, reason = self._refused.get(path, (None, ""))
        before = refused or (known.stored if known else None)
        stored = await read_object_async(self._store, path, before)
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
        return LoadedCrl(stored, version, now)

    def _keep(self, path: str, loaded: LoadedCrl | None) -> None:
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

    def _age(self, loaded: LoadedCrl) -> float:
        return self._now() - loaded.checked_at

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _forget(under_way: _Fetches, path: str, done: "asyncio.Task[LoadedCrl | None]") -> None:
    del under_way[path]
    if not done.cancelled():
        done.exception()  # nobody may be waiting any more for what it raised
