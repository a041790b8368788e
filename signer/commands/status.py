"""`ocsp-signer status`: what the ledger and the store hold of each issuer."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from signer import run_state
from signer.commands.output import print_json, print_table, remark
from signer.config import IssuerTable, Settings, load_settings
from signer.crl.alarm import late
from signer.crl.targets_status import status_of
from signer.lateness import Late, schedule_behind
from signer.ledger.ledger import Ledger
from signer.ledger.schema import EPOCH_SHIFT
from signer.ledger.values import LedgerIssuer
from signer.ocsp.ages import slots_of
from signer.ocsp.waning import waning
from signer.restored import check_audited
from signer.run_state import SILENT, IssuerState, RunState
from store.clock import Clock, SystemClock
from store.connection import Endpoint, check_server, translated
from store.errors import OcspeedError
from store.primary import replication_id
from store.schema import IssuerRecord, issuer_key
from store.text import rfc3339

__all__ = ["status"]


def status(file: Path, *, as_json: bool, clock: Clock | None = None) -> int:
    """Certificates, changes not yet signed, CRLs published, what the store says, and what `run` is at.

    Returns the exit code: 1 if anything of that is not as it should be.
    """
    settings = load_settings(file)
    now = (clock or SystemClock()).now()
    run, unread = _state_of_run(settings)
    with closing(Ledger.open(settings.ledger_url)) as ledger:
        unaudited = _unaudited(ledger)
        issuers = [_issuer(settings, ledger, found, run, now) for found in ledger.issuers()]
        places = settings.root.objects.targets(settings.document)
        objects = [status_of(place, ledger, ledger.issuers()) for place in places]
    signed = [table.name for table in settings.root.issuer if table.ocsp.enabled]
    store = _store(settings, signed) if signed else None
    troubles = [*unaudited, *_troubles(issuers, store, objects), *unread, *_troubles_of(run, now)]
    running = _run(run) if run else {"error": unread[0]} if unread else None
    if as_json:
        print_json({"issuers": issuers, "store": store, "objects": objects, "run": running})
        return int(bool(troubles))
    for issuer in issuers:
        print_table(issuer["issuer"], issuer)
    if store is not None:
        print_table("store", store)
    for target in objects:
        print_table("objects", target)
    if running is not None:
        print_table("run", running)
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
    for issuer in issuers:
        yield from (f"{issuer['issuer']}: {alarm}" for alarm in issuer["alarms"])
    if any(issuer["crls_overdue"] for issuer in issuers):
        yield "some CRLs are older than they should be: see the log of `ocsp-signer run`"
    if any(target["crls_behind"] != 0 for target in objects):
        yield "a target lacks CRLs: `ocsp-signer run` and `crl build` bring it up to date once it can be written"
    if store is not None and not store["up"]:
        yield f"the store is down: {store['error']}"
    for name in store["unreconciled"] if store is not None else ():
        yield f"{name}: not reconciled with this primary of the store, so that responders do not use it: see that `ocsp-signer run` is at work"


def _unaudited(ledger: Ledger) -> list[str]:
    """What stands against signing after a restore."""
    try:
        check_audited(ledger)
    except OcspeedError as error:
        return [f"{error.message}: {error.remedy}"]
    return []


def _state_of_run(settings: Settings) -> tuple[RunState | None, list[str]]:
    """And why it cannot be read."""
    try:
        return run_state.read(settings.state_directory), []
    except OcspeedError as error:
        return None, [error.message]


def _troubles_of(run: RunState | None, now: int) -> Iterator[str]:
    if run is None:
        return
    yield from run.troubles
    if now - run.at > SILENT:
        yield f"`ocsp-signer run` (process {run.process}) has said nothing since {rfc3339(run.at)}: killed, or it hangs"


def _run(run: RunState) -> dict[str, Any]:
    return {
        "process": run.process,
        "at": rfc3339(run.at),
        "clock_trusted": run.clock_trusted,
        "troubles": run.troubles,
    }


def _issuer(
    settings: Settings, ledger: Ledger, found: LedgerIssuer, run: RunState | None, now: int
) -> dict[str, Any]:
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
        "repaging": _repaging(ledger, found),
        **_signing(settings, ledger, found, table, run, now),
        **_crls(ledger, found),
        "crls_overdue": [one.url for one in late(ledger, found, table.crl if table else None, now)],
        **_imported(ledger, found, table, now),
        "fault": _fault(settings, ledger, found.name) if table else None,
    }


def _repaging(ledger: Ledger, found: LedgerIssuer) -> str | None:
    """What another layout of pages is there for."""
    other = ledger.other_layout(found.id)
    if other is None:
        return None
    filled = other.page_epoch > found.page_epoch
    return f"{1 << other.page_bits} pages are {'filled' if filled else 'removed'}"


def _signing(
    settings: Settings,
    ledger: Ledger,
    found: LedgerIssuer,
    table: IssuerTable | None,
    run: RunState | None,
    now: int,
) -> dict[str, Any]:
    """How late it is; ages and queue are what `run` says, for they take reading the whole store."""
    if table is None or not table.ocsp.enabled:
        return {"alarms": []}
    said = (run.of(found.name) if run else None) or IssuerState(found.name, 0, 0, None, 0, 0)
    since = ledger.waiting_since(found.id)
    late = Late(
        waiting=max(0, now - since) if since is not None else 0,
        behind=schedule_behind(ledger, found, table.ocsp.cycle, now),
        oldest=said.oldest_response_age,
        late=said.late_responses,
        stale=said.stale_responses,
    )
    alarms, end = list(late.alarms(table.ocsp.cycle)), _responder_end(settings, ledger, found)
    if end is not None and end - now < table.ocsp.validity:
        alarms.append(f"the responder certificate ends at {rfc3339(end)}: install its successor")
    if table.imports_responses:
        alarms += waning(ledger, found.id, now).alarms()
    return {
        "waiting_seconds": late.waiting,
        "behind_seconds": late.behind,
        "oldest_response_seconds": late.oldest,
        "late_responses": late.late,
        "stale_responses": late.stale,
        "queue": said.queue if run else None,
        "faulty_pages": said.faulty_pages if run else None,
        "responder_not_after": rfc3339(end),
        "alarms": alarms,
    }


def _responder_end(settings: Settings, ledger: Ledger, found: LedgerIssuer) -> int | None:
    """When the certificate ends that was taken up last; None before the first signature."""
    try:
        slots = slots_of(ledger, found.id, settings.load_issuer(found.name))
    except OcspeedError:
        return None  # told as its fault
    return slots[max(slots)].signer_not_after if slots else None


def _imported(ledger: Ledger, found: LedgerIssuer, table: IssuerTable | None, now: int) -> dict[str, Any]:
    """Of an issuer whose responses are signed elsewhere."""
    if table is None or not table.imports_responses:
        return {}
    imported = waning(ledger, found.id, now)
    return {
        "imported_responses": imported.responses,
        "first_imported_next_update": rfc3339(imported.first_end),
        "imported_ending": imported.ending,
        "certificates_without_response": imported.without,
        "revoked_without_response": imported.contradicted,
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
    result: dict[str, Any] = {"url": endpoint.url, "up": False, "unreconciled": []}
    try:
        with endpoint.client() as client, translated(endpoint.url):
            result |= {"server": check_server(client, endpoint.url), "up": True}
            result["memory_bytes"] = int(client.info("memory")["used_memory"])
            present = replication_id(client)
            for name in names:
                fields: Any = client.hgetall(issuer_key(name))
                record = IssuerRecord.decode(name, fields) if fields else None
                head = record.head if record else None
                result[f"pages_of_{name}"] = 1 << record.page_bits if record else None
                result[f"head_of_{name}"] = _generation(head.generation) if head else None
                if record is not None and (head is None or head.replication_id != present):
                    result["unreconciled"].append(name)
    except OcspeedError as error:
        result["error"] = error.message
    return result
