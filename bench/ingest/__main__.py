"""`python -m bench.ingest`: a table, and as the last line one JSON object."""

import json
import signal
import sys
from datetime import date
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from bench.ingest.contenders import WrongImport
from bench.ingest.result import as_json, as_table
from bench.ingest.session import NAMES, Plan, measure
from store.errors import OcspeedError

RESULTS = Path(__file__).parents[1] / "results"
WIDE = 160  # columns of a table that does not go to a terminal
STOPPED = 143  # by SIGTERM

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    quick: Annotated[
        bool, typer.Option("--quick", help="3 rounds, a tenth of the certificates: for direction only.")
    ] = False,
    save: Annotated[bool, typer.Option("--save", help="Also write bench/results/import-DATE.json.")] = False,
    row: Annotated[list[str] | None, typer.Option("--row", help=f"Only these: {', '.join(NAMES)}.")] = None,
    rows: Annotated[int | None, typer.Option("--rows", min=1, help="Certificates of a file.")] = None,
    rounds: Annotated[int | None, typer.Option("--rounds", min=1, help="Runs of each contender.")] = None,
    large: Annotated[
        int | None, typer.Option("--large", min=1, help="Certificates of the large ledger.")
    ] = None,
) -> None:
    """What an import costs: ours beside `sqlite3 .import` of the same file, runs of both in turns."""
    if unnamed := set(row or ()) - {*NAMES}:
        raise typer.BadParameter(f"no such row: {', '.join(sorted(unnamed))}", param_hint="--row")
    signal.signal(signal.SIGTERM, _stop)
    full = Plan()
    tenth = 10 if quick else 1
    plan = Plan(
        rows=rows or full.rows // tenth,
        rounds=rounds or (3 if quick else full.rounds),
        large=large or full.large // tenth,
        small=full.small // tenth,
        names=tuple(row or NAMES),
    )
    try:
        measured = measure(plan, lambda text: typer.echo(text, err=True))
    except (WrongImport, OcspeedError) as error:
        typer.echo(f"bench-import: {error}", err=True)
        raise typer.Exit(1) from None
    result = as_json(measured)
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE)
    console.print(as_table(measured))
    for text in measured.missing:
        console.print(f"MISSING: {text}")
    if save:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"import-{date.today()}.json"
        path.write_text(json.dumps(result, indent=1) + "\n")
        typer.echo(f"wrote {path}", err=True)
    typer.echo(json.dumps(result))


def _stop(_signal: int, _frame: object) -> NoReturn:
    """As on Ctrl-C: what was started is ended on the way out."""
    sys.exit(STOPPED)


if __name__ == "__main__":
    app()
