"""The `journal` and `ledger` groups of the `ocsp-signer` command."""

from pathlib import Path
from typing import Annotated

import typer

from signer.cli_options import DEFAULT_CONFIG, SETTINGS, Config, Json, Quiet

__all__ = ["journal_app", "ledger_app"]

journal_app = typer.Typer(
    help="Who did what: entries bound to each other by hashes.",
    no_args_is_help=True,
    context_settings=SETTINGS,
)
ledger_app = typer.Typer(help="Look after the ledger.", no_args_is_help=True, context_settings=SETTINGS)


@journal_app.command(
    "export", epilog="Example: ocsp-signer journal export --to /mnt/elsewhere/journal.ndjson"
)
def journal_export(
    config: Config = DEFAULT_CONFIG,
    since: Annotated[str | None, typer.Option("--since", help="Not earlier than this, RFC 3339.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Not later than this, RFC 3339.")] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="A file that gets, as JSON, whatever it lacks; made if it is not there."),
    ] = None,
    json: Json = False,
) -> None:
    """Print the journal, oldest first, or keep a copy of it up to date.

    With --json an entry is one line with its hashes, so that the copy can be
    verified without the ledger, and the ledger with the copy.
    """
    from signer.commands import journal

    journal.export(config, since=since, until=until, to=to, as_json=json)


@journal_app.command("verify", epilog="Example: ocsp-signer journal verify --against journal.ndjson")
def journal_verify(
    config: Config = DEFAULT_CONFIG,
    against: Annotated[
        Path | None,
        typer.Option("--against", help="An earlier export: shows also what was cut off or written anew."),
    ] = None,
    json: Json = False,
) -> None:
    """Follow the journal's chain; name the first entry that was changed, removed, put in or moved."""
    from signer.commands import journal

    journal.verify(config, against=against, as_json=json)


@ledger_app.command("backup", epilog="Example: ocsp-signer ledger backup /mnt/elsewhere/ledger-2026-11-21.db")
def ledger_backup(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A file that is not there yet.")],
    config: Config = DEFAULT_CONFIG,
    json: Json = False,
    quiet: Quiet = 0,
) -> None:
    """Copy the ledger as of one moment, while everything runs, and check the copy."""
    from signer.commands import ledger

    ledger.backup(config, path, as_json=json, quiet=bool(quiet))


@ledger_app.command(
    "restore", epilog="Example: ocsp-signer ledger restore /mnt/elsewhere/ledger-2026-11-21.db"
)
def ledger_restore(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A backup.")],
    config: Config = DEFAULT_CONFIG,
    without_crls: Annotated[
        bool, typer.Option("--without-crls", help="Do not read the published CRLs: they are lost too.")
    ] = False,
    without_store: Annotated[
        bool, typer.Option("--without-store", help="Do not read the store: it is lost too.")
    ] = False,
    json: Json = False,
    quiet: Quiet = 0,
) -> None:
    """Put a backup in the ledger's place, with all that CRLs and store know since.

    Stop every signing process before. Revocations newer than the backup are
    read back from the published CRLs and the signed responses in the store,
    and nothing is un-revoked. The ledger that is there is kept beside it.
    """
    from signer.commands import restore

    sources = restore.Sources(crls=not without_crls, store=not without_store)
    restore.restore(config, path, sources, as_json=json, quiet=bool(quiet))


@ledger_app.command("upgrade", epilog="Example: ocsp-signer ledger upgrade")
def ledger_upgrade(config: Config = DEFAULT_CONFIG, json: Json = False, quiet: Quiet = 0) -> None:
    """Bring the ledger of an older release up to date, after a backup beside it. Stop `run` before."""
    from signer.commands import ledger

    ledger.upgrade(config, as_json=json, quiet=bool(quiet))
