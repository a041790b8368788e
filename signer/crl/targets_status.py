"""How far each target of the CRLs is behind the ledger, as its manifests say: for people, not for publishing."""

from typing import Any

from signer.ledger.ledger import Ledger
from signer.ledger.values import LedgerIssuer
from store.config import ObjectTarget
from store.errors import OcspeedError
from store.objects import crl_path, decode_manifest, manifest_path, open_object_store, read_object

__all__ = ["status_of"]


def status_of(place: ObjectTarget, ledger: Ledger, issuers: list[LedgerIssuer]) -> dict[str, Any]:
    """`crls_behind` counts CRLs that the target's manifests lack, or have with a lower number than the ledger."""
    result: dict[str, Any] = {"target": place.location, "up": False, "crls_behind": None}
    latest = {issuer.name: _latest(ledger, issuer) for issuer in issuers}
    if not any(latest.values()):
        return result | {"up": None, "crls_behind": 0}  # nothing was published: there may be no directory yet
    try:
        store = open_object_store(place)
        behind = 0
        for name, numbers in latest.items():
            found = read_object(store, manifest_path(name))
            listed = decode_manifest(found.data).shards if found else []
            there = {shard.path: shard.crl_number for shard in listed}
            behind += sum(there.get(path, 0) < number for path, number in numbers.items())
    except OcspeedError as error:
        return result | {"error": error.message}
    return result | {"up": True, "crls_behind": behind}


def _latest(ledger: Ledger, issuer: LedgerIssuer) -> dict[str, int]:
    """Highest number published, by path."""
    return {
        crl_path(issuer.name, one.series, one.shard_index): one.crl_number
        for one in ledger.publications(issuer.id)
    }
