"""`python -m tests.invariants [A1 | D | NAME]...`: takes guards out, one after the other, and keeps what became of it.

`--new` leaves out those that were taken out since their entry in the table changed; `--test` tries other tests.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from tests.invariants.guard import Guard, load_guards, selected
from tests.invariants.kept import keep, load_kept
from tests.invariants.removal import Found, try_without

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    which: Annotated[
        list[str] | None,
        typer.Argument(help="Groups, invariants or names of guards; all are taken out else."),
    ] = None,
    test: Annotated[
        list[str] | None,
        typer.Option(help="Run these instead, and keep nothing: which tests fail without a guard?"),
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Only those that were not taken out since their entry changed.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="What pytest said of each.")] = False,
) -> None:
    """Take guards out of copies of the tree: the tests that the table names for each must fail."""
    guards = list(selected(load_guards().values(), which or []))
    if not guards:
        raise typer.BadParameter("no guard is named so", param_hint="which")
    if new:
        kept = load_kept()
        guards = [
            guard for guard in guards if guard.name not in kept or kept[guard.name].digest != guard.digest
        ]
    missed = [guard.name for guard in guards if not _is_caught(guard, test or [], verbose)]
    typer.echo(f"{len(guards)} guards, {len(missed)} not caught: {', '.join(missed) or 'none'}")
    raise typer.Exit(1 if missed else 0)


def _is_caught(guard: Guard, tests: list[str], verbose: bool) -> bool:
    with TemporaryDirectory(prefix="guard") as directory:
        try:
            found = try_without(guard, Path(directory), tests)
        except ValueError as error:
            found = Found(dict.fromkeys(guard.tests, "not tried"), str(error))
    caught = found.all_are("failed")
    typer.echo(f"{guard.name}: {'caught' if caught else 'NOT CAUGHT'}")
    for name, outcome in found.outcomes.items():
        if verbose or outcome != "failed" or tests:
            typer.echo(f"    {outcome}: {name}")
    if verbose or "not tried" in found.outcomes.values():
        typer.echo(found.output)
    if not tests:
        keep(guard, found)
    return caught


if __name__ == "__main__":
    app()
