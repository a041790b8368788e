"""CRLs that an offline CA signed in a ceremony: read, checked as far as an outsider can, and published as they are."""

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from _fastpath.errors import MalformedDer
from signer.crl.build import CrlScope
from signer.crl.catalogue import Catalogue, Shard
from signer.crl.read import ReadCrl, read_crl
from signer.crl.verify_crl import Sight, crl_faults
from signer.ledger.values import Covers, Publication
from store.clock import Clock
from store.errors import OcspeedError, UsageError
from store.model import UNREADABLE

__all__ = ["SignedCrl", "check_signed", "publish_signed", "read_signed"]

MAX_NUMBER = 2**63 - 1  # the ledger's
# Faults that only the next ceremony can mend and that make no CRL useless: told, and published all the same.
# So is the end of the CA certificate: there may be another one of the same key (U-11).
TOLERATED = frozenset({"CA certificate", "profile", "entry extensions", "reasons", "revocation dates"})


class UnfitCrl(OcspeedError):
    """A CRL that is not to be published."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(
            f"{path}: {message}",
            remedy="nothing was published; have the CA sign another, or bring the right file",
        )


@dataclass(frozen=True, slots=True)
class SignedCrl:
    """One that may be published, and where. `remarks` are faults that it has all the same."""

    path: Path
    crl: ReadCrl
    shard: Shard
    number: int
    this_update: int
    next_update: int
    remarks: tuple[str, ...]


def read_signed(path: Path, data: bytes) -> ReadCrl:
    """The CRL in a file's octets, DER or PEM. Raises UsageError for anything else."""
    if data.startswith(b"-----BEGIN"):
        try:
            data = x509.load_pem_x509_crl(data).public_bytes(Encoding.DER)
        except UNREADABLE as error:
            raise UsageError(f"{path}: no CRL in PEM: {error}", remedy="bring a CRL") from None
    try:
        return read_crl(data)
    except MalformedDer as error:
        raise UsageError(
            f"{path}: neither a CRL nor an OCSPResponse: {error}",
            remedy="bring CRLs, in DER or PEM, and OCSP responses, in DER",
        ) from None


def check_signed(
    path: Path, crl: ReadCrl, catalogue: Catalogue, certificate: x509.Certificate, now: int
) -> SignedCrl:
    """Signature, names, dates, URL and number, and what became of the entries before. Raises UnfitCrl."""
    shard = _shard_of(path, crl, catalogue)
    scope = CrlScope.USER_CERTIFICATES if shard[0].covers is Covers.SHARD else CrlScope.CA_CERTIFICATES
    sight = Sight(crl=crl, url=None, certificate=certificate, now=now, scope=scope)
    faults = list(crl_faults(sight))
    fatal = [f"{check}: {message}" for check, message in faults if check not in TOLERATED]
    if fatal:
        raise UnfitCrl(path, "; ".join(fatal))
    number, this_update, next_update = crl.crl_number, crl.this_update_seconds, crl.next_update_seconds
    assert number is not None and this_update is not None and next_update is not None  # or there were faults
    if number > MAX_NUMBER:
        raise UnfitCrl(path, f"number: {number} is above {MAX_NUMBER}, which is as far as is counted here")
    remarks = tuple(f"{check}: {message}" for check, message in faults) + _vanished(crl, catalogue, shard)
    signed = SignedCrl(path, crl, shard, number, this_update, next_update, remarks)
    _check_later(signed, catalogue)
    return signed


def _shard_of(path: Path, crl: ReadCrl, catalogue: Catalogue) -> Shard:
    """The one whose URL its distribution point names; without one it is the full CRL (C-12)."""
    urls = {catalogue.url(shard): shard for shard in catalogue.shards()}
    if crl.point is None:
        for shard in urls.values():
            if shard[0].covers is Covers.FULL:
                return shard
        raise UnfitCrl(path, "distribution point: it has none, and the issuer has no `crl.full_url`")
    for url in crl.urls:
        if url in urls and urls[url][0].covers is not Covers.FULL:
            return urls[url]
    raise UnfitCrl(
        path, f"distribution point: {', '.join(crl.urls) or 'no URL'} is none of {', '.join(urls)}"
    )


def _check_later(signed: SignedCrl, catalogue: Catalogue) -> None:
    """C-08, U-06: above everything that was ever published there. The same again is no fault."""
    latest = catalogue.latest(signed.shard)
    if latest is None or latest.sha256 == signed.crl.sha256:
        return
    if signed.number <= latest.crl_number:
        raise UnfitCrl(
            signed.path, f"number: {signed.number} does not follow {latest.crl_number}, which is published"
        )
    if signed.this_update <= latest.this_update:
        raise UnfitCrl(signed.path, "dates: thisUpdate is not after that of the CRL that is published")


def _vanished(crl: ReadCrl, catalogue: Catalogue, shard: Shard) -> tuple[str, ...]:
    """Only the CA knows whether the certificates have expired (C-18)."""
    before = catalogue.targets.live_octets(catalogue.path(shard))
    if before is None:
        return ()
    here = {serial for serial, _, _ in crl.entries()}
    gone = [serial for serial, _, _ in read_crl(before).entries() if serial not in here]
    if not gone:
        return ()
    return (
        f"vanished entries: {len(gone)} of the CRL before, first serial {gone[0].hex()}: have they expired?",
    )


def publish_signed(catalogue: Catalogue, signed: SignedCrl, clock: Clock) -> bool:
    """Publish it, octet for octet, and record it. False: it was already."""
    series, index = signed.shard
    latest = catalogue.latest(signed.shard)
    if latest is not None and latest.sha256 == signed.crl.sha256:
        return False
    catalogue.targets.publish(catalogue.path(signed.shard), signed.crl.data)
    issuer = catalogue.issuer.id
    catalogue.ledger.add_publication(
        Publication(
            issuer_id=issuer,
            series=series.number,
            shard_index=index,
            crl_number=signed.number,
            this_update=signed.this_update,
            next_update=signed.next_update,
            generation=catalogue.ledger.generation(issuer),
            entries=sum(1 for _ in signed.crl.entries()),
            size=len(signed.crl.data),
            sha256=signed.crl.sha256,
            published_at=clock.now(),
        )
    )
    return True
