"""The ratios of a result as a picture."""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from bench.serve.result import GOALS
from bench.serve.rows import ROWS

__all__ = ["plot"]

WIDTH, ROW_HEIGHT, MARGIN = 9.0, 0.34, 1.4  # inches
# The others' ratios are so much larger that these could not be told apart.
PLOTTED = frozenset(ROWS[name].key for name in ("cached", "store", "mixed", "conn", "post", "unknown"))


def plot(result: dict[str, Any], path: Path) -> None:
    """Medians as points, minimum to maximum as lines, goals as crosses. The ending of `path` says in which format."""
    rows = [row for row in result["rows"] if row["key"] in PLOTTED][::-1]
    matplotlib.rcParams["svg.hashsalt"] = "ocspeed"  # the same picture for the same result
    figure = Figure(figsize=(WIDTH, MARGIN + ROW_HEIGHT * len(rows)), layout="constrained")
    axes = figure.subplots()
    places = range(len(rows))
    ratios = [row["ratio"] for row in rows]
    low = [row["ratio"] - row["minimum"] for row in rows]
    high = [row["maximum"] - row["ratio"] for row in rows]
    axes.errorbar(ratios, places, xerr=[low, high], fmt="o", capsize=3, label="median, minimum to maximum")
    goals = [(GOALS[row["key"]], place) for place, row in enumerate(rows) if GOALS[row["key"]] is not None]
    if goals:
        axes.plot(*zip(*goals, strict=True), "x", color="tab:red", label="goal", zorder=3)
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set_yticks(places, [f"{row['key']}, {row['connections']} connections" for row in rows])
    axes.set_xlim(left=0)
    axes.set_xlabel("CPU for each answer, ours by the other's (less is better)")
    axes.set_title(f"{result['machine']}, {result['commit']}, {result['date'][:10]}", fontsize=9)
    axes.legend(loc="best", fontsize=8)
    figure.savefig(path, metadata={"Date": None})
