"""The CRL job over a real ledger and directory: every shard, its number, its lists, and what keeps a shard back."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from structlog.testing import capture_logs

from _fastpath.crl_reader import Crl
from signer.commands import crl as command
from signer.crl.build import CrlFields, CrlSigner, build_shard
from signer.crl.job import CrlJob, ShardOutcome, ShardStatus
from signer.files import held
from signer.ledger.values import CA_SERIES, PlacedBy, Placement
from store.clock import SystemClock
from store.objects import Manifest, decode_manifest
from tests.signer.crl_authority import make_authority
from tests.signer.ledgers import NOW, certificate_row
from tests.signer.works import DAY, URL_PATTERN, FakeClock, Works, row_in_page

PUBLISHED, CHECKED, CURRENT, REFUSED = ShardStatus


def _ignore(outcome: ShardOutcome) -> None:
    """Progress that nobody looks at."""


@dataclass(frozen=True, slots=True)
class Press:
    """The job of the works' issuer and the directory that it publishes to."""

    works: Works
    job: CrlJob

    def build(self, *, dry_run: bool = False) -> list[ShardOutcome]:
        return self.job.build(self.job.shards(), _ignore, dry_run=dry_run)

    def statuses(self, *, dry_run: bool = False) -> list[ShardStatus]:
        return [outcome.status for outcome in self.build(dry_run=dry_run)]

    @property
    def directory(self) -> Path:
        return Path(self.works.context.settings.objects_target) / "crl" / "demo"

    def path(self, index: int) -> Path:
        return self.directory / f"0-{index}.crl"

    def crl(self, index: int) -> Crl:
        return Crl(self.path(index).read_bytes())

    def entries(self) -> set[bytes]:
        return {entry[0] for index in range(3) for entry in self.crl(index)}

    @property
    def manifest(self) -> Manifest:
        return decode_manifest((self.directory / "manifest.json").read_bytes())

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.directory.glob("*")) if path.is_file()}


@pytest.fixture
def press(works: Works) -> Press:
    return Press(works, works.context.crl_job("demo"))


def in_shard(index: int, *, revoked: int | None = NOW - 5, not_after: int = NOW + 60 * DAY) -> bytes:
    """Serial of a made-up certificate that falls into a shard."""
    number = next(number for number in range(1000) if row_in_page(0, number).hash32 % 3 == index)
    return row_in_page(0, number, revoked=revoked, not_after=not_after).serial


def add(
    press: Press, serial: bytes, *, revoked: int | None = NOW - 5, not_after: int = NOW + 60 * DAY
) -> None:
    number = next(number for number in range(1000) if row_in_page(0, number).serial == serial)
    press.works.add([row_in_page(0, number, revoked=revoked, not_after=not_after)])


@pytest.mark.conformance("U-02", "C-06", "C-13")
@pytest.mark.invariant("B2")
def test_every_shard_is_published_also_empty_ones(press: Press) -> None:
    add(press, in_shard(1))
    outcomes = press.build()
    assert [(outcome.status, outcome.crl_number, outcome.entries) for outcome in outcomes] == [
        (PUBLISHED, 1, 0),
        (PUBLISHED, 1, 1),
        (PUBLISHED, 1, 0),
    ]
    for index, outcome in enumerate(outcomes):
        crl = press.crl(index)
        assert crl.distribution_point_url == outcome.url == f"http://crl.example/demo/0-{index}.crl"
        assert (crl.this_update, crl.next_update) == (NOW, NOW + 7 * DAY - 1)
        parsed = x509.load_der_x509_crl(press.path(index).read_bytes())
        key = press.works.context.issuer("demo").certificate.public_key()
        assert parsed.is_signature_valid(key)  # type: ignore[arg-type]


@pytest.mark.conformance("C-19")
def test_every_revocation_is_in_one_shard(press: Press) -> None:
    rows = press.works.add_some(90, revoked_every=3)
    press.build()
    assert press.entries() == {row.serial for row in rows if row.revoked}
    assert sum(len(press.crl(index)) for index in range(3)) == 30


