"""Latency at half of the saturating rate, each from the time at which its request was due."""

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.serve.generator import Load, Schedule, run
from bench.serve.pairs import Side
from bench.serve.servers import Server

__all__ = ["Latencies", "LatencyPairs", "due_times", "measure_latencies", "run_latencies"]

NANOSECONDS = 1e9
MILLISECONDS = 1e6  # nanoseconds of one
PERCENTILES = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
SHARE = 0.5  # of the rate that the slower side can bear


@dataclass(frozen=True, slots=True)
class Latencies:
    """Of one run, in milliseconds."""

    values: dict[str, float]
    failures: int


@dataclass(slots=True)
class LatencyPairs:
    """All runs of both sides, at so many requests a second."""

    connections: int
    rate: float
    ours: list[Latencies] = field(default_factory=list)
    nginx: list[Latencies] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Of the 99th percentiles: the median of those of the pairs."""
        pairs = zip(self.ours, self.nginx, strict=True)
        return statistics.median(ours.values["p99"] / nginx.values["p99"] for ours, nginx in pairs)

    @property
    def void(self) -> list[str]:
        """Why it does not count."""
        failures = sum(run.failures for run in (*self.ours, *self.nginx))
        return [f"latency: {failures} requests without an answer"] if failures else []

    def medians(self, runs: Sequence[Latencies]) -> dict[str, float]:
        """Percentiles in milliseconds."""
        return {name: round(statistics.median(run.values[name] for run in runs), 3) for name in PERCENTILES}

    def as_json(self) -> dict[str, Any]:
        return {
            "connections": self.connections,
            "rate": round(self.rate),
            "ours": self.medians(self.ours),
            "nginx": self.medians(self.nginx),
            "ratio": round(self.ratio, 4),
        }


def due_times(rate: float, seconds: float, seed: int) -> list[int]:
    """Nanoseconds from the start at which requests of independent clients come (a Poisson process)."""
    chooser = random.Random(seed)
    times, now = [], 0.0
    while (now := now + chooser.expovariate(rate)) < seconds:
        times.append(int(now * NANOSECONDS))
    return times


def measure_latencies(server: Server, load: Load, due: Sequence[int]) -> Latencies:
    """Send each when it is due; when no connection is free it waits, and the wait counts."""
    outcome = run(load, server.port, Schedule(due[-1] / NANOSECONDS, due=due))
    values = sorted(outcome.latencies)
    places = {name: values[int(len(values) * share)] / MILLISECONDS for name, share in PERCENTILES.items()}
    return Latencies(places, outcome.failures)


def run_latencies(ours: Side, nginx: Side, connections: int, pairs: int, seconds: float) -> LatencyPairs:
    """Find the rate of the slower side, then runs of both at its half, in turns."""
    saturated = [run(side.load(0), side.server.port, side.schedule).rate for side in (ours, nginx)]
    result = LatencyPairs(connections, min(saturated) * SHARE)
    for turn in range(pairs):
        due = due_times(result.rate, seconds, seed=turn)
        order = ((ours, result.ours), (nginx, result.nginx))
        for side, runs in order if turn % 2 == 0 else reversed(order):
            runs.append(measure_latencies(side.server, side.load(turn), due))
    return result
