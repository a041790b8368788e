"""One issuer's CRLs kept as the ledger and the schedule want them, step by step for ever."""

from collections.abc import Callable

from signer.crl.catalogue import Shard
from signer.crl.job import CrlJob, ShardOutcome, ShardStatus
from signer.crl.schedule import BackOff, Key, due
from signer.ledger.values import FULL_SERIES, Publication
from store.clock import Clock

__all__ = ["CrlService"]


class CrlService:
    """For one thread. What it remembers beside the ledger only saves work: a new one comes to the same."""

    def __init__(self, job: CrlJob, clock: Clock, interval: int, revoked_within: int) -> None:
        self._job = job
        self._catalogue = job.catalogue
        self._clock = clock
        self._interval = interval
        self._revoked_within = revoked_within
        self._back_off = BackOff()
        self._position: int | None = None  # generation up to which revocations were looked at
        self._revoked: dict[Key, int] = {}  # since when a CRL lacks one
        self._lists_owed = True  # not written when the last process failed or was killed

    def step(self, progress: Callable[[ShardOutcome], None]) -> None:
        """Build what is due and ready. Raises OcspeedError; the next step goes on where this one stopped."""

        def note(outcome: ShardOutcome) -> None:
            self._note(outcome)
            progress(outcome)

        owed, self._lists_owed = self._lists_owed, True
        outcomes = self._job.build(self.due(), note)
        if owed and not any(outcome.status is ShardStatus.PUBLISHED for outcome in outcomes):
            self._catalogue.publish_lists()
        self._lists_owed = self._catalogue.targets.behind

    def due(self) -> list[Shard]:
        """What `step` would build now, the longest waiting first."""
        shards = {(series.number, index): (series, index) for series, index in self._catalogue.shards()}
        latest = self._catalogue.publications()
        self._look_for_revocations(list(shards), latest)
        found = due(
            self._catalogue.issuer.name,
            list(shards),
            latest,
            self._revoked,
            self._clock.now(),
            self._interval,
            self._revoked_within,
        )
        at = self._clock.monotonic()
        return [shards[one.key] for one in found if self._back_off.ready(one.key, at)]

    def _look_for_revocations(self, keys: list[Key], latest: dict[Key, Publication]) -> None:
        """Each is looked at once: what came before the last look is noted, or in a CRL that was built since."""
        after = self._position
        if after is None:
            after = min((one.generation for one in latest.values()), default=0)
        found = self._catalogue.ledger.revoked_since(self._catalogue.issuer.id, after)
        self._position = found.generation
        now = self._clock.now()
        for key, recorded_at in found.shards.items():
            for concerned in {key, (FULL_SERIES, 0)}.intersection(keys):
                since = now if recorded_at is None else recorded_at
                self._revoked[concerned] = min(since, self._revoked.get(concerned, since))

    def _note(self, outcome: ShardOutcome) -> None:
        key = (outcome.series, outcome.shard_index)
        if outcome.status is ShardStatus.REFUSED:
            self._back_off.refused(key, self._clock.monotonic())
            return
        self._back_off.built(key)
        self._revoked.pop(key, None)
