"""`python -m bench.revoke` from its CA to its last line, as small as it gets."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.revoke.__main__ import app
from bench.revoke.latency import Latencies, quantile
from bench.revoke.mass import Mass
from bench.revoke.result import as_json, as_lines, goals
from bench.revoke.session import Measured, Plan

ROOT = Path(__file__).parents[2]


def bench(*arguments: str) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.revoke", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.slow
def test_workers_say_revoked_while_the_signer_is_at_other_work() -> None:
    result = bench("--revocations", "5", "--certificates", "3000", "--imported", "3000")
    for row in ("idle", "batch", "import"):
        assert 0 < result[f"{row}_p50_ms"] <= result[f"{row}_p99_ms"] <= result[f"{row}_max_ms"]


@pytest.mark.slow
def test_a_mass_revocation_is_in_store_crls_and_answers() -> None:
    """D11. The command counts revoked records, entries of fetched CRLs and answers itself."""
    result = bench("--mass", "30000")
    assert result["mass_revoked"] == 30_000
    assert result["mass_verified"] == 1_000
    assert 0 < result["mass_recorded"] < result["mass_published"] <= result["mass_s"]


def test_a_quantile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(1_000, 0, -1)]
    assert [quantile(values, share) for share in (0.5, 0.99, 1.0)] == [501.0, 991.0, 1_000.0]
    assert quantile([7.0], 0.99) == 7.0


def test_goals_that_are_missed_are_told() -> None:
    found = Measured(Plan())
    slow = [0.01] * 98 + [0.3, 0.4]
    found.latencies = [Latencies("idle", slow, slow), Latencies("batch", [0.02] * 100, slow)]
    found.mass = Mass(304_829, 3.0, 30.0, 20.0, 3.0, 30.0, 5.0, 1.0, 1_000)
    lines = list(as_lines(found))
    assert "batch_p99_ms: 400, goal 250 MISSED" in lines
    assert "mass_s: 30, goal 24 MISSED" in lines
    assert "idle_p99_ms" not in goals(found)
    result = as_json(found)
    assert (result["batch_p50_ms"], result["mass_recorded_per_s"]) == (10.0, 101_610)
    assert result["rows"][1]["accepted_ms"] == [20.0] * 100


def test_a_row_that_does_not_exist_is_wrong_usage() -> None:
    assert CliRunner().invoke(app, ["--row", "busy"]).exit_code == 2
