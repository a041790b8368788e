"""Which CRLs somebody has to be told of: by their age, whatever became of the attempts to build them (invariant D8)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from signer.config import CrlTable, IssuerTable
from signer.crl.schedule import Key
from signer.ledger.ledger import Ledger
from signer.ledger.values import LedgerIssuer, Publication

__all__ = ["Overdue", "alarm_age", "late", "late_issuers", "overdue", "running_out"]

HOUR = 3600
DAY = 86_400
AHEAD = 60 * DAY  # of the end of a CRL that only a ceremony can renew
FORGOTTEN = DAY  # age for an issuer that the configuration has no more


@dataclass(frozen=True, slots=True)
class Overdue:
    """A CRL that should have been replaced by now. `age` is in seconds since its thisUpdate; None: there is none."""

    url: str
    age: int | None
    next_update: int | None


def alarm_age(interval: int) -> int:
    """An hour past the time of the next one, or a whole interval if that is less."""
    return interval + min(interval, HOUR)


def overdue(opened: Mapping[Key, int], latest: Mapping[Key, Publication], now: int, limit: int) -> list[Key]:
    """CRLs older than `limit`; those that never were count from when their series opened."""
    return [
        key for key, at in opened.items() if now - (latest[key].this_update if key in latest else at) > limit
    ]


def running_out(keys: Iterable[Key], latest: Mapping[Key, Publication], now: int) -> list[Key]:
    """CRLs of an offline CA that end in less than 60 days, or half of their life if that is shorter."""
    found = []
    for key in keys:
        one = latest.get(key)
        ahead = min(AHEAD, (one.next_update - one.this_update) // 2) if one else 0
        if one is None or one.next_update - now < ahead:
            found.append(key)
    return found


def late(ledger: Ledger, issuer: LedgerIssuer, table: CrlTable | None, now: int) -> list[Overdue]:
    """An issuer's. `table` is its configuration; without one its CRLs are due until its CA certificate ends (U-11)."""
    latest = {(one.series, one.shard_index): one for one in ledger.publications(issuer.id)}
    series = {row.number: row for row in ledger.series(issuer.id)}
    opened = {(row.number, n): row.opened_at for row in series.values() for n in range(row.shard_count)}
    if table is None:
        keys = overdue(opened, latest, now, FORGOTTEN) if now <= ledger.ca_not_after(issuer.id) else []
    elif table.offline:
        keys = running_out(opened, latest, now)
    else:
        keys = overdue(opened, latest, now, alarm_age(table.interval))
    return [_described(series[key[0]].url(issuer.name, key[1]), latest.get(key), now) for key in keys]


def late_issuers(
    ledger: Ledger, tables: Iterable[IssuerTable], now: int
) -> Iterator[tuple[LedgerIssuer, list[Overdue]]]:
    """Those of the ledger of which any CRL is late; `tables` are all that are configured."""
    configured = {table.name: table.crl for table in tables}
    for issuer in ledger.issuers():
        if found := late(ledger, issuer, configured.get(issuer.name), now):
            yield issuer, found


def _described(url: str, latest: Publication | None, now: int) -> Overdue:
    return Overdue(url, now - latest.this_update, latest.next_update) if latest else Overdue(url, None, None)
