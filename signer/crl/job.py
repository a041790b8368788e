"""The CRL job of one issuer: which shards are due, each one built, checked and published, then the lists of them."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial

from _fastpath.crl_reader import Crl
from _fastpath.errors import MalformedDer
from signer.crl.build import CrlFields, CrlSigner, build_shard
from signer.crl.preflight import preflight
from signer.crl.publish import publish, publish_ccadb, publish_manifest
from signer.ledger.ledger import Ledger
from signer.ledger.values import LedgerIssuer, Publication, SeriesRow
from store.clock import Clock
from store.errors import OcspeedError, StoreFormatError
from store.objects import Manifest, ObjectStore, PublishedShard, crl_path, read_object

__all__ = ["CrlJob", "ShardOutcome", "ShardStatus"]


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

    def __init__(
        self,
        ledger: Ledger,
        issuer: LedgerIssuer,
        signer: CrlSigner,
        objects: ObjectStore,
        clock: Clock,
        validity: int,
    ) -> None:
        self._ledger = ledger
        self._issuer = issuer
        self._signer = signer
        self._objects = objects
        self._clock = clock
        self._validity = validity

    def shards(self) -> list[tuple[SeriesRow, int]]:
        """Every shard of every series, empty ones too (U-02)."""
        return [
            (row, index) for row in self._ledger.series(self._issuer.id) for index in range(row.shard_count)
        ]

    def due(self, interval: int) -> list[tuple[SeriesRow, int]]:
        """Shards whose CRL is older than `interval` seconds, or that have none."""
        oldest = self._clock.now() - interval
        return [shard for shard in self.shards() if self._published_at(*shard) <= oldest]

    def _published_at(self, series: SeriesRow, index: int) -> int:
        latest = self._latest(series, index)
        return latest.this_update if latest else 0

    def _latest(self, series: SeriesRow, index: int) -> Publication | None:
        return self._ledger.latest_publication(self._issuer.id, series.number, index)

    def build(
        self,
        shards: list[tuple[SeriesRow, int]],
        progress: Callable[[ShardOutcome], None],
        *,
        dry_run: bool = False,
    ) -> list[ShardOutcome]:
        """Build the given shards; then the manifest and the CCADB array, once every shard has a CRL."""
        outcomes = []
        for series, index in shards:
            outcome = self._outcome(series, index, dry_run)
            progress(outcome)
            outcomes.append(outcome)
        if not dry_run and any(outcome.status is ShardStatus.PUBLISHED for outcome in outcomes):
            self.publish_lists()
        return outcomes

    def _outcome(self, series: SeriesRow, index: int, dry_run: bool) -> ShardOutcome:
        url = series.url(self._issuer.name, index)
        try:
            status, publication = self._build_one(series, index, url, dry_run)
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
        self, series: SeriesRow, index: int, url: str, dry_run: bool
    ) -> tuple[ShardStatus, Publication]:
        path = crl_path(self._issuer.name, series.number, index)
        live = self._live(path)  # to be compared with None: one without entries has length 0
        latest = self._latest(series, index)
        # Read before the snapshot: everything revoked until this instant is in the CRL.
        now = self._clock.now()
        if live is not None and latest is not None and self._is_current(live, latest, now):
            return ShardStatus.CURRENT, latest
        _check_later(path, now, live, latest)
        number = self._next_number(series, index, live, dry_run)
        fields = CrlFields(
            crl_number=number,
            this_update=now,
            next_update=now + self._validity - 1,  # both ends count (B2)
            distribution_point_url=url,
        )
        with self._ledger.shard_snapshot(self._issuer.id, series.number, index, after=latest) as snapshot:
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
            generation = snapshot.generation
        publication = Publication(
            self._issuer.id,
            series.number,
            index,
            number,
            now,
            fields.next_update,
            generation,
            len(crl),
            len(data),
            hashlib.sha256(data).digest(),
            now,
        )
        if dry_run:
            return ShardStatus.CHECKED, publication
        publish(self._objects, path, data, live.crl_number if live is not None else None)
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

    def _live(self, path: str) -> Crl | None:
        found = read_object(self._objects, path)
        try:
            return Crl(found.data) if found else None
        except MalformedDer as error:
            raise StoreFormatError(
                f"{path}: the live CRL cannot be read: {error}",
                remedy="find out who wrote it and move it away; the next build starts above every number in the ledger",
            ) from None

    def publish_lists(self) -> None:
        """Write the manifest and the CCADB array as the ledger has them, if the set is complete."""
        shards = [self._published(series, index) for series, index in self.shards()]
        known = [shard for shard in shards if shard is not None]
        if len(known) < len(shards):
            return  # a list of part of a set would tell crawlers that the rest is gone (P-09)
        publish_manifest(
            self._objects, Manifest(issuer=self._issuer.name, generated_at=self._clock.now(), shards=known)
        )
        publish_ccadb(self._objects, self._issuer.name, [shard.url for shard in known])

    def _published(self, series: SeriesRow, index: int) -> PublishedShard | None:
        latest = self._latest(series, index)
        if latest is None:
            return None
        return PublishedShard(
            url=series.url(self._issuer.name, index),
            path=crl_path(self._issuer.name, series.number, index),
            series=series.number,
            shard_index=index,
            crl_number=latest.crl_number,
            this_update=latest.this_update,
            next_update=latest.next_update,
            entries=latest.entries,
            size=latest.size,
            sha256=latest.sha256.hex(),
        )


def _check_later(path: str, now: int, live: Crl | None, latest: Publication | None) -> None:
    """Raises OcspeedError, before a number is taken, if there is a CRL that is not older than `now` (U-09)."""
    newest = max((known.this_update for known in (live, latest) if known is not None), default=0)
    if now <= newest:
        raise OcspeedError(
            f"{path}: the CRL before this one is of {datetime.fromtimestamp(newest, UTC):%Y-%m-%dT%H:%M:%SZ}, "
            f"{newest - now} s ahead of the clock",
            remedy="build again in a second" if now == newest else "correct this machine's clock",
        )
