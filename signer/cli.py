"""The `ocsp-signer` command. What a sub-command needs is imported when it runs: `--help` stays instant."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from signer.cli_crl import crl_app
from signer.cli_ledger import journal_app, ledger_app
from signer.cli_options import (
    DEFAULT_CONFIG,
    SETTINGS,
    Config,
    DryRun,
    Issuer,
    Json,
    OneIssuer,
    Quiet,
    Verbose,
)
from store.options import Version

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=SETTINGS,
)
app.add_typer(crl_app, name="crl")
app.add_typer(journal_app, name="journal")
app.add_typer(ledger_app, name="ledger")
store_app = typer.Typer(help="Look after the store.", no_args_is_help=True, context_settings=SETTINGS)
app.add_typer(store_app, name="store")


class ImportFormat(StrEnum):
    """How a file of certificates is laid out."""

    OPENSSL_INDEX = "openssl-index"
    CSV = "csv"
    NDJSON = "ndjson"
    PEM_DIR = "pem-dir"
    DER_DIR = "der-dir"


@app.callback()
def root(
    no_color: Annotated[
        bool, typer.Option("--no-color", help="No colours; NO_COLOR in the environment does the same.")
    ] = False,
    version: Version = False,
) -> None:
    """Keep the ledger of a CA, sign its OCSP responses ahead of time, publish its CRLs."""
    if no_color:
        os.environ["NO_COLOR"] = "1"


@app.command(epilog="Example: ocsp-signer init /etc/ocspeed")
def init(directory: Annotated[Path, typer.Argument(metavar="[DIR]")] = Path(".")) -> None:
    """Write a commented ocsp.toml into DIR."""
    from signer.commands.init import init as write

    write(directory)


@app.command(
    "import", epilog="Example: ocsp-signer import --issuer demo --format openssl-index index.txt --json"
)
def import_file(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A file, or for *-dir a directory.")],
    issuer: OneIssuer,
    config: Config = DEFAULT_CONFIG,
    format: Annotated[
        ImportFormat, typer.Option("--format", help="How it is laid out.")
    ] = ImportFormat.OPENSSL_INDEX,
    dry_run: DryRun = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Record good rows although others are bad; exit 3.")
    ] = False,
    json: Json = False,
    quiet: Quiet = 0,
) -> None:
    """Record certificates and revocations. The same again changes nothing; nothing ever un-revokes.

    openssl-index: the index.txt of `openssl ca`.

    csv, with a header, and ndjson, an object a line: serial (hexadecimal),
    not_after and, where known, not_before, status (good, revoked, expired),
    revoked_at, reason (name or number), crl_url. Times are RFC 3339 with a
    zone, such as 2026-11-21T10:00:00Z. docs/operations.md has more on them.

    pem-dir, der-dir: every certificate and precertificate below a directory.
    Each must be signed by the issuer and belongs to the CRL that it names.
    """
    from signer.commands import certificates

    code = certificates.import_file(
        config,
        path,
        issuer=issuer,
        format=format.value,
        dry_run=dry_run,
        keep_going=keep_going,
        as_json=json,
        quiet=bool(quiet),
    )
    raise typer.Exit(code)


@app.command(epilog="Example: ocsp-signer watch --issuer demo /etc/ssl/ca/index.txt")
def watch(
    path: Annotated[Path, typer.Argument(metavar="INDEX", help="The index.txt of `openssl ca`.")],
    issuer: OneIssuer,
    config: Config = DEFAULT_CONFIG,
    once: Annotated[
        bool, typer.Option("--once", help="End when it was recorded as it is; exit 3 if lines are bad.")
    ] = False,
    json: Json = False,
) -> None:
    """Record what changes in an index.txt, within two seconds; until SIGTERM or Ctrl-C.

    A bad line is told once and holds up no other; it is tried again when the
    file changes. `issuer.watch` has `run` do the same.
    """
    from signer.commands import watch as command

    raise typer.Exit(command.watch(config, path, issuer=issuer, once=once, as_json=json))


@app.command("import-signed", epilog="Example: ocsp-signer import-signed --issuer root root.crl")
def import_signed(
    issuer: OneIssuer,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="CRLs, DER or PEM, and OCSP responses, DER; or a directory of them."
        ),
    ],
    config: Config = DEFAULT_CONFIG,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Publish CRLs and serve OCSP responses that an offline CA signed, as they are.

    Nothing is taken unless every file passes what can be checked. A response
    needs ocsp.responses = "imported", and its certificate in the ledger.
    """
    from signer.commands import signed
    from store.logs import configure

    configure(-1)  # to stderr
    code = signed.import_signed(config, files, issuer=issuer, dry_run=dry_run, as_json=json)
    raise typer.Exit(code)


