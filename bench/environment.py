"""Where something was measured: machine, commit, interpreter and the versions of programs."""

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["environment", "last_line"]

ROOT = Path(__file__).parents[1]


def environment() -> dict[str, Any]:
    """What every kept result names."""
    cpus = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in cpus if line.startswith("model name")), "")
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "commit": last_line("git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"),
        "machine": f"{model or platform.processor()}, {os.cpu_count()} cores",
        "load": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def last_line(*command: str) -> str:
    """That a command prints, wherever it does; nothing without the command."""
    program = shutil.which(command[0], path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if program is None:
        return ""
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True)
    return (done.stdout + done.stderr).strip().rpartition("\n")[2]
