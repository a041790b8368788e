"""Packed rows of certificates: sorting them and making parameters of them. Rows lie one behind the other."""

from typing import Final

ROW_SIZE: Final[int]  # 56

def sort_rows(rows: bytes) -> bytes:
    """The rows in order of their octets. Raises ValueError for part of a row, as all here do."""

def rows_up_to(rows: bytes, last: bytes) -> int:
    """How many of the sorted `rows` are not above the one row `last`."""

def first_not_above(rows: bytes) -> int | None:
    """Index of the first row whose (hash32, serial) is not above that of the row before; None: strictly ascending."""

def first_reason_outside(rows: bytes, reasons: frozenset[int]) -> int | None:
    """Index of the first revoked row with another reason than these, of 0 to 31, or of any other row with a reason."""

def series_of(rows: bytes) -> set[int]:
    """The CRL series that rows name."""

def by_shape(rows: bytes) -> tuple[bytes, bytes, bytes]:
    """Those that are good and in the shard of their hash, those good and in a shard that was named, those revoked."""

def parameters(
    rows: bytes, together: int, shards: int, placed_by: tuple[int | str, ...], generation: int
) -> list[tuple[object, ...]]:
    """What to insert for rows of one shape, `together` rows a tuple; what is left over when these are whole is not there.

    `placed_by` begins with the series of rows that name none, which are in its shard hash32 mod `shards`; then who
    placed, by rank. A tuple begins with `generation`. Then each row has, by shape: hash32, serial, notAfter, shard index;
    hash32, serial, notAfter, series, shard index, placed by; these and revocation time and reason.
    """

def change_parameters(rows: bytes, together: int, generation: int, now: int) -> list[tuple[object, ...]]:
    """What to log for rows that are a change each, in the same way: the generation of the first and when it is
    recorded, then hash32 and serial of each.
    """
