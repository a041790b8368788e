"""A CRL set held against all that an outsider can check: each CRL, then the set, every one of them fetched once."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from cryptography import x509

from signer.crl.build import CrlScope
from signer.crl.verify_set import (
    Finding,
    Verdict,
    check_complete,
    check_disclosed,
    check_kinds,
    check_partition,
    check_published,
    check_urls,
    verify_one,
)
from signer.crl.verify_source import CrlSet

__all__ = ["SetVerdict", "verify_set"]

AT_ONCE = 8  # fetches under way


@dataclass(frozen=True, slots=True)
class SetVerdict:
    """Every CRL of a set, and all that is wrong with them and with the set."""

    crls: tuple[Verdict, ...]
    findings: tuple[Finding, ...]


def verify_set(
    crls: CrlSet,
    certificate: x509.Certificate,
    *,
    scope: CrlScope | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> SetVerdict:
    """Look at every CRL of a set; `progress` is told of each. Keeps the serials in memory, about 150 octets each."""
    verdicts = tuple(_looked_at(crls, certificate, scope, progress))
    findings = [finding for verdict in verdicts for finding in verdict.findings]
    findings += check_urls([target.url for target in crls.targets])
    findings += check_kinds(verdicts)
    findings += check_partition(verdicts)
    if crls.manifest is not None:
        findings += check_complete(crls.source, crls.manifest)
        if crls.disclosed is not None:
            findings += check_disclosed(crls.source, *crls.disclosed, crls.manifest)
        for verdict in verdicts:
            findings += check_published(verdict, crls.manifest.generated_at)
    return SetVerdict(verdicts, tuple(findings))


def _looked_at(
    crls: CrlSet, certificate: x509.Certificate, scope: CrlScope | None, progress: Callable[[int], None]
) -> Iterator[Verdict]:
    look = partial(verify_one, look=crls.look, certificate=certificate, scope=scope)
    pool = ThreadPoolExecutor(AT_ONCE, "crl-verify")
    try:
        for verdict in pool.map(look, dict.fromkeys(crls.targets)):
            progress(1)
            yield verdict
    finally:
        pool.shutdown(cancel_futures=True)
