"""Certificates for ledgers, made up but reproducible."""

import random
from collections.abc import Iterable

from _fastpath.page import hash32
from signer.ledger.ledger import Ledger
from signer.ledger.mass_revocation import Batch, MassOutcome
from signer.ledger.values import CertificateRow, Publication, Revocation

__all__ = ["NOW", "YEAR", "certificate_row", "certificate_rows", "publication", "revoke"]

NOW = 1_790_000_000
YEAR = 31_536_000


def certificate_row(
    serial: bytes, revocation_time: int | None = None, *, reason: int = 0, not_after: int = NOW + YEAR
) -> CertificateRow:
    return CertificateRow(hash32(serial), serial, not_after, revocation_time, reason)


def certificate_rows(count: int, seed: int = 1, *, revoked_every: int = 0) -> list[CertificateRow]:
    """Distinct certificates as an import wants them: ordered by (hash32, serial)."""
    chooser = random.Random(seed)
    rows = []
    for number in range(count):
        serial = b"\x01" + chooser.randbytes(15)
        revoked = NOW - 60 if revoked_every and number % revoked_every == 0 else None
        rows.append(certificate_row(serial, revoked))
    return sorted(rows)


def revoke(
    ledger: Ledger, issuer_id: int, asked: Iterable[Revocation], now: int = NOW, actor: str = "test"
) -> MassOutcome:
    """As the command does."""
    return ledger.revoke_mass(issuer_id, asked, now, Batch("b", actor, {}), lambda count: None)


def publication(issuer_id: int, crl_number: int, this_update: int, generation: int) -> Publication:
    """One of series 0, shard 0."""
    return Publication(
        issuer_id=issuer_id,
        series=0,
        shard_index=0,
        crl_number=crl_number,
        this_update=this_update,
        next_update=this_update + 604_799,
        generation=generation,
        entries=0,
        size=300,
        sha256=bytes(32),
        published_at=this_update + 1,
    )
