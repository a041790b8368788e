"""`python -m bench.revoke`: a table, and as the last line one JSON object."""

import json
from typing import Annotated

import typer

from bench.command import check_rows, clean_up_on_sigterm, show
from bench.command import save as keep
from bench.revoke.result import as_json, as_lines, as_table
from bench.revoke.session import MASS, NAMES, USUAL, Plan, measure
from bench.scale.watched import Failed
from store.errors import OcspeedError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="100 revocations a row, a tenth of the certificates: for direction only."
        ),
    ] = False,
    save: Annotated[bool, typer.Option("--save", help="Also write bench/results/revoke-DATE.json.")] = False,
    row: Annotated[
        list[str] | None,
        typer.Option("--row", help=f"Only these: {', '.join(NAMES)}; mass also with --mass."),
    ] = None,
    revocations: Annotated[int | None, typer.Option("--revocations", min=1, help="Of each row.")] = None,
    certificates: Annotated[
        int | None, typer.Option("--certificates", min=100, help="That there are to sign.")
    ] = None,
    imported: Annotated[int | None, typer.Option("--imported", min=1, help="Rows of an import.")] = None,
    mass: Annotated[int, typer.Option("--mass", min=0, help="Only so many revocations at once.")] = 0,
) -> None:
    """From a revocation's acceptance until every worker says so: one by one beside other work, or millions."""
    check_rows(row, NAMES)
    clean_up_on_sigterm()
    full, tenth = Plan(), 10 if quick else 1
    plan = Plan(
        certificates=certificates or full.certificates // tenth,
        revocations=revocations or full.revocations // tenth,
        imported=imported or full.imported // tenth,
        mass=mass or 300_000,
        rows=tuple(row) if row else (MASS,) if mass else USUAL,
    )
    try:
        measured = measure(plan, lambda text: typer.echo(text, err=True))
    except (Failed, OcspeedError, RuntimeError) as error:
        typer.echo(f"bench-revoke: {error}", err=True)
        raise typer.Exit(1) from None
    result = as_json(measured)
    show(as_table(measured), as_lines(measured))
    if save:
        keep("mass" if plan.rows == (MASS,) else "revoke", result)
    typer.echo(json.dumps(result))


if __name__ == "__main__":
    app()
