"""What one worker of ours takes to start, and what it uses when nobody asks."""

import time
from dataclasses import dataclass
from statistics import median

from bench.serve.corpus import Corpus
from bench.serve.servers import responder

__all__ = ["Start", "measure_start"]

STARTS = 3
SETTLE = 2.0  # seconds from ready to idle
CACHE = "64MiB"


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds from the command to the first answer about a certificate; percent of a core, all its processes."""

    seconds: float
    idle_percent: float


def measure_start(corpus: Corpus, idle_seconds: float) -> Start:
    """The store is up and full, the cache is empty."""
    seconds = median(_first_answer(corpus) for _ in range(STARTS))
    with responder(corpus, "start", CACHE) as server:
        time.sleep(SETTLE)
        before = server.processes.cpu()
        time.sleep(idle_seconds)
        used = server.processes.cpu() - before
    return Start(round(seconds, 3), round(100 * used / idle_seconds, 3))


def _first_answer(corpus: Corpus) -> float:
    begin = time.monotonic()
    with responder(corpus, "start", CACHE):
        return time.monotonic() - begin