@pytest.mark.conformance("P-04", "P-07")
def test_the_lists_name_all_of_them(press: Press) -> None:
    press.works.add_some(90, revoked_every=3)
    outcomes = press.build()
    manifest = press.manifest
    assert [shard.url for shard in manifest.shards] == [outcome.url for outcome in outcomes]
    assert [shard.size for shard in manifest.shards] == [len(press.path(n).read_bytes()) for n in range(3)]
    assert [shard.entries for shard in manifest.shards] == [outcome.entries for outcome in outcomes]
    assert json.loads((press.directory / "ccadb-partitioned.json").read_bytes()) == [
        outcome.url for outcome in outcomes
    ]


@pytest.mark.conformance("C-08")
def test_numbers_grow(press: Press, clock: FakeClock) -> None:
    for number in (1, 2, 3):
        assert [outcome.crl_number for outcome in press.build()] == [number] * 3
        assert [shard.crl_number for shard in press.manifest.shards] == [number] * 3
        clock.pass_time(60)


@pytest.mark.conformance("P-09")
def test_the_lists_wait_for_the_whole_set(press: Press) -> None:
    press.job.build(press.job.shards()[:1], _ignore)
    assert not (press.directory / "manifest.json").exists()
    press.job.build(press.job.shards()[1:], _ignore)
    assert len(press.manifest.shards) == 3


@pytest.mark.conformance("U-04")
def test_a_revocation_is_in_the_next_one(press: Press, clock: FakeClock) -> None:
    serial = in_shard(2)
    add(press, serial, revoked=None)
    press.build()
    assert serial not in press.entries()
    clock.pass_time(60)
    press.works.revoke(serial, reason=1)
    press.build()
    assert list(press.crl(2)) == [(serial, NOW + 60, 1)]


@pytest.mark.conformance("C-18")
@pytest.mark.invariant("D3")
def test_an_entry_stays_for_one_crl_after_the_end(press: Press, clock: FakeClock) -> None:
    """C-18: in at least one CRL whose thisUpdate is after notAfter, and then gone; a refused build does not count."""
    serial = in_shard(0)
    add(press, serial, not_after=NOW + 100)
    press.build()
    clock.pass_time(200)
    press.path(0).rename(press.directory / "aside")
    press.path(0).write_bytes(b"not a CRL")
    assert press.statuses() == [REFUSED, PUBLISHED, PUBLISHED]
    (press.directory / "aside").rename(press.path(0))
    clock.pass_time(100)
    press.build()
    assert press.entries() == {serial}
    clock.pass_time(100)
    assert press.statuses() == [PUBLISHED] * 3
    assert press.entries() == set()


@pytest.mark.conformance("U-06")
def test_a_refused_shard_does_not_keep_the_others_back(press: Press, clock: FakeClock) -> None:
    """An entry that vanished from the ledger: that shard stays as it is."""
    serial = in_shard(1)
    add(press, serial)
    press.build()
    connection = sqlite3.connect(press.works.directory / "ledger.db")
    with connection:
        connection.execute("DELETE FROM certificate WHERE serial = ?", (serial,))
    connection.close()
    before = press.path(1).read_bytes()
    clock.pass_time(60)
    outcomes = press.build()
    assert [outcome.status for outcome in outcomes] == [PUBLISHED, REFUSED, PUBLISHED]
    assert serial.hex() in (outcomes[1].message or "")
    assert press.path(1).read_bytes() == before
    assert [shard.crl_number for shard in press.manifest.shards] == [2, 1, 2]


def test_a_dry_run_changes_nothing(press: Press, clock: FakeClock) -> None:
    press.works.add_some(30, revoked_every=3)
    assert press.statuses(dry_run=True) == [CHECKED] * 3
    assert not press.directory.exists()
    press.build()
    clock.pass_time(60)
    press.works.add_some(30, seed=2, revoked_every=3)
    files, rows = press.files(), _rows(press.works)
    outcomes = press.build(dry_run=True)
    assert [(outcome.status, outcome.crl_number) for outcome in outcomes] == [(CHECKED, 2)] * 3
    assert sum(outcome.entries or 0 for outcome in outcomes) == 20
    assert press.files() == files
    assert _rows(press.works) == rows


def _rows(works: Works) -> list[str]:
    connection = sqlite3.connect(works.directory / "ledger.db")
    dump = list(connection.iterdump())
    connection.close()
    return dump


