"""What the ledger says when it cannot do what was asked."""

from store.errors import OcspeedError

__all__ = ["LedgerError"]


class LedgerError(OcspeedError):
    """The ledger is missing, of another release, or contradicts what it was given."""
