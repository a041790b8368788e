import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, event, inspect

from signer.ledger import crls, schema
from signer.ledger.errors import LedgerError
from signer.ledger.ledger import Ledger
from signer.ledger.upgrade import newest
from signer.ledger.values import LedgerIssuer, Revocation
from tests.signer.ledgers import NOW, certificate_row, revoke


def test_migrations_make_the_tables_that_the_code_reads(ledger: Ledger, ledger_url: str) -> None:
    engine = create_engine(ledger_url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
        assert "WITHOUT ROWID" in str(
            connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'certificate'").scalar()
        )
        assert {one["name"] for one in inspect(connection).get_indexes("certificate")} == {
            "certificate_by_shard",
            "certificate_by_revocation",
        }
    engine.dispose()


def test_the_newest_schema_is_known_without_asking_the_migrations() -> None:
    assert newest() == schema.REVISION


def test_nobody_else_may_read_the_file(ledger: Ledger, r1: LedgerIssuer, tmp_path: Path) -> None:
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["ledger.db", "ledger.db-shm", "ledger.db-wal"]
    assert all(stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600 for name in files)


@pytest.mark.invariant("A4")
def test_every_commit_is_durable(ledger: Ledger) -> None:
    with ledger._engine.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def query_plan(ledger: Ledger, statement: str) -> list[str]:
    with ledger._engine.connect() as connection:
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")]


def test_a_crl_is_read_from_its_index_alone(ledger: Ledger, r1: LedgerIssuer) -> None:
    statement = (
        "SELECT serial, revocation_time, reason FROM certificate WHERE issuer_id = 1 "
        "AND series = 0 AND shard_index = 0 AND revocation_time IS NOT NULL "
        "AND NOT (not_after < 5 AND revoked_generation <= 7) ORDER BY serial"
    )
    assert query_plan(ledger, statement) == [
        "SEARCH certificate USING COVERING INDEX certificate_by_shard (issuer_id=? AND series=? AND shard_index=?)"
    ]


def test_new_revocations_are_found_by_their_index_alone(ledger: Ledger, r1: LedgerIssuer) -> None:
    statement = (
        "SELECT series * 65536 + shard_index, min(revoked_generation) FROM certificate "
        "WHERE issuer_id = 1 AND revoked_generation > 7 "
        "GROUP BY series * 65536 + shard_index"
    )
    assert query_plan(ledger, statement)[0] == (
        "SEARCH certificate USING COVERING INDEX certificate_by_revocation (issuer_id=? AND revoked_generation>?)"
    )


def test_a_ledger_of_the_first_schema_is_upgraded(ledger: Ledger, ledger_url: str) -> None:
    ledger.close()
    with sqlite3.connect(ledger_url.removeprefix("sqlite:///")) as connection:
        connection.execute("DROP INDEX certificate_by_revocation")
        connection.execute("DROP TABLE reservation")
        connection.execute("DROP TABLE repaging")
        connection.execute("DROP TABLE signed_response")
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.close()
    with pytest.raises(LedgerError, match="has schema 0001, this release needs schema 0005"):
        Ledger.open(ledger_url)
    with pytest.raises(LedgerError, match="has schema 0001") as caught:
        Ledger.open(ledger_url, create=True)  # what an import does
    assert caught.value.remedy is not None and "ledger upgrade" in caught.value.remedy
    Ledger.open(ledger_url, upgrade=True).close()
    Ledger.open(ledger_url).close()


def test_a_ledger_of_a_later_release_is_left_alone(ledger: Ledger, ledger_url: str) -> None:
    ledger.close()
    with sqlite3.connect(ledger_url.removeprefix("sqlite:///")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    for upgrade in (False, True):
        with pytest.raises(LedgerError, match="has schema 9999, this release knows 0005 and older ones"):
            Ledger.open(ledger_url, upgrade=upgrade)


def test_opening_does_not_make_a_ledger(tmp_path: Path) -> None:
    path = tmp_path / "absent.db"
    with pytest.raises(LedgerError, match="there is no ledger here") as caught:
        Ledger.open(f"sqlite:///{path}")
    assert caught.value.remedy is not None and "ocsp-signer import" in caught.value.remedy
    assert not path.exists()


def test_another_database_is_not_a_ledger(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    with pytest.raises(LedgerError, match="is not a ledger, this release needs schema 0005"):
        Ledger.open(f"sqlite:///{path}")


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("not a database, but longer than the header of one would be" * 50)
    for create in (False, True):
        with pytest.raises(LedgerError, match="file is not a database"):
            Ledger.open(f"sqlite:///{path}", create=create)


@pytest.mark.parametrize("url", ["ledger.db", "mysql://h/d", "sqlite://", "sqlite:///"])
def test_a_url_that_names_no_ledger_is_told(url: str) -> None:
    with pytest.raises(LedgerError, match="url"):
        Ledger.open(url)


def test_a_second_opening_does_not_lose_the_locks_of_the_first(ledger_url: str, tmp_path: Path) -> None:
    """SQLite's locks are POSIX locks: a process gives them all up when it closes any descriptor of the file."""
    first = Ledger.open(ledger_url, create=True)
    Ledger.open(ledger_url, create=True).close()
    Ledger.open(ledger_url, create=True)
    other = f"from signer.ledger.ledger import Ledger; Ledger.open({ledger_url!r}).close()"
    subprocess.run([sys.executable, "-c", other], cwd=Path(__file__).parents[2], check=True)
    path = Path(ledger_url.removeprefix("sqlite:///"))
    assert path.with_name(f"{path.name}-wal").exists()  # the other one was not the last to leave
    first.close()


def test_many_may_create_it_at_once(ledger_url: str) -> None:
    command = [
        sys.executable,
        "-c",
        f"from signer.ledger.ledger import Ledger; Ledger.open({ledger_url!r}, create=True)",
    ]
    root = Path(__file__).parents[2]
    children = [subprocess.Popen(command, cwd=root) for _ in range(3)]
    assert [child.wait() for child in children] == [0, 0, 0]
    Ledger.open(ledger_url).close()


def test_a_full_disk_is_told_and_leaves_what_was(ledger: Ledger, r1: LedgerIssuer) -> None:
    ledger.add_certificates(r1.id, [certificate_row(b"\x01")], NOW)
    with ledger._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    rows = sorted(certificate_row(os.urandom(16)) for _ in range(5_000))
    with pytest.raises(LedgerError, match="database or disk is full"):
        ledger.add_certificates(r1.id, rows, NOW)
    assert pages and ledger.counts(r1.id, NOW).certificates == 1


@pytest.mark.invariant("G5")
@pytest.mark.parametrize("statement", ["UPDATE journal SET actor = 'x'", "DELETE FROM journal"])
def test_the_journal_can_only_grow(ledger: Ledger, r1: LedgerIssuer, ledger_url: str, statement: str) -> None:
    connection = sqlite3.connect(ledger_url.removeprefix("sqlite:///"))
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
    connection.close()


def test_a_journal_altered_behind_our_back_is_noticed(
    ledger: Ledger, r1: LedgerIssuer, ledger_url: str
) -> None:
    ledger.add_certificates(r1.id, [certificate_row(b"\x01")], NOW)
    revoke(ledger, r1.id, [Revocation(b"\x01", NOW)])
    assert ledger.verify_journal() == 5  # issuer, series, the revocation with its beginning and end
    with sqlite3.connect(ledger_url.removeprefix("sqlite:///")) as connection:
        connection.execute("DROP TRIGGER journal_no_update")
        connection.execute("UPDATE journal SET detail = replace(detail, '\"r1\"', '\"r2\"') WHERE seq = 2")
    connection.close()
    with pytest.raises(LedgerError, match="journal entry 2: it was changed"):
        ledger.verify_journal()


def test_the_latest_crls_are_looked_up_one_by_one(ledger: Ledger, r1: LedgerIssuer) -> None:
    """There is a row for each CRL of years: reading them all every few seconds would take a core."""
    with ledger._engine.connect() as connection:
        seen: list[str] = []
        event.listen(connection, "before_cursor_execute", lambda *call: seen.append(call[2]))
        crls.publications(connection, r1.id)
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {seen[-1]}", (r1.id,)).fetchall()
    assert not any("SCAN" in row[3] for row in plan)
    assert "crl_number (issuer_id=?)" in plan[0][3].replace("sqlite_autoindex_crl_number_1", "crl_number")
