"""Which of two statements about a certificate's shard holds: it is in one for ever once that was read (C-19, D5)."""

from signer.ledger.errors import LedgerError
from signer.ledger.values import PlacedBy, Placement

__all__ = ["Misplaced", "correction"]

_RANK = {placed_by: rank for rank, placed_by in enumerate(PlacedBy)}


class Misplaced(LedgerError):
    """A statement contradicts one that holds."""


def correction(recorded: Placement, stated: Placement) -> Placement | None:
    """What is to be recorded instead, None if nothing. Raises Misplaced, naming no serial.

    A certificate corrects a file and the hash, a file the hash; neither is ever corrected by its own kind.
    """
    if _RANK[stated.placed_by] > _RANK[recorded.placed_by]:
        return stated
    if recorded[:2] != stated[:2]:
        raise Misplaced(
            f"in shard {recorded.series}-{recorded.shard_index} since a {recorded.placed_by} said so, not in "
            f"{stated.series}-{stated.shard_index}",
            remedy="a certificate stays in its shard for ever: find out which of the two is right",
        )
    return None
