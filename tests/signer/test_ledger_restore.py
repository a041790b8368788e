"""A ledger that was lost comes back with all that CRLs and store know since its backup."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from _fastpath.crl_reader import Crl
from _fastpath.ocsp import SingleResponse
from _fastpath.page import encode_record, page_number
from _fastpath.template import Template
from signer.commands.certificates import import_file
from signer.commands.restore import Sources, restore
from signer.ledger.backup import backup
from signer.ledger.errors import LedgerError
from signer.ledger.generations import epoch_of
from signer.ledger.ledger import Ledger
from signer.ledger.values import UNKNOWN_END
from signer.ocsp import repage
from signer.ocsp.batch import Pool
from signer.ocsp.repage import Repaging
from signer.ocsp.schedule import PageRange
from signer.ocsp.service import open_service
from signer.ocsp.tail import Tail
from signer.run import only_signer
from store.errors import OcspeedError
from store.schema import issuer_key, page_key
from tests.signer.audits import settle_pages
from tests.signer.ledgers import NOW, YEAR, certificate_rows
from tests.signer.works import DAY, FakeClock, Works, row_in_page

EVERY_PAGE = PageRange(0, 3)


class Town:
    """A CA whose ledger was backed up, whose life went on, and whose ledger then is lost."""

    def __init__(self, works: Works, clock: FakeClock, capsys: pytest.CaptureFixture[str]) -> None:
        self.works = works
        self.clock = clock
        self._capsys = capsys
        self.copy = works.directory / "copy.db"
        self.path = works.directory / "ledger.db"
        self.old = works.add_some(120, revoked_every=20)
        self.sign()
        self.publish()
        backup(self.path, self.copy, lambda done, total: None)
        self.at_backup = works.issuer.generation

    def sign(self) -> None:
        """As `run` does: what was committed, then every page."""
        signer = self.works.signer()
        assert not Tail(self.works.ledger, signer).step().faults
        self.clock.pass_time(1)
        assert not signer.sign_range(EVERY_PAGE).faults

    def publish(self) -> None:
        self.clock.pass_time(1)
        job = self.works.context.crl_job("demo")
        outcomes = job.build(job.shards(), lambda outcome: None)
        assert [one.message for one in outcomes if one.message] == []

    def crls(self) -> dict[str, Crl]:
        catalogue = self.works.context.crl_catalogue("demo")
        found = {path: catalogue.targets.live(path) for path in map(catalogue.path, catalogue.shards())}
        return {path: crl for path, crl in found.items() if crl is not None}

    def lose(self) -> None:
        self.works.context.close()
        for one in self.path.parent.glob("ledger.db*"):
            one.unlink()

    def restore(self, sources: Sources | None = None) -> Any:
        self.works.context.close()
        self._capsys.readouterr()
        restore(self.works.file, self.copy, sources or Sources(), as_json=True, quiet=True, clock=self.clock)
        self.works.context = self.works.open()
        result = json.loads(self._capsys.readouterr().out)
        return result["issuers"][0] | {"kept": result["kept"]}

    def revoked(self) -> set[bytes]:
        rows = self.works.ledger.snapshot(self.works.issuer.id, 0, 2**32 - 1).rows
        return {row.serial for row in rows if row.revoked}

    def check(self, revoked: set[bytes]) -> None:
        """Ledger, store and CRLs all have exactly these, and CRLs went on."""
        before = self.crls()
        assert self.revoked() == revoked
        self.sign()
        self.works.check_store()
        assert all(self.works.is_revoked(serial) for serial in revoked)
        self.publish()
        after = self.crls()
        assert {serial for crl in after.values() for serial, _, _ in crl} == revoked
        for path, crl in before.items():
            assert after[path].crl_number > crl.crl_number
            assert after[path].this_update > crl.this_update
        assert self.works.ledger.verify_journal() > 0


@pytest.fixture
def town(works: Works, clock: FakeClock, capsys: pytest.CaptureFixture[str]) -> Town:
    return Town(works, clock, capsys)


@pytest.fixture
def lived(town: Town) -> tuple[Town, set[bytes]]:
    """Since the backup: 40 certificates issued, 30 revoked and on CRLs, 15 more revoked and signed alone."""
    new = town.works.add(certificate_rows(40, seed=2))
    on_crls = [row.serial for row in town.old[1:21] if not row.revoked] + [row.serial for row in new[:10]]
    town.works.revoke(*on_crls, reason=1)
    town.sign()
    town.publish()
    in_store = [row.serial for row in town.old[40:50] if not row.revoked] + [row.serial for row in new[20:25]]
    town.works.revoke(*in_store, reason=4)
    town.sign()
    revoked = town.revoked()
    assert {*on_crls, *in_store} < revoked
    return town, revoked


@pytest.mark.conformance("R-20", "C-08", "U-06")
def test_nothing_is_lost_that_crls_or_store_have(lived: tuple[Town, set[bytes]]) -> None:
    """A2, D1, D2: numbers, thisUpdate and generations go on above everything that was ever seen."""
    town, revoked = lived
    before = town.works.ledger.snapshot(town.works.issuer.id, 0, 2**32 - 1)
    generation = before.generation
    town.lose()
    result = town.restore()
    assert result["certificates_recovered"] == 40
    assert result["revocations_recovered"] == len(revoked) - 6
    assert (result["records_unproven"], result["kept"]) == (0, None)
    found = town.works.ledger.snapshot(town.works.issuer.id, 0, 2**32 - 1)
    assert [row.serial for row in found.rows] == [row.serial for row in before.rows]
    status = [(row.revocation_time, row.reason) for row in before.rows]
    assert [(row.revocation_time, row.reason) for row in found.rows] == status
    assert epoch_of(found.generation) == epoch_of(generation) + 1 == result["epoch"]
    town.check(revoked)


@pytest.mark.slow
@pytest.mark.conformance("R-20")
def test_a_backup_a_thousand_revocations_old(town: Town) -> None:
    new = town.works.add(certificate_rows(1_400, seed=3))
    for start in range(0, 1_000, 100):
        town.works.revoke(*(row.serial for row in new[start : start + 100]), reason=1)
        town.sign()
        if start == 400:
            town.publish()
    revoked = town.revoked()
    town.lose()
    result = town.restore()
    assert (result["certificates_recovered"], result["revocations_recovered"]) == (1_400, 1_000)
    town.check(revoked)


def test_a_restore_is_journalled_with_what_it_was_made_of(lived: tuple[Town, set[bytes]]) -> None:
    town, _ = lived
    town.lose()
    town.restore()
    events = {one.event: one.detail for one in town.works.ledger.journal_entries()}
    assert events["restore"]["backup"] == str(town.copy)
    assert events["restore"]["issuers"][0]["certificates_recovered"] == 40
    assert events["import done"]["from"] == "restore"


def test_crls_alone_bring_back_what_is_on_them(lived: tuple[Town, set[bytes]]) -> None:
    town, revoked = lived
    listed = {serial for crl in town.crls().values() for serial, _, _ in crl}
    town.works.context.client.flushdb()
    town.lose()
    result = town.restore(Sources(store=False))
    assert result["records"] == 0 and result["epoch"] > 2
    assert listed < revoked
    town.check(listed)


def test_a_store_alone_brings_back_what_is_in_it(lived: tuple[Town, set[bytes]]) -> None:
    town, revoked = lived
    assert town.restore(Sources(crls=False))["crls"] == 0
    town.check(revoked)


def test_a_lost_store_is_no_hindrance(lived: tuple[Town, set[bytes]]) -> None:
    town, _ = lived
    listed = {serial for crl in town.crls().values() for serial, _, _ in crl}
    town.works.context.client.delete(
        *[page_key("demo", 1, page) for page in range(4)], b"ocsp:issuer:demo", b"ocsp:template:1"
    )
    town.restore()
    town.check(listed)


def test_the_ledger_before_is_kept_whole(lived: tuple[Town, set[bytes]]) -> None:
    town, revoked = lived
    kept = town.restore()["kept"]
    assert kept == str(town.path) + ".before-restore." + Path(kept).name.rpartition(".")[2]
    before = Ledger.open(f"sqlite:///{kept}")
    assert before.counts(1, NOW).revoked == len(revoked)
    before.close()
    again = town.restore()  # in the same second
    assert again["kept"] == f"{kept}.1" and again["epoch"] == 3
    town.check(revoked)


def test_a_ledger_that_is_no_database_any_more_is_replaced(lived: tuple[Town, set[bytes]]) -> None:
    town, revoked = lived
    town.works.context.close()
    town.path.write_bytes(b"\0" * 50_000)
    Path(f"{town.path}-wal").write_bytes(b"left over")
    kept = Path(town.restore()["kept"])
    assert kept.read_bytes() == b"\0" * 50_000
    assert Path(f"{kept}-wal").read_bytes() == b"left over"
    town.check(revoked)


def test_what_ends_when_is_learnt_from_the_cas_records(lived: tuple[Town, set[bytes]]) -> None:
    town, revoked = lived
    town.lose()
    town.restore()
    new = certificate_rows(40, seed=2)
    found = town.works.ledger.find(town.works.issuer.id, new[0].serial)
    assert found is not None and found.not_after == UNKNOWN_END
    outcome = town.works.ledger.add_certificates(town.works.issuer.id, new, town.clock.now())
    assert (outcome.ended, outcome.new, outcome.kept_revoked.count) == (40, 0, 15)
    found = town.works.ledger.find(town.works.issuer.id, new[0].serial)
    assert found is not None and found.not_after == NOW + YEAR
    again = town.works.ledger.add_certificates(town.works.issuer.id, new, town.clock.now())
    assert again.ended == 0
    town.check(revoked)


def test_a_template_of_later_keeps_its_number_and_slot(lived: tuple[Town, set[bytes]]) -> None:
    town, revoked = lived
    later = town.works.ledger.add_template(town.works.issuer.id, b"a template of another release")
    town.works.context.announce("demo")
    town.lose()
    town.restore()
    templates = town.works.ledger.templates(town.works.issuer.id)
    assert templates.get(later.slot) in (None, later)
    assert town.works.ledger.add_template(town.works.issuer.id, b"new").number > later.number
    town.check(revoked)


def misplaced(works: Works, serial: bytes) -> bytes:
    """The record of a revoked certificate of the same page."""
    stored = works.stored(page_number(serial, 2))
    assert stored is not None
    return next(record for other, record in stored[1].items() if works.is_revoked(other))


def forged(works: Works, serial: bytes) -> bytes:
    """A record that is right in everything but its signatures: its checksum needs no key."""
    stored = next(iter(works.ledger.templates(works.issuer.id).values()))
    template, now = Template.decode(stored.content), works.clock.now()
    response = SingleResponse(
        serial,
        this_update=now,
        produced_at=now,
        next_update=now + template.validity,
        revocation_time=now,
        reason=1,
    )
    issuer = works.context.issuer("demo").id
    return encode_record(issuer, template, stored.slot, response, b"\x11" * 64, b"\x22" * 64)


@pytest.mark.invariant("C2")
@pytest.mark.parametrize("forge", [misplaced, forged])
def test_a_record_that_nobody_signed_revokes_nothing(
    lived: tuple[Town, set[bytes]], forge: Callable[[Works, bytes], bytes]
) -> None:
    """C2: who can write to the store can revoke nothing by it, nor make up a certificate."""
    town, revoked = lived
    good = next(row.serial for row in town.old if row.serial not in revoked)
    unissued = row_in_page(page_number(good, 2), 7).serial
    for serial in (good, unissued):
        key = page_key("demo", 1, page_number(serial, 2))
        town.works.context.client.hset(key, serial, forge(town.works, serial))
    town.lose()
    result = town.restore()
    assert set(result["unproven_serials"]) == {good.hex(), unissued.hex()}
    assert town.revoked() == revoked
    assert town.works.ledger.find(town.works.issuer.id, unissued) is None


def test_a_crl_that_the_ca_did_not_sign_stops_it(lived: tuple[Town, set[bytes]]) -> None:
    town, revoked = lived
    path = town.works.directory / "objects" / next(iter(town.crls()))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(LedgerError, match=r"0-0.crl: not a CRL that the CA signed"):
        town.restore()
    town.works.context = town.works.open()
    assert town.revoked() == revoked  # nothing was replaced


def test_it_waits_for_no_signer_and_for_no_other_process(lived: tuple[Town, set[bytes]]) -> None:
    town, revoked = lived
    with only_signer(town.works.context.settings.state_directory):
        with pytest.raises(OcspeedError, match="another `ocsp-signer run` is at work"):
            town.restore()
    other = sqlite3.connect(town.path)
    other.execute("SELECT count(*) FROM issuer").fetchone()
    with pytest.raises(LedgerError, match="another process uses the ledger"):
        town.restore()
    other.close()
    town.works.context = town.works.open()
    assert town.revoked() == revoked
    town.restore()
    town.check(revoked)


@pytest.mark.parametrize("content", [b"", b"no backup" * 1_000])
def test_what_is_no_backup_replaces_nothing(town: Town, content: bytes) -> None:
    town.copy.write_bytes(content)
    before = town.revoked()
    with pytest.raises(LedgerError, match=r"copy\.db"):
        town.restore()
    town.works.context = town.works.open()
    assert town.revoked() == before


def test_a_backup_of_an_older_schema_is_brought_up_to_date(lived: tuple[Town, set[bytes]]) -> None:
    town, revoked = lived
    with sqlite3.connect(town.copy) as connection:
        connection.execute("DROP TABLE reservation")
        connection.execute("DROP TABLE repaging")
        connection.execute("DROP TABLE signed_response")
        connection.execute("UPDATE alembic_version SET version_num = '0002'")
    connection.close()
    town.restore()
    town.check(revoked)


def test_an_entry_stays_for_a_crl_more_although_its_certificate_ended(
    lived: tuple[Town, set[bytes]],
) -> None:
    """D3: what the backup does not know to be on a CRL counts as new there."""
    town, revoked = lived
    town.lose()
    town.restore()
    town.clock.pass_time(400 * DAY)
    town.publish()
    assert {serial for crl in town.crls().values() for serial, _, _ in crl} >= revoked - {
        row.serial for row in town.old if row.revoked
    }


def unknown_to(copy: Path) -> None:
    """Have the backup be of a time before the issuer."""
    copy.unlink()
    Ledger.open(f"sqlite:///{copy.with_name('young.db')}", create=True).close()
    backup(copy.with_name("young.db"), copy, lambda done, total: None)


@pytest.mark.invariant("A2")
@pytest.mark.parametrize("bits", [None, 4])
def test_pages_prove_what_they_say_though_the_record_that_names_them_is_lost(
    town: Town, bits: int | None
) -> None:
    """Also those of a layout that the backup does not know."""
    works = town.works
    town.copy.unlink()
    backup(town.path, town.copy, lambda done, total: None)
    if bits is not None:
        works.ledger.begin_layout(works.issuer.id, bits)
        sum(Repaging(works.context, "demo", None).work("me"))
    victims = [row.serial for row in town.old if not row.revoked][:9]
    works.revoke(*victims, reason=1)
    settle_pages(works)
    works.context.client.delete(issuer_key("demo"))
    town.lose()
    assert town.restore(Sources(crls=False))["records"] > 0
    assert town.revoked() >= {*victims}


@pytest.mark.conformance("R-20")
@pytest.mark.parametrize("moment", ["before", "meanwhile", "before the issuer"])
def test_pages_laid_out_anew_since_the_backup_stay_as_they_are(
    town: Town, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """A2: what is answered is the same before anything is signed, and after it; the pages of before are removed."""
    monkeypatch.setattr(repage, "FOLLOW", 0.0)
    works = town.works
    works.ledger.set_checkpoint(works.issuer.id, 4 * DAY, 3)
    if moment == "meanwhile":
        works.ledger.begin_layout(works.issuer.id, 4)
    town.copy.unlink()
    backup(town.path, town.copy, lambda done, total: None)
    if moment == "before the issuer":
        unknown_to(town.copy)
    works.ledger.begin_layout(works.issuer.id, 4)
    sum(Repaging(works.context, "demo", None).work("me"))
    victims = [row.serial for row in town.old if not row.revoked][:9]
    works.revoke(*victims, reason=1)
    settle_pages(works)
    town.lose()
    assert town.restore()["page_epoch"] == 2
    assert works.issuer.layout == (2, 4)
    assert all(map(works.is_revoked, victims)) and town.revoked() >= {*victims}
    if moment != "before the issuer":
        assert works.ledger.checkpoint(works.issuer.id) == (4 * DAY, 9)
    with Pool(works.file, 1, town.clock) as pool:
        assert not open_service(works.context, "demo", pool).sign_due(lambda pages: None).faults
    works.check_store()
    sum(Repaging(works.context, "demo", None).work("me"))
    assert works.ledger.other_layout(works.issuer.id) is None
    assert works.context.client.keys("ocsp:page:demo:1:*") == []
    works.check_store()


def test_a_page_epoch_that_a_lost_ledger_gave_is_never_given_again(town: Town) -> None:
    """It may have left pages of it, of another layout."""
    assert town.works.ledger.begin_layout(town.works.issuer.id, 5) == (2, 5)
    town.lose()
    town.restore()
    assert town.works.ledger.begin_layout(town.works.issuer.id, 3) == (64, 3)


def test_a_store_in_which_as_many_pages_have_another_number_is_anothers(town: Town) -> None:
    town.works.context.client.hset("ocsp:issuer:demo", "page_bits", "3")
    with pytest.raises(LedgerError, match="8 pages in the store, 4 in the ledger, both of page epoch 1"):
        town.restore()


def test_an_issuer_without_template_slots_gets_new_ones(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docs/operations.md says: a ledger of nothing is restored with the CRLs, and the CA's records imported."""
    works = town.works
    for number in range(255):
        works.ledger.add_template(works.issuer.id, bytes([number]))
    with pytest.raises(LedgerError, match="256 template slots"):
        works.ledger.add_template(works.issuer.id, b"more")
    revoked = town.revoked()
    works.context.client.flushdb()
    town.copy = tmp_path / "empty.db"
    (tmp_path / "nothing").touch()
    with monkeypatch.context() as changed:
        changed.setenv("OCSP__LEDGER__URL", "sqlite:///empty.db")
        import_file(
            works.file, tmp_path / "nothing", issuer="demo", format="ndjson", dry_run=False, keep_going=False,
            as_json=True, quiet=True, clock=town.clock,
        )  # fmt: skip
    assert town.restore(Sources(store=False))["epoch"] > epoch_of(town.at_backup)
    works.add(town.old)
    assert len(works.ledger.templates(works.issuer.id)) == 0
    town.check(revoked)