@app.command(epilog="Example: ocsp-signer revoke --issuer demo 2F00A1 --reason keyCompromise")
def revoke(
    issuer: OneIssuer,
    serials: Annotated[list[str] | None, typer.Argument(metavar="SERIAL...", help="Hexadecimal.")] = None,
    config: Config = DEFAULT_CONFIG,
    from_file: Annotated[
        Path | None, typer.Option("--from-file", help="Lines of serial[,reason[,date]] instead of SERIAL.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every certificate that has not expired: the CA is compromised.")
    ] = False,
    expect: Annotated[
        int | None, typer.Option("--expect", help="How many there are; needed above 100 unless --dry-run.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="CRLReason by name or number.")] = "unspecified",
    date: Annotated[
        str | None, typer.Option("--date", help="Since when, RFC 3339, not in the future; default now.")
    ] = None,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = 0,
) -> None:
    """Revoke certificates for ever. Later only an earlier date or keyCompromise can still be set.

    First it is summed up what that comes to. What is recorded gets the id of
    this batch in the journal; the same command again does what a crash left.
    """
    from signer.commands import revoke as command

    request = command.RevokeRequest(tuple(serials or ()), from_file, everything, expect, reason, date)
    code = command.revoke(config, request, issuer=issuer, dry_run=dry_run, as_json=json, quiet=bool(quiet))
    raise typer.Exit(code)


@app.command(epilog="Example: ocsp-signer status --json")
def status(config: Config = DEFAULT_CONFIG, json: Json = False) -> None:
    """Show what the ledger and the store hold: certificates, changes not yet signed, CRLs."""
    from signer.commands import status as command

    raise typer.Exit(command.status(config, as_json=json))


@app.command(epilog="Example: ocsp-signer audit --full --url http://127.0.0.1:2560 --report audit.json")
def audit(
    config: Config = DEFAULT_CONFIG,
    issuer: Issuer = None,
    sample: Annotated[
        int,
        typer.Option(
            min=1, help="Certificates of an issuer whose signatures are verified and responders asked for."
        ),
    ] = 1000,
    full: Annotated[bool, typer.Option("--full", help="Verify every signature.")] = False,
    url: Annotated[
        list[str] | None, typer.Option("--url", help="A responder to ask; default `ocsp.url`, if it is set.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="A file that gets the findings as JSON.", dir_okay=False)
    ] = None,
    json: Json = False,
    quiet: Quiet = 0,
) -> None:
    """Hold ledger, store, CRLs and responders against each other, while everything runs.

    Every page and CRL is read whole; signatures of responses are verified on a
    sample. Exit codes: 0 they agree, 1 something was found. What is found says
    what to do about it; docs/operations.md has more on it.
    """
    from signer.audit.whole import Request
    from signer.commands import audit as command

    request = Request(sample, full, tuple(url or ()))
    code = command.audit(config, request, issuer=issuer, report=report, as_json=json, quiet=bool(quiet))
    raise typer.Exit(code)


@store_app.command(
    "init",
    epilog="Example: OCSP__STORE__USERNAME=ocsp-admin OCSP__STORE__PASSWORD_FILE=FILE ocsp-signer store init",
)
def store_init(config: Config = DEFAULT_CONFIG) -> None:
    """Load the function library; needed once a release, and after the server restarted empty."""
    from signer.commands import store

    store.init(config)


@store_app.command("repage", epilog="Example: ocsp-signer store repage --issuer demo --dry-run")
def store_repage(
    issuer: OneIssuer,
    config: Config = DEFAULT_CONFIG,
    bits: Annotated[
        int | None, typer.Option("--bits", help="Make 2^BITS pages; default 64 certificates or less a page.")
    ] = None,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = 0,
) -> None:
    """Give an issuer that has grown more and smaller pages, while answers go on.

    Until all are copied the store holds its pages twice: --dry-run says
    what that takes. The same command again finishes what a crash left.
    """
    from signer.commands.repage import repage

    raise typer.Exit(
        repage(config, issuer=issuer, bits=bits, dry_run=dry_run, as_json=json, quiet=bool(quiet))
    )


@app.command(epilog="Example: ocsp-signer sign --all --json | jq .responses")
def sign(
    config: Config = DEFAULT_CONFIG,
    everything: Annotated[
        bool, typer.Option("--all", help="Every page, not only those that are due.")
    ] = False,
    issuer: Issuer = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes; default one a core.")
    ] = None,
    json: Json = False,
    quiet: Quiet = 0,
) -> None:
    """Sign what changed, what is due and what the store has lost; then exit."""
    from signer.commands import signing

    raise typer.Exit(
        signing.sign(
            config, everything=everything, issuer=issuer, workers=workers, as_json=json, quiet=bool(quiet)
        )
    )


@app.command(epilog="Example: ocsp-signer run --config /etc/ocspeed/ocsp.toml")
def run(config: Config = DEFAULT_CONFIG, verbose: Verbose = 0, quiet: Quiet = 0) -> None:
    """Sign changes at once and pages on schedule, publish CRLs; until SIGTERM or Ctrl-C."""
    from signer.commands import signing

    signing.run(config, verbose - quiet)


@app.command(epilog="Example: ocsp-signer resume --accept-clock")
def resume(
    accept_clock: Annotated[
        bool, typer.Option("--accept-clock", help="The wall clock of this machine is right as it is.")
    ] = False,
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
) -> None:
    """Let `run` sign again after it stopped because the clock jumped. Compare with another clock first.

    What is signed with a wrong time cannot be taken back. A clock that was
    corrected needs no word: `run` goes on by itself after a minute.
    """
    from signer.commands import resume as command

    command.resume(config, accept_clock=accept_clock, as_json=json)


@app.command(epilog="Example: ocsp-signer demo --check")
def demo(
    certs: Annotated[
        int, typer.Option(min=100, max=10_000_000, help="Certificates of the demo's CA.")
    ] = 10_000,
    directory: Annotated[Path, typer.Option("--dir", help="Where its files go.")] = Path("demo"),
    check: Annotated[
        bool, typer.Option("--check", help="End after the checks; exit 0 if all passed.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Make the same serials again.")] = None,
) -> None:
    """Make a CA, sign, publish, serve and check it; stay until Ctrl-C."""
    from signer.commands.demo import demo as play

    play(directory, certs, check=check, seed=seed)


def main() -> None:
    """Entry point: errors are printed with their remedy, without a traceback."""
    sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # arguments may be any octets
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        from signer.commands.output import remark
        from store.errors import OcspeedError

        if not isinstance(error, OcspeedError):
            raise
        remark(f"error: {error}")
        sys.exit(error.exit_code)
