"""`python -m bench.serve` from its corpus to its last line, as small as it gets."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.serve.__main__ import app

ROOT = Path(__file__).parents[2]
SMALL = ["--pairs", "1", "--seconds", "0.1", "--certificates", "200"]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.serve", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="the server and the load have a core each")
def test_a_small_run_prints_a_table_and_one_json_object() -> None:
    done = bench(*SMALL, "--row", "post")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["post_vs_get"] == max(result["post_vs_get_32"], result["post_vs_get_128"]) > 0
    assert {"void", "missing", "date", "commit", "machine", "kernel", "python", "versions"} <= result.keys()
    assert {"store", "nginx", "uvloop", "openssl"} <= result["versions"].keys()
    first = result["rows"][0]
    assert (first["key"], first["connections"], len(first["ratios"])) == ("post_vs_get", 32, 1)
    for side in (first["left"], first["right"]):
        assert side["us"] > 0
        assert side["verified"] > 0
        assert side["store_commands"] == 0
        assert side["not_200"] == 0
    assert result["memory"][0]["cache_entries"] == 200
    assert "CPU for each answer" in done.stdout


def test_a_row_that_does_not_exist_is_wrong_usage() -> None:
    done = CliRunner().invoke(app, ["--row", "fastest"])
    assert done.exit_code == 2
    assert "no such row: fastest" in done.output