@pytest.mark.conformance("U-09")
def test_twice_in_a_second_is_current(press: Press) -> None:
    """There cannot be two CRLs with one thisUpdate (U-09); if nothing changed there is no need for one."""
    press.works.add_some(30, revoked_every=3)
    press.build()
    files, rows = press.files(), _rows(press.works)
    outcomes = press.build()
    assert [(outcome.status, outcome.crl_number) for outcome in outcomes] == [(CURRENT, 1)] * 3
    assert press.statuses(dry_run=True) == [CURRENT] * 3
    assert (press.files(), _rows(press.works)) == (files, rows)


def test_twice_in_a_second_with_a_change_says_when(press: Press, clock: FakeClock) -> None:
    serial = in_shard(2)
    add(press, serial, revoked=None)
    press.build()
    press.works.revoke(serial)
    outcomes = press.build()
    assert [outcome.status for outcome in outcomes] == [REFUSED] * 3
    assert "build again in a second" in (outcomes[2].message or "")
    clock.pass_time(1)
    # No number was lost over it.
    assert [outcome.crl_number for outcome in press.build()] == [2] * 3
    assert press.entries() == {serial}


@pytest.mark.conformance("U-06")
@pytest.mark.invariant("B6", "D1")
def test_a_clock_that_went_back_publishes_nothing(press: Press, clock: FakeClock) -> None:
    press.build()
    press.path(0).unlink()  # not even where nothing is left to compare with but the ledger
    clock.seconds -= 60
    outcomes = press.build()
    assert [outcome.status for outcome in outcomes] == [REFUSED] * 3
    assert all("60 s ahead of the clock" in (outcome.message or "") for outcome in outcomes)
    assert not press.path(0).exists()


@pytest.mark.conformance("C-08")
def test_a_lost_file_comes_back_with_a_higher_number(press: Press, clock: FakeClock) -> None:
    press.build()
    press.path(0).unlink()
    clock.pass_time(60)
    assert [outcome.crl_number for outcome in press.build()] == [2] * 3
    assert press.crl(0).crl_number == 2


def foreign(signer: CrlSigner, number: int, url: str) -> bytes:
    fields = CrlFields(
        crl_number=number, this_update=NOW - 60, next_update=NOW + DAY, distribution_point_url=url
    )
    return build_shard(signer, fields, [])


@pytest.mark.conformance("C-08")
def test_numbers_go_on_above_what_is_live(press: Press) -> None:
    """As after the ledger was lost: what the same CA published before is not gone below."""
    press.directory.mkdir(parents=True)
    signer = press.works.context.crl_signer("demo")
    press.path(0).write_bytes(foreign(signer, 41, "http://crl.example/demo/0-0.crl"))
    assert [outcome.crl_number for outcome in press.build()] == [42, 1, 1]


@pytest.mark.conformance("U-06")
def test_a_crl_of_another_ca_is_left_alone(press: Press) -> None:
    press.directory.mkdir(parents=True)
    data = foreign(make_authority(), 41, "http://crl.example/demo/0-0.crl")
    press.path(0).write_bytes(data)
    outcomes = press.build()
    assert [outcome.status for outcome in outcomes] == [REFUSED, PUBLISHED, PUBLISHED]
    assert "another issuer" in (outcomes[0].message or "")
    assert press.path(0).read_bytes() == data
    assert not (press.directory / "manifest.json").exists()


def test_what_is_no_crl_is_left_alone(press: Press) -> None:
    press.directory.mkdir(parents=True)
    press.path(2).write_bytes(b"<html>")
    outcomes = press.build()
    assert [outcome.status for outcome in outcomes] == [PUBLISHED, PUBLISHED, REFUSED]
    assert "crl/demo/0-2.crl" in (outcomes[2].message or "")
    assert press.path(2).read_bytes() == b"<html>"


@pytest.mark.conformance("C-08")
def test_an_older_crl_of_ours_put_back_is_replaced(press: Press, clock: FakeClock) -> None:
    press.works.add_some(30, revoked_every=3)
    press.build()
    old = press.path(0).read_bytes()
    clock.pass_time(60)
    press.build()
    press.path(0).write_bytes(old)
    clock.pass_time(60)
    assert [outcome.crl_number for outcome in press.build()] == [3] * 3
    assert len(press.crl(0)) == len(Crl(old))


