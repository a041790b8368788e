"""Comma-separated values (RFC 4180): a header that names the columns, then one certificate a line.

No field may hold a line break, so that a stray quote spoils one row and not the rest of the file.
"""

import csv

from signer.intake.fields import Fields, row_of
from signer.intake.rows import ImportRow, RowError, printable
from signer.intake.scope import Scope

__all__ = ["CsvRows"]

REQUIRED = ("serial", "not_after")
SHOWN = 48


class CsvRows:
    """Reads lines into rows. `begin` takes the header."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._columns: list[str] = []

    def begin(self, line: bytes) -> None:
        """Raises RowError naming an unknown, doubled or missing column."""
        self._columns = [name.strip() for name in _split(line)]
        for name in self._columns:
            if name not in Fields.__struct_fields__:
                known = ", ".join(Fields.__struct_fields__)
                raise RowError("header", f"column '{printable(name[:SHOWN])}' is not known; known: {known}")
            if self._columns.count(name) > 1:
                raise RowError("header", f"column '{name}' is there twice")
        for name in REQUIRED:
            if name not in self._columns:
                raise RowError("header", f"column '{name}' is missing")

    def parse(self, line: bytes) -> ImportRow:
        """Raises RowError."""
        values = _split(line)
        if len(values) != len(self._columns):
            raise RowError("line", f"{len(values)} fields, but the header names {len(self._columns)}")
        return row_of(Fields(**dict(zip(self._columns, values, strict=True))), self._scope)


def _split(line: bytes) -> list[str]:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RowError("line", f"not UTF-8 at octet {error.start + 1}") from None
    if '"' not in text and "\r" not in text:
        return text.split(",")
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise RowError("line", f"not comma-separated values: {error}") from None
