"""`python -m bench.siege`: a table, and as the last line one JSON object."""

import json
from dataclasses import replace
from typing import Annotated, Any

import typer

from bench.command import check_rows, clean_up_on_sigterm, save, show, table
from bench.environment import environment
from bench.siege.session import ROWS, Plan, measure
from store.errors import OcspeedError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

GOALS = {
    "p99_beside_slow_vs_without": 1.5,
    "overload_accepted_p99_ms": 100.0,
    "overload_refused_p99_ms": 100.0,
    "overload_growth_mib": 16.0,
    "flood_growth_mib": 16.0,
    "flood_new_series": 0,
}


@app.command()
def main(
    quick: Annotated[bool, typer.Option("--quick", help="Short and few: for direction only.")] = False,
    keep: Annotated[bool, typer.Option("--save", help="Also write bench/results/siege-DATE.json.")] = False,
    row: Annotated[list[str] | None, typer.Option("--row", help=f"Only these: {', '.join(ROWS)}.")] = None,
) -> None:
    """What slow clients, overload and floods do to the responder, and to those who mean well."""
    check_rows(row, ROWS)
    clean_up_on_sigterm()
    plan = Plan(tuple(row or ROWS))
    if quick:
        plan = replace(plan, pairs=2, seconds=3.0, overload_seconds=5.0, flood=400_000)
    try:
        found = measure(plan, lambda text: typer.echo(text, err=True))
    except (OcspeedError, RuntimeError) as error:
        typer.echo(f"bench-siege: {error}", err=True)
        raise typer.Exit(1) from None
    result = environment() | found
    show(table("Siege", ("figure", "found", "goal, at most"), ("figure",), _rows(found)), ())
    if keep:
        save("siege", result)
    typer.echo(json.dumps(result))


def _rows(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    figures = {name: value for name, value in found.items() if isinstance(value, int | float)}
    return [(name, f"{value:,}", str(GOALS.get(name, ""))) for name, value in figures.items()]


if __name__ == "__main__":
    app()
