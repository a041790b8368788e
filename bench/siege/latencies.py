"""Latencies in the open loop, apart for what was answered and what was refused."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.serve.generator import UNANSWERED, Load, Outcome, Schedule, Status, run
from bench.serve.open_loop import due_times
from bench.serve.servers import Server

__all__ = ["Latencies", "Told", "ask"]

MILLISECONDS = 1e6  # nanoseconds of one
NANOSECONDS = 1e9


@dataclass(frozen=True, slots=True)
class Latencies:
    """Milliseconds from the time at which each request was due."""

    count: int
    p50: float
    p99: float
    longest: float

    @classmethod
    def of(cls, nanoseconds: Iterable[int]) -> "Latencies":
        values = sorted(nanoseconds)
        if not values:
            return cls(0, 0.0, 0.0, 0.0)
        p50, p99 = (values[int(len(values) * share)] for share in (0.5, 0.99))
        return cls(len(values), *(round(value / MILLISECONDS, 3) for value in (p50, p99, values[-1])))


@dataclass(frozen=True, slots=True)
class Told:
    """What came of the requests of a run."""

    seconds: float
    offered: int
    answered: Latencies
    refused: Latencies  # tryLater, and every HTTP code but 200
    unanswered: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def ask(server: Server, load: Load, rate: float, seconds: float, seed: int) -> Told:
    """So many requests a second, whenever they are due, whatever became of those before."""
    due = due_times(rate, seconds, seed)
    outcome = run(load, server.port, Schedule(due[-1] / NANOSECONDS, due=due))
    return _told(outcome, due)


def _told(outcome: Outcome, due: Sequence[int]) -> Told:
    pairs = list(zip(outcome.kinds, outcome.latencies, strict=True))
    return Told(
        seconds=round(outcome.wall, 2),
        offered=len(due),
        answered=Latencies.of(latency for kind, latency in pairs if kind == Status.SUCCESSFUL),
        refused=Latencies.of(
            latency for kind, latency in pairs if kind not in (Status.SUCCESSFUL, UNANSWERED)
        ),
        unanswered=sum(kind == UNANSWERED for kind, _ in pairs),
    )
