"""The object store that CRLs are published to and served from: what is where in it, and how to read it."""

from __future__ import annotations  # GetOptions exists for type checkers only

import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import obstore
from obstore.exceptions import BaseError, NotModifiedError
from obstore.store import LocalStore, ObjectStore, S3Store, from_url

from store.config import ObjectTarget
from store.errors import ConfigError, StoreFormatError, StoreUnavailable

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ClientConfig, RetryConfig, S3Config

__all__ = [
    "Manifest",
    "ObjectStore",
    "PublishedShard",
    "SIZE_LIMIT",
    "UNSHARDED",
    "StoredObject",
    "archive_path",
    "ccadb_paths",
    "crl_path",
    "decode_manifest",
    "manifest_path",
    "object_store_faults",
    "open_object_store",
    "read_object",
    "read_object_async",
]


# Bounds for one call, so that a store that is away holds nothing else up for long.
TIMEOUTS: ClientConfig = {"connect_timeout": timedelta(seconds=3), "timeout": timedelta(seconds=30)}
RETRIES: RetryConfig = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}

# Octets of one object: a CRL has at most 10 MB (P-03), the manifest of 65,536 shards 26 MB.
SIZE_LIMIT = 64 << 20

# CRLs that are no shards, by the series number that stands for them.
UNSHARDED = {65_534: "full", 65_535: "ca"}


class PublishedShard(msgspec.Struct, frozen=True, kw_only=True):
    """One CRL as it was published. Times are seconds since 1970, `sha256` is hex over the whole DER."""

    url: str
    path: str
    series: int
    shard_index: int
    crl_number: int
    this_update: int
    next_update: int
    entries: int
    size: int
    sha256: str
    generation: int = 0  # of the ledger when its entries were read (D2)
    shard_count: int = 0  # of its series; 0: not told


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """An issuer's complete CRL set: written after every CRL that it names."""

    issuer: str
    generated_at: int
    shards: list[PublishedShard]

    def encode(self) -> bytes:
        """Indented JSON: operators read it too."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object whole, and the tag under which the store knows this version of it."""

    data: bytes
    e_tag: str | None


def crl_path(issuer: str, series: int, index: int) -> str:
    """Path of one shard's CRL, whatever its public URL is."""
    return f"crl/{issuer}/{UNSHARDED.get(series, f'{series}-{index}')}.crl"


def archive_path(path: str, crl_number: int) -> str:
    """Path under which the CRL of that number at `path` is kept for ever."""
    return f"archive/{path.removeprefix('crl/').removesuffix('.crl')}/{crl_number}.crl"


def manifest_path(issuer: str) -> str:
    """Path of the JSON that lists an issuer's published CRLs."""
    return f"crl/{issuer}/manifest.json"


def ccadb_paths(issuer: str) -> tuple[str, str]:
    """Paths of the JSON arrays of URLs for CCADB's fields of full and of partitioned CRLs (CCADB policy 6.2, P-04)."""
    return f"crl/{issuer}/ccadb-full.json", f"crl/{issuer}/ccadb-partitioned.json"


def open_object_store(target: ObjectTarget | str, *, create: bool = False) -> ObjectStore:
    """The store at a directory, or at an obstore URL such as `s3://bucket/prefix`; a bare string is its location.

    `create` makes a missing directory: the signer's to ask for. Raises ConfigError naming the target.
    """
    place = ObjectTarget(target) if isinstance(target, str) else target
    try:
        if "://" not in place.location:
            return LocalStore(Path(place.location), mkdir=create)
        client: ClientConfig = {**TIMEOUTS, "allow_http": place.allow_http}  # also over AWS_ALLOW_HTTP
        if not place.location.startswith("s3://"):
            return from_url(place.location, client_options=client, retry_config=RETRIES)
        return S3Store.from_url(
            place.location, config=_s3_config(place), client_options=client, retry_config=RETRIES
        )
    except (BaseError, ValueError, OSError) as error:
        raise ConfigError(
            f"objects.target {place.location!r}: {_first_line(error)}",
            remedy="name an existing directory, or a URL such as s3://bucket/prefix",
        ) from error


