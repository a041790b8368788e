"""The issuers that are answered for: pinned in the configuration, with what the store says of each."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import structlog

from _fastpath.certid import OTHER, SHA1, SHA256, CertID
from _fastpath.errors import FastpathError, UnknownFormat
from _fastpath.lookup import Signer, StatusSource, View
from _fastpath.replies import ReplyQueue
from _fastpath.template import Template
from responder.counters import Counters
from responder.errors import LookupFailed, TryLater, TryLaterCause
from responder.lookup import StoreLink
from store.errors import StoreFormatError
from store.imported import Admitted, Unfit, admit
from store.model import Issuer
from store.primary import names
from store.schema import KEY_PREFIX, IssuerRecord, issuer_key, page_prefix, template_key
from store.trust import TrustedTemplate, Untrusted, trust_template

__all__ = ["IssuerView", "Issuers", "PinnedIssuer"]

log = structlog.get_logger()

RELOAD_INTERVAL = 1.0  # seconds between two reloads that a record asks for
SAMPLE_INTERVAL = 0.01  # seconds between two signatures that are verified, by template (C2): 80 us each
IMPORTED = 1_000  # responses signed elsewhere that are known to be right, by issuer
MAX_RELOADS = 3  # in a row, while invalidations keep coming
PAGE_PREFIX = KEY_PREFIX + b"page:"


@dataclass(frozen=True, slots=True)
class IssuerView:
    """What the store said of an issuer at one time. Identity tells whether it still holds."""

    record: IssuerRecord
    compiled: View  # the same as lookups use it
    loaded_at: float  # loop time


class PinnedIssuer:
    """One issuer of the configuration and its present view."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self.view: IssuerView | TryLaterCause | None = None  # None: to be read
        self.failure: TryLaterCause = "store_down"  # of the last attempt to read
        self.version = 0  # how often it was invalidated
        self.reading: asyncio.Task[None] | None = None


