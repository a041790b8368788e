"""Putting checked CRLs where clients fetch them: each by compare-and-set, then the lists that name them.

A directory is written by ourselves, under a lock and with fsync, which obstore leaves out; every other store by
conditional puts on the version that was read.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import msgspec
import obstore
from cryptography import x509
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import LocalStore

from signer.files import sync_directory
from store.errors import OcspeedError, StoreFormatError
from store.objects import (
    Manifest,
    ObjectStore,
    PublishedShard,
    StoredObject,
    ccadb_paths,
    decode_manifest,
    manifest_path,
    object_store_faults,
    read_object,
)

__all__ = [
    "CRL_TYPE",
    "Check",
    "Disclosure",
    "Head",
    "PublishConflict",
    "catch_up",
    "publish",
    "publish_ccadb",
    "publish_manifest",
    "replace_object",
]

# U-05 allows four hours. What a store sends with an object cannot shrink as nextUpdate comes near: keep it short.
MAX_AGE = 3_600
CRL_TYPE = "application/pkix-crl"  # RFC 2585 section 4
JSON_TYPE = "application/json"

Check = Callable[[bytes | None], None]  # of the object now at the path; raises to stop the write


class PublishConflict(OcspeedError):
    """Somebody else published since this CRL was built, or it would take its path back in time."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(
            f"{path}: {message}", remedy="nothing was replaced; build again from the ledger as it is now"
        )


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What CCADB wants to know of an issuer: URLs for its Full CRL field or for its array of partitioned CRLs (P-04).

    A field that does not apply is empty; before the first certificate the one that will apply is `[""]`.
    """

    full: Sequence[str] = ()
    partitioned: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Head:
    """What has to be right between a CRL and the one in whose place it comes."""

    number: int
    this_update: datetime
    issuer: x509.Name

    @classmethod
    def of(cls, path: str, data: bytes) -> "Head":
        """Of any CRL, also one that an offline CA made. Raises StoreFormatError naming `path`."""
        try:
            crl = x509.load_der_x509_crl(data)
            number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
            return cls(number, crl.last_update_utc, crl.issuer)
        except (ValueError, x509.ExtensionNotFound) as error:
            raise StoreFormatError(
                f"{path}: not a CRL with a cRLNumber: {error}",
                remedy="find out who wrote it; move it away by hand if the ledger knows a higher number",
            ) from error


def publish(
    store: ObjectStore,
    path: str,
    data: bytes,
    expected_previous_number: int | None,
    head: Head | None = None,
) -> None:
    """Put the CRL `data` at `path` in place of the one numbered `expected_previous_number` (None: of nothing).

    `head` is that of `data`, if it has been read already. Raises PublishConflict if another one is there by now or
    its number is not lower (C-08, U-06, D1). Whoever reads sees the old one or the new one, whole (D9).
    """
    ours = head or Head.of(path, data)

    def check(live: bytes | None) -> None:
        before = None if live is None else Head.of(path, live)
        found = before.number if before else None
        if found != expected_previous_number:
            raise PublishConflict(
                path, f"expected {_numbered(expected_previous_number)} to be live, found {_numbered(found)}"
            )
        _check_follows(path, before, ours)

    replace_object(store, path, data, CRL_TYPE, check)


def catch_up(store: ObjectStore, path: str, data: bytes) -> None:
    """As `publish`, in place of whichever older CRL of the same issuer is there, or of nothing."""
    ours = Head.of(path, data)

    def check(live: bytes | None) -> None:
        _check_follows(path, None if live is None else Head.of(path, live), ours)

    replace_object(store, path, data, CRL_TYPE, check)


def _check_follows(path: str, live: Head | None, ours: Head) -> None:
    """Number and thisUpdate only grow at a path (C-08, U-06), and it never changes hands."""
    if live is None:
        return
    if live.issuer != ours.issuer:
        raise PublishConflict(path, f"the live CRL is one of another issuer: {live.issuer.rfc4514_string()}")
    if live.number >= ours.number:
        raise PublishConflict(
            path, f"{_numbered(ours.number)} does not follow the live {_numbered(live.number)}"
        )
    if live.this_update >= ours.this_update:
        raise PublishConflict(path, f"thisUpdate {ours.this_update} does not follow {live.this_update}")


def publish_manifest(store: ObjectStore, manifest: Manifest) -> None:
    """Write an issuer's manifest once every CRL in it is live.

    Raises PublishConflict if the one now there names a later CRL for a path: somebody else's is newer.
    """
    path = manifest_path(manifest.issuer)
    ours = {shard.path: shard.crl_number for shard in manifest.shards}

    def check(live: bytes | None) -> None:
        for shard in _readable(live):
            if shard.crl_number > ours.get(shard.path, shard.crl_number):
                raise PublishConflict(
                    path,
                    f"the live manifest has {_numbered(shard.crl_number)} for {shard.path}, "
                    f"this one {_numbered(ours[shard.path])}",
                )

    replace_object(store, path, manifest.encode(), JSON_TYPE, check)


def _readable(manifest: bytes | None) -> Sequence[PublishedShard]:
    """A damaged one says nothing, and is written anew."""
    try:
        return decode_manifest(manifest).shards if manifest is not None else ()
    except StoreFormatError:
        return ()


def publish_ccadb(store: ObjectStore, issuer: str, urls: Disclosure) -> list[str]:
    """Write both arrays of URLs to be disclosed, each URL once and character-exact (P-04).

    Returns the paths of those that were not so before.
    """
    changed: list[str] = []
    for path, array in zip(ccadb_paths(issuer), (urls.full, urls.partitioned), strict=True):
        data = msgspec.json.encode(list(dict.fromkeys(array)))
        replace_object(store, path, data, JSON_TYPE, partial(_note, changed, path))
    return changed


def _note(changed: list[str], path: str, live: bytes | None) -> None:
    changed.append(path)


def _numbered(number: int | None) -> str:
    return "no CRL" if number is None else f"number {number}"


def replace_object(store: ObjectStore, path: str, data: bytes, content_type: str, check: Check) -> None:
    """Read, check and write `path` so that nobody else writes in between. What is there already is left alone."""
    file = Path(store.prefix or "/") / path if isinstance(store, LocalStore) else None
    with object_store_faults(path), _locked(file.parent) if file else nullcontext():
        live = read_object(store, path)
        if live is not None and live.data == data:
            return
        check(live.data if live else None)
        if file is None:
            _put(store, path, data, content_type, live)
        else:
            _replace_file(file, data)


def _put(store: ObjectStore, path: str, data: bytes, content_type: str, live: StoredObject | None) -> None:
    """Where there is no lock: in the place of that version alone."""
    attributes = {
        "Content-Type": content_type,
        "Cache-Control": f"public, max-age={MAX_AGE}, no-transform",
    }
    try:
        if live is None:
            obstore.put(store, path, data, attributes=attributes, mode="create")
        else:
            obstore.put(store, path, data, attributes=attributes, mode={"e_tag": live.e_tag})
    except (AlreadyExistsError, PreconditionError) as error:
        # A put that is sent again, because the answer to it was lost, meets itself.
        now_live = read_object(store, path)
        if now_live is None or now_live.data != data:
            raise PublishConflict(path, "somebody else published at the same moment") from error


def _replace_file(file: Path, data: bytes) -> None:
    # obstore does not list names that end so. One writer at a time: a name left by a crash is used again.
    temporary = file.with_name(f"{file.name}#0")
    _write_through(temporary, data)
    temporary.rename(file)
    sync_directory(file.parent)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Exclusive among processes and threads: flock is on the open file, and ends with it."""
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_through(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
