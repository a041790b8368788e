"""From an OCSPRequest to the signed answer, by way of the store; everything that stands between is a refusal."""

import asyncio
from typing import Literal

from _fastpath.answer import Entry
from _fastpath.cache import Cache
from _fastpath.certid import SHA1, SHA256, CertID
from _fastpath.errors import FastpathError
from _fastpath.lookup import StatusSource
from _fastpath.page import HEADER_FIELD, PageHeader, page_number
from _fastpath.request import OCSPRequest
from responder.errors import LookupFailed, TryLater, TryLaterCause, Unauthorized
from responder.issuers import Issuers, IssuerView, PinnedIssuer
from responder.lookup import StoreLink
from responder.wire import INTEGER, NULLABLE_BYTES, Request
from store.clock import Clock
from store.schema import page_key

__all__ = ["Resolver"]

KNOWN_ALGORITHMS = (SHA1, SHA256)
Outcome = Entry | TryLaterCause | Literal["no_record", "absent"]  # of a lookup that met no fault


class Resolver:
    """Answers requests out of one worker's cache and store."""

    def __init__(
        self, issuers: Issuers, link: StoreLink, source: StatusSource, clock: Clock, *, timeout: float
    ) -> None:
        self._issuers = issuers
        self._link = link
        self._source = source
        self._clock = clock
        self._timeout = timeout  # seconds a request may wait for the store

    async def resolve(self, request: OCSPRequest) -> Entry:
        """The signed answer, which may be sent now. Raises Unauthorized, TryLater."""
        pinned = self._same_certificate(request.cert_ids)
        deadline = asyncio.get_running_loop().time() + self._timeout
        try:
            entry = await self._answer(pinned, request.cert_ids, deadline)
        except LookupFailed as error:
            raise TryLater(error.cause) from None
        fault = self._fault(entry)
        if fault is not None:
            raise TryLater(fault)
        return entry

    def _fault(self, entry: Entry) -> TryLaterCause | None:
        """Why an answer may not be sent now, or None."""
        if self._source.max_age_limit() is None:
            return "store_down"
        return entry.fault(self._clock.now())

    def _same_certificate(self, cert_ids: tuple[CertID, ...]) -> PinnedIssuer:
        """The issuer of the one certificate that is asked for. Raises Unauthorized (Q-05, Q-07, R-11)."""
        found = [self._issuers.find(cert_id) for cert_id in cert_ids]
        first = found[0]
        if any(
            pinned is not first or cert_id.serial_number != cert_ids[0].serial_number
            for pinned, cert_id in zip(found, cert_ids, strict=True)
        ):
            raise Unauthorized("several_certificates")
        if first is None:
            known = cert_ids[0].hash_algorithm in KNOWN_ALGORITHMS
            raise Unauthorized("unknown_issuer" if known else "hash_algorithm")
        return first

    async def _answer(self, pinned: PinnedIssuer, cert_ids: tuple[CertID, ...], deadline: float) -> Entry:
        """Look once, and once more where the first reply was in doubt."""
        view = await self._issuers.view(pinned)
        try:
            return await self._look_up(view, _served(cert_ids, view), deadline)
        except TryLater as error:
            if error.cause not in ("unknown_slot", "page_changed"):
                raise
        view = await self._issuers.view_again(pinned)
        return await self._look_up(view, _served(cert_ids, view), deadline)

    async def _look_up(self, view: IssuerView, cert_id: CertID, deadline: float) -> Entry:
        entry = self._source.find(cert_id)
        if entry is not None and self._fault(entry) is None:
            return entry
        outcome = await self._outcome(view, cert_id)
        if outcome == "absent":
            await self._check_whole(view, cert_id, deadline)
            outcome = await self._outcome(view, cert_id)
        if isinstance(outcome, Entry):
            return outcome
        if outcome == "no_record":
            raise Unauthorized("no_record")
        raise TryLater("page_changed" if outcome == "absent" else outcome)

    async def _outcome(self, view: IssuerView, cert_id: CertID) -> Outcome:
        """What one lookup comes to. Raises what it met that nobody foresaw."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def settle(outcome: Outcome | Exception) -> None:
            if future.done():
                return
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

        cause = self._source.look_up(view.compiled, cert_id, settle)
        return await future if cause is None else cause

    async def _check_whole(self, view: IssuerView, cert_id: CertID, deadline: float) -> None:
        """Raise TryLater unless the page is whole: only then is a missing record a fact (C4)."""
        layout = view.record
        page = page_number(cert_id.serial_number, layout.page_bits)
        key = page_key(view.compiled.name, layout.page_epoch, page)
        check = _PageCheck(key, self._source.cache)
        await self._link.execute(*check.requests(deadline))
        if not check.whole:
            raise TryLater("page_incomplete")


class _PageCheck:
    """Compares a page's header with its number of fields, at the place of the replies among the invalidations."""

    def __init__(self, key: bytes, cache: Cache) -> None:
        self._key = key
        self._cache = cache
        self._header: bytes | None = None
        self.whole = False

    def requests(self, deadline: float) -> tuple[Request, Request]:
        """Two requests that leave together."""
        return (
            Request(
                b"HGET", self._key, HEADER_FIELD,
                expected=NULLABLE_BYTES, deadline=deadline, replied=self._take_header,
            ),
            Request(b"HLEN", self._key, expected=INTEGER, deadline=deadline, replied=self._take_length),
        )  # fmt: skip

    def _take_header(self, value: bytes | None) -> None:
        self._header = value

    def _take_length(self, length: int) -> None:
        if self._header is None:
            return
        try:
            self.whole = PageHeader.decode(self._header).count + 1 == length
        except FastpathError:
            return
        if self.whole:
            self._cache.mark_whole(self._key)


def _served(cert_ids: tuple[CertID, ...], view: IssuerView) -> CertID:
    """The first CertID whose hash algorithm the issuer's answers are signed for. Raises Unauthorized (Q-05)."""
    for cert_id in cert_ids:
        if cert_id.hash_algorithm in view.record.certid_algorithms:
            return cert_id
    raise Unauthorized("hash_algorithm")