def test_the_lists_are_written_again_on_demand(press: Press) -> None:
    press.build()
    (press.directory / "manifest.json").unlink()
    assert press.statuses() == [CURRENT] * 3
    press.job.catalogue.publish_lists()
    assert len(press.manifest.shards) == 3


def test_command_build(tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]) -> None:
    """On the machine's clock, as it is typed."""
    works = Works(tmp_path_factory.mktemp("works"), "unix:///nowhere", SystemClock())
    with works.context:
        assert works.issuer.name == "demo"
    assert command.build(works.file, issuer=None, dry_run=True, as_json=True, quiet=True) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["issuer"], line["status"], line["shard_index"]) for line in lines] == [
        ("demo", "checked", 0),
        ("demo", "checked", 1),
        ("demo", "checked", 2),
    ]
    assert command.build(works.file, issuer="demo", dry_run=False, as_json=False, quiet=True) == 0
    assert "0-0.crl: published, number 1, 0 entries" in capsys.readouterr().out
    published = Path(works.context.settings.objects_target) / "crl" / "demo"
    published.joinpath("0-1.crl").write_bytes(b"damaged")
    assert command.build(works.file, issuer=None, dry_run=True, as_json=False, quiet=True) == 1
    assert "0-1.crl: refused" in capsys.readouterr().out


@pytest.mark.conformance("U-11")
def test_the_end_of_the_ca_certificate_is_told_and_its_crls_go_on(press: Press, clock: FakeClock) -> None:
    """There may be another one with this key, which `certificate` does not name yet."""
    end = press.works.ledger.ca_not_after(press.works.issuer.id)
    for now, told in ((end, []), (end + 1, ["error"])):
        clock.seconds = now
        with capture_logs() as logged:
            assert press.statuses() == [PUBLISHED] * 3
        assert [line["log_level"] for line in logged if "ca certificate" in line["event"]] == told
    assert logged[0]["certificate"].startswith("ended at 20") and "renewed" in logged[0]["remedy"]


def _typed(works: Works) -> "subprocess.Popen[str]":
    """`crl build` in a process of its own."""
    command = "from signer.cli import main; main()"
    arguments = [sys.executable, "-c", command, "crl", "build", "--config", str(works.file), "--quiet"]
    return subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_two_builds_at_once_come_one_after_the_other(tmp_path: Path) -> None:
    """Though one stops on the way: the other says for whom it waits."""
    works = Works(tmp_path, "unix:///nowhere", SystemClock(), shards=8)
    with works.context:
        works.add_some(60, revoked_every=2)
        lock = works.context.settings.state_directory / "crl-build.lock"
    with held(lock, pytest.fail):
        both = [_typed(works), _typed(works)]
        said = [str(process.stderr and process.stderr.readline()) for process in both]
        assert not (tmp_path / "objects/crl").exists()
    waiting = f"another `ocsp-signer crl build` is at work (process {os.getpid()}): waiting for its end\n"
    assert said == [waiting, waiting]
    outputs = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert all(output.count(".crl: ") == 8 and "refused" not in output for output in outputs)


@pytest.mark.conformance("C-08")
@pytest.mark.invariant("D2")
def test_an_older_ledger_publishes_nothing(press: Press, clock: FakeClock) -> None:
    """D2: one put back from a backup, or a replica that lags; whether or not it knows what it published itself."""
    serials = [in_shard(index) for index in range(3)]
    for serial in serials:
        add(press, serial, revoked=None)
    backup = sqlite3.connect(press.works.directory / "ledger.db")
    kept = sqlite3.connect(":memory:")
    backup.backup(kept)
    press.works.revoke(*serials)
    press.build()
    before = press.files()
    kept.backup(backup)
    kept.close()
    backup.close()
    clock.pass_time(60)
    outcomes = press.build()
    assert [outcome.status for outcome in outcomes] == [REFUSED] * 3
    assert all("what was revoked in between would be lost" in (outcome.message or "") for outcome in outcomes)
    assert press.files() == before
    press.works.revoke(*serials)  # said again, the changes are as many as before
    assert [outcome.message for outcome in press.build()] == [None] * 3
    assert press.entries() == set(serials)


