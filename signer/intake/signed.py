"""OCSP responses that an offline CA signed in a ceremony: read from files, checked, and kept as they are."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519

from _fastpath.certid import SHA1
from _fastpath.http import MARGIN
from signer.context import Context
from signer.journal import user
from signer.keys.responder_certificate import check_ca_as_signer, check_responder_certificate
from signer.ledger.revocation import decide
from signer.ledger.values import (
    ALLOWED_REASONS,
    CA_SERIES,
    UNSPECIFIED,
    ImportEntry,
    LedgerCertificate,
    Revocation,
    SignedResponse,
)
from store.errors import ConfigError, OcspeedError
from store.imported import ImportedResponse, Unfit, read_response
from store.text import rfc3339

__all__ = ["BroughtResponse", "check_responses", "keep_responses", "to_keep"]

DAY = 86_400
LONGEST = 366 * DAY  # a CA certificate's status is renewed every twelve months (R-19, BR 4.9.9)


class UnfitResponses(OcspeedError):
    """Responses that are not to be served; a line for each."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(
            "\n".join(faults),
            remedy="nothing was imported; have the CA sign others, or bring the right files",
        )


@dataclass(frozen=True, slots=True)
class BroughtResponse:
    """One that may be served. `new`: it is not the one that is kept already."""

    path: Path
    said: ImportedResponse
    new: bool

    def described(self) -> dict[str, Any]:
        said = self.said
        return {
            "file": str(self.path),
            "status": "imported" if self.new else "current",
            "serial": said.serial.hex(),
            "certid_hash": "sha1" if said.hash_algorithm == SHA1 else "sha256",
            "certificate": "revoked" if said.revoked else "good",
            "this_update": rfc3339(said.this_update),
            "next_update": rfc3339(said.next_update),
        }


def check_responses(
    context: Context, name: str, files: Sequence[tuple[Path, bytes]]
) -> list[BroughtResponse]:
    """All of them, or none: raises UnfitResponses with what is wrong of each file."""
    checks = _Checks(context, name)
    found, faults = [], []
    for path, body in files:
        try:
            said = read_response(checks.issuer, body)
            faults += [f"{path}: {fault}" for fault in checks.faults(path, said)]
            found.append((path, said))
        except Unfit as error:
            faults.append(f"{path}: {error}")
    faults += _older(found)
    if faults:
        raise UnfitResponses(faults)
    return [BroughtResponse(path, said, checks.is_new(said)) for path, said in found]


def _older(found: Iterable[tuple[Path, ImportedResponse]]) -> Iterator[str]:
    """R-20: of two for one CertID the older one is a file that went astray."""
    newest: dict[tuple[bytes, int], tuple[Path, ImportedResponse]] = {}
    for path, said in sorted(found, key=lambda one: one[1].this_update):
        before = newest.get((said.serial, said.hash_algorithm))
        newest[said.serial, said.hash_algorithm] = path, said
        if before is not None:
            yield f"{before[0]}: thisUpdate: {path} answers for the same CertID, and is not older"


