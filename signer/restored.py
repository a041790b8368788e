"""A ledger put back from a backup signs nothing before an audit found in it all that store and CRLs prove (A2)."""

from signer.audit.report import Findings
from signer.journal import user
from signer.ledger.errors import LedgerError
from signer.ledger.ledger import Ledger
from store.text import rfc3339

__all__ = ["RESTORED", "NotAudited", "check_audited", "note_audit"]

# Events of the journal, which is the mark: it is in the ledger, goes with it, and cannot be taken out unseen.
RESTORED, AUDITED = "restore", "restore audited"


class NotAudited(LedgerError):
    """Nobody has looked yet whether a restored ledger knows every revocation that was answered or published."""

    def __init__(self, restored_at: int) -> None:
        super().__init__(
            f"the ledger was restored at {rfc3339(restored_at)} and not audited since: nothing is signed from it",
            remedy="run `ocsp-signer audit`; what it finds says what to do before signing goes on",
        )


def check_audited(ledger: Ledger) -> None:
    """Raises NotAudited. To be called before anything is signed."""
    newest = ledger.newest_entry((RESTORED, AUDITED))
    if newest is not None and newest.event == RESTORED:
        raise NotAudited(newest.recorded_at)


def note_audit(ledger: Ledger, findings: Findings, now: int) -> bool:
    """After an audit of all issuers: whether it is now that signing may go on.

    It may unless the ledger lacks something: all else that a restore leaves behind is put right by signing.
    """
    newest = ledger.newest_entry((RESTORED, AUDITED))
    if newest is None or newest.event != RESTORED or findings.ledger_lacks:
        return False
    detail = {"restored_at": newest.recorded_at, "findings": findings.total}
    ledger.journal(AUDITED, detail, now, user())
    return True
