"""One row: two sides measured in turns, and what the ratio of their costs came to."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography import x509

from bench.serve.generator import Load, Outcome, Schedule, Status, run
from bench.serve.servers import Server, StoreServer
from bench.serve.verify import verify

__all__ = ["NGINX_US", "Pairs", "Row", "Sample", "Side", "faults", "measure", "quartiles", "run_row"]

BUSY = 0.95  # of its core that a server must use, and the generator must not
NGINX_US = (13.0, 17.0)  # between which nginx's cost of a kept GET must lie, or the machine is not itself
MICROSECONDS = 1e6
WARM_UP = 0.5  # length of the run that is not counted, of that of the others


@dataclass(frozen=True, slots=True)
class Side:
    """Who is asked, and how. `load` makes the requests of a turn."""

    name: str
    server: Server
    load: Callable[[int], Load]
    schedule: Schedule
    expected: Status | None = Status.SUCCESSFUL  # of every answer; None: of various kinds
    generator: Callable[[Load, int, Schedule], Outcome] = run
    saturated: bool = True  # the server's core must be busy, and the generator less
    cacheable: bool = True  # answers have the header fields for caches
    store_commands: int | None = None  # HGET commands that an answer takes; None: it depends


@dataclass(frozen=True, slots=True)
class Row:
    """`key` is that of the summary."""

    key: str
    connections: int
    left: Side
    right: Side


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one side."""

    name: str
    us: float  # of CPU time of the server's processes for each answer
    store_us: float  # of the store's
    rate: float
    busy: float  # share of the server's core
    generator_busy: float
    verified: int
    statuses: dict[int, int]
    not_200: int
    store_commands: float  # for each answer
    void: tuple[str, ...]  # why it does not count


@dataclass(slots=True)
class Pairs:
    """All runs of a row, in their order."""

    row: Row
    left: list[Sample] = field(default_factory=list)
    right: list[Sample] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Of the CPU time for each answer, pair by pair."""
        return [ours.us / peer.us for ours, peer in zip(self.left, self.right, strict=True)]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def void(self) -> list[str]:
        """Reasons, and how many of the runs each voids."""
        reasons = [reason for sample in (*self.left, *self.right) for reason in sample.void]
        return [f"{reason} ({reasons.count(reason)})" for reason in dict.fromkeys(reasons)]

    def as_json(self) -> dict[str, Any]:
        """Stable keys, for results and plots."""
        low, high = quartiles(self.ratios)
        return {
            "key": self.row.key,
            "connections": self.row.connections,
            "left": _side_json(self.left),
            "right": _side_json(self.right),
            "ratio": round(self.ratio, 4),
            "minimum": round(min(self.ratios), 4),
            "maximum": round(max(self.ratios), 4),
            "iqr": round(high - low, 4),
            "ratios": [round(ratio, 4) for ratio in self.ratios],
            "void": self.void,
        }


def _side_json(samples: Sequence[Sample]) -> dict[str, Any]:
    def middle(values: Iterator[float]) -> float:
        return round(statistics.median(values), 3)

    statuses: dict[int, int] = {}
    for sample in samples:
        for status, count in sample.statuses.items():
            statuses[status] = statuses.get(status, 0) + count
    return {
        "name": samples[0].name,
        "us": middle(sample.us for sample in samples),
        "store_us": middle(sample.store_us for sample in samples),
        "rate": middle(sample.rate for sample in samples),
        "store_commands": middle(sample.store_commands for sample in samples),
        "busy": middle(sample.busy for sample in samples),
        "generator_busy": middle(sample.generator_busy for sample in samples),
        "verified": sum(sample.verified for sample in samples),
        "statuses": statuses,
        "not_200": sum(sample.not_200 for sample in samples),
        "all_us": [round(sample.us, 3) for sample in samples],
    }


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """The first and the third."""
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def measure(side: Side, turn: int, store: StoreServer, responder: x509.Certificate) -> Sample:
    """One run: requests are made before the clock starts, kept answers verified after it has stopped."""
    load = side.load(turn)
    hgets, cpu, store_cpu = store.hgets(), side.server.processes.cpu(), store.processes.cpu()
    outcome = side.generator(load, side.server.port, side.schedule)
    cpu, store_cpu = side.server.processes.cpu() - cpu, store.processes.cpu() - store_cpu
    commands = store.hgets() - hgets
    if not outcome.answers:
        raise RuntimeError(f"{side.name}: {outcome.failures} requests and not one answer")
    return Sample(
        name=side.name,
        us=cpu / outcome.answers * MICROSECONDS,
        store_us=store_cpu / outcome.answers * MICROSECONDS,
        rate=outcome.rate,
        busy=cpu / outcome.wall,
        generator_busy=outcome.busy,
        verified=verify(outcome.kept, side.expected, responder, cacheable=side.cacheable),
        statuses=outcome.statuses,
        not_200=outcome.not_200,
        store_commands=commands / outcome.answers,
        void=tuple(faults(side, outcome, cpu / outcome.wall, commands)),
    )


def faults(side: Side, outcome: Outcome, busy: float, commands: int) -> Iterator[str]:
    """Why a run does not count."""
    if side.saturated and busy < BUSY:
        yield f"{side.name}: its core was not busy"
    if side.saturated and outcome.busy >= busy:
        yield f"{side.name}: the generator was as busy"
    if outcome.failures:
        yield f"{side.name}: requests without an answer"
    if side.expected is not None and (outcome.not_200 or set(outcome.statuses) != {side.expected}):
        yield f"{side.name}: other answers than {side.expected.name}"
    if side.store_commands is not None and commands != side.store_commands * outcome.answers:
        yield f"{side.name}: {commands} commands of the store for {outcome.answers} answers"


def run_row(row: Row, pairs: int, store: StoreServer, responder: x509.Certificate) -> Pairs:
    """A run of each side that is not counted, then turns of both, the other one first each time."""
    result = Pairs(row)
    for side in (row.left, row.right):
        measure(_warm_up(side), pairs, store, responder)
    for turn in range(pairs):
        order = ((row.left, result.left), (row.right, result.right))
        for side, samples in order if turn % 2 == 0 else reversed(order):
            samples.append(measure(side, turn, store, responder))
    return result


def _warm_up(side: Side) -> Side:
    """A shorter run, where the length of runs is a time."""
    seconds = side.schedule.seconds
    return (
        side if seconds is None else replace(side, schedule=replace(side.schedule, seconds=seconds * WARM_UP))
    )
