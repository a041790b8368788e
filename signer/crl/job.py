"""The CRL job of one issuer: which shards are due, each one built, checked and published, then the lists of them."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, partial

import structlog

from _fastpath.crl_reader import Crl
from signer.crl.build import CrlFields, CrlScope, CrlSigner, build_shard
from signer.crl.catalogue import Catalogue, Shard
from signer.crl.preflight import preflight
from signer.ledger.values import Covers, Publication, SeriesRow
from store.clock import Clock
from store.errors import OcspeedError
from store.model import validity_fault
from store.text import rfc3339

__all__ = ["CrlJob", "ShardOutcome", "ShardStatus"]

log = structlog.get_logger()

# What a full CRL is about is said by its having no distribution point.
SCOPES = {
    Covers.SHARD: CrlScope.USER_CERTIFICATES,
    Covers.FULL: CrlScope.USER_CERTIFICATES,
    Covers.CA: CrlScope.CA_CERTIFICATES,
}


class ShardStatus(StrEnum):
    """What became of one shard."""

    PUBLISHED = "published"
    CHECKED = "checked"  # built and passed every check, not published: --dry-run
    CURRENT = "current"  # published this very second, and nothing changed since
    REFUSED = "refused"  # the live CRL stays


@dataclass(frozen=True, slots=True)
class ShardOutcome:
    """One shard of one run."""

    series: int
    shard_index: int
    url: str
    status: ShardStatus
    crl_number: int | None = None
    entries: int | None = None
    size: int | None = None  # octets
    message: str | None = None  # why it was refused


class CrlJob:
    """Builds and publishes the CRLs of one issuer. One refused shard does not keep the others back."""

    def __init__(self, catalogue: Catalogue, signer: CrlSigner, clock: Clock, validity: int) -> None:
        self.catalogue = catalogue
        self._ledger = catalogue.ledger
        self._issuer = catalogue.issuer
        self._signer = signer
        self._clock = clock
        self._validity = validity

    def shards(self) -> list[Shard]:
        return self.catalogue.shards()

    def build(
        self,
        shards: list[Shard],
        progress: Callable[[ShardOutcome], None],
        *,
        dry_run: bool = False,
    ) -> list[ShardOutcome]:
        """Build the given shards; then the manifest and the CCADB array, once every shard has a CRL."""
        if shards:
            self._tell_of_the_ca()
        outcomes = []
        listed = cache(self.catalogue.targets.listed_generations)
        for shard in shards:
            outcome = self._outcome(shard, listed, dry_run)
            progress(outcome)
            outcomes.append(outcome)
        if not dry_run and any(outcome.status is ShardStatus.PUBLISHED for outcome in outcomes):
            self.catalogue.publish_lists()
        return outcomes

    def _tell_of_the_ca(self) -> None:
        """No refusal: CRLs are due until every CA certificate of this key has ended (U-11), and one is known here."""
        if fault := validity_fault(self._signer.certificate, self._clock.now()):
            log.error(
                "ca certificate not in force: no client takes CRLs under it",
                issuer=self._issuer.name,
                certificate=fault,
                remedy="name a renewed one as `certificate`; if there is none, take the issuer out of the configuration",
            )

    def _outcome(self, shard: Shard, listed: Callable[[], dict[str, int]], dry_run: bool) -> ShardOutcome:
        series, index = shard
        url = self.catalogue.url(shard)
        try:
            status, publication = self._build_one(shard, listed, dry_run)
        except (OcspeedError, ValueError) as error:
            return ShardOutcome(series.number, index, url, ShardStatus.REFUSED, message=str(error))
        return ShardOutcome(
            series.number,
            index,
            url,
            status,
            publication.crl_number,
            publication.entries,
            publication.size,
        )

    def _build_one(
        self, shard: Shard, listed: Callable[[], dict[str, int]], dry_run: bool
    ) -> tuple[ShardStatus, Publication]:
        series, index = shard
        path = self.catalogue.path(shard)
        live = self.catalogue.targets.live(path)  # to be compared with None: one without entries has length 0
        latest = self.catalogue.latest(shard)
        # Read before the snapshot: everything revoked until this instant is in the CRL.
        now = self._clock.now()
        if live is not None and latest is not None and self._is_current(live, latest, now):
            return ShardStatus.CURRENT, latest
        _check_later(path, now, live, latest)
        at_least = max(latest.generation if latest else 0, listed().get(path, 0))
        with self._ledger.shard_snapshot(self._issuer.id, series.number, index, after=latest) as snapshot:
            _check_generation(path, snapshot.generation, at_least)
            fields = CrlFields(
                crl_number=self._next_number(series, index, live, dry_run),
                this_update=now,
                next_update=now + self._validity - 1,  # both ends count (B2)
                distribution_point_url=None if series.covers is Covers.FULL else self.catalogue.url(shard),
                scope=SCOPES[series.covers],
            )
            data = build_shard(self._signer, fields, snapshot.entries())
            crl = preflight(
                data,
                self._signer,
                fields,
                snapshot.entries(),
                live=live,
                now=now,
                may_vanish=partial(self._ledger.may_vanish, self._issuer.id, series.number, index),
            )
        publication = Publication(
            issuer_id=self._issuer.id,
            series=series.number,
            shard_index=index,
            crl_number=fields.crl_number,
            this_update=now,
            next_update=fields.next_update,
            generation=snapshot.generation,
            entries=len(crl),
            size=len(data),
            sha256=hashlib.sha256(data).digest(),
            published_at=now,
        )
        if dry_run:
            return ShardStatus.CHECKED, publication
        self.catalogue.targets.publish(path, data)
        self._ledger.add_publication(replace(publication, published_at=self._clock.now()))
        return ShardStatus.PUBLISHED, publication

    def _is_current(self, live: Crl, latest: Publication, now: int) -> bool:
        """Whether a CRL of this second would say the same: there cannot be two with one thisUpdate (U-09)."""
        return (
            live.this_update == now
            and live.crl_number == latest.crl_number
            and latest.generation == self._ledger.generation(self._issuer.id)
        )

    def _next_number(self, series: SeriesRow, index: int, live: Crl | None, dry_run: bool) -> int:
        """Reserved in the ledger before it is signed, so that no crash gives it out twice; not for a dry run."""
        at_least = live.crl_number + 1 if live is not None else 1
        if dry_run:
            return at_least
        return self._ledger.reserve_crl_number(self._issuer.id, series.number, index, at_least=at_least)


def _check_generation(path: str, generation: int, at_least: int) -> None:
    """D2: what is read may not be older than what was published, as in a ledger put back from a backup."""
    if generation < at_least:
        raise OcspeedError(
            f"{path}: the ledger is at change {generation} and the CRL before this one was made from {at_least}: "
            "what was revoked in between would be lost",
            remedy="bring the ledger up to date; one made anew from all records may publish once manifest.json, "
            "which names the later change, is moved away",
        )


def _check_later(path: str, now: int, live: Crl | None, latest: Publication | None) -> None:
    """Raises OcspeedError, before a number is taken, if there is a CRL that is not older than `now` (U-09)."""
    newest = max((known.this_update for known in (live, latest) if known is not None), default=0)
    if now <= newest:
        raise OcspeedError(
            f"{path}: the CRL before this one is of {rfc3339(newest)}, {newest - now} s ahead of the clock",
            remedy="build again in a second" if now == newest else "correct this machine's clock",
        )
