"""One record of the store against its certificate in the ledger: what it says, when it was signed, until when it holds."""

from collections.abc import Iterator

from _fastpath.ocsp import SingleResponse
from signer.audit.report import Kind
from signer.ledger.values import CertificateRow
from signer.ocsp.responses import MINIMUM_VALIDITY
from signer.stored import says_more
from store.text import rfc3339
from store.trust import TrustedTemplate

__all__ = ["AHEAD", "deadline_of", "status_fault", "window_faults"]

Fault = tuple[Kind, str]

AHEAD = 5  # seconds that the clock of another signer may be ahead of this one (architecture: signing)
HOUR = 3600
DAY = 86_400
LONGEST = 7 * DAY - 1  # R-14; allow more


def status_fault(said: SingleResponse, row: CertificateRow) -> Fault | None:
    """A5, A6: the ledger's status, time and reason, none of them better known to the store."""
    stated, known = (said.revocation_time, said.reason), (row.revocation_time, row.reason)
    if stated == known or (said.revocation_time is None and row.revocation_time is None):
        return None
    message = f"the record says {_status(*stated)}, the ledger {_status(*known)}"
    return (Kind.REVOCATION_UNKNOWN if says_more(stated, known) else Kind.STATUS), message


def _status(time: int | None, reason: int) -> str:
    return "good" if time is None else f"revoked at {rfc3339(time)} for reason {reason}"


def window_faults(
    said: SingleResponse, row: CertificateRow, signer: TrustedTemplate | None, now: int
) -> Iterator[Fault]:
    """R-06, R-12 to R-18: signed when it might be, for as long as it may be, and not overdue.

    That thisUpdate <= producedAt < nextUpdate the reader of records has seen to.
    """
    this_update, next_update = said.this_update, said.next_update
    if said.produced_at > now + AHEAD:
        yield Kind.WINDOW, f"producedAt is {said.produced_at - now} s ahead of the clock (R-06)"
    validity = next_update - this_update
    if not MINIMUM_VALIDITY <= validity <= LONGEST:
        yield (
            Kind.WINDOW,
            f"valid for {validity} s, not {MINIMUM_VALIDITY} to {LONGEST} (R-12 to R-15)",
        )
    if signer is not None and not signer.not_before <= this_update < next_update <= signer.not_after:
        yield Kind.WINDOW, f"valid until {rfc3339(next_update)}, beyond its signer's certificate (R-17)"
    if this_update > row.not_after:
        yield Kind.WINDOW, f"signed after the certificate ended at {rfc3339(row.not_after)} (R-18)"
    elif next_update > max(row.not_after, this_update + MINIMUM_VALIDITY):
        yield Kind.WINDOW, f"valid until {rfc3339(next_update)}, beyond its certificate (R-18)"
    if now > deadline_of(said) and next_update < row.not_after:
        yield (
            Kind.OVERDUE,
            f"of {rfc3339(this_update)}, to be replaced by {rfc3339(deadline_of(said))} (R-16)",
        )


def deadline_of(said: SingleResponse) -> int:
    """When the next response has to be served (R-16). The last one of a certificate needs none."""
    validity = said.next_update - said.this_update
    if validity + 1 < 16 * HOUR:  # a duration counts both ends (B2)
        return said.this_update + validity // 2
    return min(said.next_update - 8 * HOUR, said.this_update + 4 * DAY)
