"""Where our readers differ from cryptography's on purpose: a table for each type that is read, and its use.

Every entry has an example, so that one that no longer differs is found. A refusal of cryptography's is told by
its message, a refusal of ours by what a plain reading of the tree finds in the input.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from cryptography import x509

from _fastpath.errors import FastpathError
from tests.property.der_tree import Node, read_tree


class Unread(Exception):
    """cryptography has parsed the DER and will not say what is in some part of it."""


PARSED = (NotImplementedError, x509.DuplicateExtension, Unread)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a reader said instead of reading; `parsed` if it took the DER for right all the same."""

    message: str
    parsed: bool = False


@dataclass(frozen=True, slots=True)
class WeRead:
    """Read by us, refused by cryptography with a message in which `says` (a regular expression) is found."""

    reason: str
    says: str
    example: str


@dataclass(frozen=True, slots=True)
class WeRefuse:
    """Read by cryptography, refused by us because of what `found` finds in the tree."""

    reason: str
    found: Callable[[Node], bool]
    example: str


@dataclass(frozen=True, slots=True)
class Table:
    """All differences of one type, by the names that docs/test-vectors.md calls them."""

    we_read: dict[str, WeRead]
    we_refuse: dict[str, WeRefuse]

    def explain(self, data: bytes, ours: object, theirs: object) -> list[str]:
        """The differences behind these two outcomes: none when both read or both refuse.

        Raises AssertionError for a difference that is not in the table and for an entry that should have shown.
        """
        parsed = not isinstance(theirs, Refusal) or theirs.parsed
        grounds = self.grounds(data) if parsed else []
        if parsed:
            assert bool(grounds) == isinstance(ours, Refusal), (data.hex(), ours, theirs, grounds)
        if isinstance(theirs, Refusal) and not isinstance(ours, Refusal):
            return self.tolerances(theirs)
        return grounds

    def grounds(self, data: bytes) -> list[str]:
        """Why we refuse this, which cryptography parses."""
        tree = read_tree(data)
        return [name for name, one in self.we_refuse.items() if one.found(tree)]

    def tolerances(self, theirs: Refusal) -> list[str]:
        """Why we read what cryptography refuses with these words."""
        found = [name for name, one in self.we_read.items() if re.search(one.says, theirs.message)]
        assert found, f"read by us, though cryptography says {theirs.message}"
        return found

    def examples(self) -> dict[str, bytes]:
        return {name: bytes.fromhex(one.example) for name, one in (self.we_read | self.we_refuse).items()}


def read_by_us(read: Callable[[bytes], object], data: bytes) -> object:
    """What our reader makes of the data, or its refusal; any other error is a defect and comes through."""
    try:
        return read(data)
    except FastpathError as error:
        return Refusal(str(error))


def read_by_cryptography(read: Callable[[bytes], object], data: bytes) -> object:
    try:
        return read(data)
    except (ValueError, x509.InvalidVersion) as error:
        return Refusal(f"{type(error).__name__}: {error}")
    except PARSED as error:
        return Refusal(f"{type(error).__name__}: {error}", parsed=True)
