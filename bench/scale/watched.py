"""A command while it runs: what it takes, process by process, and how far it is."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.serve.processes import PROC, Processes, children_of

__all__ = ["Failed", "Took", "memory_of", "run_watched"]

LOOK = 0.2  # seconds between looks at the processes
TELL = 10.0  # seconds between two words about how far it is
KIBIBYTE = 1 << 10
MEBIBYTE = 1 << 20


class Failed(RuntimeError):
    """A command of ours ended as it should not."""


@dataclass(frozen=True, slots=True)
class Took:
    """What one command took; `cpu` is user and system of all its processes, in seconds, the store's beside it."""

    name: str
    count: int  # of what it is about
    seconds: float
    cpu: float
    store_cpu: float
    peaks: tuple[float, ...]  # MiB resident at most: of the command, then of each process that it started
    output: str

    @property
    def rate(self) -> float:
        """A second, by the clock."""
        return self.count / self.seconds


def memory_of(pid: int) -> float:
    """The most that a process ever had resident, in MiB; 0 if it has gone."""
    with contextlib.suppress(OSError):
        for line in (PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / KIBIBYTE
    return 0.0


def run_watched(
    name: str, arguments: Sequence[str], config: Path, count: int, store: Processes, state: Callable[[], str]
) -> Took:
    """`ocsp-signer` with these arguments, to its end; `state` says how far it is. Raises Failed."""
    program = Path(sys.executable).with_name("ocsp-signer")
    command = [str(program), *arguments, "--config", str(config)]
    output = config.with_name(f"{name}.out")
    before, began = store.cpu(), time.monotonic()
    with output.open("wb") as out:
        process = subprocess.Popen(command, cwd=config.parent, stdout=out)
    try:
        peaks, cpu = _watch(process, name, state)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    seconds = time.monotonic() - began
    if process.returncode != 0:
        raise Failed(f"{' '.join(command)}: exit status {process.returncode}")
    return Took(name, count, seconds, cpu, store.cpu() - before, peaks, output.read_text())


def _watch(
    process: "subprocess.Popen[bytes]", name: str, state: Callable[[], str]
) -> tuple[tuple[float, ...], float]:
    """Peaks by process, the command's own first, and CPU of all of them."""
    peaks: dict[int, float] = {}
    began = told = time.monotonic()
    while True:
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return tuple(peaks.values()), used.ru_utime + used.ru_stime
        for one in (process.pid, *children_of(process.pid)):
            peaks[one] = max(peaks.get(one, 0.0), memory_of(one))
        now = time.monotonic()
        if now - told >= TELL:
            told = now
            sys.stderr.write(f"{name}: {now - began:.0f} s, {state()}\n")
        time.sleep(LOOK)
