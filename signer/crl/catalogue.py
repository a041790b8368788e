"""All CRLs of one issuer: which there are, what the ledger and the object store have of each, and the lists of them."""

from signer.crl.publish import Disclosure
from signer.crl.targets import Targets
from signer.ledger.ledger import Ledger
from signer.ledger.values import Covers, LedgerIssuer, Publication, SeriesRow
from store.clock import Clock
from store.objects import Manifest, PublishedShard, crl_path

__all__ = ["Catalogue", "Shard"]

Shard = tuple[SeriesRow, int]  # and the index in it


class Catalogue:
    """Of an issuer whose CRLs are built here, or signed elsewhere and brought."""

    def __init__(
        self, ledger: Ledger, issuer: LedgerIssuer, targets: Targets, clock: Clock, *, offline: bool = False
    ) -> None:
        self.ledger = ledger
        self.issuer = issuer
        self.targets = targets
        self._clock = clock
        self._offline = offline  # then the ledger does not know its certificates

    def shards(self) -> list[Shard]:
        """Every CRL of every series, empty ones too, and those of series that open later (U-02)."""
        return [
            (row, index) for row in self.ledger.series(self.issuer.id) for index in range(row.shard_count)
        ]

    def url(self, shard: Shard) -> str:
        return shard[0].url(self.issuer.name, shard[1])

    def path(self, shard: Shard) -> str:
        """Where it is in the object store."""
        return crl_path(self.issuer.name, shard[0].number, shard[1])

    def latest(self, shard: Shard) -> Publication | None:
        return self.ledger.latest_publication(self.issuer.id, shard[0].number, shard[1])

    def publications(self) -> dict[tuple[int, int], Publication]:
        """The latest of each CRL that has one, by series number and index."""
        return {(one.series, one.shard_index): one for one in self.ledger.publications(self.issuer.id)}

    def publish_lists(self) -> None:
        """Bring every target up to the ledger, and the manifest and CCADB arrays there, if the set is complete."""
        latest = self.publications()
        shards = self.shards()
        if any((row.number, index) not in latest for row, index in shards):
            return  # a list of part of a set would tell crawlers that the rest is gone (P-09)
        known = [self._published(shard, latest[shard[0].number, shard[1]]) for shard in shards]
        manifest = Manifest(issuer=self.issuer.name, generated_at=self._clock.now(), shards=known)
        self.targets.finish(manifest, self._disclosure(shards))

    def _published(self, shard: Shard, latest: Publication) -> PublishedShard:
        return PublishedShard(
            url=self.url(shard),
            path=self.path(shard),
            series=latest.series,
            shard_index=latest.shard_index,
            crl_number=latest.crl_number,
            this_update=latest.this_update,
            next_update=latest.next_update,
            entries=latest.entries,
            size=latest.size,
            sha256=latest.sha256.hex(),
            generation=latest.generation,
            shard_count=shard[0].shard_count,
        )

    def _disclosure(self, shards: list[Shard]) -> Disclosure:
        """The full CRL alone where there is one: it has all that the others have (P-04)."""
        full = [self.url(shard) for shard in shards if shard[0].covers is Covers.FULL]
        urls = full or [self.url(shard) for shard in shards]
        if not self._offline and not self.ledger.has_certificates(self.issuer.id):
            urls = [""]  # what CCADB asks for before the first issuance
        return Disclosure(full=urls) if full else Disclosure(partitioned=urls)
