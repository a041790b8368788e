"""`ledger restore`: a backup, and what CRLs and store know since, become the ledger."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from signer.commands.ledger import page_bar
from signer.commands.output import print_json, print_text, remark
from signer.config import LedgerSection, Settings, load_settings
from signer.context import Context
from signer.journal import user
from signer.ledger.backup import check_whole, is_database, summary
from signer.ledger.errors import LedgerError
from signer.ledger.generations import epoch_of
from signer.ledger.restore import Restored, prepared, put_in_place
from signer.ledger.staging import Staging
from signer.ledger.values import ImportEntry, ImportOutcome, Layout
from signer.recovery import News, adopt, look
from signer.restored import RESTORED
from signer.run import only_signer
from store.clock import Clock, SystemClock
from store.progress import bar
from store.reader import StoreReader

__all__ = ["Sources", "restore"]

BLIND_EPOCHS = 16  # left out where not everything that may name an epoch could be asked


@dataclass(frozen=True, slots=True)
class Sources:
    """What is asked for that the backup does not have."""

    crls: bool = True
    store: bool = True


def restore(
    file: Path, path: Path, sources: Sources, *, as_json: bool, quiet: bool, clock: Clock | None = None
) -> None:
    """Make a ledger of the backup at `path` beside the present one, check it, and put it in its place.

    Raises OcspeedError, and the present ledger stays, if a signer runs or anything that was to be asked cannot be read.
    """
    settings, clock = load_settings(file), clock or SystemClock()
    ledger, now = settings.ledger_path, clock.now()
    with ExitStack() as stack:
        stack.enter_context(only_signer(settings.state_directory))
        report = check_whole(path)
        with page_bar("copy", quiet=quiet) as progress:
            made = stack.enter_context(prepared(path, ledger, progress))
        with _over(settings, made, clock) as context, Restored(made) as restored:
            context.ledger.verify_journal()
            restored.skip_template_numbers()
            found = _recover_all(context, restored, sources, _epochs(ledger), quiet)
            detail = {
                "backup": str(path.absolute()),
                "journal_entries": report.journal_entries,
                "journal_hash": report.journal_hash,
                "crls": sources.crls,
                "store": sources.store,
                "issuers": [{**one, "unproven_serials": []} for one in found],
            }
            context.ledger.journal(RESTORED, detail, now, user())
            context.ledger.verify_journal()
        check_whole(made)
        aside = put_in_place(made, ledger, now)
    result = {"ledger": str(ledger), "kept": str(aside) if aside else None, "issuers": found}
    if as_json:
        print_json(result)
    else:
        _print(result)


@contextmanager
def _over(settings: Settings, ledger: Path, clock: Clock) -> Iterator[Context]:
    """Everything of this configuration over another ledger."""
    root = msgspec.structs.replace(settings.root, ledger=LedgerSection(url=f"sqlite:///{ledger}"))
    with Context(Settings(settings.document, root), clock) as context:
        yield context


def _epochs(ledger: Path) -> dict[str, int]:
    """Of the present ledger by issuer, as far as it can be read."""
    if not is_database(ledger):
        return {}
    try:
        return {name: epoch_of(generation) for name, generation in summary(ledger).generations.items()}
    except LedgerError:
        return {}


def _recover_all(
    context: Context, restored: Restored, sources: Sources, present: dict[str, int], quiet: bool
) -> list[dict[str, Any]]:
    """Issuer by issuer, in epochs above those of the `present` ledger. Those no longer configured get one too."""
    blind = 0 if sources == Sources() else BLIND_EPOCHS
    configured = [table.name for table in context.settings.root.issuer]
    for issuer in context.ledger.issuers():
        if issuer.name not in configured:
            restored.raise_epoch(issuer.id, present.get(issuer.name, 0) + BLIND_EPOCHS)
    return [
        _recover(context, restored, name, sources, present.get(name, 0) + blind, quiet) for name in configured
    ]


def _recover(
    context: Context, restored: Restored, name: str, sources: Sources, above: int, quiet: bool
) -> dict[str, Any]:
    """Take over the news of one issuer, then look again whether there is any left."""
    issuer_id = _issuer_id(context, restored, name, sources)
    with ExitStack() as stack:
        staging = stack.enter_context(Staging(context.settings.document.directory))
        news = _look(context, name, staging, sources, f"read {name}", quiet)
        news.seen.epoch = max(news.seen.epoch, above)
        entry = ImportEntry(user(), {"issuer": name, "from": "restore"})
        outcome = adopt(context.ledger, restored, issuer_id, news, context.clock.now(), entry)
        rest = stack.enter_context(Staging(context.settings.document.directory))
        after = _look(context, name, rest, sources, f"check {name}", quiet)
    if not after.seen.agrees:
        raise LedgerError(
            f"issuer {name}: {after.seen.lacking} statements of CRLs and store are still not in the ledger",
            remedy="is a signer still at work somewhere? stop it and restore again; nothing was replaced",
        )
    return _described(name, context, news, after, outcome)


def _issuer_id(context: Context, restored: Restored, name: str, sources: Sources) -> int:
    """Of an issuer that may be newer than the backup, as its layout of pages may be: then it is the store's."""
    table = context.settings.issuer(name)
    if sources.store and table.ocsp.enabled:
        context.ensure_store()
        with context.endpoint.client() as client:
            record = StoreReader(client, context.endpoint.url).issuer(name)
        if record is not None:
            plan, now = table.crl.plan, context.clock.now()
            found = context.ledger.ensure_issuer(context.issuer(name), record.page_bits, plan, now)
            restored.take_over_layout(found.id, Layout(record.page_epoch, record.page_bits))
            return found.id
    return context.ledger_issuer(name).id


def _look(context: Context, name: str, rows: Staging, sources: Sources, task: str, quiet: bool) -> News:
    with bar(task, None, quiet=quiet) as advance:
        return look(context, name, rows, advance, crls=sources.crls, store=sources.store)


def _described(
    name: str, context: Context, news: News, after: News, outcome: ImportOutcome
) -> dict[str, Any]:
    seen, issuer = after.seen, context.ledger.issuer(name)
    return {
        "issuer": name,
        "epoch": epoch_of(issuer.generation),
        "page_epoch": issuer.page_epoch,
        "crls": seen.crls,
        "crl_entries": seen.entries,
        "pages": seen.pages,
        "records": seen.records,
        "crls_recorded": len(news.publications),
        "certificates_recovered": outcome.new,
        "revocations_recovered": news.revocations,
        "responses_recovered": len(news.responses),
        "records_signed_anew": seen.unsigned,
        "records_unproven": seen.unproven.count,
        "unproven_serials": [serial.hex() for serial in seen.unproven.first],
    }


def _print(result: dict[str, Any]) -> None:
    for found in result["issuers"]:
        print_text(
            f"{found['issuer']}: epoch {found['epoch']}; {found['crls']} CRLs with {found['crl_entries']} entries and "
            f"{found['records']} records compared; {found['certificates_recovered']} certificates and "
            f"{found['revocations_recovered']} revocations recovered"
        )
        if found["certificates_recovered"]:
            remark(
                f"{found['issuer']}: when these end is not known: import the CA's records again, which tells it"
            )
        for serial in found["unproven_serials"]:
            remark(
                f"{found['issuer']}: serial {serial}: its record in the store is damaged or not signed: left out"
            )
    if result["kept"]:
        print_text(f"the ledger before this: {result['kept']}")
    print_text("run `ocsp-signer audit`, then start `ocsp-signer run`, which signs nothing before that")
