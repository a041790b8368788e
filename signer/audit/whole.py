"""Ledger = store = CRLs = HTTP: everything of one issuer, held against the ledger."""

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from signer.audit.answers import AnswerAudit
from signer.audit.client import Client
from signer.audit.crls import CrlAudit, Place
from signer.audit.imported import ImportedAnswerAudit, ImportedPageAudit
from signer.audit.pages import PageAudit, Subject
from signer.audit.patience import Patience
from signer.audit.report import Checked, Findings
from signer.audit.sample import Choice
from signer.context import Context
from store.objects import open_object_store
from store.reader import StoreReader

__all__ = ["Bars", "Request", "audit_issuer"]

# Gives, for a task of so many steps, a function that is told how many more are done.
Bars = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


@dataclass(frozen=True, slots=True)
class Request:
    """What an audit is to look at, beside everything in ledger, store and CRLs."""

    sample: int = (
        1_000  # certificates of an issuer whose signatures are verified, and whom responders are asked for
    )
    full: bool = False  # verify every signature
    urls: Sequence[str] = ()  # of responders; none: `ocsp.url` of each issuer, if it has one
    chooser: random.Random = field(default_factory=random.SystemRandom)


def audit_issuer(
    context: Context, name: str, request: Request, findings: Findings, bars: Bars, patience: Patience
) -> Checked:
    """Add what is found to `findings`. Raises OcspeedError for what cannot be read at all."""
    recorded, table = context.ledger.issuer(name), context.settings.issuer(name)
    checked = Checked(name, recorded.generation)
    if table.ocsp.enabled:
        subject = Subject(context.issuer(name), recorded, table.ocsp.algorithms)
        urls = list(request.urls) or ([table.ocsp.url] if table.ocsp.url else [])
        _look_at_store(context, subject, request, urls, findings, checked, bars, patience)
    crls = _crl_audit(context, name, patience)
    with bars(f"CRLs of {name}", crls.crl_count) as advance:
        crls.look(findings, checked, advance)
    return checked


def _look_at_store(
    context: Context,
    subject: Subject,
    request: Request,
    urls: Sequence[str],
    findings: Findings,
    checked: Checked,
    bars: Bars,
    patience: Patience,
) -> None:
    """The pages, and then what responders make of them."""
    name, ledger, clock = subject.recorded.name, context.ledger, context.clock
    choice = Choice(request.sample, request.full, request.chooser)
    context.ensure_store()
    with context.endpoint.client() as client:
        reader = StoreReader(client, context.endpoint.url)
        imports = context.settings.issuer(name).imports_responses
        audit = ImportedPageAudit if imports else PageAudit
        pages = audit(ledger, reader, subject, choice, patience, clock)
        with bars(f"pages of {name}", pages.page_count) as advance:
            pages.look(findings, checked, advance)
        rows = pages.to_ask.rows()
        asking = ImportedAnswerAudit if imports else AnswerAudit
        answers = asking(ledger, reader, subject, pages.templates, patience, clock)
        for url in urls:
            with Client(url) as asked, bars(f"answers of {url}", len(rows)) as advance:
                answers.look(asked, rows, choice, findings, checked, advance)


def _crl_audit(context: Context, name: str, patience: Patience) -> CrlAudit:
    catalogue = context.crl_catalogue(name)  # which makes a directory that nothing was published to
    places = [
        Place(place.location, open_object_store(place))
        for place in context.settings.root.objects.targets(context.settings.document)
    ]
    return CrlAudit(
        catalogue,
        context.ledger.issuer(name),
        context.issuer(name).certificate,
        context.settings.issuer(name).crl,
        places,
        patience,
        context.clock,
    )
