"""`python -m bench.ingest` from its files to its last line, as small as it gets."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.ingest.__main__ import app
from bench.ingest.contenders import Import, Run, WrongImport
from bench.ingest.corpus import create_authority_for_imports, write_csv, write_index
from bench.ingest.session import Series

ROOT = Path(__file__).parents[2]
SMALL = ("--rows", "600", "--large", "900", "--rounds", "1")


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.ingest", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_a_small_run_prints_a_table_and_one_json_object() -> None:
    done = bench(*SMALL, "--row", "csv", "--quick")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    figures = ("csv_rows_per_s", "longest_commit_ms", "peak_mib")
    assert all(result[name] > 0 for name in figures)
    assert {"missing", "date", "commit", "machine", "kernel", "python", "versions"} <= result.keys()
    assert "import csv" in done.stdout
    if result["missing"]:
        assert "csv_vs_sqlite" not in result
    else:
        assert result["csv_vs_sqlite"] > 0
        assert [series["rows"] for series in result["series"]] == [600, 600]


@pytest.mark.slow
def test_every_row_runs() -> None:
    done = bench(*SMALL, "--quick")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    figures = (
        "index_rows_per_s",
        "csv_rows_per_s",
        "into_large_rows_per_s",
        "filling_rows_per_s",
        "rival_p99_ms",
    )
    assert all(result[name] > 0 for name in figures)


def test_an_unknown_row_is_refused() -> None:
    done = CliRunner().invoke(app, ["--row", "indexes"])
    assert done.exit_code == 2
    assert "no such row: indexes" in done.output


@pytest.mark.slow
def test_an_import_that_recorded_something_else_is_no_result(tmp_path: Path) -> None:
    config = create_authority_for_imports(tmp_path / "ca")
    write_index(config.with_name("index.txt"), 3, 1)
    with pytest.raises(WrongImport, match="3 certificates recorded, not 4"):
        Import(config, "openssl-index", config.with_name("index.txt"), 4).run()


def test_both_files_have_the_same_certificates(tmp_path: Path) -> None:
    write_index(tmp_path / "index", 45, 1)
    write_csv(tmp_path / "csv", 45, 1)
    index = [line.split("\t") for line in (tmp_path / "index").read_text().splitlines()]
    csv = [line.split(",") for line in (tmp_path / "csv").read_text().splitlines()[1:]]
    assert [row[3].lower() for row in index] == [row[0] for row in csv]
    assert len({row[3] for row in index}) == 45
    assert [row[0] == "R" for row in index] == [row[2] == "revoked" for row in csv]
    assert sum(row[0] == "R" for row in index) == 3


def test_a_ratio_is_that_of_the_rounds() -> None:
    ours = Series("ours", [Run(10, seconds, 1, 1, 0.01) for seconds in (1, 2, 9)])
    theirs = Series("theirs", [Run(10, seconds, 1, 1) for seconds in (1, 1, 3)])
    assert (ours.ratio(theirs), ours.rows_per_s) == (2, 5)
    assert (ours.longest_commit_ms, theirs.longest_commit_ms) == (10, None)
