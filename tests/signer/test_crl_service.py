"""The CRLs of one issuer kept for ever, over a real ledger and directory: what each step builds, and who is told."""

import json
import sqlite3
from pathlib import Path

import pytest
import structlog.testing

from _fastpath.crl_reader import Crl
from signer.commands import status
from signer.context import Context
from signer.crl.alarm import late
from signer.crl.job import ShardOutcome, ShardStatus
from signer.crl.service import CrlService
from signer.ledger.values import PlacedBy, Placement
from signer.run import _tell_of_crls
from tests.signer.ledgers import NOW
from tests.signer.works import DAY, FakeClock, Works, row_in_page

HOUR = 3600


def step(service: CrlService) -> list[tuple[int, ShardStatus]]:
    outcomes: list[ShardOutcome] = []
    service.step(outcomes.append)
    return [(outcome.shard_index, outcome.status) for outcome in outcomes]


def walk(service: CrlService, clock: FakeClock, seconds: int, by: int = 300) -> list[tuple[int, int]]:
    """(moment, shard) of each CRL that was published meanwhile."""
    found = []
    for _ in range(seconds // by):
        clock.pass_time(by)
        found += [(clock.now(), index) for index, done in step(service) if done is ShardStatus.PUBLISHED]
    return found


def crls(works: Works) -> list[Crl]:
    directory = Path(works.context.settings.root.objects.resolve(works.context.settings.document))
    return [Crl((directory / f"crl/demo/0-{index}.crl").read_bytes()) for index in range(3)]


def shard_of(works: Works, serial: bytes) -> int:
    found = works.ledger.find(works.issuer.id, serial)
    assert found is not None
    return found.shard_index


@pytest.fixture
def service(works: Works) -> CrlService:
    works.add_some(30)
    return works.context.crl_service("demo")


@pytest.mark.conformance("U-02", "U-03")
@pytest.mark.invariant("D8")
def test_all_at_first_then_each_at_its_time(works: Works, service: CrlService, clock: FakeClock) -> None:
    """D8: though nothing changes. A process that starts anew finds the same times."""
    assert len(step(service)) == 3
    assert step(service) == []
    built = walk(service, clock, 9 * HOUR)
    again = walk(works.context.crl_service("demo"), clock, 9 * HOUR)
    for index in range(3):
        moments = [NOW] + [at for at, shard in built + again if shard == index]
        gaps = [later - at for at, later in zip(moments, moments[1:], strict=False)]
        assert all(gap <= 4 * HOUR + 300 for gap in gaps)
        assert gaps[1:] == [4 * HOUR] * len(gaps[1:]) and len(gaps) >= 4
    assert len({at for at, _ in built}) == len(built)  # never two at once


@pytest.mark.conformance("U-04")
def test_a_revocation_is_published_within_the_bound(
    works: Works, service: CrlService, clock: FakeClock
) -> None:
    rows = works.add_some(40, seed=2)
    step(service)
    clock.pass_time(7)
    serials = [row.serial for row in rows[:20]]
    for serial in serials:
        works.revoke(serial)
    recorded = clock.now()
    built = walk(service, clock, HOUR, 60)
    found = {entry[0] for crl in crls(works) for entry in crl}
    assert found == set(serials)
    assert {index for at, index in built if at <= recorded + HOUR // 2 + 60} == {0, 1, 2}


def test_one_revocation_builds_one_crl(works: Works, service: CrlService, clock: FakeClock) -> None:
    rows = works.add_some(40, seed=2)
    step(service)
    clock.pass_time(60)
    works.revoke(rows[0].serial)
    step(service)
    index = shard_of(works, rows[0].serial)
    other = next(at for at in range(1, 3600) if not _due_at(service, clock, at))
    assert other < 1800
    clock.pass_time(1800)
    assert index in [shard for shard, _ in step(service)]
    assert index not in [shard for shard, _ in step(service)]


def _due_at(service: CrlService, clock: FakeClock, seconds: int) -> bool:
    clock.seconds += seconds
    found = bool(service.due())
    clock.seconds -= seconds
    return found


@pytest.mark.conformance("C-19")
def test_a_moved_entry_is_published_like_a_new_one(
    works: Works, service: CrlService, clock: FakeClock
) -> None:
    row = row_in_page(0, 1, revoked=NOW - 5)
    works.add([row])
    step(service)
    there = shard_of(works, row.serial)
    place = Placement(0, (there + 1) % 3, PlacedBy.CERTIFICATE)
    works.add([row._replace(revocation_time=None, placement=place)])
    built = walk(service, clock, 1_800 + 300)
    assert (there + 1) % 3 in {index for _, index in built}
    assert [entry[0] for entry in crls(works)[(there + 1) % 3]] == [row.serial]


@pytest.mark.conformance("U-06")
def test_a_refused_shard_holds_up_nothing(works: Works, service: CrlService, clock: FakeClock) -> None:
    """It is tried again on its own, later and later; the others keep their times, and the alarm is about its age."""
    row = row_in_page(0, 1, revoked=NOW - 5)
    works.add([row])
    step(service)
    bad = shard_of(works, row.serial)
    table = works.context.settings.issuer("demo").crl
    connection = sqlite3.connect(works.directory / "ledger.db")
    with connection:
        connection.execute("DELETE FROM certificate WHERE serial = ?", (row.serial,))
    refusals: list[tuple[int, int]] = []
    published: list[tuple[int, int]] = []
    alarms = []
    for _ in range(12 * 60):
        clock.pass_time(60)
        for index, done in step(service):
            (published if done is ShardStatus.PUBLISHED else refusals).append((clock.now(), index))
        alarms.append([one.url for one in late(works.ledger, works.issuer, table, clock.now())])
    assert {index for _, index in refusals} == {bad}
    assert 10 <= len(refusals) <= 20  # 1, 2, 4 ... minutes, then hourly
    assert {index for _, index in published} == {0, 1, 2} - {bad}
    assert len(published) >= 4
    first = next(number for number, urls in enumerate(alarms) if urls)
    assert first == 5 * 60  # minutes: an hour past the interval
    assert all(urls == [f"http://crl.example/demo/0-{bad}.crl"] for urls in alarms[first:])
    with connection:  # put right: one more wait and it is live again
        values = (1, row.hash32, row.serial, row.not_after, 0, bad, "hash", NOW - 5, 0, 2**48 + 1, 2**48 + 1)
        connection.execute(f"INSERT INTO certificate VALUES ({','.join('?' * 11)})", values)
    connection.close()
    assert bad in {index for _, index in walk(service, clock, HOUR)}
    assert late(works.ledger, works.issuer, table, clock.now()) == []


def test_lists_that_could_not_be_written_are_owed(
    works: Works, service: CrlService, clock: FakeClock
) -> None:
    manifest = Path(works.directory / "objects/crl/demo/manifest.json")
    manifest.mkdir(parents=True)
    step(service)
    manifest.rmdir()
    walk(service, clock, 60, 10)
    assert manifest.is_file()


@pytest.mark.conformance("U-03")
@pytest.mark.invariant("D8", "G6")
def test_a_frozen_publisher_is_told_of(
    works: Works, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """D8: nobody builds, nothing fails; `run` logs it and `status` exits with 1."""
    step(works.context.crl_service("demo"))
    capsys.readouterr()
    for seconds, told in ((5 * HOUR, 0), (1, 3)):
        clock.pass_time(seconds)
        with structlog.testing.capture_logs() as logged:
            _tell_of_crls(works.context, works.context.clock.now())
        assert [(one["event"], one["shards"]) for one in logged] == [("crls overdue", told)] * bool(told)
        assert status.status(works.file, as_json=True, clock=clock) == bool(told)
        (issuer,) = json.loads(capsys.readouterr().out)["issuers"]
        assert len(issuer["crls_overdue"]) == told


@pytest.mark.conformance("U-11")
def test_a_ca_that_the_configuration_forgot_is_told_of_until_its_end(works: Works, clock: FakeClock) -> None:
    step(works.context.crl_service("demo"))
    end = works.ledger.ca_not_after(works.issuer.id)
    issuer = works.issuer
    works.file.write_text(works.file.read_text().replace('"demo"', '"other"'))
    with Context.open(works.file, clock) as context, structlog.testing.capture_logs() as logged:
        for at in (NOW + DAY, NOW + DAY + 1, end, end + 1):
            clock.seconds = at
            _tell_of_crls(context, context.clock.now())
    assert [one["issuer"] for one in logged] == ["demo"] * 2
    assert late(works.ledger, issuer, None, end + 1) == []


def test_a_revocation_is_looked_at_once(works: Works, service: CrlService) -> None:
    """Three million of them are not counted again every five seconds."""
    rows = works.add_some(40, seed=2)
    step(service)
    works.revoke(*(row.serial for row in rows))
    service.due()
    after = works.ledger.revoked_since(works.issuer.id, works.ledger.generation(works.issuer.id))
    assert after.shards == {}
    assert service._position == works.ledger.generation(works.issuer.id)
