"""Paths, manifest and reading of the object store, over a directory and over memory."""

import asyncio
import os
from pathlib import Path

import obstore
import pytest
from obstore.store import LocalStore, MemoryStore, S3Store

from store.errors import ConfigError, StoreFormatError, StoreUnavailable
from store.objects import (
    UNSHARDED,
    Manifest,
    ObjectStore,
    PublishedShard,
    ccadb_paths,
    crl_path,
    decode_manifest,
    manifest_path,
    open_object_store,
    read_object,
    read_object_async,
)

PATH = crl_path("r1", 0, 12)

MANIFEST = Manifest(
    issuer="r1",
    generated_at=1_790_000_000,
    shards=[
        PublishedShard(
            url="http://c.example/r1/0-12.crl",
            path=PATH,
            series=0,
            shard_index=12,
            crl_number=2**62,
            this_update=1_790_000_000,
            next_update=1_790_604_799,
            entries=3,
            size=400,
            sha256="ab" * 32,
        )
    ],
)


@pytest.fixture(params=["directory", "memory"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "memory":
        return MemoryStore()
    return open_object_store(str(tmp_path / "objects"), create=True)


def test_paths() -> None:
    assert PATH == "crl/r1/0-12.crl"
    assert manifest_path("r1") == "crl/r1/manifest.json"
    assert ccadb_paths("r1") == ("crl/r1/ccadb-full.json", "crl/r1/ccadb-partitioned.json")


def test_a_missing_object_is_none(objects: ObjectStore) -> None:
    assert read_object(objects, PATH) is None
    assert asyncio.run(read_object_async(objects, PATH)) is None


def test_an_object_is_read_whole_with_its_tag(objects: ObjectStore) -> None:
    written = obstore.put(objects, PATH, b"0" * 200_000)
    found = read_object(objects, PATH)
    assert found is not None
    assert (found.data, found.e_tag) == (b"0" * 200_000, written["e_tag"])
    assert asyncio.run(read_object_async(objects, PATH)) == found


def test_an_unchanged_object_is_not_read_again(objects: ObjectStore) -> None:
    obstore.put(objects, PATH, b"one")
    known = read_object(objects, PATH)
    assert asyncio.run(read_object_async(objects, PATH, known)) is known
    obstore.put(objects, PATH, b"another")
    changed = asyncio.run(read_object_async(objects, PATH, known))
    assert changed is not None
    assert changed.data == b"another"
    obstore.delete(objects, PATH)
    assert asyncio.run(read_object_async(objects, PATH, known)) is None


def test_a_file_in_place_of_the_folder_is_a_fault_and_not_an_absence(tmp_path: Path) -> None:
    (tmp_path / "crl").write_bytes(b"")
    with pytest.raises(StoreUnavailable, match=r"crl/r1/0-12\.crl: .*\n  check `objects.target`"):
        read_object(LocalStore(tmp_path), PATH)


def test_targets_are_directories_or_urls(tmp_path: Path) -> None:
    local = open_object_store(str(tmp_path / "new"), create=True)
    assert isinstance(local, LocalStore)
    assert local.prefix == tmp_path / "new"
    assert isinstance(open_object_store((tmp_path / "new").as_uri()), LocalStore)
    assert isinstance(open_object_store("s3://bucket/prefix"), S3Store)


@pytest.mark.parametrize("target", ["missing/directory", "nonsense://bucket", "http://["])
def test_targets_that_cannot_be_opened(target: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_object_store(target)
    assert f"objects.target {target!r}" in caught.value.message
    assert len(str(caught.value).splitlines()) == 2


def test_manifest_comes_back_as_written() -> None:
    assert decode_manifest(MANIFEST.encode()) == MANIFEST
    assert b'"crl_number": 4611686018427387904' in MANIFEST.encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "truncated"),
        (b'{"issuer": "r1", "generated_at": 1}', "shards"),
        (MANIFEST.encode().replace(b"http", b"\xff"), "utf-8"),
        (MANIFEST.encode().replace(b'"size": 400', b'"size": "400"'), r"\$\.shards\[0\]\.size"),
    ],
)
def test_manifests_that_cannot_be_read(data: bytes, message: str) -> None:
    with pytest.raises(StoreFormatError, match=message):
        decode_manifest(data)


def test_crls_that_are_no_shards_have_names() -> None:
    paths = [crl_path("r1", number, 0) for number in (0, 65_533, *UNSHARDED)]
    assert paths == ["crl/r1/0-0.crl", "crl/r1/65533-0.crl", "crl/r1/full.crl", "crl/r1/ca.crl"]


@pytest.mark.parametrize("path", ["crl/r1/../../x", "crl/r1/\0", "crl/r1/a\nb", "crl//x"])
def test_paths_that_can_be_none(objects: ObjectStore, path: str) -> None:
    with pytest.raises(StoreUnavailable, match="Could not parse path"):
        read_object(objects, path)
    with pytest.raises(StoreUnavailable, match="Could not parse path"):
        asyncio.run(read_object_async(objects, path))


def test_nothing_waits_for_who_writes_into_a_fifo(tmp_path: Path) -> None:
    objects = LocalStore(tmp_path)
    (tmp_path / PATH).parent.mkdir(parents=True)
    os.mkfifo(tmp_path / PATH)
    with pytest.raises(StoreFormatError, match=f"{PATH}: not a regular file"):
        read_object(objects, PATH)
    with pytest.raises(StoreFormatError, match="not a regular file"):
        asyncio.run(read_object_async(objects, PATH))
    (tmp_path / PATH).unlink()
    assert read_object(objects, PATH) is None


def test_what_is_too_large_is_not_read(objects: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    obstore.put(objects, PATH, b"0" * 1001)
    monkeypatch.setattr("store.objects.SIZE_LIMIT", 1000)
    message = f"{PATH}: 1001 octets, at most 1000 are read"
    with pytest.raises(StoreFormatError, match=message):
        read_object(objects, PATH)
    with pytest.raises(StoreFormatError, match=message):
        asyncio.run(read_object_async(objects, PATH))
    obstore.put(objects, PATH, b"0" * 1000)
    found = read_object(objects, PATH)
    assert found is not None
    assert len(found.data) == 1000
