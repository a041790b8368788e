import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest

from signer.ledger import staging
from signer.ledger.backup import opened
from signer.ledger.engine import CHECKED_BEFORE, WRITE, open_engine
from signer.ledger.errors import LedgerError
from signer.ledger.ledger import Ledger
from signer.ledger.staging import RUN, Staging
from signer.ledger.values import (
    Change,
    ChangeKind,
    CrlPlan,
    ImportEntry,
    LedgerIssuer,
    PlacedBy,
    Placement,
    SeriesSpec,
)
from signer.ledger.write_back import AHEAD, MOST, WriteBack
from store.model import Issuer
from tests.signer.ledgers import NOW, YEAR, certificate_row, certificate_rows

EVERYTHING = (0, (1 << 32) - 1)


def test_dense_rows_are_one_change_a_commit(ledger: Ledger, r1: LedgerIssuer) -> None:
    rows = certificate_rows(12_000)
    settled: list[int] = []
    outcome = ledger.add_certificates(r1.id, iter(rows), NOW, progress=settled.append)
    assert (outcome.new, settled) == (12_000, [4_000, 4_000, 4_000])
    changes = ledger.changes(r1.id, r1.generation, 100)
    assert [change.kind for change in changes] == [ChangeKind.IMPORT] * 3
    edges = [(change.first_hash32, change.last_hash32) for change in changes]
    assert edges == [(rows[at].hash32, rows[at + 3_999].hash32) for at in (0, 4_000, 8_000)]


def test_scattered_rows_are_a_change_each(ledger: Ledger, r1: LedgerIssuer) -> None:
    """16 pages and 2 certificates: a range over them would have 16 pages signed for nothing."""
    rows = sorted([certificate_row(b"\x01"), certificate_row(b"\x02")])
    assert rows[-1].hash32 - rows[0].hash32 > 8 << 28
    ledger.add_certificates(r1.id, rows, NOW)
    changes = ledger.changes(r1.id, r1.generation, 100)
    assert [(change.kind, change.serial) for change in changes] == [
        (ChangeKind.ISSUE, row.serial) for row in rows
    ]


def test_many_scattered_rows_are_numbered_one_by_one(ledger: Ledger, issuer: Issuer) -> None:
    """More than a statement holds, and some that are left over."""
    large = ledger.ensure_issuer(issuer, 20, CrlPlan((SeriesSpec("http://c.example/{index}.crl", 4),)), NOW)
    rows = certificate_rows(2_120)
    ledger.add_certificates(large.id, rows, NOW)
    changes = ledger.changes(large.id, large.generation, 3_000)
    assert changes == [
        Change(number, ChangeKind.ISSUE, row.hash32, row.hash32, row.serial)
        for number, row in enumerate(rows, start=large.generation + 1)
    ]
    assert ledger.generation(large.id) == changes[-1].generation


@pytest.mark.parametrize("known", [[0], [7_999], [3, 4_500, 11_000], range(4_000, 12_000)])
def test_a_row_that_is_known_shows_when_its_batch_is_written(
    ledger: Ledger, r1: LedgerIssuer, known: Sequence[int]
) -> None:
    """Of a batch with one nothing stays of the first attempt: every commit is one change, and the numbers have no gap."""
    rows = certificate_rows(12_000, revoked_every=9)
    ledger.add_certificates(r1.id, [rows[at] for at in known], NOW - 5)
    before = ledger.generation(r1.id)
    outcome = ledger.add_certificates(r1.id, rows, NOW)
    assert (outcome.new, outcome.unchanged) == (12_000 - len(known), len(known))
    assert ledger.snapshot(r1.id, *EVERYTHING).rows == rows
    changes = ledger.changes(r1.id, before, 100)
    assert [change.kind for change in changes] == [ChangeKind.IMPORT] * len(changes)
    after = ledger.generation(r1.id)
    assert [change.generation for change in changes] == list(range(before + 1, after + 1))


