"""What both commands can be asked on their first level."""

from typing import Annotated

import typer

__all__ = ["Version"]


def _show(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"ocspeed {version('ocspeed')}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_show, is_eager=True, help="Print the version and exit.")
]
