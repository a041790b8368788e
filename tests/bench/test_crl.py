"""`python -m bench.crl` from its corpus to its last line, as small as it gets."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.crl.__main__ import app
from bench.crl.contenders import Run
from bench.crl.session import Series

ROOT = Path(__file__).parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.crl", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_a_small_run_prints_a_table_and_one_json_object() -> None:
    done = bench("--size", "300", "--rounds", "2", "--row", "sizes")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    figures = ("encode_sign_300_seconds", "chain_300_seconds", "vs_openssl_300", "vs_cryptography_300")
    assert all(result[name] > 0 for name in figures)
    assert {"missing", "date", "commit", "machine", "kernel", "python", "versions"} <= result.keys()
    names = ["encode and sign", "openssl ca -gencrl", "whole chain", "cryptography"]
    assert [row["name"] for row in result["rows"]] == names
    for row in result["rows"]:
        assert len(row["runs"]) == 2
        assert abs(row["octets"] - result["rows"][0]["octets"]) < 20
    assert "medians of runs in turns" in done.stdout


@pytest.mark.slow
@pytest.mark.conformance("P-03")
def test_a_large_set_is_published_and_one_crl_of_it_refused() -> None:
    """D7, D11 in small: 128 shards, and the size gate over a list that is too long."""
    done = bench("--million", "230000", "--quick", "--row", "million", "--row", "oversize")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["oversize_octets"] > 10_000_000
    assert result["oversize_refused_by"] == "size"
    (row,) = result["rows"]
    assert (row["entries"], row["shards"], len(row["runs"])) == (230_000, 128, 1)


def test_a_slow_peer_is_held_against_the_median() -> None:
    ours = Series("ours", 1, runs=[Run(cpu, cpu, 1) for cpu in (1.0, 2.0, 6.0)])
    turns = Series("peer", 1, runs=[Run(cpu, cpu, 1) for cpu in (2.0, 8.0, 6.0)])
    assert ours.ratio(turns) == 0.5
    assert ours.ratio(Series("slow", 1, runs=[Run(8.0, 8.0, 1)])) == 0.25


@pytest.mark.parametrize("shards", [1, 128])
def test_a_result_is_drawn_and_the_same_one_gives_the_same_picture(shards: int, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="make bench-crl installs it")
    from bench.crl.plots import plot

    series = Series("whole chain", 1_000, shards, runs=[Run(0.25, 0.5, 46_000)])
    result = {"rows": [series.as_json()], "machine": "m", "commit": "c", "date": "2026-01-01T00:00:00Z"}
    first, second = tmp_path / "1.svg", tmp_path / "2.svg"
    plot(result, first)
    plot(result, second)
    assert first.read_bytes() == second.read_bytes()
    assert ("<!-- whole chain -->" in first.read_text()) == (shards == 1)


def test_a_row_that_does_not_exist_is_wrong_usage() -> None:
    done = CliRunner().invoke(app, ["--row", "fastest"])
    assert done.exit_code == 2
    assert "no such row: fastest" in done.output
