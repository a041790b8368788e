"""Rows that an import refuses though each can be read: they contradict each other, or what is recorded.

A certificate stays in its shard for ever (C-19, D5), and one of a CA is revoked for a stated reason (C-16, R-22).
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from signer.intake.scope import Shards
from signer.ledger.ledger import Ledger
from signer.ledger.staging import StagedRow
from signer.ledger.values import CA_SERIES, UNSPECIFIED, PlacedBy, Placement, Recorded

__all__ = ["conflicts"]

BATCH = 5_000  # serials looked up at a time
STRENGTH = {placed_by: strength for strength, placed_by in enumerate(PlacedBy)}


def conflicts(
    groups: Iterable[list[StagedRow]], ledger: Ledger | None, issuer_id: int | None, shards: Shards
) -> Iterator[tuple[StagedRow, str]]:
    """Each refused row of `groups`, one a serial, and why. No ledger or issuer: nothing is recorded."""
    source = iter(groups)
    while batch := list(itertools.islice(source, BATCH)):
        recorded: Mapping[bytes, Recorded] = {}
        if ledger is not None and issuer_id is not None:
            recorded = ledger.recorded(issuer_id, [group[0].row for group in batch])
        for group in batch:
            there = recorded.get(group[0].row.serial)
            if there is not None or len(group) > 1:
                yield from _refused(group, there.placement if there else None, shards)
            yield from _without_reason(group, there)


def _without_reason(group: Sequence[StagedRow], there: Recorded | None) -> Iterator[tuple[StagedRow, str]]:
    """C-16, R-22: a revoked CA certificate has a reason, and it is not for us to make one up."""
    authority = [
        staged for staged in group if staged.row.placement and staged.row.placement.series == CA_SERIES
    ]
    if not authority and (there is None or there.placement.series != CA_SERIES):
        return
    if there is not None and there.revocation_time is not None:
        unstated = authority if there.reason == UNSPECIFIED else []
    else:
        unstated = [staged for staged in group if staged.row.revoked and staged.row.reason == UNSPECIFIED]
    for staged in unstated:
        yield (
            staged,
            f"reason: serial {staged.row.serial.hex()} is a CA's certificate and revoked without one",
        )


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
