"""From an OCSPRequest to the signed answer, by way of the store; everything that stands between is a refusal."""

import asyncio

import structlog

from _fastpath.certid import SHA1, SHA256, CertID
from _fastpath.errors import FastpathError, RecordDamaged, UnknownFormat
from _fastpath.page import HEADER_FIELD, Answer, PageHeader, assemble, page_number, record_slot
from _fastpath.request import OCSPRequest
from responder.counters import Counters
from responder.errors import LookupFailed, TryLater, Unauthorized
from responder.issuers import Issuers, IssuerView, PinnedIssuer
from responder.lookup import StoreLink
from responder.trust import TrustedTemplate
from store.clock import Clock
from store.schema import page_key

__all__ = ["Resolver"]

log = structlog.get_logger()

KNOWN_ALGORITHMS = (SHA1, SHA256)


class Resolver:
    """Answers requests out of one store."""

    def __init__(
        self, issuers: Issuers, link: StoreLink, counters: Counters, clock: Clock, *, timeout: float
    ) -> None:
        self._issuers = issuers
        self._link = link
        self._counters = counters
        self._clock = clock
        self._timeout = timeout  # seconds a request may wait for the store

    async def resolve(self, request: OCSPRequest) -> Answer:
        """The signed answer, whatever its times. Raises Unauthorized, TryLater."""
        pinned = self._same_certificate(request.cert_ids)
        deadline = asyncio.get_running_loop().time() + self._timeout
        try:
            view = await self._issuers.view(pinned)
            cert_id = _served(request.cert_ids, view)
            try:
                return await self._answer(pinned, view, cert_id, deadline)
            except TryLater as error:
                if error.cause not in ("unknown_slot", "page_changed"):
                    raise
            view = await self._issuers.view_again(pinned)
            return await self._answer(pinned, view, _served(request.cert_ids, view), deadline)
        except LookupFailed as error:
            raise TryLater(error.cause) from None

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

    async def _answer(
        self, pinned: PinnedIssuer, view: IssuerView, cert_id: CertID, deadline: float
    ) -> Answer:
        record = await self._record(pinned, view, cert_id.serial_number, deadline)
        try:
            trusted = _template_of(view, record)
            answer = assemble(
                trusted.template,
                trusted.number,
                pinned.issuer.id,
                cert_id.hash_algorithm,
                cert_id.serial_number,
                record,
            )
        except (RecordDamaged, UnknownFormat) as error:
            raise self._damaged(pinned, cert_id, error) from None
        if answer is None:
            raise TryLater("no_signature")
        self._check_trust(pinned, trusted, answer)
        return answer

    async def _record(self, pinned: PinnedIssuer, view: IssuerView, serial: bytes, deadline: float) -> bytes:
        layout = view.record
        key = page_key(pinned.issuer.name, layout.page_epoch, page_number(serial, layout.page_bits))
        record = await self._link.hget(key, serial, deadline)
        if record is None:
            await self._check_whole(key, deadline)
        if pinned.view is not view:
            raise TryLater("page_changed")  # another page epoch, or other templates in the slots
        if record is None:
            raise Unauthorized("no_record")
        return record

    async def _check_whole(self, key: bytes, deadline: float) -> None:
        """Raise TryLater unless the page is whole: only then is a missing record a fact (C4)."""
        value, length = await self._link.header_and_length(key, HEADER_FIELD, deadline)
        try:
            whole = value is not None and PageHeader.decode(value).count + 1 == length
        except FastpathError:
            whole = False
        if not whole:
            raise TryLater("page_incomplete")

    def _damaged(self, pinned: PinnedIssuer, cert_id: CertID, error: FastpathError) -> TryLater:
        """C1: a record that is not the one asked for condemns the connection that it came on."""
        log.error(
            "record refused",
            issuer=pinned.issuer.name,
            serial=cert_id.serial_number.hex(),
            reason=str(error),
        )
        self._link.drop("store_down")
        return TryLater("record_damaged" if isinstance(error, RecordDamaged) else "unknown_format")

    def _check_trust(self, pinned: PinnedIssuer, trusted: TrustedTemplate, answer: Answer) -> None:
        """Raise TryLater for a signer whose certificate is not valid now, or a signature that fails (C2)."""
        if not trusted.holds_at(self._clock.now()):
            raise TryLater("template_untrusted")
        if not trusted.sampler.choose():
            return
        verified = trusted.verifies(answer.body)
        self._counters.add("ocsp_signature_checks_total", "ok" if verified else "failed")
        if not verified:
            trusted.sampler.failed = True
            log.error("signature does not verify", issuer=pinned.issuer.name, template=trusted.number)
            raise TryLater("bad_signature")


def _served(cert_ids: tuple[CertID, ...], view: IssuerView) -> CertID:
    """The first CertID whose hash algorithm the issuer's answers are signed for. Raises Unauthorized (Q-05)."""
    for cert_id in cert_ids:
        if cert_id.hash_algorithm in view.record.certid_algorithms:
            return cert_id
    raise Unauthorized("hash_algorithm")


def _template_of(view: IssuerView, record: bytes) -> TrustedTemplate:
    """The template that a record names. Raises TryLater, RecordDamaged, UnknownFormat."""
    slot = record_slot(record)
    trusted = view.templates.get(slot)
    if trusted is None:
        raise TryLater(view.refused.get(slot, "unknown_slot"))
    return trusted
