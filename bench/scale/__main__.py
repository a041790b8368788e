"""`python -m bench.scale`: a table, and as the last line one JSON object."""

import json
from pathlib import Path
from typing import Annotated

import typer

from bench.command import clean_up_on_sigterm, show
from bench.command import save as keep_result
from bench.scale.result import as_json, as_lines, as_table
from bench.scale.session import Plan, measure
from bench.scale.watched import Failed
from bench.serve.verify import WrongAnswer
from store.errors import OcspeedError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    quick: Annotated[
        bool, typer.Option("--quick", help="3 pairs of lookups, 0.5 s each: for direction only.")
    ] = False,
    save: Annotated[bool, typer.Option("--save", help="Also write bench/results/scale-DATE.json.")] = False,
    certificates: Annotated[int, typer.Option("--certificates", min=1, help="Of the CA.")] = 20_000_000,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes that sign.")] = 2,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="A new directory for it; else a temporary one.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave CA, ledger and store in that directory.")
    ] = False,
) -> None:
    """What a CA of any size takes: imported, signed and published, then looked up beside a small one."""
    if keep and directory is None:
        raise typer.BadParameter("name the directory with --dir", param_hint="--keep")
    if directory is not None and directory.exists():
        raise typer.BadParameter(f"{directory} is there already", param_hint="--dir")
    clean_up_on_sigterm()
    full = Plan()
    plan = Plan(
        certificates=certificates,
        workers=workers,
        pairs=3 if quick else full.pairs,
        seconds=0.5 if quick else full.seconds,
        directory=directory,
        keep=keep,
    )
    try:
        measured = measure(plan, lambda text: typer.echo(text, err=True))
    except (Failed, WrongAnswer, OcspeedError, RuntimeError) as error:
        typer.echo(f"bench-scale: {error}", err=True)
        raise typer.Exit(1) from None
    result = as_json(measured)
    show(as_table(measured), as_lines(measured))
    if save:
        keep_result("scale", result)
    typer.echo(json.dumps(result))


if __name__ == "__main__":
    app()