def test_the_same_again_changes_nothing(ledger: Ledger, r1: LedgerIssuer) -> None:
    rows = certificate_rows(6_000, revoked_every=7)
    ledger.add_certificates(r1.id, rows, NOW)
    before = ledger.snapshot(r1.id, *EVERYTHING)
    outcome = ledger.add_certificates(r1.id, rows, NOW + 5)
    assert (outcome.new, outcome.unchanged, outcome.revoked, outcome.updated) == (0, 6_000, 0, 0)
    assert ledger.snapshot(r1.id, *EVERYTHING) == before


def test_only_what_is_missing_is_added(ledger: Ledger, r1: LedgerIssuer) -> None:
    rows = certificate_rows(6_000)
    ledger.add_certificates(r1.id, rows[::2], NOW)
    outcome = ledger.add_certificates(r1.id, rows, NOW)
    assert (outcome.new, outcome.unchanged) == (3_000, 3_000)
    assert ledger.snapshot(r1.id, *EVERYTHING).rows == rows


def test_revocations_are_taken_over_and_never_taken_back(ledger: Ledger, r1: LedgerIssuer) -> None:
    good, revoked, later = b"\x01", b"\x02", b"\x03"
    rows = [certificate_row(good), certificate_row(revoked, NOW - 5), certificate_row(later, NOW - 5)]
    ledger.add_certificates(r1.id, sorted(rows), NOW)
    before = ledger.generation(r1.id)
    rows = [
        certificate_row(good, NOW - 1, reason=1),
        certificate_row(revoked),
        certificate_row(later, NOW - 9),
    ]
    outcome = ledger.add_certificates(r1.id, sorted(rows), NOW)
    assert (outcome.revoked, outcome.updated, outcome.kept_revoked.first) == (1, 1, [revoked])
    times = {row.serial: row.revocation_time for row in ledger.snapshot(r1.id, *EVERYTHING).rows}
    assert times == {good: NOW - 1, revoked: NOW - 5, later: NOW - 9}
    changes = {change.serial: change.kind for change in ledger.changes(r1.id, before, 10)}
    assert changes == {good: ChangeKind.REVOKE, later: ChangeKind.UPDATE}


def test_rows_out_of_order_or_twice_are_refused(ledger: Ledger, r1: LedgerIssuer) -> None:
    rows = certificate_rows(3)
    for bad in (rows[::-1], [rows[0], rows[0]]):
        with pytest.raises(LedgerError, match="out of order or twice"):
            ledger.add_certificates(r1.id, bad, NOW)
    assert ledger.generation(r1.id) == r1.generation


def test_a_killed_import_leaves_whole_commits_and_can_be_repeated(
    ledger: Ledger, ledger_url: str, r1: LedgerIssuer
) -> None:
    script = (
        "import sys\n"
        "from signer.ledger.ledger import Ledger\n"
        "from tests.signer.ledgers import NOW, certificate_rows\n"
        f"ledger = Ledger.open({ledger_url!r})\n"
        f"ledger.add_certificates({r1.id}, certificate_rows(40_000), NOW, progress=lambda count: print(count, flush=True))\n"
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=root) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.send_signal(signal.SIGKILL)
    written = len(ledger.snapshot(r1.id, *EVERYTHING).rows)
    assert written and written % 4_000 == 0
    assert len(ledger.changes(r1.id, r1.generation, 100)) == written // 4_000
    outcome = ledger.add_certificates(r1.id, certificate_rows(40_000), NOW)
    assert (outcome.new, outcome.unchanged) == (40_000 - written, written)


def test_staging_sorts_and_keeps_every_field(tmp_path: Path) -> None:
    rows = [
        certificate_row(b"\x00"),
        certificate_row(b"\x01", NOW - 1, reason=9),
        certificate_row(b"\x01\x00", -1, not_after=253_402_300_799),
        certificate_row(b"\xff" * 20, 0, reason=1, not_after=-5),
    ]
    with Staging(tmp_path) as staging:
        for row in rows:
            staging.add(row.serial, row.not_after, row.revocation_time, row.reason)
        assert list(staging.merged()) == sorted(rows, key=lambda row: (row.hash32, row.serial))


