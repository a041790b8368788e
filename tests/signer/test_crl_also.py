"""Several targets from ocsp.toml: `crl build`, `run`'s service and `status` when one of them fails."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from _fastpath.crl_reader import Crl
from signer.commands import crl as command
from signer.commands.status import status
from signer.crl.job import ShardOutcome, ShardStatus
from store.clock import SystemClock
from store.objects import decode_manifest
from tests.signer.works import FakeClock, Works

ALSO = '[objects]\n[[objects.also]]\ntarget = "mirror"\n[signer]'


@pytest.fixture
def mirrored(tmp_path: Path, store_url: str, clock: FakeClock) -> Iterator[Works]:
    works = Works(tmp_path, store_url, clock)
    with works.configured("[signer]", ALSO):
        works.add_some(30, revoked_every=3)
        yield works


def numbers(works: Works, directory: str) -> list[int]:
    crls = works.directory / directory / "crl/demo"
    manifest = decode_manifest((crls / "manifest.json").read_bytes())
    live = [Crl((works.directory / directory / shard.path).read_bytes()) for shard in manifest.shards]
    assert [crl.crl_number for crl in live] == [shard.crl_number for shard in manifest.shards]
    return [crl.crl_number for crl in live]


def ignore(outcome: ShardOutcome) -> None:
    """Progress that nobody looks at."""


def test_the_service_brings_a_target_up_to_date_by_itself(mirrored: Works, clock: FakeClock) -> None:
    service = mirrored.context.crl_service("demo")
    service.step(ignore)
    assert numbers(mirrored, "objects") == numbers(mirrored, "mirror") == [1, 1, 1]
    mirror, aside = mirrored.directory / "mirror", mirrored.directory / "aside"
    mirror.rename(aside)
    mirror.write_bytes(b"in the way")
    clock.pass_time(6 * 3600)
    service.step(ignore)
    mirror.unlink()
    aside.rename(mirror)
    assert numbers(mirrored, "objects") == [2, 2, 2]
    assert numbers(mirrored, "mirror") == [1, 1, 1]
    service.step(ignore)  # it is left alone for the first five seconds
    assert numbers(mirrored, "mirror") == [1, 1, 1]
    clock.pass_time(5)
    service.step(ignore)
    assert numbers(mirrored, "mirror") == [2, 2, 2]
    assert [path.name for path in sorted((mirror / "archive/demo/0-0").glob("*.crl"))] == ["1.crl", "2.crl"]


def test_all_targets_gone_is_a_refusal_and_numbers_go_on(mirrored: Works, clock: FakeClock) -> None:
    job = mirrored.context.crl_job("demo")
    for name in ("objects", "mirror"):
        (mirrored.directory / name).rename(mirrored.directory / f"{name}-aside")
        (mirrored.directory / name).write_bytes(b"in the way")
    assert {outcome.status for outcome in job.build(job.shards(), ignore)} == {ShardStatus.REFUSED}
    for name in ("objects", "mirror"):
        (mirrored.directory / name).unlink()
    clock.pass_time(300)
    assert {outcome.status for outcome in job.build(job.shards(), ignore)} == {ShardStatus.PUBLISHED}
    assert numbers(mirrored, "mirror") == numbers(mirrored, "objects")


def test_the_commands_say_which_target_lacks_what(
    tmp_path: Path, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    works = Works(tmp_path, store_url, SystemClock())
    with works.configured("[signer]", ALSO):
        works.add_some(30)
    (tmp_path / "mirror/crl").mkdir(parents=True)
    (tmp_path / "mirror/crl/demo").write_bytes(b"in the way")
    assert command.build(works.file, issuer=None, dry_run=False, as_json=True, quiet=True) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [line["status"] for line in lines[:3]] == ["published"] * 3
    assert (lines[3]["target"], lines[3]["faults"]) == (str(tmp_path / "mirror"), 1)
    assert "crl/demo" in lines[3]["message"]
    assert status(works.file, as_json=True) == 1
    objects = json.loads(capsys.readouterr().out)["objects"]
    assert [(one["up"], one["crls_behind"]) for one in objects] == [(True, 0), (False, None)]
    (tmp_path / "mirror/crl/demo").unlink()
    assert status(works.file, as_json=True) == 1
    objects = json.loads(capsys.readouterr().out)["objects"]
    assert [(one["up"], one["crls_behind"]) for one in objects] == [(True, 0), (True, 3)]


def arrays(works: Works) -> list[list[str]]:
    crls = works.directory / "objects/crl/demo"
    return [json.loads((crls / f"ccadb-{kind}.json").read_bytes()) for kind in ("full", "partitioned")]


@pytest.mark.conformance("P-04")
@pytest.mark.parametrize("full", [False, True])
def test_ccadb_is_told_of_the_full_crl_or_of_all_parts(
    full: bool, tmp_path: Path, store_url: str, clock: FakeClock
) -> None:
    """And of an empty string before the first certificate."""
    works = Works(tmp_path, store_url, clock)
    extra = ', full_url = "http://crl.example/full.crl"' if full else ""
    with works.configured("shards = 3", f"shards = 3{extra}"):
        job = works.context.crl_job("demo")
        job.build(job.shards(), ignore)
        assert arrays(works) == ([[""], []] if full else [[], [""]])
        works.add_some(1)
        clock.pass_time(60)
        job.build(job.shards(), ignore)
    parts = [f"http://crl.example/demo/0-{index}.crl" for index in range(3)]
    assert arrays(works) == ([["http://crl.example/full.crl"], []] if full else [[], parts])
