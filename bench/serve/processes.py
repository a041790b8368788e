"""Processes under measurement: on which core they run, and what they used of it (Linux)."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = [
    "GENERATOR_CORE",
    "SERVER_CORE",
    "Processes",
    "children_of",
    "free_port",
    "on_core",
    "started",
    "wait_for_child",
    "wait_for_port",
]

START_TIMEOUT = STOP_TIMEOUT = 20.0
PROC = Path("/proc")
_USABLE = sorted(os.sched_getaffinity(0))
SERVER_CORE, GENERATOR_CORE = _USABLE[0], _USABLE[-1]


class Processes:
    """A server's processes, those that it has when this is made."""

    def __init__(self, root: int) -> None:
        self.pids = (root, *children_of(root))

    def cpu(self) -> float:
        """Seconds on a core so far, user and system, of all threads."""
        used = 0
        for pid in self.pids:
            for task in (PROC / str(pid) / "task").iterdir():
                used += int((task / "schedstat").read_text().split()[0])
        return used / 1e9

    def pin(self, core: int) -> None:
        """Keep all threads on one core."""
        for pid in self.pids:
            for task in (PROC / str(pid) / "task").iterdir():
                os.sched_setaffinity(int(task.name), {core})

    def resident(self) -> int:
        """Octets of the largest process: of ours the worker."""
        return max(_resident(pid) for pid in self.pids)


def _resident(pid: int) -> int:
    for line in (PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    return 0


def children_of(pid: int) -> list[int]:
    """All descendants of a process."""
    parents: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(entry.name))
    found = list(parents.get(pid, ()))
    for child in found:
        found.extend(parents.get(child, ()))
    return found


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started meanwhile runs on this core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Until somebody listens. Raises RuntimeError."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} does not listen on port {port}:\n{log.read_text()[-2000:]}")


def wait_for_child(process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Until it has a worker: one that forks may listen before. Raises RuntimeError."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        if children_of(process.pid):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} has no worker:\n{log.read_text()[-2000:]}")


@contextlib.contextmanager
def started(
    command: Sequence[str | Path], directory: Path
) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    """A server on its core, and the file that it logs to; it is ended with SIGTERM."""
    log = directory / f"{Path(command[0]).name}-{time.monotonic_ns()}.log"
    with log.open("wb") as out, on_core(SERVER_CORE):
        process = subprocess.Popen(
            command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=directory, start_new_session=True
        )
    try:
        yield process, log
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
