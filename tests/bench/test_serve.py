"""`python -m bench.serve` from its corpus to its last line, as small as it gets."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE

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


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose path leaves room for that of a unix socket."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_every_server(number: signal.Signals, short_path: Path) -> None:
    """Sent once ours has started; then no process names the run's directory any longer."""
    command = [
        sys.executable,
        "-m",
        "bench.serve",
        "--row",
        "post",
        "--seconds",
        "30",
        "--certificates",
        "200",
    ]
    environment = {**os.environ, "TMPDIR": str(short_path)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=PIPE, stderr=PIPE) as process:
        while process.poll() is None and not any(
            "cached.toml" in words for words in commands_naming(short_path)
        ):
            time.sleep(0.1)
        assert commands_naming(short_path)
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode != 0
    assert commands_naming(short_path) == []
    assert list(short_path.iterdir()) == []


def commands_naming(directory: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            words = (entry / "cmdline").read_text() if entry.name.isdigit() else ""
            if str(directory) in words:
                found.append(words)
    return found


def test_a_row_that_does_not_exist_is_wrong_usage() -> None:
    done = CliRunner().invoke(app, ["--row", "fastest"])
    assert done.exit_code == 2
    assert "no such row: fastest" in done.output
