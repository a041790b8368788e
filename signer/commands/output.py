"""Results on stdout as text or JSON, remarks on stderr."""

import sys
from typing import Any

import msgspec

from store.text import printable

__all__ = ["print_json", "print_line", "print_table", "print_text", "remark"]


def print_json(value: Any) -> None:
    """One object on one line; field names are part of the interface."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def print_text(text: str) -> None:
    sys.stdout.write(_lines(text) + "\n")


def print_line(text: str) -> None:
    """The same where strangers wrote some of it: one line, whatever is in it."""
    print_text(printable(text))


def _lines(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


def remark(text: str) -> None:
    """For people, not for pipes."""
    sys.stderr.write(_lines(text) + "\n")
    sys.stderr.flush()


def print_table(title: str, values: dict[str, Any]) -> None:
    """Names and values under a title, as wide as the terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=Text(printable(title)), title_justify="left", show_header=False)
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, value in values.items():
        grid.add_row(name.replace("_", " "), Text("-" if value is None else printable(str(value))))
    Console().print(grid)