def _s3_config(place: ObjectTarget) -> S3Config:
    """What the file says; obstore takes the rest from AWS_* variables."""
    config: S3Config = {}
    if place.endpoint is not None:
        config["endpoint"] = place.endpoint
    if place.region is not None:
        config["region"] = place.region
    if place.access_key_file is not None and place.secret_key_file is not None:
        config["access_key_id"] = _secret(place.access_key_file)
        config["secret_access_key"] = _secret(place.secret_key_file)
    return config


def _secret(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        # Not the error's own words: they can quote what the file holds.
        raise ConfigError(
            f"{path}: no credentials can be read from it ({type(error).__name__})",
            remedy="correct `access_key_file` and `secret_key_file`, or their permissions",
        ) from None


def read_object(store: ObjectStore, path: str, known: StoredObject | None = None) -> StoredObject | None:
    """The object at `path`, or None if there is none; `known` itself, not fetched again, if it is that version still.

    Raises StoreUnavailable, or StoreFormatError for more than SIZE_LIMIT octets, before they are read.
    """
    with object_store_faults(path):
        _check_kind(store, path)
        try:
            result = obstore.get(store, path, options=_unless(known))
        except FileNotFoundError:
            return None
        except NotModifiedError:
            return known
        _check_size(path, result.meta["size"])
        return StoredObject(bytes(result.bytes()), result.meta["e_tag"])


async def read_object_async(
    store: ObjectStore, path: str, known: StoredObject | None = None
) -> StoredObject | None:
    """As `read_object`."""
    with object_store_faults(path):
        _check_kind(store, path)
        try:
            result = await obstore.get_async(store, path, options=_unless(known))
        except FileNotFoundError:
            return None
        except NotModifiedError:
            return known
        _check_size(path, result.meta["size"])
        return StoredObject(bytes(await result.bytes_async()), result.meta["e_tag"])


def _unless(known: StoredObject | None) -> GetOptions:
    return {"if_none_match": known.e_tag} if known and known.e_tag else {}


def _check_kind(store: ObjectStore, path: str) -> None:
    """In a directory: whoever opens a FIFO or a device may wait for ever."""
    if not isinstance(store, LocalStore) or store.prefix is None:
        return
    with suppress(FileNotFoundError, NotADirectoryError, ValueError):  # told by who reads it
        mode = (Path(store.prefix) / path).stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise StoreFormatError(
                f"object store: {path}: not a regular file", remedy="find out who made it, and move it away"
            )


def _check_size(path: str, size: int) -> None:
    if size > SIZE_LIMIT:
        raise StoreFormatError(
            f"object store: {path}: {size} octets, at most {SIZE_LIMIT} are read",
            remedy="find out who wrote it; no CRL and no list of them is that large",
        )


def decode_manifest(data: bytes) -> Manifest:
    """Read a manifest back. Raises StoreFormatError, naming the field."""
    try:
        return msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StoreFormatError(
            f"the manifest of a CRL set cannot be read: {error}",
            remedy="run `ocsp-signer crl build`, which writes it anew",
        ) from error


@contextmanager
def object_store_faults(path: str) -> Iterator[None]:
    """Turn what obstore and the file system raise into StoreUnavailable, naming `path`."""
    try:
        yield
    except (BaseError, ValueError, OSError) as error:  # ValueError: of a path that can be none
        raise StoreUnavailable(
            f"object store: {path}: {_first_line(error)}",
            remedy="check `objects.target`, its credentials and its rights",
        ) from error


def _first_line(error: Exception) -> str:
    """Without the dump of internals that obstore adds below, and what the server sent: some quote the access key."""
    return (str(error) or type(error).__name__).splitlines()[0].partition(": <")[0]
