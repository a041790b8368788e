"""What many comparisons come to, in bounded memory: counts, first cases, ranges and latencies."""

import math
from collections import Counter
from dataclasses import dataclass, field

from responder.shadow.answers import Reading, outcome_of
from responder.shadow.fields import FIELDS, TIMES, Choice, Value

__all__ = ["Case", "Latencies", "Tally", "compare"]

FIRST = 5  # cases of a field that are kept
STEP = math.log(1.02)  # of latencies that count as the same
OUTCOMES = 100  # different pairs of them


@dataclass(frozen=True, slots=True)
class Case:
    """Two answers that differ in a field: how the request was asked, and it itself as it can be replayed."""

    method: str
    request: str
    left: Value
    right: Value


class Latencies:
    """Of one side, in seconds, each to within 2 %."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        self._counts[round(math.log(max(seconds, 1e-6)) / STEP)] += 1

    @property
    def empty(self) -> bool:
        return not self._counts

    def quantile(self, share: float) -> float | None:
        """Seconds; None without any."""
        left = share * self._counts.total()
        for step, count in sorted(self._counts.items()):
            left -= count
            if left <= 0:
                return math.exp(step * STEP)
        return None


@dataclass(slots=True)
class Range:
    """By how many seconds the right is ahead of the left."""

    least: int
    most: int

    def add(self, ahead: int) -> None:
        self.least, self.most = min(self.least, ahead), max(self.most, ahead)


@dataclass(slots=True)
class Tally:
    """Everything that a report has. Not for several threads at once."""

    compared: int = 0
    differ: int = 0
    fields: Counter[str] = field(default_factory=Counter)
    cases: dict[str, list[Case]] = field(default_factory=dict)
    ranges: dict[str, Range] = field(default_factory=dict)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    left: Latencies = field(default_factory=Latencies)
    right: Latencies = field(default_factory=Latencies)

    def add(self, method: str, request: str, left: Reading, right: Reading, choice: Choice) -> bool:
        """Whether the two disagree."""
        self.compared += 1
        pair = outcome_of(left), outcome_of(right)
        self.outcomes[
            pair if pair in self.outcomes or len(self.outcomes) < OUTCOMES else ("other", "other")
        ] += 1
        found = compare(left, right, choice)
        for name in found:
            self.fields[name] += 1
            cases = self.cases.setdefault(name, [])
            if len(cases) < FIRST:
                cases.append(Case(method, request, left.fields.get(name), right.fields.get(name)))
        self._measure(left, right)
        disagree = not choice.verdict.isdisjoint(found)
        self.differ += disagree
        return disagree

    def _measure(self, left: Reading, right: Reading) -> None:
        for name in TIMES:
            first, second = left.fields.get(name), right.fields.get(name)
            if isinstance(first, int) and isinstance(second, int):
                ahead = second - first
                self.ranges.setdefault(name, Range(ahead, ahead)).add(ahead)


def compare(left: Reading, right: Reading, choice: Choice) -> list[str]:
    """The fields in which two answers differ, or that are wrong on a side, in the order of `FIELDS`."""
    return [
        name
        for name in FIELDS
        if name in left.faults | right.faults
        or choice.differ(name, left.fields.get(name), right.fields.get(name))
    ]
