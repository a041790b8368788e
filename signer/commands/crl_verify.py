"""`crl verify`: a CRL set as an outsider sees it, checked."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from cryptography import x509

from signer.commands.crl_files import number_of
from signer.commands.output import print_json, print_line
from signer.config import Settings, load_settings
from signer.crl.build import CrlScope, subject_key_identifier
from signer.crl.fetch import Fetcher, Limits
from signer.crl.verify import SetVerdict, verify_set
from signer.crl.verify_set import Verdict
from signer.crl.verify_source import CrlSet, sets_of_objects, sets_of_text, sets_of_url
from store.clock import Clock, SystemClock
from store.errors import UsageError
from store.model import load_certificate
from store.progress import bar
from store.text import rfc3339

__all__ = ["VerifyRequest", "verify"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyRequest:
    """What is to be verified, and against which CA."""

    source: (
        str | None
    )  # a URL, or where CRLs were published; None: `urls`, or all targets of the configuration
    urls: Path | None
    issuer: str | None
    issuer_cert: Path | None
    limits: Limits
    scope: CrlScope | None


def verify(
    file: Path, request: VerifyRequest, *, as_json: bool, quiet: bool, clock: Clock | None = None
) -> int:
    """Report every finding; returns the exit code: 1 if there is one."""
    if request.source is not None and request.urls is not None:
        raise UsageError("SOURCE and --urls exclude each other", remedy="name one of them")
    settings = cache(partial(load_settings, file))
    sets = _sets(settings, request, clock or SystemClock())
    # Before anything is fetched: who forgot a certificate is told at once.
    authorities = [_authority(file, settings, request, crls) for crls in sets]
    findings = 0
    for crls, (certificate, scope) in zip(sets, authorities, strict=True):
        with bar(f"verify {crls.source}", len(crls.targets), quiet=quiet) as advance:
            verdict = verify_set(crls, certificate, scope=scope, progress=advance)
        _report(crls, verdict, as_json)
        findings += len(verdict.findings)
    return 1 if findings else 0


def _sets(settings: Callable[[], Settings], request: VerifyRequest, clock: Clock) -> list[CrlSet]:
    fetcher = Fetcher(request.limits, clock)
    if request.urls is not None:
        return sets_of_text(request.urls, fetcher)
    if request.source is not None and request.source.startswith(("http://", "https://")):
        return sets_of_url(request.source, fetcher)
    if request.source is not None:
        _require_directory(request.source)
        return sets_of_objects(request.source, clock, request.issuer)
    places = settings().root.objects.targets(settings().document)
    return [crls for place in places for crls in sets_of_objects(place, clock, request.issuer)]


def _require_directory(source: str) -> None:
    """Refuse a path that cannot hold a set, in the words of who typed it. URLs of object stores pass."""
    if "://" in source or Path(source).is_dir():
        return
    if Path(source).exists():
        raise UsageError(
            f"{source}: not a directory",
            remedy="name the one that holds `crl/`; --urls FILE reads a list, `crl show FILE` one CRL",
        )
    raise UsageError(f"{source}: no such directory", remedy="check the path, or begin a URL with http://")


def _authority(
    file: Path, settings: Callable[[], Settings], request: VerifyRequest, crls: CrlSet
) -> tuple[x509.Certificate, CrlScope | None]:
    """The CA and whose rules its full CRLs are held to: as given, else as the configuration has it.

    Looked up there is --issuer, or the issuer that the manifest names.
    """
    name = request.issuer or (crls.manifest.issuer if crls.manifest else None)
    scope = request.scope
    if request.issuer_cert is not None:
        path = request.issuer_cert
    elif name is not None and (file.exists() or request.issuer is not None):
        table = settings().issuer(name)
        path = table.certificate
        if scope is None and table.crl.offline:
            scope = CrlScope.CA_CERTIFICATES
    else:
        raise UsageError(
            f"{crls.source}: the CA is not known",
            remedy="name its certificate with --issuer-cert FILE, or --issuer NAME and --config FILE",
        )
    certificate = load_certificate(path)
    subject_key_identifier(certificate)  # raises ConfigError: no CRL could name its key
    return certificate, scope


def _report(crls: CrlSet, verdict: SetVerdict, as_json: bool) -> None:
    summary = {
        "source": crls.source,
        "crls": len(verdict.crls),
        "entries": sum(len(one.serials) for one in verdict.crls),
        "findings": len(verdict.findings),
    }
    if as_json:
        for line in _described(verdict):
            print_json(line)
        print_json(summary)
        return
    for finding in verdict.findings:
        print_line(f"{finding.url}: {finding.check}: {finding.message}")
    print_line("  ".join(f"{name}={value}" for name, value in summary.items()))


def _described(verdict: SetVerdict) -> Iterator[dict[str, object]]:
    """One object for each CRL, with the findings at its URL; then those that are of none."""
    for one in verdict.crls:
        yield _crl(one) | {"findings": _findings(verdict, one.target.url)}
    urls = {one.target.url for one in verdict.crls}
    for source in dict.fromkeys(finding.url for finding in verdict.findings if finding.url not in urls):
        yield {"url": source, "findings": _findings(verdict, source)}


def _crl(one: Verdict) -> dict[str, object]:
    return {
        "url": one.target.url,
        "crl_number": number_of(one.crl_number),
        "this_update": rfc3339(one.this_update),
        "next_update": rfc3339(one.next_update),
        "entries": len(one.serials),
        "size": one.size,
        "sha256": one.sha256,
    }


def _findings(verdict: SetVerdict, url: str) -> list[dict[str, str]]:
    return [
        {"check": finding.check, "message": finding.message}
        for finding in verdict.findings
        if finding.url == url
    ]
