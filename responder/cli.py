"""The `ocsp-responder` command. What a sub-command needs is imported when it runs."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from store.options import Version

if TYPE_CHECKING:
    from responder.config import Settings

__all__ = ["main"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Config = Annotated[
    Path, typer.Option("--config", "-c", help="Configuration file.", show_default=True, dir_okay=False)
]
Verbose = Annotated[int, typer.Option("--verbose", "-v", count=True, help="Log more.")]
Quiet = Annotated[int, typer.Option("--quiet", "-q", count=True, help="Log less.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.callback()
def root(version: Version = False) -> None:
    """Answer OCSP requests and serve CRLs out of the store that ocsp-signer fills. Holds no key."""


@app.command(epilog="Example: ocsp-responder serve --config /etc/ocspeed/ocsp.toml")
def serve(config: Config = Path("ocsp.toml"), verbose: Verbose = 0, quiet: Quiet = 0) -> None:
    """Serve until SIGTERM; SIGHUP replaces the workers, which read the configuration anew."""
    from responder.config import load_settings
    from responder.server import serve as run
    from store.logs import configure

    settings = load_settings(config)
    configure(verbose - quiet, throttled=True)
    run(settings, verbose - quiet)


@app.command("check-config", epilog="Example: ocsp-responder check-config --json | jq .issuers")
def check_config(config: Config = Path("ocsp.toml"), json: Json = False) -> None:
    """Read the configuration and all it names, and say what would be served."""
    from responder.config import load_settings

    settings = load_settings(config)
    typer.echo(_as_json(settings) if json else _as_text(settings))
    for warning in _warnings(settings):
        typer.echo(f"warning: {warning}", err=True)


def _warnings(settings: "Settings") -> list[str]:
    """What is served all the same: other issuers must not suffer from it."""
    from store.clock import SystemClock
    from store.model import validity_fault

    faults = {
        issuer.name: validity_fault(issuer.certificate, SystemClock().now()) for issuer in settings.issuers
    }
    return [
        f"issuer {name}: the CA certificate {fault}: no client takes a response or CRL under it"
        for name, fault in faults.items()
        if fault
    ]


def _as_json(settings: "Settings") -> str:
    import msgspec

    section = settings.responder
    body = {
        "file": str(settings.file),
        "listen": section.listen,
        "admin": section.admin,
        "prefix": section.prefix,
        "workers": section.workers,
        "store": settings.store.url,
        "objects": settings.objects.location,
        "state_directory": str(settings.state_directory),
        "issuers": [
            {
                "name": issuer.name,
                "subject": issuer.certificate.subject.rfc4514_string(),
                "not_after": issuer.certificate.not_valid_after_utc,
            }
            for issuer in settings.issuers
        ],
        "warnings": _warnings(settings),
    }
    return msgspec.json.encode(body).decode()


def _as_text(settings: "Settings") -> str:
    section = settings.responder
    lines = [
        f"{settings.file}: good",
        f"  OCSP and CRLs at http://{section.listen}{section.prefix}/, {section.workers} workers",
        f"  admin at http://{section.admin}/metrics, /livez, /readyz",
        f"  store {settings.store.url}, CRLs from {settings.objects.location}",
    ]
    for issuer in settings.issuers:
        subject = issuer.certificate.subject.rfc4514_string()
        until = issuer.certificate.not_valid_after_utc
        lines.append(f"  issuer {issuer.name}: {subject}, valid until {until:%Y-%m-%d}")
    return "\n".join(lines)


def main() -> None:
    """Entry point: errors of the set-up are printed with their remedy, without a traceback."""
    try:
        app()
    except Exception as error:
        from store.errors import OcspeedError

        if not isinstance(error, OcspeedError):
            raise
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
