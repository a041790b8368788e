"""`python -m bench.serve`: a table, and as the last line one JSON object."""

import json
import signal
import sys
from datetime import date
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from bench.serve.fleet import NotOutnumbered
from bench.serve.result import as_json, as_table
from bench.serve.session import NAMES, USUAL, Measured, Plan, measure
from bench.serve.verify import WrongAnswer
from store.errors import OcspeedError

RESULTS = Path(__file__).parents[1] / "results"
WIDE = 160  # columns of a table that does not go to a terminal
STOPPED = 143  # by SIGTERM

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    quick: Annotated[bool, typer.Option("--quick", help="3 pairs of 0.5 s: for direction only.")] = False,
    save: Annotated[bool, typer.Option("--save", help="Also write bench/results/serve-DATE.")] = False,
    row: Annotated[
        list[str] | None,
        typer.Option("--row", help=f"Only these: {', '.join(NAMES)}; openssl only when named."),
    ] = None,
    pairs: Annotated[int | None, typer.Option("--pairs", min=1, help="Pairs of runs in a row.")] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", min=0.1, help="Length of a run.")] = None,
    certificates: Annotated[int, typer.Option("--certificates", min=64, help="In the store.")] = 26_000,
) -> None:
    """What an answer costs: ours beside other servers, runs of both in turns, servers on one core, the rest on another."""
    if unnamed := set(row or ()) - {*NAMES}:
        raise typer.BadParameter(f"no such row: {', '.join(sorted(unnamed))}", param_hint="--row")
    signal.signal(signal.SIGTERM, _stop)
    plan = _plan(quick, pairs, seconds, certificates, row)
    try:
        measured = measure(plan, lambda text: typer.echo(text, err=True))
    except (NotOutnumbered, WrongAnswer, OcspeedError, RuntimeError) as error:
        typer.echo(f"bench-serve: {error}", err=True)
        raise typer.Exit(1) from None
    result = as_json(measured)
    _show(measured, result)
    if save:
        _save(result)
    typer.echo(json.dumps(result))


def _plan(
    quick: bool, pairs: int | None, seconds: float | None, certificates: int, rows: list[str] | None
) -> Plan:
    full = Plan()
    return Plan(
        certificates=certificates,
        pairs=pairs or (3 if quick else full.pairs),
        seconds=seconds or (0.5 if quick else full.seconds),
        unknown=200_000 if quick else full.unknown,
        idle_seconds=2.0 if quick else full.idle_seconds,
        rows=tuple(rows or USUAL),
    )


def _stop(_signal: int, _frame: object) -> NoReturn:
    """As on Ctrl-C: the servers are ended on the way out."""
    sys.exit(STOPPED)


def _show(measured: Measured, result: dict[str, Any]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE)
    console.print(as_table(measured))
    for name in ("latency", "start_s", "idle_percent", "unknown_growth_mib"):
        if result.get(name) is not None:
            console.print(f"{name}: {result[name]}")
    for noted in result["memory"]:
        console.print(f"our worker: {noted}")
    for text in result["missing"]:
        console.print(f"MISSING: {text}")
    for text in result["void"]:
        console.print(f"* VOID: {text}")


def _save(result: dict[str, Any]) -> None:
    from bench.serve.plots import plot

    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"serve-{date.today()}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    plot(result, path.with_suffix(".svg"))
    typer.echo(f"wrote {path} and its plot", err=True)


if __name__ == "__main__":
    app()
