"""When each CRL is built: on a phase of its own, sooner for a revocation, later after a refusal.

Nothing is kept but in the ledger: a process that starts finds the same times.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

from signer.crl.pause import Pause
from signer.ledger.values import Publication

__all__ = ["BackOff", "Due", "Key", "due", "next_build", "phase"]

FIRST_RETRY = 60.0  # seconds after a refusal; twice as long after each further one ...
LAST_RETRY = 3600.0  # ... up to this

Key = tuple[int, int]  # series number and shard index


@dataclass(frozen=True, slots=True)
class Due:
    """A CRL and the moment from which on it wants to be built, in seconds since 1970."""

    key: Key
    since: int


def phase(issuer: str, position: int, count: int, interval: int) -> int:
    """Seconds into each interval at which the CRL at `position` of the issuer's `count` is built.

    Evenly spread, so that neither signer nor clients meet all of them at once; issuers do not begin together.
    """
    return (crc32(issuer.encode()) + interval * position // count) % interval


def next_build(this_update: int, phase: int, interval: int) -> int:
    """The first moment after `this_update` that is on the phase; at most `interval` later (U-03)."""
    return this_update + 1 + (phase - this_update - 1) % interval


def due(
    issuer: str,
    keys: list[Key],
    latest: Mapping[Key, Publication],
    revoked: Mapping[Key, int],
    now: int,
    interval: int,
    revoked_within: int,
) -> list[Due]:
    """Which of the CRLs `keys` are to be built now, the longest waiting first.

    `revoked` is when the oldest revocation was recorded that a CRL does not have yet. It waits for half of
    `revoked_within`, so that more of them share a CRL, and the other half is for building.
    """
    found = []
    for position, key in enumerate(keys):
        since = 0
        if key in latest:
            since = next_build(
                latest[key].this_update, phase(issuer, position, len(keys), interval), interval
            )
            if key in revoked:
                since = min(since, revoked[key] + revoked_within // 2)
        if since <= now:
            found.append(Due(key, since))
    return sorted(found, key=lambda one: one.since)


class BackOff:
    """Keeps refused CRLs waiting, longer and longer, while the others go on. Moments are of the monotonic clock."""

    def __init__(self) -> None:
        self._refused: dict[Key, Pause] = {}

    def ready(self, key: Key, at: float) -> bool:
        return key not in self._refused or self._refused[key].over(at)

    def refused(self, key: Key, at: float) -> None:
        self._refused.setdefault(key, Pause(FIRST_RETRY, LAST_RETRY)).failed(at)

    def built(self, key: Key) -> None:
        self._refused.pop(key, None)