def killed(town: Town, function: str, line: int) -> bool:
    """Whether it came so far."""
    town.works.context.close()
    arguments = [str(town.works.file), str(town.copy), str(town.clock.now()), function, str(line)]
    command = [sys.executable, "-m", "tests.signer.restore_doomed", *arguments]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode in (0, -9), done.stderr
    return done.returncode == -9


def check_after_death(town: Town, revoked: set[bytes]) -> None:
    """One whole ledger is there, the one before or the one restored; the same again brings it to its end."""
    town.works.context.close()
    town.works.context = town.works.open()
    assert town.revoked() == revoked
    assert town.works.ledger.verify_journal() > 0
    town.restore()
    town.check(revoked)


def test_a_restore_killed_before_the_last_stroke_has_changed_nothing(lived: tuple[Town, set[bytes]]) -> None:
    town, revoked = lived
    generation = town.works.issuer.generation
    assert killed(town, "put_in_place", 7)
    town.works.context = town.works.open()
    assert town.works.issuer.generation == generation
    check_after_death(town, revoked)


@pytest.mark.slow
def test_a_restore_killed_anywhere_leaves_one_whole_ledger(lived: tuple[Town, set[bytes]]) -> None:
    town, revoked = lived
    points = [("put_in_place", line) for line in range(12)]
    points += [("any", line) for line in (1, 10, 40, 80, 150, 300, 600, 1_000, 2_000)]
    deaths = 0
    for function, line in points:
        deaths += killed(town, function, line)
        town.works.context = town.works.open()
        assert town.revoked() == revoked
    assert deaths > 12
    check_after_death(town, revoked)


def test_a_backup_that_is_not_there(works: Works, clock: FakeClock) -> None:
    with pytest.raises(LedgerError, match=r"nofile\.db: there is no such file"):
        restore(works.file, works.directory / "nofile.db", Sources(), as_json=True, quiet=True, clock=clock)
