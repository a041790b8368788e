"""What an audit found: every finding has a kind, each kind a count, its first cases and what to do about it."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["LEDGER_LACKS", "REMEDIES", "Checked", "Finding", "Findings", "Kind"]

FIRST = 10  # named of a kind; all are counted


class Kind(StrEnum):
    """In what ledger, store, CRLs and responders differ, or break a rule."""

    ISSUER_RECORD = "issuer_record"
    LAYOUT_UNKNOWN = "layout_unknown"
    TEMPLATE = "template"
    PAGE_MISSING = "page_missing"
    PAGE_DAMAGED = "page_damaged"
    PAGE_AHEAD = "page_ahead"
    RECORD_MISSING = "record_missing"
    RECORD_UNKNOWN = "record_unknown"
    RECORD_DAMAGED = "record_damaged"
    REVOCATION_UNKNOWN = "revocation_unknown"
    STATUS = "status"
    UNSIGNED = "unsigned"
    SIGNATURE = "signature"
    WINDOW = "window"
    OVERDUE = "overdue"
    CRL_MISSING = "crl_missing"
    CRL_FAULT = "crl_fault"
    CRL_BEHIND = "crl_behind"
    CRL_AHEAD = "crl_ahead"
    CRL_ENTRY_UNKNOWN = "crl_entry_unknown"
    CRL_ENTRY_MISSING = "crl_entry_missing"
    CRL_ENTRY = "crl_entry"
    CRL_OVERDUE = "crl_overdue"
    MANIFEST = "manifest"
    HTTP_FAILED = "http_failed"
    HTTP_ANSWER = "http_answer"
    HTTP_UNISSUED = "http_unissued"


# What CRLs and store prove and the ledger does not know: who signs from it un-revokes (A2).
LEDGER_LACKS = frozenset(
    {
        Kind.LAYOUT_UNKNOWN,
        Kind.PAGE_AHEAD,
        Kind.RECORD_UNKNOWN,
        Kind.REVOCATION_UNKNOWN,
        Kind.CRL_AHEAD,
        Kind.CRL_ENTRY_UNKNOWN,
    }
)

_SIGN_ALL = "`ocsp-signer sign --all` writes it anew from the ledger"
_RESTORE = (
    "stop signing: an older ledger was put back, or the store is another ledger's; "
    "`ocsp-signer ledger restore` with the newest backup reads back what CRLs and store know"
)
_BUILD = "`ocsp-signer crl build` publishes the next one"
_STRANGER = "find out who wrote it and move it away, then `ocsp-signer crl build`"
REMEDIES = {
    Kind.ISSUER_RECORD: _SIGN_ALL,
    Kind.LAYOUT_UNKNOWN: _RESTORE,
    Kind.TEMPLATE: _SIGN_ALL,
    Kind.PAGE_MISSING: "start `ocsp-signer run`, which looks for lost pages, or `ocsp-signer sign`",
    Kind.PAGE_DAMAGED: "delete the page in the store, then `ocsp-signer sign`; find out who wrote it",
    Kind.PAGE_AHEAD: _RESTORE
    + "; a page that is alone in it is damaged or forged: docs/operations.md says how to have it written anew",
    Kind.RECORD_MISSING: _SIGN_ALL,
    Kind.RECORD_UNKNOWN: "import the CA's records, which know it; or " + _RESTORE,
    Kind.RECORD_DAMAGED: _SIGN_ALL + "; find out who wrote to the store",
    Kind.REVOCATION_UNKNOWN: _RESTORE,
    Kind.STATUS: _SIGN_ALL + "; find out who wrote to the store",
    Kind.UNSIGNED: "wait for `ocsp-signer run` to come so far, or start it",
    Kind.SIGNATURE: _SIGN_ALL + "; find out who wrote to the store",
    Kind.WINDOW: "look at the clocks of the signing machines, then `ocsp-signer sign --all`",
    Kind.OVERDUE: "start `ocsp-signer run`, and see in its log why these were not signed",
    Kind.CRL_MISSING: _BUILD,
    Kind.CRL_FAULT: _STRANGER,
    Kind.CRL_BEHIND: "`ocsp-signer run` and `crl build` bring the target up to date once it can be written",
    Kind.CRL_AHEAD: _RESTORE,
    Kind.CRL_ENTRY_UNKNOWN: "import the CA's records, which know it; or " + _RESTORE,
    Kind.CRL_ENTRY_MISSING: _BUILD + "; keep the present one: it was short",
    Kind.CRL_ENTRY: _BUILD + "; keep the present one: it was wrong",
    Kind.CRL_OVERDUE: "start `ocsp-signer run`, and see in its log why it was not built",
    Kind.MANIFEST: "`ocsp-signer crl build` writes it anew",
    Kind.HTTP_FAILED: "see that the responder runs, and its log",
    Kind.HTTP_ANSWER: "see which store the responder reads, and what caches stand before it",
    Kind.HTTP_UNISSUED: "see which store the responder reads; the answer must be `unauthorized` (BR 4.9.9)",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One case of a kind: at which page, serial or URL, and what is wrong there."""

    kind: Kind
    issuer: str
    message: str
    page: int | None = None
    serial: bytes | None = None
    url: str | None = None

    def described(self) -> dict[str, Any]:
        """Without what it is not about."""
        fields = asdict(self) | {"serial": None if self.serial is None else self.serial.hex()}
        del fields["kind"]
        return {name: value for name, value in fields.items() if value is not None}

    def __str__(self) -> str:
        where = [self.url or ""]
        where.append(f"page {self.page}" if self.page is not None else "")
        where.append(f"serial {self.serial.hex()}" if self.serial is not None else "")
        return ": ".join([self.issuer, *filter(None, where), self.message])


@dataclass(slots=True)
class Findings:
    """Of any number in bounded memory."""

    counts: dict[Kind, int] = field(default_factory=dict)
    first: dict[Kind, list[Finding]] = field(default_factory=dict)

    def add(self, found: Iterable[Finding]) -> None:
        for finding in found:
            self.counts[finding.kind] = self.counts.get(finding.kind, 0) + 1
            named = self.first.setdefault(finding.kind, [])
            if len(named) < FIRST:
                named.append(finding)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def ledger_lacks(self) -> int:
        """Those that forbid to sign."""
        return sum(count for kind, count in self.counts.items() if kind in LEDGER_LACKS)

    def described(self) -> list[dict[str, Any]]:
        """By kind, in the order of `Kind`."""
        return [
            {
                "kind": kind.value,
                "count": self.counts[kind],
                "remedy": REMEDIES[kind],
                "first": [finding.described() for finding in self.first[kind]],
            }
            for kind in Kind
            if kind in self.counts
        ]


@dataclass(slots=True)
class Checked:
    """How much of one issuer was looked at."""

    issuer: str
    generation: int  # of the ledger when it began: what changed since is held against nobody
    certificates: int = 0
    pages: int = 0
    records: int = 0
    signatures: int = 0
    crls: int = 0
    crl_entries: int = 0
    answers: int = 0
    unissued: int = 0
