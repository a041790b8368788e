"""A series: the set of CRL shards that certificates are spread over, and the URLs of those shards."""

from dataclasses import dataclass

from _fastpath.page import hash32

__all__ = ["Series"]


@dataclass(frozen=True, slots=True)
class Series:
    """One generation of an issuer's shards. A certificate's place in it never changes (C-19)."""

    issuer: str
    number: int
    url_pattern: str  # {index} is the shard's; {issuer} and {series} may stand in it too
    shard_count: int

    def __post_init__(self) -> None:
        """Raises ValueError for a pattern that would give a URL twice, or one no client fetches (U-01)."""
        if self.shard_count < 1:
            raise ValueError(f"shard_count {self.shard_count}: at least 1")
        if self.shard_count > 1 and "{index}" not in self.url_pattern:
            raise ValueError(
                f"url_pattern {self.url_pattern!r}: {self.shard_count} shards need {{index}} in it"
            )
        if not self.url_pattern.startswith("http://"):
            raise ValueError(f"url_pattern {self.url_pattern!r}: CRLs are fetched over plain http://")
        if not all("!" <= character <= "~" for character in self.url(0)):
            raise ValueError(f"url_pattern {self.url_pattern!r}: only printable ASCII, no spaces")

    def url(self, index: int) -> str:
        """Distribution point of the shard `index` (from 0), byte for byte as in certificates and IDP (C-09)."""
        if not 0 <= index < self.shard_count:
            raise ValueError(f"series {self.number} has shards 0 to {self.shard_count - 1}, not {index}")
        pattern = self.url_pattern.replace("{issuer}", self.issuer).replace("{series}", str(self.number))
        return pattern.replace("{index}", str(index))

    def shard_index(self, serial: bytes) -> int:
        """Shard of a certificate whose distribution point is not known: hash32 of the minimal serial mod count."""
        return hash32(serial) % self.shard_count
