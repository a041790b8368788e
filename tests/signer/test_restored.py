"""A restored ledger signs nothing before it was audited, and an audit lets it only if it lacks nothing (A2)."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from _fastpath.page import hash32
from signer.commands import crl, signing
from signer.commands.repage import repage as store_repage
from signer.commands.restore import Sources, restore
from signer.ledger.backup import backup
from signer.ledger.errors import LedgerError
from signer.ledger.generations import epoch_of
from signer.ledger.values import CertificateRow
from signer.ocsp.batch import Pool
from signer.ocsp.repage import Repaging
from signer.ocsp.service import open_service
from signer.restored import NotAudited, check_audited
from store.clock import SystemClock
from tests.integration.service import Service
from tests.signer.audits import Audited, Settled, serving, settle, settle_pages
from tests.signer.processes import wait_until
from tests.signer.test_run import running
from tests.signer.works import FakeClock, Works


@pytest.fixture
def works(settled: Settled, store_url: str, tmp_path: Path, clock: FakeClock) -> Iterator[Works]:
    with settled.again(tmp_path / "again", clock) as works:
        backup(works.directory / "ledger.db", works.directory / "copy.db", lambda done, total: None)
        clock.pass_time(60)
        yield works
        works.context.close()


def good(works: Works) -> list[CertificateRow]:
    rows = works.ledger.snapshot(works.issuer.id, 0, 2**32 - 1).rows
    return [row for row in rows if not row.revoked]


def restored(works: Works, sources: Sources | None = None) -> None:
    works.context.close()
    copy = works.directory / "copy.db"
    restore(works.file, copy, sources or Sources(), as_json=True, quiet=True, clock=works.clock)
    works.context = works.open()


def refused(works: Works) -> bool:
    """Whether every command that signs refuses."""
    try:
        check_audited(works.ledger)
    except NotAudited:
        with pytest.raises(NotAudited, match="ocsp-signer audit"):
            signing.sign(works.file, everything=True, issuer=None, workers=1, as_json=True, quiet=True)
        with pytest.raises(NotAudited):
            crl.build(works.file, issuer=None, dry_run=False, as_json=True, quiet=True)
        with pytest.raises(NotAudited):
            store_repage(works.file, issuer="demo", bits=3, dry_run=False, as_json=True, quiet=True)
        with pytest.raises(NotAudited), running(works):
            pass
        return True
    return False


@pytest.mark.conformance("R-20")
@pytest.mark.invariant("A2")
def test_nothing_is_signed_before_an_audit(works: Works, capsys: pytest.CaptureFixture[str]) -> None:
    """What was revoked since the backup is revoked again, and what is not signed yet is no hindrance."""
    victims = [row.serial for row in good(works)[:50]]
    epoch = epoch_of(works.issuer.generation)
    works.revoke(*victims, reason=1)
    settle_pages(works)
    restored(works)
    assert refused(works) and epoch_of(works.issuer.generation) == epoch + 1
    works.revoke(good(works)[0].serial)
    assert set(Audited(works, capsys).kinds()) == {"unsigned"}
    assert not refused(works)
    settle_pages(works)
    assert Audited(works, capsys).report(full=True)["clean"]
    assert all(works.is_revoked(serial) for serial in victims)
    events = [one.event for one in works.ledger.journal_entries()]
    assert events.count("restore audited") == 1 and works.ledger.verify_journal()


@pytest.mark.invariant("A2")
def test_an_audit_that_finds_more_in_the_store_lets_nobody_sign(
    works: Works, capsys: pytest.CaptureFixture[str]
) -> None:
    """Restored as if the store were lost, which it is not."""
    works.add([CertificateRow(hash32(b"\x07"), b"\x07", works.clock.now() + 10**7, None, 0)])
    works.revoke(good(works)[0].serial, reason=1)
    settle_pages(works)
    restored(works, Sources(store=False))
    audited = Audited(works, capsys)
    found = audited.kinds()
    assert (found["revocation_unknown"], found["record_unknown"]) == (1, 1)
    assert refused(works)
    restored(works)
    assert audited.kinds() == {}
    assert not refused(works)


def test_an_audit_of_one_issuer_says_nothing_of_the_others(
    works: Works, capsys: pytest.CaptureFixture[str]
) -> None:
    restored(works)
    assert Audited(works, capsys).kinds(issuer="demo") == {}
    assert refused(works)


def test_a_second_restore_needs_a_second_audit(works: Works, capsys: pytest.CaptureFixture[str]) -> None:
    """Also of a backup that knows of the first one's."""
    copy = works.directory / "copy.db"
    for _ in range(3):
        restored(works)
        assert refused(works)
        assert Audited(works, capsys).report()["clean"]
        assert not refused(works)
        copy.unlink()
        backup(works.directory / "ledger.db", copy, lambda done, total: None)


