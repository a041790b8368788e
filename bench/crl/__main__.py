"""`python -m bench.crl`: a table, and as the last line one JSON object."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.command import check_rows, clean_up_on_sigterm, show
from bench.command import save as keep
from bench.crl.contenders import WrongCrl
from bench.crl.result import as_json, as_table
from bench.crl.session import NAMES, USUAL, Plan, measure
from store.errors import OcspeedError

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
    check_rows(row, NAMES)
    clean_up_on_sigterm()
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
    show(as_table(measured), (f"MISSING: {text}" for text in measured.missing))
    if save:
        keep("crl", result, _plot)
    typer.echo(json.dumps(result))


def _plot(result: dict[str, Any], path: Path) -> None:
    from bench.crl.plots import plot  # of a package that nothing else needs

    plot(result, path)


if __name__ == "__main__":
    app()
