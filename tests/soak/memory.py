"""What each role takes of memory, in time: what its processes have allocated.

Not what they have mapped of files, which is the kernel's to drop, and counts for less the more others map it.
"""

import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

__all__ = ["Memory"]

EVERY = 5.0  # seconds
ALLOWED = 0.05  # of the first window ...
AT_LEAST = 4 << 20  # ... or so many octets, whichever is more: by that a role may have grown

Roles = Callable[[], dict[str, list[int]]]


ALLOCATED = ("Pss_Anon:", "Pss_Shmem:")


def _allocated(pid: int) -> int:
    """Octets; 0: it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(ALLOCATED))


class Memory:
    """Samples until the end of the `with`. `roles` gives the processes of each; a role's figure is their mean."""

    def __init__(self, roles: Roles) -> None:
        self._roles = roles
        self._samples: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(EVERY):
            for role, pids in self._roles().items():
                found = list(filter(None, map(_allocated, pids)))
                if found:
                    self._samples[role].append((time.monotonic(), sum(found) / len(found)))

    def medians(self, first: float, last: float) -> dict[str, float]:
        """Octets by role, between two times of the monotonic clock."""
        found = {}
        for role, samples in sorted(self._samples.items()):
            inside = [size for at, size in samples if first <= at <= last]
            if inside:
                found[role] = statistics.median(inside)
        return found

    @staticmethod
    def grown(before: dict[str, float], after: dict[str, float]) -> list[str]:
        """Roles that took more than they may, in words."""
        return [
            f"{role}: {before[role] / 1e6:.1f} MB, then {after[role] / 1e6:.1f} MB"
            for role in before
            if after[role] > before[role] + max(ALLOWED * before[role], AT_LEAST)
        ]
