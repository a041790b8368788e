"""`python -m bench.crl`: a table, and as the last line one JSON object."""

import json
import signal
import sys
from datetime import date
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from bench.crl.contenders import WrongCrl
from bench.crl.result import as_json, as_table
from bench.crl.session import NAMES, USUAL, Plan, measure
from store.errors import OcspeedError

RESULTS = Path(__file__).parents[1] / "results"
WIDE = 160  # columns of a table that does not go to a terminal
STOPPED = 143  # by SIGTERM

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    quick: Annotated[bool, typer.Option("--quick", help="3 rounds, 1 build: for direction only.")] = False,
    save: Annotated[bool, typer.Option("--save", help="Also write bench/results/crl-DATE.")] = False,
    row: Annotated[
        list[str] | None,
        typer.Option("--row", help=f"Only these: {', '.join(NAMES)}; incident only when named."),
    ] = None,
    size: Annotated[list[int] | None, typer.Option("--size", min=1, help="Entries of one CRL.")] = None,
    rounds: Annotated[int | None, typer.Option("--rounds", min=1, help="Runs of each contender.")] = None,
    million: Annotated[int, typer.Option("--million", min=1, help="Entries of the large set.")] = 1_000_000,
) -> None:
    """What a CRL costs: ours beside cryptography's builder and `openssl ca -gencrl`, runs of all in turns."""
    if unnamed := set(row or ()) - {*NAMES}:
        raise typer.BadParameter(f"no such row: {', '.join(sorted(unnamed))}", param_hint="--row")
    signal.signal(signal.SIGTERM, _stop)
    full = Plan()
    plan = Plan(
        sizes=tuple(size or full.sizes),
        rounds=rounds or (3 if quick else full.rounds),
        million=million,
        builds=1 if quick else full.builds,
        rows=tuple(row or USUAL),
    )
    try:
        measured = measure(plan, lambda text: typer.echo(text, err=True))
    except (WrongCrl, OcspeedError, RuntimeError) as error:
        typer.echo(f"bench-crl: {error}", err=True)
        raise typer.Exit(1) from None
    result = as_json(measured)
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE)
    console.print(as_table(measured))
    for text in measured.missing:
        console.print(f"MISSING: {text}")
    if save:
        _save(result)
    typer.echo(json.dumps(result))


def _stop(_signal: int, _frame: object) -> NoReturn:
    """As on Ctrl-C: what was started is ended on the way out."""
    sys.exit(STOPPED)


def _save(result: dict[str, Any]) -> None:
    from bench.crl.plots import plot

    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"crl-{date.today()}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    plot(result, path.with_suffix(".svg"))
    typer.echo(f"wrote {path} and its plot", err=True)


if __name__ == "__main__":
    app()
