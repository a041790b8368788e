"""Keeps this host's floor: reads the published CRLs once a minute and writes the file that the workers share.

One process of the host does it, the supervisor that has the lock; whatever goes wrong, the floor stays as it was.
"""

import contextlib
import fcntl
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import structlog

from responder.crl_trust import UntrustedCrl
from responder.floor_crls import follow, is_followed
from responder.floor_file import (
    FLOOR_FILE,
    DamagedFloor,
    FileVersion,
    FloorState,
    FollowedCrl,
    read_floor,
    version_of,
    write_floor,
)
from store.clock import Clock
from store.config import ObjectTarget
from store.errors import OcspeedError, StoreError
from store.model import Issuer
from store.objects import (
    Manifest,
    ObjectStore,
    StoredObject,
    decode_manifest,
    manifest_path,
    open_object_store,
    read_object,
)

__all__ = ["FloorKeeper", "FloorOf", "FloorSources"]

log = structlog.get_logger()

FIRST_ROUND = 1.0  # seconds that a start waits for the CRLs where there is no file yet
LAST_ROUND = 2.0  # seconds that a stop waits for one that is under way
TOLD = 20  # faults at a time


@dataclass(frozen=True, slots=True)
class FloorSources:
    """Whose CRLs, and where they are published."""

    issuers: tuple[Issuer, ...]
    target: ObjectTarget | str


@dataclass(frozen=True, slots=True)
class FloorOf:
    """One issuer's part, for metrics. `next_update` is the earliest, 0 where no CRL is followed."""

    issuer: str
    crls: int
    entries: int
    next_update: int
    missing: int  # CRLs that are published and not followed


