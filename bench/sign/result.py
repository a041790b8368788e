"""What was measured, as one JSON object and as a table."""

import statistics
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from cryptography.hazmat.backends.openssl import backend
from rich.table import Table

from bench.command import table
from bench.environment import environment
from bench.sign.corpus import P256, RSA2048
from bench.sign.session import Measured, Series

__all__ = ["GOALS", "as_json", "as_lines", "as_table", "figures"]

# At least, for ratios; at most, for the others.
GOALS = {
    "p256_vs_bare": 0.93,
    "rsa2048_vs_bare": 0.985,
    "two_process_vs_bare_speedup": 0.95,
    "store_us_per_record": 3.0,
    "bytes_per_response_valkey": 86.0,
    "bytes_per_response_redis": 94.0,
}
LIBRARIES = ("cryptography", "Cython", "SQLAlchemy", "redis", "hiredis")
COLUMNS = ("row", "what", "us", "min-max", "store us", "per second", "runs")
WORDS = ("row", "what")


def as_json(measured: Measured) -> dict[str, Any]:
    """The figures that have goals first; everything else below them."""
    return {
        **figures(measured),
        "missing": measured.missing,
        **environment(),
        "versions": {name.lower(): version(name) for name in LIBRARIES}
        | {"openssl": backend.openssl_version_text()},
        "plan": {name: getattr(measured.plan, name) for name in measured.plan.__dataclass_fields__},
        "rows": [series.as_json() for series in measured.series],
        "memory": [memory.as_json() for memory in measured.memory],
    }


def figures(measured: Measured) -> dict[str, float]:
    """By their keys; what was not measured is not there."""
    found: dict[str, float] = {}
    for row in (P256, RSA2048):
        if series := measured.of(row):
            ratios = _ratios(*series)
            found[f"{row}_vs_bare"] = round(statistics.median(ratios), 4)
            found[f"{row}_vs_bare_minimum"] = round(min(ratios), 4)
            found[f"{row}_vs_bare_maximum"] = round(max(ratios), 4)
    if series := measured.of(P256):
        found["store_us_per_record"] = round(series[0].store_us_per_record, 3)
    if series := measured.of("two"):
        found |= _speedups(*series)
    for memory in measured.memory:
        name = f"bytes_per_response_{memory.server.partition(' ')[0]}{memory.filling.key}"
        found[name] = round(memory.bytes_per_response, 2)
    return found


def _ratios(ours: Series, bare: Series) -> list[float]:
    """What the bare loop takes of what ours takes, pair by pair."""
    return [theirs.us / mine.us for mine, theirs in zip(ours.runs, bare.runs, strict=True)]


def _speedups(ours: Series, bare: Series, ours_two: Series, bare_two: Series) -> dict[str, float]:
    """By the clock: two processes by one, and ours by the bare loop's; medians of turns."""

    def gains(one: Series, two: Series) -> list[float]:
        return [second.rate / first.rate for first, second in zip(one.runs, two.runs, strict=True)]

    mine, theirs = gains(ours, ours_two), gains(bare, bare_two)
    ratios = [gain / peer for gain, peer in zip(mine, theirs, strict=True)]
    return {
        "two_process_vs_bare_speedup": round(statistics.median(ratios), 4),
        "two_process_speedup": round(statistics.median(mine), 4),
        "bare_two_process_speedup": round(statistics.median(theirs), 4),
    }


def as_table(measured: Measured) -> Table:
    """A line for each contender; times are CPU time, user and system, of signer and store for each response."""
    return table(
        "CPU for each response: medians of runs in turns", COLUMNS, WORDS, map(_cells, measured.series)
    )


def as_lines(measured: Measured) -> Iterator[str]:
    """Figures and goals."""
    for name, value in figures(measured).items():
        goal = GOALS.get(name)
        if goal is not None:
            reached = value >= goal if name.endswith(("_bare", "_speedup")) else value <= goal
            yield f"{name}: {value:g}, goal {goal:g}{'' if reached else ' MISSED'}"
        elif name.startswith("bytes"):
            yield f"{name}: {value:g}"


def _cells(series: Series) -> Iterator[str]:
    data = series.as_json()
    yield series.row
    yield series.name
    yield f"{data['us']:.2f}"
    yield f"{data['minimum']:.2f}-{data['maximum']:.2f}"
    yield f"{data['store_us']:.2f}"
    yield f"{data['rate']:,}"
    yield str(len(series.runs))
