"""`python -m bench.serve`: a table, and as the last line one JSON object."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.command import check_rows, clean_up_on_sigterm, show
from bench.command import save as keep
from bench.serve.fleet import NotOutnumbered
from bench.serve.result import as_json, as_table
from bench.serve.session import NAMES, USUAL, Plan, measure
from bench.serve.verify import WrongAnswer
from store.errors import OcspeedError

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
    certificates: Annotated[int, typer.Option("--certificates", min=64, help="In the store.")] = 36_000,
) -> None:
    """What an answer costs: ours beside other servers, runs of both in turns, servers on one core, the rest on another."""
    check_rows(row, NAMES)
    clean_up_on_sigterm()
    plan = _plan(quick, pairs, seconds, certificates, row)
    try:
        measured = measure(plan, lambda text: typer.echo(text, err=True))
    except (NotOutnumbered, WrongAnswer, OcspeedError, RuntimeError) as error:
        typer.echo(f"bench-serve: {error}", err=True)
        raise typer.Exit(1) from None
    result = as_json(measured)
    show(as_table(measured), _remarks(result))
    if save:
        keep("serve", result, _plot)
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


def _plot(result: dict[str, Any], path: Path) -> None:
    from bench.serve.plots import plot  # of a package that nothing else needs

    plot(result, path)


def _remarks(result: dict[str, Any]) -> Iterator[str]:
    for name in ("latency", "start_s", "idle_percent", "unknown_growth_mib"):
        if result.get(name) is not None:
            yield f"{name}: {result[name]}"
    yield from (f"our worker: {noted}" for noted in result["memory"])
    yield from (f"MISSING: {text}" for text in result["missing"])
    yield from (f"* VOID: {text}" for text in result["void"])


if __name__ == "__main__":
    app()
