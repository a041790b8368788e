"""What the commands of all benchmarks share: how they show, keep and leave off."""

import json
import signal
import sys
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

__all__ = ["clean_up_on_sigterm", "save", "show"]

RESULTS = Path(__file__).parent / "results"
WIDE = 160  # columns of a table that does not go to a terminal
STOPPED = 143  # by SIGTERM


def clean_up_on_sigterm() -> None:
    """As on Ctrl-C: what was started is ended on the way out."""
    signal.signal(signal.SIGTERM, _stop)


def _stop(_signal: int, _frame: object) -> NoReturn:
    sys.exit(STOPPED)


def show(table: Table, remarks: Iterable[str]) -> None:
    """The figures, and what is to be said of them."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE)
    console.print(table)
    for text in remarks:
        console.print(text)


def save(name: str, result: dict[str, Any], plot: Callable[[dict[str, Any], Path], None]) -> None:
    """Keep a result and its plot as bench/results/NAME-DATE."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}-{date.today()}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    plot(result, path.with_suffix(".svg"))
    typer.echo(f"wrote {path} and its plot", err=True)
