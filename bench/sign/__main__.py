"""`python -m bench.sign`: a table, and as the last line one JSON object."""

import json
from typing import Annotated

import typer

from bench.command import check_rows, clean_up_on_sigterm, show
from bench.command import save as keep
from bench.sign.contenders import WrongPass
from bench.sign.result import as_json, as_lines, as_table
from bench.sign.session import NAMES, Plan, measure
from store.errors import OcspeedError

QUICK = 3  # turns
QUICK_RSA = 1_000
QUICK_FILLED = 62_500

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    quick: Annotated[
        bool, typer.Option("--quick", help="3 turns, 1,000 RSA, 62,500 filled: for direction only.")
    ] = False,
    save: Annotated[bool, typer.Option("--save", help="Also write bench/results/sign-DATE.json.")] = False,
    row: Annotated[list[str] | None, typer.Option("--row", help=f"Only these: {', '.join(NAMES)}.")] = None,
    pairs: Annotated[int | None, typer.Option("--pairs", min=1, help="Runs of each contender.")] = None,
    certificates: Annotated[int, typer.Option("--certificates", min=1, help="Of a P-256 pass.")] = 31_250,
    rsa: Annotated[int | None, typer.Option("--rsa-certificates", min=1, help="Of an RSA-2048 pass.")] = None,
    filled: Annotated[
        int | None, typer.Option("--filled", min=4, help="Certificates whose memory is measured.")
    ] = None,
) -> None:
    """What signing costs: ours, into the store, beside a loop that does nothing but sign, runs of all in turns."""
    check_rows(row, NAMES)
    clean_up_on_sigterm()
    size = filled or (QUICK_FILLED if quick else Plan().filled)
    plan = Plan(
        certificates=certificates,
        rsa_certificates=rsa or (QUICK_RSA if quick else Plan().rsa_certificates),
        pairs=pairs or (QUICK if quick else Plan().pairs),
        filled=size,
        rsa_filled=size // 4,
        rows=tuple(row or NAMES),
    )
    try:
        measured = measure(plan, lambda text: typer.echo(text, err=True))
    except (WrongPass, OcspeedError, RuntimeError) as error:
        typer.echo(f"bench-sign: {error}", err=True)
        raise typer.Exit(1) from None
    result = as_json(measured)
    show(as_table(measured), (*as_lines(measured), *(f"MISSING: {text}" for text in measured.missing)))
    if save:
        keep("sign", result)
    typer.echo(json.dumps(result))


if __name__ == "__main__":
    app()