def test_one_serial_in_several_rows_is_revoked_if_any_is(tmp_path: Path) -> None:
    serial = b"\x0a"
    rows: list[tuple[int, int | None, int]] = [(9, None, 0), (5, NOW, 1), (7, NOW - 50, 4), (8, None, 0)]
    for seed in range(5):
        random.Random(seed).shuffle(rows)
        with Staging(tmp_path) as staging:
            for not_after, revoked, reason in rows:
                staging.add(serial, not_after, revoked, reason)
            assert list(staging.merged()) == [certificate_row(serial, NOW - 50, reason=1, not_after=9)]


def test_staging_goes_through_files_when_it_has_to(tmp_path: Path) -> None:
    count = RUN + 1_000
    with Staging(tmp_path) as staging:
        for number in range(count):
            staging.add((number % (RUN + 500)).to_bytes(4), NOW + YEAR, None, 0)
        merged = list(staging.merged())
    assert len(merged) == RUN + 500
    assert merged == sorted(merged)


def test_runs_are_merged_whatever_lies_in_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One serial's rows in many runs and blocks, and rows that are left out, too."""
    monkeypatch.setattr(staging, "RUN", 40)
    monkeypatch.setattr(staging, "READ", 3)
    chooser = random.Random(7)
    serials = [bytes([number]) for number in (*range(100), *[5] * 60, *[6] * 7, *range(100))]
    chooser.shuffle(serials)
    with Staging(tmp_path) as staged:
        for where, serial in enumerate(serials):
            staged.add(serial, where, None, 0, where=where)
        groups = list(staged.groups())
        merged = list(staged.merged())
        odd = list(staged.merged(without=set(range(0, len(serials), 2))))
    last = {serial: where for where, serial in enumerate(serials)}
    assert merged == sorted(certificate_row(serial, not_after=where) for serial, where in last.items())
    assert sorted(row.where for group in groups for row in group) == list(range(len(serials)))
    assert [group[0].row.serial for group in groups] == [row.serial for row in merged]
    last = {serial: where for where, serial in enumerate(serials) if where % 2}
    assert odd == sorted(certificate_row(serial, not_after=where) for serial, where in last.items())


def test_serials_of_one_hash_have_an_order_too(ledger: Ledger, r1: LedgerIssuer) -> None:
    first = certificate_row(b"\x01")
    rows = [first, first._replace(serial=b"\x02"), first._replace(serial=b"\x03")]
    with pytest.raises(LedgerError, match="serial 02 came out of order or twice"):
        ledger.add_certificates(r1.id, [rows[0], rows[2], rows[1]], NOW)
    assert ledger.add_certificates(r1.id, rows, NOW).new == 3


def test_scattered_rows_are_fewer_a_commit(ledger: Ledger, issuer: Issuer) -> None:
    """Each is in another leaf of the table: as many as of dense ones would hold other writers up."""
    plan = CrlPlan((SeriesSpec("http://c.example/{index}.crl", 4),))
    large = ledger.ensure_issuer(issuer, 20, plan, NOW)
    settled: list[int] = []
    outcome = ledger.add_certificates(large.id, certificate_rows(7_500), NOW, progress=settled.append)
    assert (outcome.new, settled) == (7_500, [*[1_000] * 7, 500])
    assert ledger.snapshot(large.id, *EVERYTHING).rows == certificate_rows(7_500)


def test_a_series_that_is_not_there_is_refused(ledger: Ledger, r1: LedgerIssuer) -> None:
    row = certificate_row(b"\x01")._replace(placement=Placement(9, 0, PlacedBy.FILE))
    with pytest.raises(LedgerError, match="there is no CRL series 9"):
        ledger.add_certificates(r1.id, [row], NOW)


def test_a_reason_is_checked_of_known_certificates_too(ledger: Ledger, r1: LedgerIssuer) -> None:
    """The database does not check it in an import."""
    ledger.add_certificates(r1.id, [certificate_row(b"\x01")], NOW)
    with pytest.raises(LedgerError, match="reason 6"):
        ledger.add_certificates(r1.id, [certificate_row(b"\x01", NOW - 1, reason=6)], NOW)


