"""Several targets: each published by itself, one that fails holds no other back and catches up with the newest CRL."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import obstore
import pytest
from obstore.store import MemoryStore
from structlog.testing import capture_logs

from _fastpath.crl_reader import Crl
from signer.crl.archive import archive
from signer.crl.build import CrlFields, CrlSigner, build_shard
from signer.crl.publish import Disclosure, PublishConflict, catch_up
from signer.crl.targets import Target, Targets
from store.errors import OcspeedError, StoreFormatError, StoreUnavailable
from store.model import subject_name
from store.objects import (
    SIZE_LIMIT,
    Manifest,
    ObjectStore,
    PublishedShard,
    archive_path,
    ccadb_paths,
    crl_path,
    decode_manifest,
    manifest_path,
    open_object_store,
    read_object,
)
from tests.signer.crl_authority import NOW, make_authority, revoked_entries
from tests.signer.works import FakeClock

CA = make_authority()
PATHS = [crl_path("r1", 0, index) for index in range(2)]


def url(index: int) -> str:
    return f"http://c.example/0-{index}.crl"


def crl(number: int, index: int = 0, signer: CrlSigner = CA) -> bytes:
    this_update = NOW + number
    fields = CrlFields(
        crl_number=number,
        this_update=this_update,
        next_update=this_update + 604_799,
        distribution_point_url=url(index),
    )
    return build_shard(signer, fields, revoked_entries(3))


def listed(*crls: bytes) -> Manifest:
    shards = [
        PublishedShard(
            url=url(index),
            path=PATHS[index],
            series=0,
            shard_index=index,
            crl_number=Crl(data).crl_number,
            this_update=Crl(data).this_update,
            next_update=Crl(data).next_update,
            entries=len(Crl(data)),
            size=len(data),
            sha256=sha256(data).hexdigest(),
            generation=Crl(data).crl_number,
        )
        for index, data in enumerate(crls)
    ]
    return Manifest(issuer="r1", generated_at=NOW, shards=shards)


URLS = Disclosure(partitioned=[url(0), url(1)])


class Switched:
    """A directory that can be made to fail: a file in the place of its parent."""

    def __init__(self, root: Path) -> None:
        self.root, self._aside = root, root.with_name("aside")
        self.store = open_object_store(str(root), create=True)

    def break_off(self) -> None:
        self.root.rename(self._aside)
        self.root.write_bytes(b"in the way")

    def mend(self) -> None:
        self.root.unlink()
        self._aside.rename(self.root)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two targets, of which the second can fail."""

    targets: Targets
    first: ObjectStore
    second: Switched
    clock: FakeClock

    def release(self, number: int, index: int = 0) -> bytes:
        """Publish the next CRL as the job does."""
        data = crl(number, index)
        self.targets.live(PATHS[index])
        self.targets.publish(PATHS[index], data)
        return data

    def numbers(self, store: ObjectStore) -> list[int | None]:
        found = [read_object(store, path) for path in PATHS]
        return [Crl(one.data).crl_number if one else None for one in found]

    def manifest(self, store: ObjectStore) -> list[int] | None:
        found = read_object(store, manifest_path("r1"))
        return [shard.crl_number for shard in decode_manifest(found.data).shards] if found else None


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    first, second, clock = MemoryStore(), Switched(tmp_path / "second"), FakeClock()
    both = [Target("one", first, clock), Target("two", second.store, clock)]
    with capture_logs():
        yield Pair(Targets("r1", both, subject_name(CA.certificate)), first, second, clock)


def test_all_targets_get_everything_the_lists_last(pair: Pair) -> None:
    crls = [pair.release(1, index) for index in range(2)]
    for store in (pair.first, pair.second.store):
        assert pair.numbers(store) == [1, 1]
        assert pair.manifest(store) is None
    assert pair.targets.behind
    pair.targets.finish(listed(*crls), URLS)
    for store in (pair.first, pair.second.store):
        assert pair.manifest(store) == [1, 1]
        arrays = [read_object(store, path) for path in ccadb_paths("r1")]
        assert [json.loads(array.data) for array in arrays if array] == [[], [url(0), url(1)]]
        for path, data in zip(PATHS, crls, strict=True):
            archived = read_object(store, archive_path(path, 1))
            assert archived is not None
            assert archived.data == data
    assert not pair.targets.behind


@pytest.mark.conformance("P-05")
def test_a_change_for_ccadb_is_told_once(pair: Pair) -> None:
    crls = [pair.release(1, index) for index in range(2)]
    told = []
    for urls in (Disclosure(partitioned=[""]), URLS, URLS):
        with capture_logs() as logs:
            pair.targets.finish(listed(*crls), urls)
        told.append([(line["event"], line["target"], line["arrays"]) for line in logs])
    full, partitioned = ccadb_paths("r1")
    first = [("ccadb arrays changed", target, [full, partitioned]) for target in ("one", "two")]
    issued = [("ccadb arrays changed", target, [partitioned]) for target in ("one", "two")]
    assert told == [first, issued, []]


