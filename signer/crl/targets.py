"""The places that an issuer's CRLs are published to, each by itself: one that fails holds no other back, and catches up."""

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog

from _fastpath.crl_reader import Crl
from _fastpath.errors import MalformedDer
from signer.crl.archive import archive
from signer.crl.pause import Pause
from signer.crl.publish import (
    Disclosure,
    Head,
    PublishConflict,
    catch_up,
    publish,
    publish_ccadb,
    publish_manifest,
)
from store.clock import Clock
from store.errors import OcspeedError, StoreFormatError, StoreUnavailable
from store.objects import (
    Manifest,
    ObjectStore,
    PublishedShard,
    archive_path,
    decode_manifest,
    manifest_path,
    read_object,
)

__all__ = ["Target", "Targets"]

log = structlog.get_logger()

T = TypeVar("T")

FIRST_RETRY = 5.0  # seconds after a failure; twice as long after each further one ...
LAST_RETRY = 300.0  # ... up to this


class Target:
    """One place: what is known to be live there, and what went wrong last."""

    def __init__(self, location: str, store: ObjectStore, clock: Clock) -> None:
        self.location = location
        self.store = store
        self.live: dict[str, int | None] = {}  # crlNumber by path (None: no CRL), where it could be asked
        self.fault: OcspeedError | None = None  # why it may lack something
        self.faults = 0  # since this process began
        self.listed: list[PublishedShard] | None = None  # by the manifest that this process wrote there
        self._clock = clock
        self._outage = Pause(FIRST_RETRY, LAST_RETRY)
        self._arrears = Pause(FIRST_RETRY, LAST_RETRY)

    @property
    def reachable(self) -> bool:
        """False while it is left alone after it could not be reached."""
        return self._outage.over(self._clock.monotonic())

    @property
    def wants_finish(self) -> bool:
        """Whether to try again what could not be finished."""
        return self.reachable and self._arrears.over(self._clock.monotonic())

    def unreachable(self, error: StoreUnavailable) -> None:
        self._note(error, self._outage.failed(self._clock.monotonic()))

    def unfinished(self, error: OcspeedError) -> None:
        self._note(error, self._arrears.failed(self._clock.monotonic()))

    def lacks(self, path: str, error: OcspeedError) -> None:
        """One CRL cannot be put there; the others can."""
        self.live.pop(path, None)
        self._note(error, 0.0)

    def finished(self, shards: list[PublishedShard]) -> None:
        if self.fault is not None:
            log.info("crl target caught up", target=self.location, crls=len(shards))
        self.fault, self.listed = None, shards
        self._outage.worked()
        self._arrears.worked()

    def _note(self, error: OcspeedError, seconds: float) -> None:
        self.fault, self.listed = error, None
        self.faults += 1
        log.error(
            "crl target failed",
            target=self.location,
            reason=str(error),
            faults=self.faults,
            retry_seconds=seconds,
        )


