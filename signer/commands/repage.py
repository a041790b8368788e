"""`store repage`: more and smaller pages for an issuer that has grown, while answers go on."""

import time
from bisect import bisect_left
from pathlib import Path
from typing import Any

from signer.commands.output import print_json, print_text
from signer.context import Context
from signer.errors import SignerAtWork
from signer.journal import user
from signer.ledger.values import Layout, LedgerIssuer
from signer.ocsp.growth import Growth, measure
from signer.ocsp.repage import Repaging
from signer.restored import check_audited
from signer.run import only_signer
from store.errors import UsageError
from store.progress import bar
from store.reader import StoreReader

__all__ = ["repage"]

POLL = 0.5  # seconds between looks at how far `run` has come
PIECE = 0.005  # seconds left to others after each piece of work
MEBIBYTE = 1 << 20


def repage(file: Path, *, issuer: str, bits: int | None, dry_run: bool, as_json: bool, quiet: bool) -> int:
    """Put pages with `bits` in force, or with what its certificates want; or finish what was begun. Returns 0."""
    with Context.open(file) as context:
        if not context.settings.issuer(issuer).ocsp.enabled:
            raise UsageError(f"issuer {issuer}: `ocsp.enabled` is false", remedy="it has no pages")
        check_audited(context.ledger)
        found = context.ledger.issuer(issuer)
        other = context.ledger.other_layout(found.id)
        growth = measure(context, issuer)
        wanted = _wanted_bits(found, other, growth, bits)
        result = _described(issuer, growth, wanted)
        if not dry_run:
            began = time.monotonic()
            if other is not None and not _fills(found, other):
                _carry_out(context, found, quiet=quiet)
            if wanted != found.page_bits:
                growth.check_room(issuer, wanted)
                context.ledger.begin_layout(found.id, wanted)
            _carry_out(context, found, quiet=quiet)
            result["seconds"] = round(time.monotonic() - began, 3)
    if as_json:
        print_json(result | {"dry_run": dry_run})
    else:
        print_text(_sentence(result, dry_run=dry_run))
    return 0


def _wanted_bits(found: LedgerIssuer, other: Layout | None, growth: Growth, bits: int | None) -> int:
    """What was begun and not finished comes first."""
    if bits is not None:
        return bits
    if other is not None and _fills(found, other):
        return other.page_bits
    return growth.wanted_bits


def _described(issuer: str, growth: Growth, wanted: int) -> dict[str, Any]:
    """Numbers of certificates and octets are reckoned from a sample of pages."""
    present = growth.layout.page_bits
    return {
        "issuer": issuer,
        "certificates": growth.certificates,
        "page_bits_before": present,
        "page_bits": wanted,
        "pages_before": 1 << present,
        "pages": 1 << wanted,
        "octets_before": growth.octets(present),
        "octets": growth.octets(wanted),
        "octets_meanwhile": growth.octets(present) + (growth.octets(wanted) if wanted > present else 0),
        "store_used": growth.used,
        "store_limit": growth.limit or None,
    }


def _sentence(result: dict[str, Any], *, dry_run: bool) -> str:
    name, before, after = result["issuer"], result["pages_before"], result["pages"]
    mean = result["certificates"] / before
    if after == before:
        return f"{name}: {before:,} pages of about {mean:.0f} certificates, as they should be"
    sizes = [f"{result[key] / MEBIBYTE:,.0f}" for key in ("octets_before", "octets_meanwhile", "octets")]
    would = "would become" if dry_run else "have become"
    limit = result["store_limit"]
    return (
        f"{name}: {before:,} pages of about {mean:.0f} certificates {would} {after:,} of {mean * before / after:.0f}; "
        f"they take {sizes[0]} MiB, {sizes[1]} MiB while both are there, then {sizes[2]} MiB "
        f"(the store uses {result['store_used'] / MEBIBYTE:,.0f} MiB"
        + (f" of {limit / MEBIBYTE:,.0f})" if limit else ")")
    )


def _carry_out(context: Context, issuer: LedgerIssuer, *, quiet: bool) -> None:
    """By this process, unless `ocsp-signer run` is at work: then it does it, for it writes the pages."""
    with bar(f"re-page {issuer.name}", _steps(context, issuer), quiet=quiet) as advance:
        seen = 0
        while (other := context.ledger.other_layout(issuer.id)) is not None:
            try:
                with only_signer(context.settings.state_directory):
                    context.announce(issuer.name)  # one that was killed may have told nobody
                    for pages in Repaging(context, issuer.name, None).work(user()):
                        advance(pages)
                        time.sleep(PIECE)
            except SignerAtWork:
                time.sleep(POLL)
                done = _done(context, issuer, other)
                advance(max(0, done - seen))
                seen = max(seen, done)


def _steps(context: Context, issuer: LedgerIssuer) -> int:
    """Pages to be copied, and those to be unlinked then."""
    other = context.ledger.other_layout(issuer.id)
    if other is None:
        return 0
    return 2 << issuer.page_bits if _fills(issuer, other) else 1 << other.page_bits


def _fills(issuer: LedgerIssuer, other: Layout) -> bool:
    return other.page_epoch > issuer.page_epoch


def _done(context: Context, issuer: LedgerIssuer, other: Layout) -> int:
    """How many steps somebody else has done: pages come and go in their order."""
    reader = StoreReader(context.client, context.endpoint.url)

    def is_there(page: int) -> bool:
        return reader.header(issuer.name, other.page_epoch, page) is not None

    pages = range(1 << other.page_bits)
    if _fills(issuer, other):
        return bisect_left(pages, True, key=lambda page: not is_there(page)) >> (
            other.page_bits - issuer.page_bits
        )
    copied = len(pages) if issuer.layout == other else 0  # if the copying was seen to begin
    return copied + bisect_left(pages, True, key=is_there)
