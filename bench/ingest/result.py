"""What was measured, as one JSON object and as a table."""

import statistics
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from rich.table import Table

from bench.command import table
from bench.environment import environment, last_line
from bench.ingest.session import MILLISECONDS, Measured, Series

__all__ = ["GOALS", "as_json", "as_table"]

GOALS = {
    "index_rows_per_s": 300_000,
    "csv_rows_per_s": 300_000,
    "into_large_rows_per_s": 30_000,
    "longest_commit_ms": 100.0,
}
COLUMNS = ("what", "rows", "rows/s", "min-max", "CPU us/row", "peak MiB", "longest commit ms", "runs")
WORDS = ("what",)


def as_json(measured: Measured) -> dict[str, Any]:
    """The figures that have goals first; everything else below them."""
    return {
        **_figures(measured),
        "missing": measured.missing,
        **environment(),
        "versions": {"sqlalchemy": version("SQLAlchemy"), "sqlite": last_line("sqlite3", "--version")},
        "plan": {name: getattr(measured.plan, name) for name in measured.plan.__dataclass_fields__},
        "series": [series.as_json() for series in _all(measured)],
    }


def _all(measured: Measured) -> list[Series]:
    pairs = [series for pair in measured.pairs.values() for series in pair]
    return [one for one in (*pairs, measured.filling, measured.large) if one is not None]


def _figures(measured: Measured) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for row, (ours, theirs) in measured.pairs.items():
        found[f"{row}_rows_per_s"] = round(ours.rows_per_s)
        if theirs is not None:
            found[f"{row}_vs_sqlite"] = round(ours.ratio(theirs), 3)
    if measured.large is not None and measured.filling is not None:
        found["into_large_rows_per_s"] = round(measured.large.rows_per_s)
        found["filling_rows_per_s"] = round(measured.filling.rows_per_s)
        found["filling_peak_mib"] = round(measured.filling.peak_mib, 1)
    commits = [longest for one in _all(measured) if (longest := one.longest_commit_ms) is not None]
    if commits:
        found["longest_commit_ms"] = round(max(commits), 1)
        found["peak_mib"] = round(max(ours.peak_mib for ours in _ours(measured)), 1)
    if measured.waits:
        waits = sorted(measured.waits)
        found["rival_p99_ms"] = round(waits[int(len(waits) * 0.99)] * MILLISECONDS, 1)
        found["rival_median_ms"] = round(statistics.median(waits) * MILLISECONDS, 1)
        found["rival_max_ms"] = round(waits[-1] * MILLISECONDS, 1)
        found["rival_commits"] = len(waits)
    return found


def _ours(measured: Measured) -> list[Series]:
    return [one for one in _all(measured) if one.longest_commit_ms is not None]


def as_table(measured: Measured) -> Table:
    """A line for each contender; rows a second are of the whole process, by the clock."""
    return table("Imports: medians of runs in turns", COLUMNS, WORDS, map(_cells, _all(measured)))


def _cells(series: Series) -> Iterator[str]:
    data = series.as_json()
    yield series.name
    yield f"{data['rows']:,}"
    yield f"{data['rows_per_s']:,}"
    yield f"{data['minimum']:,}-{data['maximum']:,}"
    yield f"{data['cpu_us_per_row']:.2f}"
    yield f"{data['peak_mib']:.0f}"
    yield "" if data["longest_commit_ms"] is None else f"{data['longest_commit_ms']:.0f}"
    yield str(len(series.runs))
