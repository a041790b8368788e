"""What `crl verify` was pointed at: a list of CRLs by URL or file, one CRL, or an object store as it was published."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import obstore

from signer.crl.fetch import Fetcher, FetchFault
from signer.crl.read import read_file
from signer.crl.verify_set import Look, Target, look_at_objects, look_by_http
from store.clock import Clock
from store.config import ObjectTarget
from store.errors import OcspeedError, StoreFormatError, StoreUnavailable
from store.objects import (
    SIZE_LIMIT,
    Manifest,
    ObjectStore,
    ccadb_paths,
    decode_manifest,
    manifest_path,
    object_store_faults,
    open_object_store,
    read_object,
)

__all__ = ["CrlSet", "SourceError", "sets_of_objects", "sets_of_text", "sets_of_url"]


class SourceError(OcspeedError):
    """There is no list of CRLs where one was meant to be."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class CrlSet:
    """CRLs that belong together, and the way to them."""

    source: str
    targets: tuple[Target, ...]
    look: Look
    manifest: Manifest | None = None
    disclosed: tuple[list[str], list[str]] | None = None  # arrays for the CCADB beside it: full, partitioned


def sets_of_url(url: str, fetcher: Fetcher) -> list[CrlSet]:
    """A manifest, a CCADB array or a CRL at `url`: the body says which. Raises SourceError."""
    wider = replace(
        fetcher, limits=replace(fetcher.limits, max_size=max(SIZE_LIMIT, fetcher.limits.max_size))
    )
    try:
        body = wider.get(url).body
    except FetchFault:
        body = b""  # looked at as a CRL it has the same fault, which is then reported as one
    if body.lstrip()[:1] in (b"{", b"["):
        return [_listed(url, body, look_by_http(fetcher))]
    return [CrlSet(url, (Target(url),), look_by_http(fetcher))]


def sets_of_text(path: Path, fetcher: Fetcher) -> list[CrlSet]:
    """The URLs that a file names: a manifest, a CCADB array, or one a line. Raises SourceError, UsageError."""
    data = read_file(path)
    if data.lstrip()[:1] not in (b"{", b"["):
        lines = data.decode("utf-8", "backslashreplace").splitlines()
        data = msgspec.json.encode([line.strip() for line in lines if line.strip() and line[0] != "#"])
    return [_listed(str(path), data, look_by_http(fetcher))]


def sets_of_objects(place: ObjectTarget | str, clock: Clock, issuer: str | None = None) -> list[CrlSet]:
    """Every issuer's set in an object store, or in the directory of one issuer. Raises SourceError, ConfigError."""
    store = open_object_store(place)
    target = place if isinstance(place, str) else place.location
    try:
        of_one = _set_at(target, store, "", clock)
        each = [of_one] if of_one else (_set_at(target, store, prefix, clock) for prefix in _issuers(store))
        sets = [found for found in each if found]
    except (StoreUnavailable, StoreFormatError) as error:
        raise SourceError(f"{target}: {error.message}", remedy=error.remedy) from None
    chosen = [found for found in sets if issuer in (None, found.manifest and found.manifest.issuer)]
    if not chosen:
        whose = f" of issuer {issuer}" if issuer else ""
        raise SourceError(
            f"{target}: no manifest.json{whose}",
            remedy="`ocsp-signer crl build` writes one when a set is complete",
        )
    return chosen


def _issuers(store: ObjectStore) -> Iterator[str]:
    """Where each issuer's CRLs and lists are."""
    with object_store_faults("crl/"):
        found = obstore.list_with_delimiter(store, "crl/")
        yield from sorted(f"{prefix.rstrip('/')}/" for prefix in found["common_prefixes"])


def _set_at(target: str, store: ObjectStore, prefix: str, clock: Clock) -> CrlSet | None:
    found = read_object(store, f"{prefix}manifest.json")
    if found is None:
        return None
    manifest = _manifest(f"{target}: {prefix}manifest.json", found.data)
    base = manifest_path(manifest.issuer).removesuffix("manifest.json")
    cut = "" if prefix else base
    arrays = [path.removeprefix(cut) for path in ccadb_paths(manifest.issuer)]
    read = [(path, read_object(store, path)) for path in arrays]
    full, partitioned = (_urls(f"{target}: {path}", one.data) if one else [] for path, one in read)
    return CrlSet(
        f"{target}: {prefix}manifest.json",
        _targets(manifest),
        look_at_objects(store, cut, clock),
        manifest,
        (full, partitioned),
    )


def _listed(source: str, data: bytes, look: Look) -> CrlSet:
    if data.lstrip()[:1] == b"{":
        manifest = _manifest(source, data)
        return CrlSet(source, _targets(manifest), look, manifest)
    urls = [url for url in _urls(source, data) if url]
    if not urls:
        raise SourceError(
            f"{source}: names no URL", remedy="a CA without certificates discloses none: nothing to do"
        )
    return CrlSet(source, tuple(map(Target, urls)), look)


def _manifest(source: str, data: bytes) -> Manifest:
    try:
        manifest = decode_manifest(data)
    except StoreFormatError as error:
        raise SourceError(f"{source}: {error.message}", remedy=error.remedy) from None
    if not manifest.shards:
        raise SourceError(f"{source}: names no CRL", remedy="run `ocsp-signer crl build`")
    return manifest


def _targets(manifest: Manifest) -> tuple[Target, ...]:
    return tuple(Target(shard.url, shard) for shard in manifest.shards)


def _urls(source: str, data: bytes) -> list[str]:
    try:
        return msgspec.json.decode(data, type=list[str])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SourceError(
            f"{source}: not a JSON array of URLs: {error}", remedy="name a CCADB array or a manifest"
        ) from None
