"""The `ocsp-responder` command. What a sub-command needs is imported when it runs."""

import sys
from enum import StrEnum
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


class Methods(StrEnum):
    """How requests are sent."""

    RECORDED = "recorded"
    GET = "get"
    POST = "post"
    BOTH = "both"


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


SHADOW_EXAMPLES = """Example: ocsp-responder shadow --left http://ocsp.old.example --right http://127.0.0.1:2560 --ca ca.pem access.log

Example: ocsp-responder shadow --left URL --right URL --method both --rate 50 --keep differ.txt requests.txt.gz

Example: zcat access.log.*.gz | ocsp-responder shadow --left URL --right URL --strip /ocsp --json -
"""


@app.command(epilog=SHADOW_EXAMPLES)
def shadow(
    requests: Annotated[
        list[Path],
        typer.Argument(
            metavar="REQUESTS...",
            help="Files of requests, access logs, directories of .der, .orq or .req files, or - for stdin.",
        ),
    ],
    left: Annotated[str, typer.Option("--left", help="URL of the responder that answers now.")],
    right: Annotated[str, typer.Option("--right", help="URL of the one that is to answer.")],
    method: Annotated[
        Methods, typer.Option("--method", help="recorded: paths by GET as they were spelled, others by POST.")
    ] = Methods.RECORDED,
    strip: Annotated[
        str, typer.Option("--strip", metavar="PREFIX", help="What recorded paths begin with, such as /ocsp.")
    ] = "",
    odd: Annotated[bool, typer.Option("--odd", help="Replay paths that are no OCSP request, too.")] = False,
    ca: Annotated[
        list[Path] | None, typer.Option("--ca", help="A CA whose signatures are verified. Repeatable.")
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option("--ignore", metavar="FIELD", help="Let this field differ. Repeatable."),
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option("--require", metavar="FIELD", help="Let it not, though it is only told. Repeatable."),
    ] = None,
    tolerance: Annotated[
        int, typer.Option("--tolerance", min=0, metavar="SECONDS", help="By which times may differ.")
    ] = 0,
    rate: Annotated[
        float | None, typer.Option("--rate", min=0.001, help="Requests a second, of each side.")
    ] = None,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=1, max=256, help="Connections to each side.")
    ] = 4,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="End after so many requests.")] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Seconds to wait for an answer.")
    ] = 10.0,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", help="A file that gets the requests answered differently.", dir_okay=False),
    ] = None,
    json: Json = False,
    quiet: Quiet = 0,
) -> None:
    """Ask two responders the same, of whatever make, and compare what they say.

    A line of a file is the base64 of an OCSPRequest, the path of a GET, or a
    line of an access log with a GET in it (.gz, too); # begins a comment.

    Answers disagree when they differ in HTTP status, Content-Type,
    responseStatus, CertID, certStatus, revocation time or reason, in whether
    they are in force, or, with --ca, in a valid signature. Times, responder
    ID, caching and what else may well differ are told. docs/operations.md has
    all fields.

    Exit codes: 0 they agree, 1 they do not, 2 wrong usage, 3 they agree on
    what was asked, but not all of the input was understood.
    """
    from responder.shadow.command import Output, issuers_of
    from responder.shadow.command import shadow as command
    from responder.shadow.fields import Choice
    from responder.shadow.recorded import Corpus
    from responder.shadow.replay import Plan

    plan = Plan(
        left=left,
        right=right,
        choice=Choice.of(ignore or (), require or (), tolerance),
        issuers=issuers_of(ca or ()),
        methods=method.value,
        rate=rate,
        concurrency=concurrency,
        limit=limit,
        timeout=timeout,
    )
    corpus = Corpus(tuple(requests), strip.rstrip("/"), odd)
    raise typer.Exit(command(corpus, plan, Output(keep, json, bool(quiet))))


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
