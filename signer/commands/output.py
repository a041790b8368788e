"""Results on stdout as text or JSON, remarks on stderr."""

import sys
from typing import Any

import msgspec

__all__ = ["print_json", "print_text", "remark"]


def print_json(value: Any) -> None:
    """One object on one line; field names are part of the interface."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def print_text(text: str) -> None:
    sys.stdout.write(text + "\n")


def remark(text: str) -> None:
    """For people, not for pipes."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
