"""The tables of docs/clients.md: collected while the clients run, compared with the committed ones or written."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["DOCUMENT", "Report", "committed", "without_versions"]

DOCUMENT = Path(__file__).parents[2] / "docs" / "clients.md"
HEADINGS = {
    "asking": ("client", "version", "asks", "good", "revoked", "never issued", "notes"),
    "stapling": ("server", "version", "client", "good", "revoked", "never issued", "notes"),
    "crls": ("reader", "version", "good", "revoked", "CRL of another shard", "notes"),
    "wire": ("client", "rows", "request", "header fields", "CertID", "extensions", "seen"),
}


def line(cells: Iterable[str]) -> str:
    """One line of a table in Markdown."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


@dataclass
class Report:
    """Rows by table, in the order in which the tests made them."""

    rows: dict[str, list[tuple[str, ...]]] = field(default_factory=lambda: {name: [] for name in HEADINGS})

    def add(self, table: str, *cells: str) -> None:
        """One row; a client that is run against several CAs adds the same row again."""
        assert len(cells) == len(HEADINGS[table])
        if cells not in self.rows[table]:
            self.rows[table].append(cells)

    def table(self, name: str) -> list[str]:
        """The lines of one table."""
        heading = HEADINGS[name]
        return [line(heading), line("---" for _ in heading), *map(line, self.rows[name])]

    def written_into(self, document: str) -> str:
        """The document with its tables replaced by these."""
        for name in HEADINGS:
            place = _place(document, name)
            lines = "".join(f"\n{text}" for text in self.table(name))
            document = document[: place.start(1)] + lines + document[place.end(1) :]
        return document


def _place(document: str, name: str) -> re.Match[str]:
    """A table in a document: the lines that begin with | below its name in a comment."""
    found = re.search(rf"<!-- {name} -->((?:\n\|[^\n]*)*)", document)
    assert found, f"{DOCUMENT} has no place for the table {name}"
    return found


def committed(document: str, name: str) -> list[str]:
    """The lines of one table of a document."""
    return _place(document, name)[1].split("\n")[1:]


def without_versions(lines: Sequence[str]) -> list[str]:
    """Lines of a table that has them, less the column of versions."""
    cells = [re.split(r"(?<!\\) ?\| ?", text) for text in lines]
    if "version" not in cells[0]:
        return list(lines)
    place = cells[0].index("version")
    return [line([*row[1:place], *row[place + 1 : -1]]) for row in cells]
