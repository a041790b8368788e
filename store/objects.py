"""The object store that CRLs are published to and served from: what is where in it, and how to read it."""

from __future__ import annotations  # GetOptions exists for type checkers only

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import obstore
from obstore.exceptions import BaseError, NotModifiedError
from obstore.store import LocalStore, ObjectStore, from_url

from store.errors import ConfigError, StoreFormatError, StoreUnavailable

if TYPE_CHECKING:
    from obstore import GetOptions

__all__ = [
    "Manifest",
    "ObjectStore",
    "PublishedShard",
    "UNSHARDED",
    "StoredObject",
    "ccadb_path",
    "crl_path",
    "decode_manifest",
    "manifest_path",
    "object_store_faults",
    "open_object_store",
    "read_object",
    "read_object_async",
]


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


def manifest_path(issuer: str) -> str:
    """Path of the JSON that lists an issuer's published CRLs."""
    return f"crl/{issuer}/manifest.json"


def ccadb_path(issuer: str) -> str:
    """Path of the JSON array of CRL URLs to be disclosed (CCADB policy 6.2, P-04)."""
    return f"crl/{issuer}/ccadb.json"


def open_object_store(target: str, *, create: bool = False) -> ObjectStore:
    """The store at a directory, or at an obstore URL such as `s3://bucket/prefix`.

    `create` makes a missing directory: the signer's to ask for. Raises ConfigError naming the target.
    """
    try:
        if "://" in target:
            return from_url(target)
        return LocalStore(Path(target), mkdir=create)
    except (BaseError, ValueError, OSError) as error:
        raise ConfigError(
            f"objects.target {target!r}: {_first_line(error)}",
            remedy="name an existing directory, or a URL such as s3://bucket/prefix",
        ) from error


def read_object(store: ObjectStore, path: str) -> StoredObject | None:
    """The object at `path`, or None if there is none. Raises StoreUnavailable."""
    with object_store_faults(path):
        try:
            result = obstore.get(store, path)
        except FileNotFoundError:
            return None
        return StoredObject(bytes(result.bytes()), result.meta["e_tag"])


async def read_object_async(
    store: ObjectStore, path: str, known: StoredObject | None = None
) -> StoredObject | None:
    """As `read_object`; gives `known` itself, without fetching it again, if the store still has that version."""
    with object_store_faults(path):
        try:
            unless: GetOptions = {"if_none_match": known.e_tag} if known and known.e_tag else {}
            result = await obstore.get_async(store, path, options=unless)
        except FileNotFoundError:
            return None
        except NotModifiedError:
            return known
        return StoredObject(bytes(await result.bytes_async()), result.meta["e_tag"])


def decode_manifest(data: bytes) -> Manifest:
    """Read a manifest back. Raises StoreFormatError, naming the field."""
    try:
        return msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:
        raise StoreFormatError(
            f"the manifest of a CRL set cannot be read: {error}",
            remedy="run `ocsp-signer crl build`, which writes it anew",
        ) from error


@contextmanager
def object_store_faults(path: str) -> Iterator[None]:
    """Turn what obstore and the file system raise into StoreUnavailable, naming `path`."""
    try:
        yield
    except (BaseError, OSError) as error:
        raise StoreUnavailable(
            f"object store: {path}: {_first_line(error)}",
            remedy="check `objects.target`, its credentials and its rights",
        ) from error


def _first_line(error: Exception) -> str:
    """Without the dump of internals that obstore adds below."""
    return (str(error) or type(error).__name__).splitlines()[0]
