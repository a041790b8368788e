"""For whom a file of certificates is read: the CA that issued them and the CRL shards that they may name."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from signer.intake.rows import RowError, printable
from signer.ledger.values import CA_SERIES, Covers, PlacedBy, Placement, SeriesRow
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

    @property
    def sharded(self) -> bool:
        """Whether there are shards at all, or one full CRL alone."""
        return any(one.covers is Covers.SHARD for one in self._series.values())

    @property
    def for_authorities(self) -> bool:
        """Whether there is a CRL of CA certificates."""
        return CA_SERIES in self._series

    def url(self, placement: Placement) -> str:
        return self._series[placement.series].url(self._issuer, placement.shard_index)

    def place(self, field: str, urls: Sequence[str], placed_by: PlacedBy) -> Placement | None:
        """The one CRL that `urls` name; others among them, such as ldap, are passed over. Raises RowError.

        The full CRL has every certificate, so that naming it says nothing about the shard: None.
        """
        found = {self._by_url[url] for url in urls if url in self._by_url}
        full = {place for place in found if self._series[place[0]].covers is Covers.FULL}
        if self.sharded and full:
            found -= full
            if not found:
                return None
        if len(found) > 1:
            raise RowError(field, "several CRLs of this issuer are named, and a certificate is in one")
        if not found:
            patterns = ", ".join(one.url_pattern for one in self._series.values())
            raise RowError(
                field,
                f"{printable(urls[0][:SHOWN])} is no CRL of issuer {self._issuer}, which has {patterns}",
            )
        return Placement(*found.pop(), placed_by)


@dataclass(frozen=True, slots=True)
class Scope:
    """`now`, in seconds since 1970, decides what has expired and what lies in the future."""

    issuer: Issuer
    shards: Shards
    now: int