@pytest.mark.conformance("P-09")
def test_one_that_fails_holds_no_other_back_and_catches_up(pair: Pair) -> None:
    """It gets the newest CRLs, never one in between, and its lists only after them."""
    crls = [pair.release(1, index) for index in range(2)]
    pair.targets.finish(listed(*crls), URLS)
    pair.second.break_off()
    for number in (2, 3):
        crls = [pair.release(number, index) for index in range(2)]
        pair.targets.finish(listed(*crls), URLS)
        assert pair.numbers(pair.first) == [number, number]
        assert pair.manifest(pair.first) == [number, number]
    assert [target.location for target in pair.targets.failing] == ["two"]
    pair.second.mend()
    assert pair.numbers(pair.second.store) == [1, 1]
    assert pair.manifest(pair.second.store) == [1, 1]
    pair.clock.pass_time(300)
    pair.targets.finish(listed(*crls), URLS)
    assert pair.numbers(pair.second.store) == [3, 3]
    assert pair.manifest(pair.second.store) == [3, 3]
    assert read_object(pair.second.store, archive_path(PATHS[0], 2)) is None
    assert read_object(pair.second.store, archive_path(PATHS[0], 3)) is not None
    assert pair.targets.failing == []
    assert not pair.targets.behind


def test_the_first_may_fail_as_well(tmp_path: Path) -> None:
    first, second, clock = Switched(tmp_path / "first"), MemoryStore(), FakeClock()
    both = [Target("one", first.store, clock), Target("two", second, clock)]
    pair = Pair(Targets("r1", both, subject_name(CA.certificate)), second, first, clock)
    first.break_off()
    crls = [pair.release(1, index) for index in range(2)]
    pair.targets.finish(listed(*crls), URLS)
    assert pair.manifest(second) == [1, 1]
    first.mend()
    clock.pass_time(300)
    pair.targets.finish(listed(*crls), URLS)
    assert pair.numbers(first.store) == [1, 1]


def test_the_back_off_grows_up_to_five_minutes(pair: Pair) -> None:
    """Each failure is counted and told once, however many CRLs there are."""
    pair.second.break_off()
    waits = []
    for _ in range(9):
        with capture_logs() as logs:
            for path in PATHS:
                pair.targets.live(path)
        (told,) = logs
        assert (told["event"], told["log_level"], told["target"]) == ("crl target failed", "error", "two")
        waits.append(told["retry_seconds"])
        pair.clock.pass_time(int(told["retry_seconds"]) - 1)
        with capture_logs() as logs:
            pair.targets.live(PATHS[0])
        assert logs == []
        pair.clock.pass_time(1)
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert pair.targets.failing[0].faults == 9


def test_a_target_that_recovers_is_told(pair: Pair) -> None:
    pair.second.break_off()
    crls = [pair.release(1, index) for index in range(2)]
    pair.second.mend()
    pair.clock.pass_time(5)
    with capture_logs() as logs:
        pair.targets.finish(listed(*crls), URLS)
    assert [line["target"] for line in logs if line["event"] == "crl target caught up"] == ["two"]


def test_one_that_fails_between_reading_and_publishing(pair: Pair) -> None:
    pair.targets.live(PATHS[0])
    pair.second.break_off()
    with capture_logs() as logs:
        pair.targets.publish(PATHS[0], crl(1))
        pair.release(2)
    assert [(line["target"], line["retry_seconds"]) for line in logs] == [("two", 5)]
    assert Crl(read_object(pair.first, PATHS[0]).data).crl_number == 2  # type: ignore[union-attr]


def test_no_target_at_all_is_an_error(tmp_path: Path) -> None:
    only = Switched(tmp_path / "only")
    targets = Targets("r1", [Target("one", only.store, FakeClock())], subject_name(CA.certificate))
    only.break_off()
    for _ in range(2):  # the second time without asking
        with pytest.raises(StoreUnavailable):
            targets.live(PATHS[0])


@pytest.mark.conformance("U-06")
@pytest.mark.parametrize("content", [b"noise", crl(9, signer=make_authority(name="Another CA"))])
def test_what_is_not_ours_on_one_target_holds_no_other_back(pair: Pair, content: bytes) -> None:
    (pair.second.root / "crl/r1").mkdir(parents=True)
    (pair.second.root / PATHS[0]).write_bytes(content)
    crls = [pair.release(1, index) for index in range(2)]
    pair.targets.finish(listed(*crls), URLS)
    assert pair.manifest(pair.first) == [1, 1]
    assert (pair.second.root / PATHS[0]).read_bytes() == content
    assert pair.manifest(pair.second.store) is None  # its set is not whole
    found = pair.targets.live(PATHS[0])  # what the next one is compared with
    assert found is not None
    assert found.crl_number == 1
    assert read_object(pair.second.store, PATHS[1]) is not None
    assert [target.location for target in pair.targets.failing] == ["two"]