class FloorKeeper:
    """Rounds in a thread of their own. `sources` says anew for each what to follow."""

    def __init__(
        self, directory: Path, sources: Callable[[], FloorSources], clock: Clock, interval: float
    ) -> None:
        self.path = directory / FLOOR_FILE
        self._sources = sources
        self._clock = clock
        self._interval = interval
        self._state: FloorState | None = None  # as long as the lock is not ours
        self._lock: IO[bytes] | None = None
        self._unwritten = False
        self._version: FileVersion | None = None  # as it was read or written; None: there is none
        # By path, what was found last: its tag without data, and why it was refused, or nothing.
        self._looked: dict[str, tuple[StoredObject, str]] = {}
        self._bare: frozenset[str] = frozenset()  # issuers of which no CRL is published
        self._faults: list[str] = []
        self._ended = threading.Event()
        self._began = threading.Event()
        self._thread = threading.Thread(target=self._run, name="floor", daemon=True)
        self.status: Sequence[FloorOf] = ()
        self.refused = 0

    def start(self) -> None:
        """Begin; where there is no floor yet, wait a moment for the first."""
        try:
            self._own()
        except OSError as error:
            log.error("no floor: its file cannot be kept", path=str(self.path), reason=str(error))
            return
        except Exception:
            log.exception("floor could not be renewed")  # the next round tries again
        self._thread.start()
        if not self.path.exists() and not self._began.wait(FIRST_ROUND):
            log.warning("serving without a floor: the published CRLs are not read yet")

    def stop(self) -> None:
        """End; a read that does not come back ends with the process."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(LAST_ROUND)
        if self._lock is not None:
            self._lock.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self.round()
            except Exception:
                log.exception("floor could not be renewed")
            self._began.set()
            self._ended.wait(self._interval)

    def round(self) -> None:
        """Look at every CRL once. Writes the file if something changed."""
        if not self._own() or self._state is None:
            return
        state = self._state
        sources = self._sources()
        faults: list[str] = []
        status = []
        bare = set()
        for issuer in sources.issuers:
            try:
                missing = self._follow_all(state, issuer, open_object_store(sources.target), faults)
            except OcspeedError as error:
                missing = 0
                faults.append(f"{issuer.name}: {error.message}")
            except Exception as error:
                missing = 0
                self._unforeseen(issuer.name, error, faults)
            status.append(self._status_of(state, issuer, missing))
            if not status[-1].crls:
                bare.add(issuer.name)
        faults += self._expired(state.crls, sources.issuers)
        self._write(state, faults)
        self.status = status
        self._tell(frozenset(bare), faults)

    def _own(self) -> bool:
        """Whether the file is ours to write: it is from the first time on that nobody else has the lock."""
        if self._lock is not None:
            return True
        with contextlib.ExitStack() as stack:
            lock = stack.enter_context(self.path.with_suffix(".lock").open("wb"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            self._state = self._read()
            stack.pop_all()
        self._lock = lock
        return True

    def _read(self) -> FloorState:
        try:
            version = version_of(self.path.stat())
            state = read_floor(self.path)
        except FileNotFoundError:
            return FloorState()
        except (DamagedFloor, OSError) as error:
            log.error("floor is lost and made anew", path=str(self.path), reason=str(error))
            self.path.unlink(missing_ok=True)  # no worker is to map it
            return FloorState()
        self._version = version
        log.info("floor read", crls=len(state.followed), entries=state.entries)
        configured = {issuer.id.fingerprint.hex() for issuer in self._sources().issuers}
        state.followed = {key: value for key, value in state.followed.items() if key[0] in configured}
        return state

    def _follow_all(self, state: FloorState, issuer: Issuer, store: ObjectStore, faults: list[str]) -> int:
        """How many of an issuer's published CRLs the floor does not follow after all were looked at.

        Raises StoreError if the object store does not say what is published.
        """
        manifest = self._manifest(issuer, store, faults)
        published = {shard.path: shard for shard in manifest.shards} if manifest else {}
        known = {crl.path: crl for crl in state.crls if crl.issuer == issuer.id.fingerprint.hex()}
        for path in {**published, **known}:
            shard = published.get(path)
            if shard and path in known and known[path].sha256 == shard.sha256:
                continue
            try:
                self._look_at(state, issuer, store, path)
            except (StoreError, UntrustedCrl) as error:
                faults.append(f"{path}: {error.args[0]}")
            except Exception as error:
                self._unforeseen(path, error, faults)
        self._forget_ended(state, issuer, published)
        absent = [
            path
            for path, shard in published.items()
            if not is_followed(state, issuer, path, shard.crl_number)
        ]
        faults += [f"{path}: published, and not on the floor" for path in absent]
        return len(absent)

    def _manifest(self, issuer: Issuer, store: ObjectStore, faults: list[str]) -> Manifest | None:
        stored = read_object(store, manifest_path(issuer.name))
        if stored is None:
            return None
        try:
            manifest = decode_manifest(stored.data)
        except StoreError as error:
            faults.append(f"{issuer.name}: {error.message}")
            return None
        prefix = f"crl/{issuer.name}/"
        strays = [shard.path for shard in manifest.shards if not shard.path.startswith(prefix)]
        if strays:
            faults.append(f"{issuer.name}: its manifest names CRLs elsewhere")
            return None
        return manifest

    def _look_at(self, state: FloorState, issuer: Issuer, store: ObjectStore, path: str) -> None:
        """Raises StoreError or UntrustedCrl."""
        looked, refusal = self._looked.get(path, (None, ""))
        stored = read_object(store, path, looked)
        if stored is None:
            return
        if stored is not looked:
            refusal = self._take(state, issuer, path, stored.data)
            self._looked[path] = StoredObject(b"", stored.e_tag), refusal
        if refusal:
            raise UntrustedCrl(refusal)

    def _take(self, state: FloorState, issuer: Issuer, path: str, data: bytes) -> str:
        """Why a CRL is not taken up, or nothing."""
        try:
            self._unwritten |= follow(state, issuer, path, data)
        except UntrustedCrl as error:
            self.refused += 1
            return str(error)
        return ""

    def _forget_ended(self, state: FloorState, issuer: Issuer, published: Iterable[str]) -> None:
        """A series that is published no more ends with a CRL on which there is nothing."""
        now = self._clock.now()
        for crl in list(state.crls):
            if (
                crl.issuer == issuer.id.fingerprint.hex()
                and crl.path not in published
                and crl.entries == 0
                and now >= crl.next_update
            ):
                del state.followed[crl.issuer, crl.scope]
                self._unwritten = True

    def _expired(self, crls: Iterable[FollowedCrl], issuers: Iterable[Issuer]) -> list[str]:
        now = self._clock.now()
        configured = {issuer.id.fingerprint.hex() for issuer in issuers}
        return [
            f"{crl.path}: the CRL on the floor has expired"
            for crl in crls
            if crl.issuer in configured and now >= crl.next_update
        ]

    def _status_of(self, state: FloorState, issuer: Issuer, missing: int) -> FloorOf:
        crls = [crl for crl in state.crls if crl.issuer == issuer.id.fingerprint.hex()]
        entries = sum(crl.entries for crl in crls)
        next_update = min((crl.next_update for crl in crls), default=0)
        return FloorOf(issuer.name, len(crls), entries, next_update, missing)

    def _unforeseen(self, what: str, error: Exception, faults: list[str]) -> None:
        """The others are followed all the same; its traceback is told as often as the fault."""
        fault = f"{what}: {type(error).__name__}: {error}"
        if fault not in self._faults and len(faults) < TOLD:
            log.error("CRL could not be looked at", of=what, exc_info=error)
        faults.append(fault)

    def _is_ours(self, state: FloorState) -> bool:
        """Whether the file is the one that was read or written last."""
        try:
            found = version_of(self.path.stat())
        except FileNotFoundError:
            return not state.followed
        if found == self._version:
            return True
        log.error("floor was changed by somebody else and is written anew", path=str(self.path))
        return False

    def _write(self, state: FloorState, faults: list[str]) -> None:
        try:
            if not self._unwritten and self._is_ours(state):
                return
            self._version = write_floor(self.path, state)
        except OSError as error:
            self._unwritten = True
            faults.append(f"{self.path}: cannot be written: {error.strerror}")
            return
        self._unwritten = False
        log.info("floor written", crls=len(state.followed), entries=state.entries)

    def _tell(self, bare: frozenset[str], faults: list[str]) -> None:
        """What is wrong, once until it changes."""
        if bare != self._bare and bare:
            log.warning(
                "no floor: no CRL of these issuers is published where this host looks", issuers=sorted(bare)
            )
        if faults != self._faults and faults:
            log.error("floor is not as it should be", faults=faults[:TOLD], more=max(0, len(faults) - TOLD))
        elif self._faults and not faults:
            log.info("floor is as it should be again")
        self._bare, self._faults = bare, faults
