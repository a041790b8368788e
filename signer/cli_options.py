"""Options that commands of `ocsp-signer` share."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "Config",
    "DEFAULT_CONFIG",
    "DryRun",
    "Issuer",
    "Json",
    "OneIssuer",
    "Quiet",
    "SETTINGS",
    "Verbose",
]

SETTINGS = {"help_option_names": ["-h", "--help"]}
Config = Annotated[Path, typer.Option("--config", "-c", help="Configuration file.", dir_okay=False)]
Issuer = Annotated[str | None, typer.Option("--issuer", "-i", help="Only this issuer.")]
OneIssuer = Annotated[str, typer.Option("--issuer", "-i", help="Its name in the configuration.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
Verbose = Annotated[int, typer.Option("--verbose", "-v", count=True, help="Log more.")]
Quiet = Annotated[int, typer.Option("--quiet", "-q", count=True, help="Log less, show no progress.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen and change nothing.")]
DEFAULT_CONFIG = Path("ocsp.toml")
