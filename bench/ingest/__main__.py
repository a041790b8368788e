"""`python -m bench.ingest`: a table, and as the last line one JSON object."""

import json
from typing import Annotated

import typer

from bench.command import check_rows, clean_up_on_sigterm, show
from bench.command import save as keep
from bench.ingest.contenders import WrongImport
from bench.ingest.result import as_json, as_table
from bench.ingest.session import NAMES, Plan, measure
from store.errors import OcspeedError

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
    check_rows(row, NAMES)
    clean_up_on_sigterm()
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
    show(as_table(measured), (f"MISSING: {text}" for text in measured.missing))
    if save:
        keep("import", result)
    typer.echo(json.dumps(result))


if __name__ == "__main__":
    app()
