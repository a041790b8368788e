"""`import-signed`: what an offline CA signed in a ceremony, CRLs and OCSP responses."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from signer.commands.output import print_json, print_text, remark
from signer.context import Context
from signer.crl.catalogue import Catalogue
from signer.crl.imported import SignedCrl, check_signed, publish_signed, read_signed
from signer.crl.read import read_file
from signer.intake.signed import BroughtResponse, check_responses, keep_responses
from signer.journal import user
from store.clock import Clock
from store.errors import ConfigError, UsageError
from store.text import rfc3339

__all__ = ["import_signed"]

ENUMERATED = 0x0A  # what an OCSPResponse begins with, and a CRL does not


def import_signed(
    file: Path,
    paths: Sequence[Path],
    *,
    issuer: str,
    dry_run: bool = False,
    as_json: bool,
    clock: Clock | None = None,
) -> int:
    """Check all files, then keep and publish each; returns the exit code: 1 if a target lacks CRLs now.

    `dry_run`: tell what was found, and leave all as it is.
    """
    read = [(path, read_file(path)) for path in _files(paths)]
    crls = [(path, data) for path, data in read if not _is_response(data)]
    responses = [(path, data) for path, data in read if _is_response(data)]
    with Context.open(file, clock, create_ledger=True) as context:
        found = [(path, read_signed(path, data)) for path, data in crls]
        _check_wanted(context, issuer, crls, responses)
        catalogue = context.crl_catalogue(issuer)
        certificate, now = context.issuer(issuer).certificate, context.clock.now()
        signed = [check_signed(path, crl, catalogue, certificate, now) for path, crl in found]
        brought = check_responses(context, issuer, responses)
        if dry_run:
            return _tell(catalogue, signed, brought, as_json)
        keep_responses(context, issuer, brought)
        _report_responses(brought, as_json)
        return _publish(context, catalogue, signed, as_json)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """Of a directory all files in it, by name."""
    for path in paths:
        if not path.is_dir():
            if path.exists() and not path.is_file():
                raise UsageError(
                    f"{path}: neither a regular file nor a directory",
                    remedy="write what comes out of it into a file, and name that",
                )
            yield path
            continue
        found = sorted(one for one in path.iterdir() if one.is_file() and not one.name.startswith("."))
        if not found:
            raise UsageError(f"{path}: no files", remedy="name files, or a directory with files in it")
        yield from found


def _is_response(data: bytes) -> bool:
    """By its first two tags; whether it is a right one is looked at later."""
    length = data[1] if len(data) > 1 else 0
    at = 2 + (length & 0x7F if length & 0x80 else 0)
    return data[:1] == b"\x30" and data[at : at + 1] == bytes([ENUMERATED])


def _check_wanted(context: Context, issuer: str, crls: Sequence[Any], responses: Sequence[Any]) -> None:
    """Raises ConfigError for what is signed here."""
    table = context.settings.issuer(issuer)
    if crls and not table.crl.offline:
        raise ConfigError(
            f"{context.settings.file}: issuer {issuer} signs its CRLs here: `crl.offline` is false",
            remedy="bring only CRLs of an issuer that has crl.offline = true",
        )
    if responses and not table.imports_responses:
        raise ConfigError(
            f"{context.settings.file}: issuer {issuer} has no OCSP responses that are brought, as {responses[0][0]} is",
            remedy='write ocsp.responses = "imported" for a CA whose responses are signed elsewhere',
        )


def _tell(
    catalogue: Catalogue, crls: Sequence[SignedCrl], responses: Iterable[BroughtResponse], as_json: bool
) -> int:
    """All of them are fit."""
    _report_responses(responses, as_json)
    for signed in crls:
        _report(catalogue, signed, "fit", as_json)
    if not as_json:
        print_text("nothing was changed: this was a dry run")
    return 0


def _publish(context: Context, catalogue: Catalogue, crls: Sequence[SignedCrl], as_json: bool) -> int:
    if not crls:
        return 0
    issuer = catalogue.issuer.name
    for signed in crls:
        new = publish_signed(catalogue, signed, context.clock)
        if new:
            detail = {"issuer": issuer, "url": catalogue.url(signed.shard), "crl_number": signed.number}
            context.ledger.journal("import-signed", detail, context.clock.now(), user())
        _report(catalogue, signed, "published" if new else "current", as_json)
    catalogue.publish_lists()
    for target in catalogue.targets.failing:
        remark(f"{target.location}: {target.fault}")
    return int(bool(catalogue.targets.failing))


def _report_responses(brought: Iterable[BroughtResponse], as_json: bool) -> None:
    for one in brought:
        told = one.described()
        if as_json:
            print_json(told)
        else:
            print_text(
                f"{told['file']}: {told['status']}, serial {told['serial']} by {told['certid_hash']}: "
                f"{told['certificate']}, until {told['next_update']}"
            )


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
