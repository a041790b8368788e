"""`python -m bench.scale` from its index.txt to its last line, as small as it gets."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.scale.__main__ import app
from bench.scale.corpus import REVOKED_EVERY, write_index
from bench.scale.result import as_lines, goals
from bench.scale.session import Measured, Plan
from bench.scale.watched import Took

ROOT = Path(__file__).parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.scale", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)


@pytest.mark.slow
def test_a_small_run_prints_tables_and_one_json_object(tmp_path: Path) -> None:
    place = tmp_path / "kept"
    done = bench("--certificates", "300", "--workers", "1", "--dir", str(place), "--keep")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert [phase["name"] for phase in result["phases"]] == ["import", "sign", "crl"]
    assert all(phase["cpu_s"] > 0 and phase["peaks_mib"][0] > 1 for phase in result["phases"])
    assert result["verified"] == 600
    assert result["store_bytes"] > 600 * 64
    assert result["pages"] == 64
    assert "large_vs_small" not in result  # a cache would have them all
    assert "36" not in result["missing"][0]
    assert {path.name for path in place.iterdir()} >= {"ledger.db", "ca.key", "ocsp.toml", "objects"}
    assert next((place / ".ocspeed").rglob("dump.rdb")).stat().st_size > 600 * 64
    assert not (place / "index.txt").exists()


@pytest.mark.slow
def test_lookups(tmp_path: Path) -> None:  # a short name: the path of a socket has its limit
    """Which ratio it comes to depends on who else is at work here: that it is measured, and of what."""
    done = bench("--certificates", "50000", "--quick", "--dir", str(tmp_path / "made"))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["missing"] == []
    assert result["verified"] == 2_000
    for row in result["rows"]:
        assert [row[side]["name"] for side in ("left", "right")] == ["large store", "small store"]
        assert all(
            row[side]["verified"] > 0 and row[side]["store_commands"] == 1 for side in ("left", "right")
        )
    assert list(tmp_path.iterdir()) == []


def test_an_index_has_what_was_asked_for(tmp_path: Path) -> None:
    drawn = write_index(tmp_path / "index.txt", 70_000, 1, draw=7)
    rows = [line.split("\t") for line in (tmp_path / "index.txt").read_text().splitlines()]
    assert len({row[3] for row in rows}) == 70_000
    assert {(len(row), len(row[3]), row[3][0]) for row in rows} == {(6, 32, "4")}
    assert [at for at, row in enumerate(rows) if row[0] == "R"] == list(range(0, 70_000, REVOKED_EVERY))
    assert [(f"{one.serial:X}", one.revoked) for one in drawn] == [
        (row[3], row[0] == "R") for row in rows[:: 10_000 - 1][:7]
    ]


def test_figures_are_held_against_goals_in_proportion() -> None:
    found = Measured(Plan(certificates=2_000_000), store_used=400_000_000)
    found.phases = [Took("sign", 4_000_000, 100.0, 190.0, 9.0, (90.0, 80.0), "")]
    lines = list(as_lines(found))
    assert "total_s: 100, goal 168" in lines
    assert "store_bytes: 4e+08, goal 3.5e+08 MISSED" in lines
    assert goals(500) == {"large_vs_small": 1.2}


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["--dir", str(tmp_path)])
    assert done.exit_code == 2
    assert "Invalid value for --dir" in done.output
    assert CliRunner().invoke(app, ["--keep"]).exit_code == 2
