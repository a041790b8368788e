"""`python -m bench.sign` from its corpus to its last line, as small as it gets."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.sign.__main__ import app
from bench.sign.contenders import Run
from bench.sign.memory import Filling, Memory, measure_memory
from bench.sign.result import as_lines, figures
from bench.sign.session import Measured, Plan, Series

ROOT = Path(__file__).parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.sign", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_a_small_run_prints_a_table_and_one_json_object() -> None:
    done = bench("--certificates", "200", "--pairs", "1", "--row", "p256")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["p256_vs_bare"] > 0
    assert result["store_us_per_record"] > 0
    assert {"missing", "date", "commit", "machine", "kernel", "python", "versions"} <= result.keys()
    assert [row["name"] for row in result["rows"]] == ["signer, 1 process", "bare loop, 1 process"]
    for row in result["rows"]:
        assert len(row["all_us"]) == 1
        assert row["us"] > row["store_us"] >= 0
    assert result["rows"][1]["store_us"] == 0
    assert "goal 0.93" in done.stdout


def test_memory_of_a_full_server() -> None:
    found = measure_memory(Filling(4_000), None)
    assert found.encoding == "listpack"
    assert 75 < found.bytes_per_response < 95


@pytest.mark.slow
def test_rsa_and_two_processes() -> None:
    done = bench(
        "--certificates", "640", "--rsa-certificates", "64", "--pairs", "1", "--row", "rsa2048", "--row", "two",
        "--row", "memory", "--filled", "640",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["rsa2048_vs_bare"] > 0
    assert result["two_process_vs_bare_speedup"] > 0
    assert {found["encoding"] for found in result["memory"]} == {"listpack"}
    servers = {found["server"].partition(" ")[0] for found in result["memory"]}
    assert len(servers) + len(result["missing"]) == 2  # what is not here is said
    assert [row["name"] for row in result["rows"] if row["row"] == "two"] == [
        "signer, 1 process", "bare loop, 1 process", "signer, 2 processes", "bare loop, 2 processes",
    ]  # fmt: skip


def series(row: str, name: str, *runs: Run) -> Series:
    return Series(row, name, 50, list(runs))


def measured() -> Measured:
    """With figures that can be reckoned in the head: 100 responses of 50 certificates a run."""
    found = Measured(Plan())
    found.series = [
        series("p256", "ours", Run(100, 0.9, 0.1, 1.0), Run(100, 1.8, 0.2, 1.0), Run(100, 0.9, 0.1, 1.0)),
        series("p256", "bare", Run(100, 0.8, 0, 1.0), Run(100, 1.8, 0, 1.0), Run(100, 1.0, 0, 1.0)),
        series("two", "ours", Run(100, 1, 0.1, 2.0)),
        series("two", "bare", Run(100, 1, 0, 2.0)),
        series("two", "ours", Run(100, 1, 0.1, 1.25)),
        series("two", "bare", Run(100, 1, 0, 1.0)),
    ]
    found.memory = [
        Memory("valkey 9.1.2", Filling(50), 83.5, "listpack"),
        Memory("redis 7.0.15", Filling(50, serial_size=18), 95.5, "listpack"),
        Memory("redis 7.0.15", Filling(50, signature_size=256), 305.0, "listpack"),
    ]
    return found


def test_figures_are_medians_of_turns() -> None:
    assert figures(measured()) == {
        "p256_vs_bare": 0.9,
        "p256_vs_bare_minimum": 0.8,
        "p256_vs_bare_maximum": 1.0,
        "store_us_per_record": 2_000.0,
        "two_process_vs_bare_speedup": 0.8,
        "two_process_speedup": 1.6,
        "bare_two_process_speedup": 2.0,
        "bytes_per_response_valkey": 83.5,
        "bytes_per_response_redis_18": 95.5,
        "bytes_per_response_redis_rsa2048": 305.0,
    }


def test_goals_that_are_missed_are_told() -> None:
    lines = list(as_lines(measured()))
    assert "p256_vs_bare: 0.9, goal 0.93 MISSED" in lines
    assert "store_us_per_record: 2000, goal 3 MISSED" in lines
    assert "bytes_per_response_valkey: 83.5, goal 86" in lines
    assert "bytes_per_response_redis_18: 95.5" in lines


def test_a_row_that_does_not_exist_is_wrong_usage() -> None:
    done = CliRunner().invoke(app, ["--row", "fastest"])
    assert done.exit_code == 2
    assert "no such row: fastest" in done.output
