"""What the fields of many rows share, such as their days, worked out once."""

from collections.abc import Callable
from typing import TypeVar

__all__ = ["Memo"]

LIMIT = 100_000  # values kept: more than a day has seconds

V = TypeVar("V")


class Memo(dict[bytes, V]):
    """Values of `find`, which gives None, or raises ValueError, for what has none; asking for that is a KeyError."""

    def __init__(self, find: Callable[[bytes], V | None]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, text: bytes) -> V:
        try:
            value = self._find(text)
        except ValueError:
            value = None
        if value is None:
            raise KeyError(text)
        if len(self) < LIMIT:
            self[text] = value
        return value
