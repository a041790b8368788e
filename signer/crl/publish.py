"""Putting checked CRLs where clients fetch them: each by compare-and-set, then the lists that name them.

A directory is written by ourselves, under a lock and with fsync, which obstore leaves out; every other store by
conditional puts on the version that was read.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import obstore
from cryptography import x509
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import LocalStore

from store.errors import OcspeedError, StoreFormatError
from store.objects import (
    Manifest,
    ObjectStore,
    ccadb_path,
    decode_manifest,
    manifest_path,
    object_store_faults,
    read_object,
)

__all__ = ["PublishConflict", "live_number", "publish", "publish_ccadb", "publish_manifest"]

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


def publish(store: ObjectStore, path: str, data: bytes, expected_previous_number: int | None) -> None:
    """Put the CRL `data` at `path` in place of the one numbered `expected_previous_number` (None: of nothing).

    Raises PublishConflict if another one is there by now or its number is not lower (C-08, U-06, D1).
    Whoever reads sees the old one or the new one, whole (D9).
    """
    number = live_number(path, data)

    def check(live: bytes | None) -> None:
        found = None if live is None else live_number(path, live)
        if found != expected_previous_number:
            raise PublishConflict(
                path, f"expected {_numbered(expected_previous_number)} to be live, found {_numbered(found)}"
            )
        if found is not None and found >= number:
            raise PublishConflict(path, f"{_numbered(number)} does not follow the live {_numbered(found)}")

    _replace(store, path, data, CRL_TYPE, check)


def live_number(path: str, data: bytes) -> int:
    """cRLNumber of a CRL, also of one that an offline CA made. Raises StoreFormatError naming `path`."""
    try:
        extensions = x509.load_der_x509_crl(data).extensions
        return extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except (ValueError, x509.ExtensionNotFound) as error:
        raise StoreFormatError(
            f"{path}: not a CRL with a cRLNumber: {error}",
            remedy="find out who wrote it; move it away by hand if the ledger knows a higher number",
        ) from error


def publish_manifest(store: ObjectStore, manifest: Manifest) -> None:
    """Write an issuer's manifest once every CRL in it is live.

    Raises PublishConflict if the one now there names a later CRL for a path: somebody else's is newer.
    """
    path = manifest_path(manifest.issuer)
    ours = {shard.path: shard.crl_number for shard in manifest.shards}

    def check(live: bytes | None) -> None:
        for shard in decode_manifest(live).shards if live is not None else ():
            if shard.crl_number > ours.get(shard.path, shard.crl_number):
                raise PublishConflict(
                    path,
                    f"the live manifest has {_numbered(shard.crl_number)} for {shard.path}, "
                    f"this one {_numbered(ours[shard.path])}",
                )

    _replace(store, path, manifest.encode(), JSON_TYPE, check)


def publish_ccadb(store: ObjectStore, issuer: str, urls: Sequence[str]) -> None:
    """Write the URLs to be disclosed, each once and character-exact; none before the first issuance: `[""]` (P-04)."""
    data = msgspec.json.encode(list(dict.fromkeys(urls)) or [""])
    _replace(store, ccadb_path(issuer), data, JSON_TYPE, lambda live: None)


def _numbered(number: int | None) -> str:
    return "no CRL" if number is None else f"number {number}"


def _replace(store: ObjectStore, path: str, data: bytes, content_type: str, check: Check) -> None:
    """Read, check and write `path` so that nobody else writes in between."""
    if isinstance(store, LocalStore):
        with object_store_faults(path):
            _replace_file(Path(store.prefix or "/") / path, data, check)
    else:
        _replace_object(store, path, data, content_type, check)


def _replace_object(store: ObjectStore, path: str, data: bytes, content_type: str, check: Check) -> None:
    live = read_object(store, path)
    check(live.data if live else None)
    attributes = {
        "Content-Type": content_type,
        "Cache-Control": f"public, max-age={MAX_AGE}, no-transform",
    }
    with object_store_faults(path):
        try:
            if live is None:
                obstore.put(store, path, data, attributes=attributes, mode="create")
            else:
                obstore.put(store, path, data, attributes=attributes, mode={"e_tag": live.e_tag})
        except (AlreadyExistsError, PreconditionError) as error:
            raise PublishConflict(path, "somebody else published at the same moment") from error


def _replace_file(target: Path, data: bytes, check: Check) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target.parent):
        check(target.read_bytes() if target.exists() else None)
        # obstore does not list names that end so. One writer at a time: a name left by a crash is used again.
        temporary = target.with_name(f"{target.name}#0")
        _write_through(temporary, data)
        temporary.rename(target)
        _sync_directory(target.parent)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Exclusive among processes and threads: flock is on the open file, and ends with it."""
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


def _sync_directory(directory: Path) -> None:
    """So that the rename survives a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
