import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from signer.commands.ledger import backup as backup_command
from signer.commands.ledger import upgrade as upgrade_command
from signer.ledger import backup as backing_up
from signer.ledger.backup import backup, check_whole
from signer.ledger.errors import LedgerError
from signer.ledger.ledger import Ledger
from signer.ledger.values import LedgerIssuer
from tests.signer.ledgers import NOW, certificate_rows
from tests.signer.processes import wait_until
from tests.signer.works import FakeClock, plain_config

ROOT = Path(__file__).parents[2]


def unseen(done: int, total: int) -> None:
    """Progress that nobody looks at."""


@pytest.fixture
def path(ledger_url: str) -> Path:
    return Path(ledger_url.removeprefix("sqlite:///"))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "ocsp.toml"
    file.write_text(plain_config("r1"))
    return file


def test_a_backup_is_one_file_with_everything(
    ledger: Ledger, r1: LedgerIssuer, path: Path, tmp_path: Path
) -> None:
    ledger.add_certificates(r1.id, certificate_rows(300, revoked_every=9), NOW)
    (tmp_path / "b").mkdir()
    target = tmp_path / "b" / "copy.db"
    report = backup(path, target, unseen)
    assert [one.name for one in target.parent.iterdir()] == ["copy.db"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert report == check_whole(target)
    assert report.generations == {"r1": ledger.generation(r1.id)}
    assert report.journal_entries == ledger.verify_journal()
    with sqlite3.connect(target) as copied, sqlite3.connect(path) as original:
        assert list(copied.iterdump()) == list(original.iterdump())
    copied.close()
    original.close()


def test_a_backup_replaces_nothing(ledger: Ledger, r1: LedgerIssuer, path: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("dear to somebody")
    with pytest.raises(LedgerError, match="copy.db: is there already"):
        backup(path, target, unseen)
    assert target.read_text() == "dear to somebody"


def test_one_that_comes_meanwhile_stays_too(
    ledger: Ledger, r1: LedgerIssuer, path: Path, tmp_path: Path
) -> None:
    target = tmp_path / "copy.db"
    with pytest.raises(LedgerError, match="copy.db: is there already"):
        backup(path, target, lambda done, total: target.touch())
    assert target.stat().st_size == 0
    assert not list(tmp_path.glob(".copy.db*"))


def test_a_backup_under_a_running_import_is_of_one_moment(
    ledger: Ledger, r1: LedgerIssuer, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commits between its steps, hundreds of them, neither show nor start it anew."""
    monkeypatch.setattr(backing_up, "PAGES", 4)
    rows = certificate_rows(4_000)
    ledger.add_certificates(r1.id, rows[:2_000], NOW)
    stop = threading.Event()
    steps: list[int] = []

    def write() -> None:
        for row in rows[2_000:]:
            ledger.add_certificates(r1.id, [row], NOW)
            if stop.is_set():
                return

    def progress(done: int, total: int) -> None:
        before = ledger.generation(r1.id)
        if not steps:
            writer.start()
        steps.append(done)
        wait_until(lambda: ledger.generation(r1.id) > before)

    writer = threading.Thread(target=write)
    target = tmp_path / "copy.db"
    report = backup(path, target, progress)
    stop.set()
    writer.join()
    assert len(steps) > 5 and steps == sorted(steps)
    assert report.generations["r1"] + len(steps) <= ledger.generation(r1.id)
    copied = Ledger.open(f"sqlite:///{target}")
    generation = copied.generation(r1.id)
    found = copied.snapshot(r1.id, 0, 2**32 - 1)
    issued = [copied.find(r1.id, row.serial) for row in found.rows]
    assert max(one.issued_generation for one in issued if one) == generation == report.generations["r1"]
    assert len(found.rows) == 2_000 + generation - (r1.generation + 1)
    assert copied.verify_journal() == report.journal_entries
    copied.close()


def test_a_damaged_ledger_gives_no_backup(
    ledger: Ledger, r1: LedgerIssuer, path: Path, tmp_path: Path
) -> None:
    ledger.add_certificates(r1.id, certificate_rows(3_000), NOW)
    ledger.close()
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(os.urandom(40_000))
    with pytest.raises(LedgerError, match="damaged|cannot be copied"):
        backup(path, tmp_path / "copy.db", unseen)
    assert sorted(one.name for one in tmp_path.iterdir() if "copy" in one.name) == []


@pytest.mark.parametrize("content", [b"", b"not a database" * 500])
def test_what_is_no_ledger_gives_no_backup(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "some.db").write_bytes(content)
    with pytest.raises(LedgerError, match="cannot be copied or read as a ledger"):
        backup(tmp_path / "some.db", tmp_path / "copy.db", unseen)
    assert not (tmp_path / "copy.db").exists()


def test_a_place_that_cannot_be_written_is_told(
    ledger: Ledger, r1: LedgerIssuer, path: Path, tmp_path: Path
) -> None:
    with pytest.raises(LedgerError, match="cannot be written"):
        backup(path, tmp_path / "no" / "copy.db", unseen)


def test_a_backup_that_is_killed_leaves_nothing_under_its_name(
    ledger: Ledger, r1: LedgerIssuer, path: Path, tmp_path: Path
) -> None:
    ledger.add_certificates(r1.id, certificate_rows(2_000), NOW)
    target = tmp_path / "copy.db"
    script = (
        "import os, signal; from pathlib import Path; from signer.ledger import backup\n"
        "backup.PAGES = 4\n"
        "die = lambda done, total: done > 12 and os.kill(os.getpid(), signal.SIGKILL)\n"
        f"backup.backup(Path({str(path)!r}), Path({str(target)!r}), die)"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT).returncode == -9
    assert not target.exists()
    backup(path, target, unseen)
    assert check_whole(target).generations == {"r1": ledger.generation(r1.id)}


def test_a_backup_is_journalled(
    ledger: Ledger, r1: LedgerIssuer, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "copy.db"
    backup_command(config, target, as_json=True, quiet=True, clock=FakeClock())
    told = json.loads(capsys.readouterr().out)
    *before, last = ledger.journal_entries()
    assert (last.event, last.recorded_at, last.detail) == ("backup", NOW, told)
    assert (told["file"], told["journal_hash"]) == (str(target), before[-1].entry_hash.hex())


def test_an_upgrade_keeps_the_ledger_as_it_was(
    ledger: Ledger, r1: LedgerIssuer, config: Path, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.close()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE reservation")
        connection.execute("DROP TABLE repaging")
        connection.execute("DROP TABLE signed_response")
        connection.execute("UPDATE alembic_version SET version_num = '0002'")
    connection.close()
    upgrade_command(config, as_json=True, quiet=True, clock=FakeClock())
    told = json.loads(capsys.readouterr().out)
    copy = path.with_name("ledger.db.schema-0002.20260921T141320Z")
    assert told == {"from": "0002", "to": "0005", "backup": str(copy)}
    with sqlite3.connect(copy) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0002",)
    connection.close()
    upgraded = Ledger.open(f"sqlite:///{path}")
    *_, last = upgraded.journal_entries()
    assert (last.event, last.detail) == ("upgrade", told)
    upgraded.close()
    upgrade_command(config, as_json=True, quiet=True, clock=FakeClock())
    assert json.loads(capsys.readouterr().out)["backup"] is None