def test_constraints_hold_again_after_an_import(ledger: Ledger, ledger_url: str) -> None:
    engine = open_engine(ledger_url)
    checks = ("PRAGMA foreign_keys", "PRAGMA ignore_check_constraints", "PRAGMA wal_autocheckpoint")
    ordinary, importing = [1, 0, 1_000], [0, 1, 0]
    for options, expected in (({}, ordinary), ({CHECKED_BEFORE: True}, importing), ({}, ordinary)):
        with engine.execution_options(**{WRITE: True} | options).begin() as connection:
            assert [connection.exec_driver_sql(check).scalar_one() for check in checks] == expected
    engine.dispose()


def wal(ledger_url: str) -> Path:
    return Path(ledger_url.removeprefix("sqlite:///") + "-wal")


def test_the_wal_does_not_grow_with_an_import(
    ledger: Ledger, ledger_url: str, r1: LedgerIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signer.ledger.write_back.MOST", 1)
    rows = certificate_rows(60_000)
    sizes: list[int] = []
    ledger.add_certificates(
        r1.id, rows, NOW, progress=lambda count: sizes.append(wal(ledger_url).stat().st_size)
    )
    assert len(sizes) == 15
    assert sizes[-1] < 3 * sizes[0]


@pytest.mark.parametrize(("most", "commits"), [(MOST, AHEAD), (0, 1)], ids=["commits", "pages"])
def test_an_import_that_is_far_ahead_waits(
    ledger: Ledger, ledger_url: str, monkeypatch: pytest.MonkeyPatch, most: int, commits: int
) -> None:
    monkeypatch.setattr("signer.ledger.write_back.MOST", most)
    engine = open_engine(ledger_url)
    write_back = WriteBack(engine)
    for _ in range(commits):
        write_back.committed()
    waiting = Thread(target=write_back.wait, daemon=True)
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    with write_back:
        waiting.join(60)
    assert not waiting.is_alive()
    engine.dispose()


def test_an_import_of_many_commits_is_one_in_the_journal(ledger: Ledger, r1: LedgerIssuer) -> None:
    entry = ImportEntry("somebody", {"file": "index.txt"})
    ledger.add_certificates(r1.id, certificate_rows(12_000), NOW, entry=entry)
    told = [(one.actor, one.event) for one in ledger.journal_entries() if one.event.startswith("import")]
    assert told == [("somebody", "import begun"), ("somebody", "import done")]


def test_what_an_import_committed_is_written_back_at_its_end(
    ledger: Ledger, ledger_url: str, r1: LedgerIssuer
) -> None:
    ledger.add_certificates(r1.id, certificate_rows(6_000), NOW)
    file = f"file:{ledger_url.removeprefix('sqlite:///')}?immutable=1"  # what is in the WAL is not looked at
    with closing(sqlite3.connect(file, uri=True)) as connection:
        assert connection.execute("SELECT count(*) FROM certificate").fetchone() == (6_000,)


def test_a_reader_that_holds_the_wal_back_does_not_hold_the_import_up(
    ledger: Ledger, ledger_url: str, r1: LedgerIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signer.ledger.write_back.MOST", 1)
    with opened(Path(ledger_url.removeprefix("sqlite:///"))) as reader:
        reader.execute("BEGIN")
        before = reader.execute("SELECT count(*) FROM certificate").fetchone()
        assert ledger.add_certificates(r1.id, certificate_rows(20_000), NOW).new == 20_000
        assert reader.execute("SELECT count(*) FROM certificate").fetchone() == before


def test_what_goes_wrong_in_writing_back_ends_the_import(
    ledger: Ledger, r1: LedgerIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signer.ledger.write_back.MOST", 0)
    monkeypatch.setattr("signer.ledger.write_back.PASSIVE", "PRAGMA no such thing")
    with pytest.raises(LedgerError, match="the ledger cannot be used: near"):
        ledger.add_certificates(r1.id, certificate_rows(20_000), NOW)
