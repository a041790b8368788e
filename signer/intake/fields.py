"""Rows of named fields, as csv and ndjson carry them.

serial       hexadecimal, either case; `0x` before it and colons between octets are allowed
not_after    RFC 3339 time with its zone, such as 2026-11-21T10:00:00Z
not_before   the same; looked at and not kept
status       good or valid, revoked, expired; what the other fields say must agree
revoked_at   since when it is revoked; absent or empty: it is not
reason       CRLReason by name or number
crl_url      its CRL distribution point; absent or empty: by the hash of the serial
"""

from datetime import datetime

import msgspec

from signer.intake.revocations import typed_serial
from signer.intake.rows import ImportRow, RowError, fit_time, named_reason, printable
from signer.intake.scope import Scope
from signer.ledger.values import UNSPECIFIED, PlacedBy, Placement

__all__ = ["Fields", "reason_text", "row_of"]

STATUSES = {"good": "good", "valid": "good", "v": "good", "revoked": "revoked", "r": "revoked",
            "expired": "expired", "e": "expired"}  # fmt: skip
SHOWN = 48  # characters of a value
MAX_REASON = 999  # numbers above say nothing either, and may have thousands of digits


class Fields(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    """One row as written; empty is absent."""

    serial: str
    not_after: str
    not_before: str | None = None
    status: str | None = None
    revoked_at: str | None = None
    reason: str | int | None = None
    crl_url: str | None = None


def row_of(fields: Fields, scope: Scope) -> ImportRow:
    """Raises RowError for what says nothing certain."""
    serial = typed_serial(fields.serial)
    not_after = _seconds("not_after", fields.not_after)
    if fields.not_before and _seconds("not_before", fields.not_before) > not_after:
        raise RowError("not_before", f"{_show(fields.not_before)} is after not_after")
    status = _status(fields.status)
    placement = _placement(fields.crl_url, scope)
    reason, adjusted = named_reason(reason_text(fields.reason))
    if fields.revoked_at:
        if status == "good":
            raise RowError("status", "good, but there is a revoked_at")
        time, clamped = fit_time(_seconds("revoked_at", fields.revoked_at), scope.now)
        return ImportRow(
            serial, not_after, time, reason, False, "; ".join(filter(None, (clamped, adjusted))), placement
        )
    if status == "revoked":
        raise RowError("revoked_at", "missing, but status is revoked")
    if reason != UNSPECIFIED or adjusted:
        raise RowError("reason", "there is one, but no revoked_at")
    expired = status == "expired" or not_after < scope.now
    return ImportRow(serial, not_after, None, UNSPECIFIED, expired, "", placement)


def _status(text: str | None) -> str | None:
    if not text:
        return None
    status = STATUSES.get(text.lower())
    if status is None:
        raise RowError("status", f"{_show(text)} is not good, revoked or expired")
    return status


def _placement(url: str | None, scope: Scope) -> Placement | None:
    return scope.shards.place("crl_url", [url], PlacedBy.FILE) if url else None


def reason_text(reason: str | int | None) -> str:
    """As `reason_number` takes it; "" for none."""
    if isinstance(reason, int):
        return str(reason) if 0 <= reason <= MAX_REASON else "out of range"
    return reason or ""


def _seconds(field: str, text: str) -> int:
    """Whole seconds since 1970, fractions cut off."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise RowError(field, f"{_show(text)} is not a time such as 2026-11-21T10:00:00Z")
    # A float of seconds is too coarse to cut off the fraction.
    return int((moment.replace(microsecond=0) if moment.microsecond else moment).timestamp())


def _show(text: str) -> str:
    return f"'{printable(text[:SHOWN])}'"