class _Checks:
    """Of one issuer's responses, against ledger, clock and profile."""

    def __init__(self, context: Context, name: str) -> None:
        self.issuer = context.issuer(name)
        self._ledger = context.ledger
        self._issuer_id = context.ledger_issuer(name).id
        self._now = context.clock.now()
        self._public = context.settings.root.profile == "public-tls"

    def is_new(self, said: ImportedResponse) -> bool:
        kept = self._kept(said)
        return kept is None or kept.body != said.body

    def _kept(self, said: ImportedResponse) -> SignedResponse | None:
        return self._ledger.signed_response(self._issuer_id, said.serial, said.hash_algorithm)

    def faults(self, path: Path, said: ImportedResponse) -> Iterator[str]:
        """What the file's name goes before: field, what is wrong and, where it can be, what is right."""
        yield from self._of_signer(path, said)
        certificate = self._ledger.find(self._issuer_id, said.serial)
        if certificate is None:
            yield (
                f"certID: serial {said.serial.hex()} is no certificate that the ledger knows: "
                "`ocsp-signer import` it first"
            )
            return
        yield from self._of_times(said, certificate)
        yield from self._of_status(said, certificate)
        yield from self._of_order(said)

    def _of_signer(self, path: Path, said: ImportedResponse) -> Iterator[str]:
        try:
            if said.signer == self.issuer.certificate:
                check_ca_as_signer(path, said.signer, said.this_update)
            else:
                check_responder_certificate(path, said.signer, self.issuer, self._now)
        except ConfigError as error:
            yield "certs: " + error.message.removeprefix(f"{path}: ")
        if self._public and said.by_name:
            yield "responderID: byName, not byKey (R-04): `openssl ocsp -resp_key_id` makes that"
        if self._public and isinstance(said.signer.public_key(), ed25519.Ed25519PublicKey):
            yield 'signatureAlgorithm: Ed25519, which needs profile = "private" (BR 7.1.3.2)'

    def _of_times(self, said: ImportedResponse, certificate: LedgerCertificate) -> Iterator[str]:
        """R-06, R-11, R-17 to R-19."""
        if said.produced_at > self._now:
            yield f"producedAt: {rfc3339(said.produced_at)} is ahead of this clock (R-06)"
        if said.next_update - MARGIN <= self._now:
            yield f"nextUpdate: it ended at {rfc3339(said.next_update)}"
        if said.next_update - said.this_update >= LONGEST:
            yield "nextUpdate: more than twelve months after thisUpdate (R-19)"
        for signer in {said.signer, *said.certificates}:
            begins, ends = (
                int(at.timestamp()) for at in (signer.not_valid_before_utc, signer.not_valid_after_utc)
            )
            if not begins <= said.this_update < said.next_update <= ends:
                yield (
                    f"nextUpdate: {rfc3339(said.next_update)} is beyond the certificate of "
                    f"{signer.subject.rfc4514_string()}, which ends at {rfc3339(ends)} (R-17)"
                )
        if said.next_update > certificate.not_after:
            yield (
                f"nextUpdate: {rfc3339(said.next_update)} is beyond the certificate, "
                f"which ends at {rfc3339(certificate.not_after)} (R-18)"
            )

    def _of_status(self, said: ImportedResponse, certificate: LedgerCertificate) -> Iterator[str]:
        """A1, A6, R-20 to R-22: what is recorded as revoked stays so, at no later time and for no lighter reason."""
        known = certificate.revocation_time, certificate.reason
        if said.revocation_time is None:
            if certificate.revocation_time is not None:
                yield f"certStatus: good, but it was revoked at {rfc3339(certificate.revocation_time)}"
            return
        if said.reason not in ALLOWED_REASONS:
            yield f"revocationReason: {said.reason} is none of 1, 3, 4, 5 and 9 (R-21)"
            return
        if certificate.series == CA_SERIES and said.reason == UNSPECIFIED:
            yield "revocationReason: missing, and it is a CA's certificate (R-22)"
        if said.revocation_time > said.this_update:
            yield "revocationTime: after thisUpdate"
        result = decide(Revocation(said.serial, said.revocation_time, said.reason), known)
        if (result.revocation_time, result.reason) != said.status:
            yield (
                f"revokedInfo: {rfc3339(said.revocation_time)} for reason {said.reason}; recorded is "
                f"{rfc3339(certificate.revocation_time)} for reason {certificate.reason} (R-21)"
            )

    def _of_order(self, said: ImportedResponse) -> Iterator[str]:
        kept = self._kept(said)
        if kept is not None and kept.body != said.body and said.this_update <= kept.this_update:
            yield (
                f"thisUpdate: {rfc3339(said.this_update)} is not after {rfc3339(kept.this_update)}, "
                "that of the response that is served (R-20)"
            )


def keep_responses(context: Context, name: str, brought: Iterable[BroughtResponse]) -> None:
    """Record those that are new, with the revocations that they tell of, in one commit."""
    new = [one for one in brought if one.new]
    if not new:
        return
    issuer_id = context.ledger_issuer(name).id
    context.ledger.put_signed_responses(
        issuer_id,
        [to_keep(one.said) for one in new],
        list(_revocations(new)),
        context.clock.now(),
        [ImportEntry(user(), _entry(name, one)) for one in new],
    )


def to_keep(said: ImportedResponse) -> SignedResponse:
    """As the ledger has it."""
    return SignedResponse(
        said.serial, said.hash_algorithm, said.this_update, said.next_update, said.revoked, said.body
    )


def _revocations(new: Iterable[BroughtResponse]) -> Iterator[Revocation]:
    for one in new:
        if one.said.revocation_time is not None:
            yield Revocation(one.said.serial, one.said.revocation_time, one.said.reason)


def _entry(issuer: str, one: BroughtResponse) -> dict[str, Any]:
    detail = {name: value for name, value in one.described().items() if name not in ("file", "status")}
    return {"issuer": issuer, "sha256": hashlib.sha256(one.said.body).hexdigest()} | detail
