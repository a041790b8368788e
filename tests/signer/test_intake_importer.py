from pathlib import Path

import pytest

from signer.intake.importer import FORMATS, ImportReport, stage
from signer.intake.scope import Scope, Shards
from signer.ledger.ledger import Ledger
from signer.ledger.values import LedgerIssuer
from store.errors import UsageError
from tests.signer.conftest import make_issuer
from tests.signer.ledgers import NOW

GOOD = "V\t350101000000Z\t\t{:X}\tunknown\t/CN=x\n"
REVOKED = "R\t350101000000Z\t260101000000Z{}\t{:X}\tunknown\t/CN=x\n"
EXPIRED = "E\t200101000000Z\t\t{:X}\tunknown\t/CN=x\n"


def read(path: Path, text: str, ledger: Ledger | None = None, issuer_id: int = 0) -> ImportReport:
    path.write_text(text)
    with stage("openssl-index", path, scope(), lambda count: None, path.parent) as staged:
        if ledger is None:
            staged.count()
        else:
            staged.write(ledger, issuer_id, NOW, lambda count: None)
        return staged.report


def scope() -> Scope:
    return Scope(make_issuer("r1"), Shards("r1", []), NOW)


def check_sums(report: ImportReport) -> None:
    assert report.rows == report.good + report.revoked + report.expired + report.rejected.count
    assert report.outcome.serials == report.good + report.revoked + report.expired - report.duplicates


def test_rows_are_counted_once_each(tmp_path: Path, ledger: Ledger, r1: LedgerIssuer) -> None:
    text = (
        GOOD.format(1)
        + GOOD.format(2)
        + REVOKED.format(",certificateHold", 2)
        + REVOKED.format(",superseded", 3)
        + EXPIRED.format(4)
        + "nonsense\n"
        + GOOD.format(1)
    )
    report = read(tmp_path / "index.txt", text, ledger, r1.id)
    check_sums(report)
    assert (report.rows, report.good, report.revoked, report.expired) == (7, 3, 2, 1)
    assert (report.rejected.count, report.adjusted.count, report.duplicates) == (1, 1, 2)
    assert [note.line for note in report.rejected.first] == [6]
    assert report.adjusted.first[0].line == 3
    assert "serial 02: reason 6" in report.adjusted.first[0].message
    assert report.outcome.new == 4
    found = ledger.find(r1.id, b"\x02")
    assert found is not None and found.revocation_time is not None


def test_reading_again_changes_nothing(tmp_path: Path, ledger: Ledger, r1: LedgerIssuer) -> None:
    text = "".join(GOOD.format(number) for number in range(200)) + REVOKED.format(",keyCompromise", 0xFFFF)
    read(tmp_path / "index.txt", text, ledger, r1.id)
    generation = ledger.generation(r1.id)
    report = read(tmp_path / "index.txt", text, ledger, r1.id)
    check_sums(report)
    assert (report.outcome.new, report.outcome.unchanged) == (0, 201)
    assert ledger.generation(r1.id) == generation


@pytest.mark.invariant("A1", "G5")
def test_a_file_cannot_unrevoke(tmp_path: Path, ledger: Ledger, r1: LedgerIssuer) -> None:
    read(tmp_path / "index.txt", REVOKED.format("", 5), ledger, r1.id)
    report = read(tmp_path / "index.txt", GOOD.format(5), ledger, r1.id)
    check_sums(report)
    assert report.outcome.kept_revoked.first == [b"\x05"]
    found = ledger.find(r1.id, b"\x05")
    assert found is not None and found.revocation_time is not None


def test_only_the_first_thousand_bad_rows_are_kept(tmp_path: Path) -> None:
    report = read(tmp_path / "index.txt", "bad\n" * 2_500)
    assert (report.rejected.count, len(report.rejected.first), report.rows) == (2_500, 1_000, 2_500)


def test_counting_without_writing_finds_duplicates(tmp_path: Path) -> None:
    report = read(tmp_path / "index.txt", GOOD.format(1) * 3 + GOOD.format(2))
    assert report.duplicates == 2


def test_a_large_file_reports_how_far_it_is(tmp_path: Path) -> None:
    path = tmp_path / "index.txt"
    path.write_text("".join(GOOD.format(number) for number in range(25_000)))
    told: list[int] = []
    with stage("openssl-index", path, scope(), told.append, tmp_path):
        pass
    assert len(told) == 2
    assert 0 < sum(told) <= path.stat().st_size


def test_an_empty_file_is_read(tmp_path: Path) -> None:
    assert read(tmp_path / "index.txt", "").rows == 0


@pytest.mark.parametrize("name", ["absent.txt", "."])
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with (
        pytest.raises(UsageError, match="cannot be read"),
        stage("openssl-index", path, scope(), lambda n: None, None),
    ):
        pass


def test_formats_of_the_command_are_those_there_are() -> None:
    from signer.cli import ImportFormat

    assert {one.value for one in ImportFormat} == set(FORMATS)
