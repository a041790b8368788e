from collections.abc import Iterable
from typing import final

from _fastpath.certid import IssuerID

@final
class Floor:
    """Serials that are never answered good, as hashes under a key of 16 octets.

    `hashes` are words in ascending order, at an address where words may be. They are held, not copied.
    """

    def __init__(self, key: bytes, hashes: bytes | bytearray | memoryview) -> None: ...
    def __len__(self) -> int: ...
    def contains(self, issuer: IssuerID, serial: bytes) -> bool:
        """Whether a serial of the issuer is on the floor; minimal, unsigned, big-endian."""

def entry_count(crl: bytes) -> int:
    """Number of entries of a DER CRL of any profile. Raises MalformedDer."""

def hashes_of(crl: bytes, key: bytes, issuer: IssuerID) -> bytes:
    """A hash for each entry of a DER CRL, in its order. Raises MalformedDer, and ValueError for a key of another size."""

def sorted_hashes(parts: Iterable[bytes | memoryview]) -> bytearray:
    """All the hashes of several parts, ascending."""
