"""Files of certificates, read many lines at once: only what is certain, the rest is left to a slower reader."""

from collections.abc import Mapping
from typing import NamedTuple

class Lines(NamedTuple):
    """What was read of a block."""

    rows: bytes  # packed, see `staged`
    revoked: int
    expired: int  # and not revoked
    placed: bool  # some name their CRL
    lines: int
    left: list[tuple[int, bytes]]  # lines that are not understood, without their ends, by number from 0

def read_index(block: bytes, first: int, longest: int, now: int, reasons: Mapping[bytes, int]) -> Lines:
    """Lines of an index.txt of `openssl ca`. `reasons` is asked for what follows the comma of a revocation.

    `first` is the number of the first line, and `longest` the octets from which a line is too long. What `reasons`
    and the others raise KeyError for is left.
    """

def read_csv(
    block: bytes,
    first: int,
    longest: int,
    now: int,
    columns: tuple[int, ...],
    width: int,
    statuses: Mapping[bytes, int],
    reasons: Mapping[bytes, int],
    places: Mapping[bytes, tuple[int, int, int]],
) -> Lines:
    """Comma-separated lines of `width` fields without quotes.

    `columns` says which fields, from 0, are serial, not_after, not_before, status, revoked_at, reason and crl_url; -1:
    none is. `statuses` gives 0 for revoked, 1 for good, 2 for expired; `places` rank, series and index.
    """
