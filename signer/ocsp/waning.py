"""Which imported responses somebody has to renew: only the next ceremony can, and it takes weeks to convene."""

from collections.abc import Iterator
from dataclasses import dataclass

from signer.crl.alarm import AHEAD
from signer.ledger.ledger import Ledger
from store.text import rfc3339

__all__ = ["Waning", "waning"]


@dataclass(frozen=True, slots=True)
class Waning:
    """Of one issuer, about certificates that have not expired."""

    responses: int  # that are served
    first_end: int | None  # nextUpdate of the one that ends first
    ending: int  # responses that end in less than 60 days, or half of their life if that is shorter
    without: int  # certificates of which nothing is served
    contradicted: int  # certificates revoked since their response said good

    def alarms(self) -> Iterator[str]:
        if self.contradicted:
            yield (
                f"{self.contradicted:,} certificates are revoked, and no imported response says so: "
                "they are not answered for until the CA signs one"
            )
        if self.ending:
            yield f"{self.ending:,} imported responses end soon, the first at {rfc3339(self.first_end)}: have the CA sign others"


def waning(ledger: Ledger, issuer_id: int, now: int) -> Waning:
    """Reads every certificate of the issuer."""
    _, found = ledger.answered(issuer_id)
    living = [one for one in found if one.row.not_after >= now]
    served = [response for one in living for response in one.served]
    return Waning(
        responses=len(served),
        first_end=min((one.next_update for one in served), default=None),
        ending=sum(
            one.next_update - now < min(AHEAD, (one.next_update - one.this_update) // 2) for one in served
        ),
        without=sum(not one.served for one in living),
        contradicted=sum(bool(one.responses) and not one.served for one in living),
    )
