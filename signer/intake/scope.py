"""For whom a file of certificates is read: the CA that issued them and the CRL shards that they may name."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from signer.intake.rows import RowError, printable
from signer.ledger.values import PlacedBy, Placement, SeriesRow
from store.model import Issuer

__all__ = ["Scope", "Shards"]

SHOWN = 200  # characters of a URL


class Shards:
    """The CRL distribution points of one issuer."""

    def __init__(self, issuer: str, series: Sequence[SeriesRow]) -> None:
        self._issuer = issuer
        self._series = {one.number: one for one in series}

    @cached_property
    def _by_url(self) -> dict[str, tuple[int, int]]:
        return {
            one.url(self._issuer, index): (one.number, index)
            for one in self._series.values()
            for index in range(one.shard_count)
        }

    def url(self, placement: Placement) -> str:
        return self._series[placement.series].url(self._issuer, placement.shard_index)

    def place(self, field: str, urls: Sequence[str], placed_by: PlacedBy) -> Placement:
        """The one shard that `urls` name; others among them, such as ldap, are passed over. Raises RowError."""
        found = {self._by_url[url] for url in urls if url in self._by_url}
        if len(found) > 1:
            raise RowError(field, "several CRLs of this issuer are named, and a certificate is in one")
        if not found:
            patterns = ", ".join(one.url_pattern for one in self._series.values())
            raise RowError(
                field,
                f"{printable(urls[0][:SHOWN])} is no CRL of issuer {self._issuer}: `crl.url` and `crl.shards` "
                f"make {patterns}",
            )
        return Placement(*found.pop(), placed_by)


@dataclass(frozen=True, slots=True)
class Scope:
    """`now`, in seconds since 1970, decides what has expired and what lies in the future."""

    issuer: Issuer
    shards: Shards
    now: int
