"""`import`: certificates and revocations from files into the ledger."""

import os
from pathlib import Path
from typing import Any

from signer.commands.output import print_json, print_text, remark
from signer.context import Context
from signer.intake.importer import ImportReport, StagedImport, stage
from signer.intake.rows import Notes
from signer.intake.scope import Scope, Shards
from signer.journal import user
from signer.ledger.crls import planned
from signer.ledger.ledger import Ledger
from signer.ledger.values import ImportEntry, Serials
from signer.witness import clock_to_record_by
from store.clock import Clock, SystemClock
from store.progress import bar
from store.text import printable

__all__ = ["import_file"]

FAILED = 1
REJECTED = 3  # done, but for some rows


def import_file(
    file: Path,
    path: Path,
    *,
    issuer: str,
    format: str,
    dry_run: bool,
    keep_going: bool,
    as_json: bool,
    quiet: bool,
    clock: Clock | None = None,
) -> int:
    """Read `path` whole, then record it; returns the exit code: 1 refused for bad rows, 3 done without them."""
    clock = clock or SystemClock()
    began = clock.monotonic()
    with Context.open(file, clock, create_ledger=not dry_run) as context:
        if context.has_ledger:
            context.clock = clock_to_record_by(context.ledger, context.settings.root.issuer, clock)
        known, scope = _scope(context, issuer)
        with (
            bar("read", _size(path), quiet=quiet) as advance,
            stage(format, path, scope, advance, context.settings.document.directory) as staged,
        ):
            staged.check_places(*known)
            report = staged.report
            refused = bool(report.rejected.count) and not keep_going
            if refused:
                staged.count()
            elif dry_run:
                staged.plan(*known)
            else:
                _write(context, issuer, path, staged, quiet=quiet)
    result = _summary(report, clock.monotonic() - began, written=not (dry_run or refused), refused=refused)
    _remarks(path, report, quiet=quiet)
    if as_json:
        print_json({**result, **_listed(report)})
    else:
        _print_summary(result, dry_run=dry_run, refused=refused)
    return (FAILED if refused else REJECTED) if report.rejected.count else 0


def _scope(context: Context, issuer: str) -> tuple[tuple[Ledger | None, int | None], Scope]:
    """What is recorded so far, ledger and issuer, and for whom is read. Makes nothing that is not there."""
    table, now = context.settings.issuer(issuer), context.clock.now()
    plan = table.crl.plan
    ledger = context.ledger if context.has_ledger else None
    found, series = (
        ledger.planned_series(issuer, plan, now) if ledger else (None, planned([], 0, issuer, plan, now))
    )
    return (ledger, found), Scope(context.issuer(issuer), Shards(issuer, series), now)


def _size(path: Path) -> int | None:
    """Octets, where that is known before it is read."""
    return path.stat().st_size if os.path.isfile(path) else None


def _write(context: Context, issuer: str, path: Path, staged: StagedImport, *, quiet: bool) -> None:
    found = context.ledger_issuer(issuer, certificates=staged.certificates)
    detail = {"issuer": issuer, "file": printable(str(path.absolute())), "rows": staged.report.rows}
    with bar("record", staged.certificates, quiet=quiet) as advance:
        staged.write(context.ledger, found.id, context.clock.now(), advance, ImportEntry(user(), detail))


def _summary(report: ImportReport, seconds: float, *, written: bool, refused: bool) -> dict[str, Any]:
    result: dict[str, Any] = {
        "rows": report.rows,
        "good": report.good,
        "revoked": report.revoked,
        "expired": report.expired,
        "rejected": report.rejected.count,
        "adjusted": report.adjusted.count,
        "warnings": report.warnings.count,
        "duplicates": report.duplicates,
        "written": written,
    }
    if not refused:
        outcome = report.outcome
        result |= {
            "new": outcome.new,
            "unchanged": outcome.unchanged,
            "newly_revoked": outcome.revoked,
            "updated": outcome.updated,
            "placed": outcome.placed,
            "kept_revoked": outcome.kept_revoked.count,
            "moved_entries": outcome.moved_entries.count,
            "ended": outcome.ended,
        }
    return {**result, "seconds": round(seconds, 3)}


def _listed(report: ImportReport) -> dict[str, Any]:
    return {
        "rejections": report.rejected.first,
        "adjustments": report.adjusted.first,
        "warned": report.warnings.first,
        "kept_revoked_serials": [serial.hex() for serial in report.outcome.kept_revoked.first],
        "moved_entry_serials": [serial.hex() for serial in report.outcome.moved_entries.first],
    }


def _remarks(path: Path, report: ImportReport, *, quiet: bool) -> None:
    """Every bad row with its line; without --quiet what was adjusted, warned of or kept too."""
    shown = printable(str(path))
    _remark_rows(shown, report.rejected, "rejected")
    if quiet:
        return
    _remark_rows(shown, report.adjusted, "adjusted")
    _remark_rows(shown, report.warnings, "against the rules")
    kept, moved = report.outcome.kept_revoked, report.outcome.moved_entries
    _remark_serials(shown, kept, "stays revoked, though the file does not say so")
    _remark_serials(
        shown,
        moved,
        "its entry goes to the CRL that its certificate names, from one published with it; "
        "`ocsp-signer crl build` renews both",
    )


def _remark_rows(shown: str, notes: Notes, what: str) -> None:
    for note in notes.first:
        remark(str(note))
    if notes.count > len(notes.first):
        remark(f"{shown}: {notes.count} rows {what} in all")


def _remark_serials(shown: str, serials: Serials, what: str) -> None:
    for serial in serials.first:
        remark(f"{shown}: serial {serial.hex()}: {what}")
    if serials.count > len(serials.first):
        remark(f"{shown}: {serials.count} such serials in all")


def _print_summary(result: dict[str, Any], *, dry_run: bool, refused: bool) -> None:
    row_kinds = ("good", "revoked", "expired", "rejected")
    print_text(f"{result['rows']} rows: " + ", ".join(f"{result[kind]} {kind}" for kind in row_kinds))
    if result["adjusted"] or result["warnings"] or result["duplicates"]:
        print_text(
            f"{result['adjusted']} adjusted, {result['warnings']} warned of, {result['duplicates']} duplicate rows"
        )
    if refused:
        print_text("nothing was written: mend the rows named above, or import the others with --keep-going")
        return
    kinds = ("new", "unchanged", "newly_revoked", "updated", "placed", "kept_revoked")
    print_text("ledger: " + ", ".join(f"{result[kind]} {kind.replace('_', ' ')}" for kind in kinds))
    if dry_run:
        print_text("nothing was written: this was a dry run")
