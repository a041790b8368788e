"""Rows that put a certificate into another shard than one that holds: refused, because it stays in one (C-19, D5)."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from signer.intake.scope import Shards
from signer.ledger.ledger import Ledger
from signer.ledger.staging import StagedRow
from signer.ledger.values import PlacedBy, Placement

__all__ = ["conflicts"]

BATCH = 5_000  # serials looked up at a time
STRENGTH = {placed_by: strength for strength, placed_by in enumerate(PlacedBy)}


def conflicts(
    groups: Iterable[list[StagedRow]], ledger: Ledger | None, issuer_id: int | None, shards: Shards
) -> Iterator[tuple[StagedRow, str]]:
    """Each refused row of `groups`, one a serial, and why. No ledger or issuer: nothing is recorded."""
    source = iter(groups)
    while batch := list(itertools.islice(source, BATCH)):
        recorded: Mapping[bytes, Placement] = {}
        if ledger is not None and issuer_id is not None:
            recorded = ledger.placements(issuer_id, [group[0].row for group in batch])
        for group in batch:
            there = recorded.get(group[0].row.serial)
            if there is not None or len(group) > 1:
                yield from _refused(group, there, shards)


def _refused(
    group: Sequence[StagedRow], recorded: Placement | None, shards: Shards
) -> Iterator[tuple[StagedRow, str]]:
    placed = [staged for staged in group if staged.row.placement is not None]
    if not placed:
        return
    holds = _holding(placed, recorded)
    for staged in placed:
        stated = staged.row.placement
        assert stated is not None
        if holds is None:
            yield staged, f"{_head(staged, shards)}, and another {stated.placed_by} of this file another"
        elif stated[:2] != holds[:2]:
            yield staged, f"{_head(staged, shards)}, but a {holds.placed_by} said {shards.url(holds)}"


def _holding(placed: Sequence[StagedRow], recorded: Placement | None) -> Placement | None:
    """What is recorded, unless the rows know better; None when the best of them disagree."""
    stated = [staged.row.placement for staged in placed if staged.row.placement is not None]
    strength = max(STRENGTH[place.placed_by] for place in stated)
    if recorded is not None and STRENGTH[recorded.placed_by] >= strength:
        return recorded
    best = {place for place in stated if STRENGTH[place.placed_by] == strength}
    return best.pop() if len(best) == 1 else None


def _head(staged: StagedRow, shards: Shards) -> str:
    assert staged.row.placement is not None
    return f"distribution point: serial {staged.row.serial.hex()} names {shards.url(staged.row.placement)}"