class Targets:
    """All targets of one issuer, always taken in the same order. For one thread."""

    def __init__(self, issuer: str, targets: Sequence[Target], ca_name: bytes) -> None:
        self._issuer = issuer
        self._targets = targets
        self._ca_name = ca_name  # DER of the CA's subject, which every CRL here has as issuer

    @property
    def behind(self) -> bool:
        """Whether some target may lack CRLs or lists, because it failed or was not looked at yet."""
        return any(target.listed is None for target in self._targets)

    @property
    def failing(self) -> list[Target]:
        return [target for target in self._targets if target.fault is not None]

    def live(self, path: str) -> Crl | None:
        """The newest CRL at `path`; what is on each target is remembered for `publish`.

        Raises the first target's error if no target could say.
        """
        found = self._live(path, self._read)
        return max((crl for _, crl in found), key=lambda crl: crl.crl_number, default=None)

    def live_octets(self, path: str) -> bytes | None:
        """As `live`, of any CRL with a number, also one that an offline CA made."""
        newest = max(self._live(path, _read_any), key=lambda found: found[0], default=None)
        return newest[1] if newest else None

    def _live(self, path: str, read: Callable[[Target, str], tuple[int, T] | None]) -> list[tuple[int, T]]:
        found: list[tuple[int, T]] = []
        for target in self._targets:
            target.live.pop(path, None)
            if not target.reachable:
                continue
            try:
                crl = read(target, path)
            except StoreUnavailable as error:
                target.unreachable(error)
            except StoreFormatError as error:
                target.lacks(path, error)
            else:
                target.live[path] = crl[0] if crl is not None else None
                found += [crl] if crl is not None else []
        if not any(path in target.live for target in self._targets):
            raise next(target.fault for target in self._targets if target.fault is not None)
        return found

    def _read(self, target: Target, path: str) -> tuple[int, Crl] | None:
        found = read_object(target.store, path)
        if found is None:
            return None
        remedy = (
            "find out who wrote it and move it away; the next build starts above every number in the ledger"
        )
        try:
            crl = Crl(found.data)
        except MalformedDer as error:
            raise StoreFormatError(f"{path}: the live CRL cannot be read: {error}", remedy=remedy) from None
        if crl.issuer_name != self._ca_name:
            raise StoreFormatError(
                f"{path}: the live CRL is one of another issuer: {crl.issuer_name.hex()}", remedy=remedy
            )
        return crl.crl_number, crl

    def publish(self, path: str, data: bytes) -> None:
        """Archive a CRL and put it at `path` on every target that `live` could ask, in place of what it saw there.

        Raises if no target took it. A PublishConflict before the first one took it ends it for all: whoever else
        is publishing has newer data (D1, D2).
        """
        head = Head.of(path, data)
        taken = False
        faults: list[OcspeedError] = []
        for target in self._targets:
            if path not in target.live:
                continue
            try:
                archive(target.store, path, head.number, data)
                publish(target.store, path, data, target.live[path], head)
            except StoreUnavailable as error:
                target.live.pop(path)
                target.unreachable(error)
                faults.append(error)
            except OcspeedError as error:
                target.lacks(path, error)
                if isinstance(error, PublishConflict) and not taken:
                    raise
                faults.append(error)
            else:
                target.live[path], taken = head.number, True
        if not taken:
            raise faults[0]

    def listed_generations(self) -> dict[str, int]:
        """The highest generation of the ledger that a published manifest has, by path of CRL (D2)."""
        newest: dict[str, int] = {}
        for target in self._targets:
            for shard in self._listed(target):
                newest[shard.path] = max(shard.generation, newest.get(shard.path, 0))
        return newest

    def _listed(self, target: Target) -> list[PublishedShard]:
        path = manifest_path(self._issuer)
        if not target.reachable:
            return []
        try:
            found = read_object(target.store, path)
            return decode_manifest(found.data).shards if found else []
        except StoreUnavailable as error:
            target.unreachable(error)
        except StoreFormatError as error:
            target.lacks(path, error)
        return []

    def finish(self, manifest: Manifest, urls: Disclosure) -> None:
        """Bring every target up to `manifest`, then write it and the CCADB arrays there, whatever the others do.

        If none is known to lack any of it, all are written anew.
        """
        lacking = [target for target in self._targets if target.listed != manifest.shards]
        for target in lacking or self._targets:
            if not target.wants_finish:
                continue
            try:
                self._finish(target, manifest, urls)
            except StoreUnavailable as error:
                target.unreachable(error)
            except OcspeedError as error:
                target.unfinished(error)

    def _finish(self, target: Target, manifest: Manifest, urls: Disclosure) -> None:
        faults = []
        for shard in manifest.shards:
            try:
                self._bring(target, shard)
            except StoreUnavailable:
                raise
            except OcspeedError as error:
                faults.append(error)
        if faults:
            raise faults[0]
        publish_manifest(target.store, manifest)
        changed = publish_ccadb(target.store, manifest.issuer, urls)
        if changed:  # P-05: somebody has to bring them to CCADB, in time
            log.warning(
                "ccadb arrays changed", target=target.location, issuer=manifest.issuer, arrays=changed
            )
        target.finished(manifest.shards)

    def _bring(self, target: Target, shard: PublishedShard) -> None:
        """Put the CRL that the ledger has as the newest of its path on a target that lacks it; never an older one."""
        if target.live.get(shard.path) == shard.crl_number:
            return
        found = read_object(target.store, shard.path)
        if found is None or hashlib.sha256(found.data).hexdigest() != shard.sha256:
            data = self._copy(shard)
            archive(target.store, shard.path, shard.crl_number, data)
            catch_up(target.store, shard.path, data)
        target.live[shard.path] = shard.crl_number

    def _copy(self, shard: PublishedShard) -> bytes:
        """From wherever it is: live on another target, or archived on any."""
        for path in (shard.path, archive_path(shard.path, shard.crl_number)):
            for target in self._targets:
                if not target.reachable:
                    continue
                try:
                    found = read_object(target.store, path)
                except StoreUnavailable as error:
                    target.unreachable(error)
                    continue
                except StoreFormatError:  # no CRL
                    continue
                if found is not None and hashlib.sha256(found.data).hexdigest() == shard.sha256:
                    return found.data
        raise OcspeedError(
            f"{shard.path}: number {shard.crl_number} is on no target any more, nor archived",
            remedy="`ocsp-signer crl build` makes the next one",
        )


def _read_any(target: Target, path: str) -> tuple[int, bytes] | None:
    found = read_object(target.store, path)
    return (Head.of(path, found.data).number, found.data) if found else None
