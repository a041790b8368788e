"""Which CRLs the floor follows: of each scope the newest that the pinned CA signed, never an older one (A2, D1)."""

import hashlib

from cryptography import x509

from _fastpath.errors import MalformedDer
from _fastpath.floor import entry_count, hashes_of
from responder.crl_trust import CrlVersion, UntrustedCrl, verify_crl
from responder.floor_file import FloorState, FollowedCrl
from store.model import Issuer

__all__ = ["ENTRIES_LIMIT", "follow", "is_followed"]

ENTRIES_LIMIT = 16_000_000  # on one host: 256 MB of state


def follow(state: FloorState, issuer: Issuer, path: str, data: bytes) -> bool:
    """Take a CRL up in the place of the one before of its scope; False if it is the one that is followed.

    Raises UntrustedCrl. What is at which path is the object store's say, what a CRL is about its CA's: a CRL with the
    scope of another shard takes nothing away from the one that should be there.
    """
    version = verify_crl(data, issuer, None)
    scope = _scope(data)
    fingerprint = issuer.id.fingerprint.hex()
    before = state.followed.get((fingerprint, scope))
    if before is not None and not _is_newer(version, before[0]):
        return False
    entries = _entry_count(data)
    after = state.entries + entries - (before[0].entries if before else 0)
    if after > ENTRIES_LIMIT:
        raise UntrustedCrl(f"with its {entries} entries there would be more than {ENTRIES_LIMIT}")
    crl = FollowedCrl(
        issuer=fingerprint,
        scope=scope,
        path=path,
        crl_number=f"{version.crl_number:x}",
        this_update=version.this_update,
        next_update=version.next_update,
        sha256=version.sha256,
        entries=entries,
    )
    state.followed[fingerprint, scope] = crl, hashes_of(data, state.key, issuer.id)
    return True


def is_followed(state: FloorState, issuer: Issuer, path: str, crl_number: int) -> bool:
    """Whether the floor follows the CRL of this number at a path, or a newer one."""
    fingerprint = issuer.id.fingerprint.hex()
    return any(
        crl.issuer == fingerprint and crl.path == path and crl.number >= crl_number for crl in state.crls
    )


def _is_newer(version: CrlVersion, before: FollowedCrl) -> bool:
    """False if it is the same one. Raises UntrustedCrl for an older one."""
    if version.sha256 == before.sha256:
        return False
    if version.crl_number < before.number:
        raise UntrustedCrl(f"its number {version.crl_number} is below {before.number}, which is on the floor")
    if version.crl_number == before.number:
        raise UntrustedCrl(f"its number {version.crl_number} is that of another one, which is on the floor")
    if version.this_update < before.this_update:
        raise UntrustedCrl("its thisUpdate is before that of the one on the floor")
    return True


def _entry_count(data: bytes) -> int:
    try:
        return entry_count(data)
    except MalformedDer as error:
        raise UntrustedCrl(f"it cannot be read: {error}") from None


def _scope(data: bytes) -> str:
    """What a CRL is about, signed with it (RFC 5280 section 5.2.5). Raises UntrustedCrl for one of changes only."""
    extensions = x509.load_der_x509_crl(data).extensions
    scope = ""
    for extension in extensions:
        if extension.oid == x509.DeltaCRLIndicator.oid:
            raise UntrustedCrl("it is a delta CRL: what it does not name may be revoked all the same")
        if extension.oid == x509.IssuingDistributionPoint.oid:
            scope = hashlib.sha256(extension.value.public_bytes()).hexdigest()
    return scope
