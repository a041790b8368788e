"""From an OCSPRequest to the signed answer, by way of the store; everything that stands between is a refusal."""

import asyncio
from typing import Literal

from _fastpath.answer import Entry
from _fastpath.certid import SHA1, SHA256, CertID
from _fastpath.lookup import StatusSource
from _fastpath.request import OCSPRequest
from responder.errors import LookupFailed, TryLater, TryLaterCause, Unauthorized
from responder.issuers import Issuers, IssuerView, PinnedIssuer
from store.clock import Clock

__all__ = ["Resolver"]

KNOWN_ALGORITHMS = (SHA1, SHA256)
Outcome = Entry | TryLaterCause | Literal["no_record"]  # of a lookup that met no fault


class Resolver:
    """Answers requests out of one worker's cache and store."""

    def __init__(self, issuers: Issuers, source: StatusSource, clock: Clock) -> None:
        self._issuers = issuers
        self._source = source
        self._clock = clock

    async def resolve(self, request: OCSPRequest) -> Entry:
        """The signed answer, which may be sent now. Raises Unauthorized, TryLater."""
        pinned = self._same_certificate(request.cert_ids)
        try:
            entry = await self._answer(pinned, request.cert_ids)
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

    async def _answer(self, pinned: PinnedIssuer, cert_ids: tuple[CertID, ...]) -> Entry:
        """Look once, and once more where the first reply was in doubt."""
        view = await self._issuers.view(pinned)
        try:
            return await self._look_up(view, _served(cert_ids, view))
        except TryLater as error:
            if error.cause not in ("unknown_slot", "page_changed"):
                raise
        view = await self._issuers.view_again(pinned)
        return await self._look_up(view, _served(cert_ids, view))

    async def _look_up(self, view: IssuerView, cert_id: CertID) -> Entry:
        entry = self._source.find(cert_id)
        if entry is not None and self._fault(entry) is None:
            return entry
        outcome = await self._outcome(view, cert_id)
        if isinstance(outcome, Entry):
            return outcome
        if outcome == "no_record":
            raise Unauthorized("no_record")
        raise TryLater(outcome)

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


def _served(cert_ids: tuple[CertID, ...], view: IssuerView) -> CertID:
    """The first CertID whose hash algorithm the issuer's answers are signed for. Raises Unauthorized (Q-05)."""
    for cert_id in cert_ids:
        if cert_id.hash_algorithm in view.record.certid_algorithms:
            return cert_id
    raise Unauthorized("hash_algorithm")
