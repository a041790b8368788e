"""`import-signed`: what an offline CA signed in a ceremony."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from signer.commands.output import print_json, print_text, remark
from signer.context import Context
from signer.crl.catalogue import Catalogue
from signer.crl.imported import SignedCrl, check_signed, publish_signed, read_signed
from signer.journal import user
from signer.text import rfc3339
from store.clock import Clock
from store.errors import ConfigError

__all__ = ["import_signed"]


def import_signed(
    file: Path,
    paths: Sequence[Path],
    *,
    issuer: str,
    as_json: bool,
    clock: Clock | None = None,
) -> int:
    """Check all files, then publish each; returns the exit code: 1 if a target lacks CRLs now."""
    with Context.open(file, clock, create_ledger=True) as context:
        if not context.settings.issuer(issuer).crl.offline:
            raise ConfigError(
                f"{context.settings.file}: issuer {issuer} signs its CRLs here: `crl.offline` is false",
                remedy="bring only CRLs of an issuer that has crl.offline = true",
            )
        catalogue = context.crl_catalogue(issuer)
        certificate, now = context.issuer(issuer).certificate, context.clock.now()
        found = [check_signed(path, read_signed(path), catalogue, certificate, now) for path in paths]
        for signed in found:
            new = publish_signed(catalogue, signed, context.clock)
            if new:
                detail = {"issuer": issuer, "url": catalogue.url(signed.shard), "crl_number": signed.number}
                context.ledger.journal("import-signed", detail, now, user())
            _report(catalogue, signed, "published" if new else "current", as_json)
        catalogue.publish_lists()
        for target in catalogue.targets.failing:
            remark(f"{target.location}: {target.fault}")
        return int(bool(catalogue.targets.failing))


def _report(catalogue: Catalogue, signed: SignedCrl, status: str, as_json: bool) -> None:
    for fault in signed.remarks:
        remark(f"{signed.path}: {fault}")
    described: dict[str, Any] = {
        "file": str(signed.path),
        "url": catalogue.url(signed.shard),
        "status": status,
        "crl_number": signed.number,
        "this_update": rfc3339(signed.this_update),
        "next_update": rfc3339(signed.next_update),
        "remarks": signed.remarks,
    }
    if as_json:
        print_json(described)
    else:
        print_text(f"{described['url']}: {status}, number {signed.number}, until {described['next_update']}")