class Issuers:
    """Finds the issuer of a CertID and keeps its view fresh."""

    def __init__(
        self,
        issuers: Iterable[Issuer],
        link: StoreLink,
        source: StatusSource,
        counters: Counters,
        *,
        verify_all: bool,
        timeout: float,
    ) -> None:
        self.pinned = tuple(PinnedIssuer(issuer) for issuer in issuers)
        self._by_hashes = {
            pinned.issuer.id.lookup_key(algorithm): pinned
            for pinned in self.pinned
            for algorithm in (SHA1, SHA256)  # their lengths differ, so that one dict holds both
        }
        self._link = link
        self._source = source
        self._counters = counters
        self._sample_interval = 0.0 if verify_all else SAMPLE_INTERVAL
        self._timeout = timeout
        self._imported = {
            # Looked at once, also where nothing is cached: reading takes ten times as long as verifying.
            pinned.issuer.name: lru_cache(IMPORTED)(partial(self._admit_imported, pinned.issuer))
            for pinned in self.pinned
        }
        self._replication_id = b""  # of the primary that is used
        for pinned in self.pinned:
            self._set(pinned, None)

    def find(self, cert_id: CertID) -> PinnedIssuer | None:
        """The issuer whose name and key hashes these are (Q-04)."""
        if cert_id.hash_algorithm == OTHER:
            return None
        return self._by_hashes.get(cert_id.issuer_name_hash + cert_id.issuer_key_hash)

    def head_keys(self) -> Sequence[bytes]:
        """Of the issuers' records."""
        return [issuer_key(pinned.issuer.name) for pinned in self.pinned]

    def admits(self, replication_id: bytes, heads: Sequence[bytes | None]) -> bool:
        """Whether to use the primary with this id: when it is reconciled for all whose cached answers still go on.

        With its first lookup those answers end. So one issuer that nobody signs for any more delays the others for
        `max_unverified` at most, and one that was never signed for not at all.
        """
        reconciled = [names(head, replication_id) for head in heads]
        waiting = any(
            isinstance(pinned.view, IssuerView) and not done
            for pinned, done in zip(self.pinned, reconciled, strict=True)
        )
        if not any(reconciled) or (waiting and self._source.max_age_limit() is not None):
            return False
        self._replication_id = replication_id
        return True

    def connected(self, channel: ReplyQueue) -> None:
        """Read everything again: changes were not tracked while the connection was lost."""
        self._source.renew(channel)
        for pinned in self.pinned:
            self._read_again(pinned)

    def verified(self, at: float) -> None:
        """The connection works; what is cached holds."""
        self._source.verified(at)

    def disconnected(self) -> None:
        """What is cached may be used for a while (A1)."""
        self._source.cut_off()

    def invalidated(self, keys: list[bytes] | None) -> None:
        """Forget these pages, and read again what else the keys are about; a template is one of any issuer's.

        A store that was emptied is as good as gone until the signer has filled it again (A2).
        """
        if keys is None:
            self._link.drop("store_down")
            return
        self._source.cache.invalidate(keys)
        for pinned in self.pinned:
            if any(_concerns(key, pinned.issuer.name) for key in keys):
                self._read_again(pinned)

    def _read_again(self, pinned: PinnedIssuer) -> None:
        pinned.version += 1
        self._set(pinned, None)
        self._read(pinned)

    async def settled(self) -> None:
        """Wait until what is being read has been read."""
        await asyncio.gather(*(pinned.reading for pinned in self.pinned if pinned.reading is not None))

    async def view(self, pinned: PinnedIssuer) -> IssuerView:
        """The issuer's present view. Raises TryLater when there is none to be had."""
        if pinned.view is None:
            await asyncio.shield(self._read(pinned))
        if isinstance(pinned.view, IssuerView):
            return pinned.view
        raise TryLater(pinned.view or pinned.failure)

    async def view_again(self, pinned: PinnedIssuer) -> IssuerView:
        """A view read anew, for a record that the present one does not explain; at most one a second."""
        present = pinned.view
        if isinstance(present, IssuerView):
            if asyncio.get_running_loop().time() - present.loaded_at < RELOAD_INTERVAL:
                return present
            self._set(pinned, None)
        return await self.view(pinned)

    def _set(self, pinned: PinnedIssuer, view: IssuerView | TryLaterCause | None) -> None:
        pinned.view = view
        self._source.set_view(pinned.issuer.id, view.compiled if isinstance(view, IssuerView) else None)

    def _read(self, pinned: PinnedIssuer) -> "asyncio.Task[None]":
        if pinned.reading is None or pinned.reading.done():
            pinned.reading = asyncio.create_task(self._read_until_settled(pinned))
        return pinned.reading

    async def _read_until_settled(self, pinned: PinnedIssuer) -> None:
        for _ in range(MAX_RELOADS):
            version = pinned.version
            try:
                found = await self._fetch(pinned.issuer)
            except LookupFailed as error:
                pinned.failure = error.cause
                return
            if pinned.version == version:
                self._set(pinned, found)
                return

    async def _fetch(self, issuer: Issuer) -> IssuerView | TryLaterCause:
        """A view, or why there is none until something changes. Raises LookupFailed."""
        self._counters.add("ocsp_issuer_reloads_total")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        fields = await self._link.hgetall(issuer_key(issuer.name), deadline)
        if not fields:
            return _fault(issuer, "issuer_missing", "nothing was signed for it yet")
        try:
            record = IssuerRecord.decode(issuer.name, fields)
        except StoreFormatError as error:
            return _fault(issuer, "unknown_format", error.message)
        if record.fingerprint != issuer.id.fingerprint:
            return _fault(issuer, "issuer_wrong", "the store's issuer has another name or key")
        if record.head is None or record.head.replication_id != self._replication_id:
            return _fault(issuer, "unreconciled", "the signer has not reconciled this primary")
        values = await asyncio.gather(
            *(self._link.get(template_key(number), deadline) for number in record.templates.values())
        )
        signers: dict[int, Signer] = {}
        refused: dict[int, TryLaterCause] = {}
        for (slot, number), value in zip(record.templates.items(), values, strict=True):
            admitted = self._admit(issuer, number, value)
            if isinstance(admitted, Signer):
                signers[slot] = admitted
            else:
                refused[slot] = admitted
        compiled = _compiled(issuer, record, signers, refused, self._imported[issuer.name])
        return IssuerView(record, compiled, loop.time())

    def _admit(self, issuer: Issuer, number: int, value: bytes | None) -> Signer | TryLaterCause:
        """The signer of a template, or why it must not be served."""
        cause: TryLaterCause
        try:
            if value is None:
                raise Untrusted("it is not in the store")
            template = Template.decode(value)
            trusted = trust_template(issuer, number, template)
            return Signer(
                number,
                template,
                not_before=trusted.not_before,
                not_after=trusted.not_after,
                verify=partial(self._verify, issuer.name, trusted),
                interval=self._sample_interval,
            )
        except Untrusted as error:
            cause = "template_missing" if value is None else "template_untrusted"
            reason = str(error)
        except FastpathError as error:
            cause = "unknown_format" if isinstance(error, UnknownFormat) else "record_damaged"
            reason = str(error)
        log.error("template refused", issuer=issuer.name, template=number, cause=cause, reason=reason)
        return cause

    def _verify(self, issuer: str, trusted: TrustedTemplate, body: bytes) -> bool:
        verified = trusted.verifies(body)
        self._counters.add("ocsp_signature_checks_total", "ok" if verified else "failed")
        if not verified:
            log.error("signature does not verify", issuer=issuer, template=trusted.number)
        return verified

    def _admit_imported(
        self, issuer: Issuer, body: bytes, hash_algorithm: int, serial: bytes
    ) -> Admitted | None:
        """What has to be known of a response that was signed elsewhere; None if it must not be served (C2)."""
        try:
            admitted = admit(issuer, body, hash_algorithm, serial)
        except Unfit as error:
            self._counters.add("ocsp_signature_checks_total", "failed")
            log.error("imported response refused", issuer=issuer.name, serial=serial.hex(), reason=str(error))
            return None
        self._counters.add("ocsp_signature_checks_total", "ok")
        return admitted


def _compiled(
    issuer: Issuer,
    record: IssuerRecord,
    signers: dict[int, Signer],
    refused: dict[int, TryLaterCause],
    imported: Callable[[bytes, int, bytes], Admitted | None],
) -> View:
    return View(
        issuer.name,
        issuer.id,
        page_prefix=page_prefix(issuer.name, record.page_epoch),
        page_bits=record.page_bits,
        algorithms=[number for number in record.certid_algorithms if number in (SHA1, SHA256)],
        signers=signers,
        refused=refused,
        imported=imported,
    )


def _concerns(key: bytes, issuer: str) -> bool:
    if key.startswith(PAGE_PREFIX):
        return False
    return key == issuer_key(issuer) or key.startswith(KEY_PREFIX + b"template:")


def _fault(issuer: Issuer, cause: TryLaterCause, reason: str) -> TryLaterCause:
    log.error("issuer cannot be served", issuer=issuer.name, cause=cause, reason=reason)
    return cause
