"""What the commands of all benchmarks share: how they show, keep and leave off."""

import json
import signal
import sys
from collections.abc import Callable, Collection, Iterable
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

__all__ = ["check_rows", "clean_up_on_sigterm", "save", "show", "table"]

RESULTS = Path(__file__).parent / "results"
WIDE = 160  # columns of a table that does not go to a terminal
STOPPED = 143  # by SIGTERM


def clean_up_on_sigterm() -> None:
    """As on Ctrl-C: what was started is ended on the way out."""
    signal.signal(signal.SIGTERM, _stop)


def _stop(_signal: int, _frame: object) -> NoReturn:
    sys.exit(STOPPED)


def check_rows(named: Iterable[str] | None, known: Collection[str]) -> None:
    """Raises BadParameter for a --row that there is not."""
    if unknown := set(named or ()) - set(known):
        raise typer.BadParameter(f"no such row: {', '.join(sorted(unknown))}", param_hint="--row")


def table(title: str, columns: Iterable[str], words: Collection[str], rows: Iterable[Iterable[str]]) -> Table:
    """Columns of `words` begin on the left, those of figures end on the right."""
    made = Table(title=title)
    for name in columns:
        made.add_column(name, justify="left" if name in words else "right")
    for cells in rows:
        made.add_row(*cells)
    return made


def show(made: Table, remarks: Iterable[str]) -> None:
    """The figures, and what is to be said of them."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE)
    console.print(made)
    for text in remarks:
        console.print(text)


def save(
    name: str, result: dict[str, Any], plot: Callable[[dict[str, Any], Path], None] | None = None
) -> None:
    """Keep a result, and its plot if there is one, as bench/results/NAME-DATE."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}-{date.today()}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    if plot is not None:
        plot(result, path.with_suffix(".svg"))
    typer.echo(f"wrote {path}{' and its plot' if plot else ''}", err=True)
