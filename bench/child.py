"""A command that is run to its end, and what it took."""

import os
import resource
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

__all__ = ["ran"]


def ran(
    command: Sequence[str],
    directory: Path,
    output: int,
    failed: type[Exception],
    errors: int | None = None,
) -> tuple[float, resource.struct_rusage]:
    """Seconds, and what it and its own children used; `output` and `errors` are descriptors.

    Raises `failed`, naming the command, for an exit status other than 0.
    """
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=directory, stdout=output, stderr=errors)
    try:
        _, status, used = os.wait4(process.pid, 0)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise failed(f"{' '.join(command)}: exit status {process.returncode}")
    return time.monotonic() - began, used
