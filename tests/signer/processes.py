"""Looking at real processes: who is whose child, who was started for a directory, and waiting for things to come."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["children_of", "processes_of", "wait_until", "workers_of"]


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Poll until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def _table() -> list[tuple[int, int, str]]:
    """(pid, parent, command line) of everything that runs; zombies have ended."""
    listing = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,stat=,args=", "-ww"], capture_output=True, text=True, check=True
    )
    rows = []
    for line in listing.stdout.splitlines():
        pid, parent, state, command = line.split(None, 3)
        if not state.startswith("Z"):
            rows.append((int(pid), int(parent), command))
    return rows


def children_of(pid: int) -> set[int]:
    """All descendants."""
    table = _table()
    found: set[int] = set()
    while new := {child for child, parent, _ in table if parent in found | {pid}} - found:
        found |= new
    return found


def workers_of(pid: int) -> set[int]:
    """Processes of its multiprocessing pool."""
    spawned = {child for child, _, command in _table() if "spawn_main" in command}
    return children_of(pid) & spawned


def processes_of(directory: Path) -> list[str]:
    """Command lines that name a directory."""
    return [command for _, _, command in _table() if str(directory) in command]
