"""Newline-delimited JSON: one object a line, with the field names of `signer.intake.fields`."""

import re
from typing import TypeVar

import msgspec

from signer.intake.fields import Fields, row_of
from signer.intake.rows import ImportRow, RowError, printable
from signer.intake.scope import Scope

__all__ = ["JsonRows", "read_object"]

# No field may hold `"name":`, so what looks like a name is one. Of a name that is there twice the decoder keeps the
# last: a revocation might get lost.
NAME = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:')

T = TypeVar("T")


class JsonRows:
    """Reads lines into rows."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._decoder = msgspec.json.Decoder(Fields)

    def parse(self, line: bytes) -> ImportRow:
        """Raises RowError."""
        return row_of(read_object(self._decoder, line), self._scope)


def read_object(decoder: "msgspec.json.Decoder[T]", line: bytes) -> T:
    """One object whose names are each there once. Raises RowError naming the field."""
    try:
        found = decoder.decode(line)
    except msgspec.ValidationError as error:
        raise RowError(*_explain(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RowError("line", f"not JSON: {printable(str(error))}") from None
    _check_names(NAME.findall(line))
    return found


def _check_names(names: list[bytes]) -> None:
    if len(names) == len(set(names)) and not any(b"\\" in name for name in names):
        return
    for name in names:
        shown = printable(name.decode("utf-8", "replace"))
        if names.count(name) > 1:
            raise RowError(shown, "is there twice")
        if b"\\" in name:
            raise RowError(shown, "a name with an escape in it may be another one's double")


def _explain(message: str) -> tuple[str, str]:
    """msgspec's words as field and message: `text - at `$.field`` or with the field's name in the text."""
    text, _, path = message.partition(" - at `$.")
    named = re.search(r"field `([^`]*)`", text)
    return printable(path.rstrip("`") or (named[1] if named else "line")), printable(text)