@pytest.mark.parametrize("manifest", [b"{", b'{"issuer":"\xff"}'])
def test_a_damaged_manifest_keeps_no_crl_back_and_is_written_anew(
    press: Press, clock: FakeClock, manifest: bytes
) -> None:
    press.build()
    (press.directory / "manifest.json").write_bytes(manifest)
    clock.pass_time(60)
    press.build()
    assert [shard.crl_number for shard in press.manifest.shards] == [2, 2, 2]
    assert [press.crl(index).crl_number for index in range(3)] == [2, 2, 2]


@pytest.fixture
def all_kinds(tmp_path: Path, store_url: str, clock: FakeClock) -> Iterator[Press]:
    """Three shards, a full CRL and one of CA certificates."""
    works = Works(tmp_path, store_url, clock)
    more = 'shards = 3, full_url = "http://crl.example/full.crl", ca_url = "http://crl.example/ca.crl"'
    with works.configured("shards = 3", more):
        yield Press(works, works.context.crl_job("demo"))


@pytest.mark.conformance("U-02")
def test_shards_are_there_before_certificates_that_name_them(
    tmp_path: Path, store_url: str, clock: FakeClock
) -> None:
    works = Works(tmp_path, store_url, clock)
    later = f'shards = 3, series = [{{ url = "{URL_PATTERN}", from = 2027-01-01T00:00:00Z, shards = 2 }}]'
    with works.configured("shards = 3", later):
        press = Press(works, works.context.crl_job("demo"))
        works.add_some(20, revoked_every=2)
        assert press.statuses() == [PUBLISHED] * 5
        assert [shard.entries for shard in press.manifest.shards][3:] == [0, 0]
        for index in range(2):
            crl = Crl((press.directory / f"1-{index}.crl").read_bytes())
            assert crl.distribution_point_url == f"http://crl.example/demo/1-{index}.crl"


@pytest.mark.conformance("C-11", "C-12", "C-16", "C-19")
def test_a_full_crl_and_one_of_cas(all_kinds: Press, clock: FakeClock) -> None:
    press = all_kinds
    rows = press.works.add_some(60, revoked_every=2)
    authority = certificate_row(b"\x77")._replace(placement=Placement(CA_SERIES, 0, PlacedBy.CERTIFICATE))
    press.works.add([authority])
    press.works.revoke(b"\x77", reason=4)
    outcomes = press.build()
    assert [(outcome.status, outcome.message) for outcome in outcomes] == [(PUBLISHED, None)] * 5
    full, authorities = (Crl((press.directory / name).read_bytes()) for name in ("full.crl", "ca.crl"))
    assert (full.issuing_distribution_point, full.distribution_point_url) == (None, None)
    assert list(authorities) == [(b"\x77", NOW, 4)]
    parsed = x509.load_der_x509_crl((press.directory / "ca.crl").read_bytes())
    point = parsed.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
    assert point.critical and point.value.only_contains_ca_certs and not point.value.only_contains_user_certs
    assert point.value.full_name == [x509.UniformResourceIdentifier("http://crl.example/ca.crl")]
    assert press.entries() == {row.serial for row in rows if row.revoked}
    assert {entry[0] for entry in full} == press.entries() | {b"\x77"}
    assert [shard.path for shard in press.manifest.shards][3:] == ["crl/demo/full.crl", "crl/demo/ca.crl"]
    clock.pass_time(60)
    assert press.statuses() == [PUBLISHED] * 5


@pytest.mark.conformance("C-18")
def test_an_entry_leaves_the_full_crl_like_a_shard(all_kinds: Press, clock: FakeClock) -> None:
    serial = in_shard(0)
    add(all_kinds, serial, not_after=NOW + 100)
    found = []
    for _ in range(4):
        assert all_kinds.statuses() == [PUBLISHED] * 5
        found.append(len(Crl((all_kinds.directory / "full.crl").read_bytes())))
        clock.pass_time(60)
    assert found == [1, 1, 1, 0]  # at 0, 60, 120: one past its end, and then
