"""`ocsp-signer status`: what the ledger and the store hold of each issuer."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from signer.commands.output import print_json, print_table, remark
from signer.config import Settings, load_settings
from signer.crl.alarm import late
from signer.crl.targets_status import status_of
from signer.ledger.ledger import Ledger
from signer.ledger.schema import EPOCH_SHIFT
from signer.ledger.values import LedgerIssuer
from signer.text import rfc3339
from store.clock import Clock, SystemClock
from store.connection import Endpoint, check_server, translated
from store.errors import OcspeedError
from store.schema import IssuerRecord, issuer_key

__all__ = ["status"]


def status(file: Path, *, as_json: bool, clock: Clock | None = None) -> int:
    """Certificates, changes not yet signed, CRLs published, and what the store says.

    Returns the exit code: 1 if an issuer cannot be signed for, a CRL is older than it should be, a target lacks the
    newest, or the store is not to be had.
    """
    settings = load_settings(file)
    now = (clock or SystemClock()).now()
    with closing(Ledger.open(settings.ledger_url)) as ledger:
        issuers = [_issuer(settings, ledger, found, now) for found in ledger.issuers()]
        places = settings.root.objects.targets(settings.document)
        objects = [status_of(place, ledger, ledger.issuers()) for place in places]
    signed = [table.name for table in settings.root.issuer if table.ocsp.enabled]
    store = _store(settings, signed) if signed else None
    troubles = list(_troubles(issuers, store, objects))
    if as_json:
        print_json({"issuers": issuers, "store": store, "objects": objects})
        return int(bool(troubles))
    for issuer in issuers:
        print_table(issuer["issuer"], issuer)
    if store is not None:
        print_table("store", store)
    for target in objects:
        print_table("objects", target)
    if not issuers:
        remark("the ledger has no issuer yet: `ocsp-signer import` adds one")
    for trouble in troubles:
        remark(trouble)
    return int(bool(troubles))


def _troubles(
    issuers: list[dict[str, Any]], store: dict[str, Any] | None, objects: list[dict[str, Any]]
) -> Iterator[str]:
    """What somebody has to look at."""
    yield from (issuer["fault"] for issuer in issuers if issuer["fault"])
    if any(issuer["crls_overdue"] for issuer in issuers):
        yield "some CRLs are older than they should be: see the log of `ocsp-signer run`"
    if any(target["crls_behind"] != 0 for target in objects):
        yield "a target lacks CRLs: `ocsp-signer run` and `crl build` bring it up to date once it can be written"
    if store is not None and not store["up"]:
        yield f"the store is down: {store['error']}"


def _issuer(settings: Settings, ledger: Ledger, found: LedgerIssuer, now: int) -> dict[str, Any]:
    table = next((table for table in settings.root.issuer if table.name == found.name), None)
    counts = ledger.counts(found.id, now)
    checkpoint = ledger.checkpoint(found.id)
    return {
        "issuer": found.name,
        "certificates": counts.certificates,
        "good": counts.good,
        "revoked": counts.revoked,
        "expired": counts.expired,
        "pages": 1 << found.page_bits,
        "generation": _generation(found.generation),
        "tail_generation": _generation(ledger.tail_position(found.id)),
        "unsigned_changes": ledger.pending_changes(found.id),
        "cycle_start": rfc3339(checkpoint[0]) if checkpoint else None,
        "next_page": checkpoint[1] if checkpoint else None,
        **_crls(ledger, found),
        "crls_overdue": [one.url for one in late(ledger, found, table.crl if table else None, now)],
        "fault": _fault(settings, ledger, found.name) if table else None,
    }


def _fault(settings: Settings, ledger: Ledger, name: str) -> str | None:
    """Why nothing can be signed for the CA that the configuration names, if its certificate is the reason."""
    try:
        ledger.check_issuer(settings.load_issuer(name))
    except OcspeedError as error:
        return error.message
    return None


def _generation(number: int) -> str:
    """`epoch.counter`."""
    epoch, counter = divmod(number, 1 << EPOCH_SHIFT)
    return f"{epoch}.{counter}"


def _crls(ledger: Ledger, found: LedgerIssuer) -> dict[str, Any]:
    latest = ledger.publications(found.id)
    return {
        "crl_shards": sum(series.shard_count for series in ledger.series(found.id)),
        "crls_published": len(latest),
        "crl_entries": sum(one.entries for one in latest),
        "oldest_crl_this_update": rfc3339(min((one.this_update for one in latest), default=None)),
        "first_crl_next_update": rfc3339(min((one.next_update for one in latest), default=None)),
    }


def _store(settings: Settings, names: list[str]) -> dict[str, Any]:
    """What the store says; that it is away is an answer too. An embedded one is not started for this."""
    endpoint = Endpoint.of(settings.root.store, settings.state_directory)
    result: dict[str, Any] = {"url": endpoint.url, "up": False}
    try:
        with endpoint.client() as client, translated(endpoint.url):
            result |= {"server": check_server(client, endpoint.url), "up": True}
            result["memory_bytes"] = int(client.info("memory")["used_memory"])
            for name in names:
                fields: Any = client.hgetall(issuer_key(name))
                record = IssuerRecord.decode(name, fields) if fields else None
                result[f"pages_of_{name}"] = 1 << record.page_bits if record else None
    except OcspeedError as error:
        result["error"] = error.message
    return result
