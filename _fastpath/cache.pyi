from collections.abc import Iterable
from typing import final

@final
class Cache:
    """What a worker keeps of the store: answers by CertID, in the pages they came from, bounded in octets."""

    def __init__(self, limit: int) -> None: ...
    def __len__(self) -> int: ...
    @property
    def size(self) -> int:
        """Octets reckoned for all that is kept, with the objects around it."""

    @property
    def limit(self) -> int: ...
    @property
    def evicted(self) -> int:
        """Answers that went to make room, so far."""

    @property
    def invalidated(self) -> int:
        """Answers that went because the store told of a change, or a connection was lost, so far."""

    def mark_whole(self, page_key: bytes) -> None:
        """The page's header and its number of fields agree: what it does not have is not issued (C4)."""

    def invalidate(self, keys: Iterable[bytes] | None) -> None:
        """Forget the pages with these keys, whatever else is among them; None: all."""

    def drop(self, prefix: bytes) -> None:
        """Forget every page whose key begins so."""

    def clear(self) -> None:
        """Forget everything."""