def repage(works: Works) -> None:
    """Give it 16 pages, of page epoch 2."""
    works.ledger.begin_layout(works.issuer.id, 4)
    sum(Repaging(works.context, "demo", None).work("me"))


@pytest.mark.conformance("R-20")
def test_pages_that_the_ledger_does_not_know_let_nobody_sign(
    works: Works, capsys: pytest.CaptureFixture[str]
) -> None:
    """A2: an audit cannot compare what is in them, so it is not taken for nothing."""
    repage(works)
    victim = good(works)[0].serial
    works.revoke(victim, reason=1)
    settle_pages(works)
    restored(works, Sources(store=False))
    found = Audited(works, capsys).report()["findings"]
    (layout,) = [one for one in found if one["kind"] == "layout_unknown"]
    assert layout["first"][0]["message"] == "page_epoch is 2 in the store, not 1"
    assert refused(works)
    restored(works)
    assert Audited(works, capsys).kinds() == {}
    assert not refused(works) and works.is_revoked(victim)


def test_an_older_ledger_put_back_by_hand_is_not_signed_from(works: Works) -> None:
    """Its pages would be those of before they were laid out anew, with the answers of then."""
    repage(works)
    before = works.reader.issuer("demo")
    works.context.close()
    copy = works.directory / "copy.db"
    copy.replace(works.directory / "ledger.db")
    works.context = works.open()
    with Pool(works.file, 1, works.clock) as pool:
        with pytest.raises(LedgerError, match="page epoch 2, the ledger has 1: an older ledger was put back"):
            open_service(works.context, "demo", pool)
    assert works.reader.issuer("demo") == before


@pytest.mark.slow
@pytest.mark.conformance("R-20")
@pytest.mark.parametrize("moment", ["before", "meanwhile"])
def test_answers_stay_right_when_pages_were_laid_out_anew_since_the_backup(
    store_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], moment: str
) -> None:
    """A2: asked of a real responder all the time: after the loss, the restore, the audit, and while `run` signs."""
    works = Works(tmp_path, store_url, SystemClock(), page_bits=2)
    rows = works.add_some(200)
    settle(works)
    if moment == "meanwhile":
        works.ledger.begin_layout(works.issuer.id, 4)
    backup(tmp_path / "ledger.db", tmp_path / "copy.db", lambda done, total: None)
    repage(works)
    works.revoke(*(row.serial for row in rows[:100]), reason=1)
    settle_pages(works)
    with serving(works) as url:
        audited = Audited(works, capsys, (url,))

        def answers_are_right() -> None:
            report = audited.report(sample=200)
            assert report["clean"] and report["issuers"][0]["answers"] == 800

        answers_are_right()
        works.context.close()
        for path in tmp_path.glob("ledger.db*"):
            path.unlink()
        restored(works)
        assert works.issuer.layout == (2, 4)
        answers_are_right()
        with Service(tmp_path, 0).signing():
            for _ in range(3):
                answers_are_right()
            works.revoke(rows[150].serial)
            wait_until(lambda: works.is_revoked(rows[150].serial))
            answers_are_right()
        works.context.close()


@pytest.mark.slow
@pytest.mark.conformance("R-20")
def test_a_thousand_revocations_younger_than_the_backup_are_answered_again(
    store_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A2: asked of a real responder, before the loss and after the restore; half of them are on CRLs too."""
    works = Works(tmp_path, store_url, SystemClock(), page_bits=4)
    rows = works.add_some(1_200)
    settle(works)
    backup(tmp_path / "ledger.db", tmp_path / "copy.db", lambda done, total: None)
    victims = [row.serial for row in rows[:1_000]]
    works.revoke(*victims[:500], reason=1)
    time.sleep(1.1)  # two CRLs of one shard are not of one second
    settle(works)
    works.revoke(*victims[500:], reason=4)
    settle_pages(works)
    with serving(works) as url:
        audited = Audited(works, capsys, (url,))
        assert audited.report(sample=1_200)["clean"]
        works.context.close()
        for path in tmp_path.glob("ledger.db*"):
            path.unlink()
        restored(works)
        assert audited.kinds(sample=1_200) == {}
        settle_pages(works)
        report = audited.report(full=True, sample=1_200)
        assert report["clean"] and report["issuers"][0]["answers"] == 4_800
        found = works.ledger.snapshot(works.issuer.id, 0, 2**32 - 1).rows
        assert {row.serial for row in found if row.revoked} == set(victims)
        works.context.close()
