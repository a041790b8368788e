"""`ocsp-signer audit`: ledger = store = CRLs = HTTP, or what differs and what to do about it."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from signer.audit.patience import Patience
from signer.audit.report import Checked, Findings
from signer.audit.whole import Request, audit_issuer
from signer.commands.output import print_json, print_text, remark
from signer.context import Context
from signer.restored import note_audit
from store.clock import Clock
from store.errors import UsageError
from store.progress import bar
from store.text import printable, rfc3339

__all__ = ["audit"]

NAMED = 3  # cases of a kind in the table; the report has more


def audit(
    file: Path,
    request: Request,
    *,
    issuer: str | None,
    report: Path | None,
    as_json: bool,
    quiet: bool,
    clock: Clock | None = None,
    patience: Patience | None = None,
) -> int:
    """Returns the exit code: 1 if there is a finding. `report` gets the same as JSON."""
    with Context.open(file, clock) as context:
        names = [issuer] if issuer else [table.name for table in context.settings.root.issuer]
        for name in names:
            context.settings.issuer(name)
        findings, began = Findings(), context.clock.now()
        waits, bars = patience or Patience(), partial(bar, quiet=quiet)
        checked = [audit_issuer(context, name, request, findings, bars, waits) for name in names]
        if issuer is None and note_audit(context.ledger, findings, context.clock.now()):
            remark(
                "the restored ledger has all that store and CRLs prove: `ocsp-signer run` may sign from it"
            )
        result = _described(checked, findings, request.full, began, context.clock.now())
    if report is not None:
        _write(report, result)
    if as_json:
        print_json(result)
    else:
        _print(checked, findings)
    return 1 if findings.total else 0


def _described(
    checked: list[Checked], findings: Findings, full: bool, began: int, ended: int
) -> dict[str, Any]:
    return {
        "began": rfc3339(began),
        "ended": rfc3339(ended),
        "full": full,
        "issuers": [asdict(one) for one in checked],
        "clean": not findings.total,
        "findings": findings.described(),
    }


def _write(path: Path, result: dict[str, Any]) -> None:
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written: {error.strerror}", remedy="choose another --report"
        ) from None


def _print(checked: list[Checked], findings: Findings) -> None:
    for one in checked:
        print_text(
            f"{one.issuer}: {one.certificates:,} certificates, {one.records:,} records in {one.pages:,} pages, "
            f"{one.signatures:,} signatures verified; {one.crls:,} CRLs with {one.crl_entries:,} entries; "
            f"{one.answers:,} answers, {one.unissued:,} unissued serials asked for"
        )
    if findings.total:
        _print_findings(findings)
    else:
        print_text("ledger, store, CRLs and answers agree")


def _print_findings(findings: Findings) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_lines=True)
    for name in ("finding", "count", "first", "what to do"):
        table.add_column(name, overflow="fold")
    for one in findings.described():
        cases = [printable(str(case)) for case in findings.first[one["kind"]][:NAMED]]
        name = one["kind"].replace("_", " ")
        table.add_row(name, f"{one['count']:,}", Text("\n".join(cases)), Text(one["remedy"]))
    Console().print(table)
