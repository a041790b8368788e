"""The `ocsp-signer crl` commands. What one needs is imported when it runs."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from signer.cli_options import DEFAULT_CONFIG, SETTINGS, Config, DryRun, Issuer, Json, Quiet

if TYPE_CHECKING:
    from signer.crl.fetch import Limits

__all__ = ["crl_app"]

crl_app = typer.Typer(
    help="Build CRLs, look at them, verify them as outsiders do.",
    no_args_is_help=True,
    context_settings=SETTINGS,
)

Timeout = Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds for each URL.")]
MaxSize = Annotated[int, typer.Option("--max-size", min=1, help="Octets read of one CRL.")]
Redirects = Annotated[
    bool, typer.Option("--follow-redirects", help="Go where a redirect leads; else it is a fault.")
]
ConnectTo = Annotated[
    str | None,
    typer.Option(
        "--connect-to", metavar="HOST:PORT", help="Ask this server for every URL, such as one behind the CDN."
    ),
]
TIMEOUT = 60.0
MAX_SIZE = 9_999_999


class Scope(StrEnum):
    """Which certificates a CRL is about."""

    USER = "user"
    CA = "ca"


def _limits(timeout: float, max_size: int, follow_redirects: bool, connect_to: str | None) -> "Limits":
    from signer.crl.fetch import Limits

    host, _, port = (connect_to or "").rpartition(":")
    if connect_to is not None and not (host and port.isdecimal() and 0 < int(port) < 65_536):
        raise typer.BadParameter(f"{connect_to!r} is not HOST:PORT", param_hint="--connect-to")
    return Limits(
        timeout=timeout,
        max_size=max_size,
        follow_redirects=follow_redirects,
        connect_to=(host.strip("[]"), int(port)) if connect_to else None,
    )


@crl_app.command("build", epilog="Example: ocsp-signer crl build --issuer demo --dry-run")
def crl_build(
    config: Config = DEFAULT_CONFIG,
    issuer: Issuer = None,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = 0,
) -> None:
    """Build, check and publish every shard now; then exit."""
    from signer.commands import crl
    from store.logs import configure

    configure(-1)  # to stderr
    raise typer.Exit(crl.build(config, issuer=issuer, dry_run=dry_run, as_json=json, quiet=bool(quiet)))


@crl_app.command("show", epilog="Example: ocsp-signer crl show --entries objects/crl/demo/0-0.crl")
def crl_show(
    source: Annotated[
        str | None, typer.Argument(metavar="FILE|URL", help="A CRL in DER; without it, what is published.")
    ] = None,
    config: Config = DEFAULT_CONFIG,
    issuer: Issuer = None,
    entries: Annotated[bool, typer.Option("--entries", help="List the entries too.")] = False,
    timeout: Timeout = TIMEOUT,
    max_size: MaxSize = MAX_SIZE,
    follow_redirects: Redirects = False,
    connect_to: ConnectTo = None,
    json: Json = False,
) -> None:
    """Number, dates and size of each published CRL; or what one CRL says, whoever made it."""
    from signer.commands import crl_show as command

    limits = _limits(timeout, max_size, follow_redirects, connect_to)
    command.show(config, source, issuer=issuer, entries=entries, as_json=json, limits=limits)


@crl_app.command("diff", epilog="Example: ocsp-signer crl diff old.crl http://c.example/crl/demo/0-0.crl")
def crl_diff(
    first: Annotated[str, typer.Argument(metavar="FILE|URL", help="A CRL in DER.")],
    second: Annotated[str, typer.Argument(metavar="FILE|URL", help="Another one.")],
    timeout: Timeout = TIMEOUT,
    max_size: MaxSize = MAX_SIZE,
    follow_redirects: Redirects = False,
    connect_to: ConnectTo = None,
    json: Json = False,
) -> None:
    """Show what the second CRL says that the first does not.

    Exit codes as diff has them: 0 the same octets, 1 they differ, 2 a CRL
    cannot be read.
    """
    from signer.commands import crl_diff as command

    limits = _limits(timeout, max_size, follow_redirects, connect_to)
    raise typer.Exit(command.diff(first, second, as_json=json, limits=limits))


@crl_app.command(
    "verify",
    epilog="Example: ocsp-signer crl verify --issuer-cert ca.pem https://example.org/ccadb-partitioned.json",
)
def crl_verify(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="URL|DIR",
            help="A manifest, a CCADB array or one CRL; or where CRLs were published, which is `objects.target` if left out.",
        ),
    ] = None,
    config: Config = DEFAULT_CONFIG,
    issuer: Issuer = None,
    issuer_cert: Annotated[
        Path | None, typer.Option("--issuer-cert", help="The CA's certificate, PEM or DER.", dir_okay=False)
    ] = None,
    urls: Annotated[
        Path | None,
        typer.Option(
            "--urls", help="Fetch what this file names: a manifest, a CCADB array, or a URL a line."
        ),
    ] = None,
    scope: Annotated[
        Scope | None,
        typer.Option("--scope", help="Whose rules a CRL is held to that does not say what it is about."),
    ] = None,
    timeout: Timeout = TIMEOUT,
    max_size: MaxSize = MAX_SIZE,
    follow_redirects: Redirects = False,
    connect_to: ConnectTo = None,
    json: Json = False,
    quiet: Quiet = 0,
) -> None:
    """Fetch a whole CRL set as root programs do, and check what an outsider can.

    The ledger has no say. The CA is the one of --issuer-cert, or else of
    --issuer or of the manifest as the configuration has it.

    Exit codes: 0 nothing was found, 1 something was, 2 there is no list or no
    CA certificate. docs/operations.md lists the checks.
    """
    from signer.commands import crl_verify as command
    from signer.crl.build import CrlScope

    request = command.VerifyRequest(
        source=source,
        urls=urls,
        issuer=issuer,
        issuer_cert=issuer_cert,
        limits=_limits(timeout, max_size, follow_redirects, connect_to),
        scope=CrlScope(scope.value) if scope else None,
    )
    raise typer.Exit(command.verify(config, request, as_json=json, quiet=bool(quiet)))