def test_what_is_too_large_on_one_target_holds_no_other_back(pair: Pair) -> None:
    """It is neither read nor overwritten; who lacks that CRL gets it from the archive."""
    crls = [pair.release(1, index) for index in range(2)]
    os.truncate(pair.second.root / PATHS[0], SIZE_LIMIT + 1)
    obstore.delete(pair.first, PATHS[0])
    fresh = Targets(
        "r1",
        [Target("two", pair.second.store, pair.clock), Target("one", pair.first, pair.clock)],
        subject_name(CA.certificate),
    )
    fresh.finish(listed(*crls), URLS)
    assert pair.numbers(pair.first) == pair.manifest(pair.first) == [1, 1]
    (failing,) = fresh.failing
    assert f"{PATHS[0]}: {SIZE_LIMIT + 1} octets, at most" in str(failing.fault)
    assert (pair.second.root / PATHS[0]).stat().st_size == SIZE_LIMIT + 1


@pytest.mark.invariant("D1")
def test_a_newer_one_is_never_taken_back(pair: Pair) -> None:
    """As when another publisher was there since the ledger was read."""
    crls = [pair.release(1, index) for index in range(2)]
    newer = crl(7)
    catch_up(pair.second.store, PATHS[0], newer)
    fresh = Targets(
        "r1",
        [Target("one", pair.first, pair.clock), Target("two", pair.second.store, pair.clock)],
        subject_name(CA.certificate),
    )
    fresh.finish(listed(*crls), URLS)
    assert pair.numbers(pair.second.store) == [7, 1]
    assert pair.manifest(pair.second.store) is None
    assert pair.manifest(pair.first) == [1, 1]
    found = fresh.live(PATHS[0])
    assert found is not None
    assert found.crl_number == 7  # the next number comes after the highest of all


@pytest.mark.conformance("C-08", "U-06")
@pytest.mark.invariant("D1")
def test_who_was_overtaken_publishes_nowhere(pair: Pair) -> None:
    """Invariants D1, D2: whoever was there first has newer data, also where it has not come to yet."""
    pair.targets.live(PATHS[0])
    catch_up(pair.first, PATHS[0], crl(1))
    with pytest.raises(PublishConflict, match="expected no CRL to be live, found number 1"):
        pair.targets.publish(PATHS[0], crl(2))
    assert pair.numbers(pair.first) == [1, None]
    assert pair.numbers(pair.second.store) == [None, None]


def test_an_archived_number_is_not_signed_twice(pair: Pair) -> None:
    archive(pair.first, PATHS[0], 2, crl(2))
    pair.release(2)
    assert pair.numbers(pair.first) == [None, None]  # an alarm there ...
    assert [target.location for target in pair.targets.failing] == ["one"]
    assert pair.numbers(pair.second.store) == [2, None]


def test_a_lost_crl_comes_back_from_the_archive(tmp_path: Path) -> None:
    store = open_object_store(str(tmp_path))
    targets = [Targets("r1", [Target("one", store, FakeClock())], subject_name(CA.certificate)) for _ in "ab"]
    data = crl(1)
    targets[0].live(PATHS[0])
    targets[0].publish(PATHS[0], data)
    (tmp_path / PATHS[0]).unlink()
    targets[1].finish(listed(data), URLS)
    assert (tmp_path / PATHS[0]).read_bytes() == data
    (tmp_path / PATHS[0]).unlink()
    (tmp_path / archive_path(PATHS[0], 1)).unlink()
    again = Targets("r1", [Target("one", store, FakeClock())], subject_name(CA.certificate))
    again.finish(listed(data), URLS)
    (failing,) = again.failing
    assert isinstance(failing.fault, OcspeedError)
    assert "number 1 is on no target any more" in failing.fault.message


@pytest.mark.invariant("D2")
def test_the_highest_generation_of_all_manifests_counts(pair: Pair) -> None:
    """Invariant D2: a target that lags does not make the ledger look newer than it is."""
    crls = [pair.release(1, index) for index in range(2)]
    pair.targets.finish(listed(*crls), URLS)
    pair.second.break_off()
    crls = [pair.release(2, index) for index in range(2)]
    pair.targets.finish(listed(*crls), URLS)
    pair.second.mend()
    pair.clock.pass_time(300)
    assert pair.targets.listed_generations() == dict.fromkeys(PATHS, 2)


def test_a_damaged_manifest_is_a_fault_of_its_target(pair: Pair) -> None:
    (pair.second.root / "crl/r1").mkdir(parents=True)
    (pair.second.root / manifest_path("r1")).write_bytes(b"{")
    assert pair.targets.listed_generations() == {}
    assert isinstance(pair.targets.failing[0].fault, StoreFormatError)
