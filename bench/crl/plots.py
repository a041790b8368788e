"""The times of a result as a picture."""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

__all__ = ["plot"]

SIZE = (7.0, 4.5)  # inches


def plot(result: dict[str, Any], path: Path) -> None:
    """CPU time by entries of one CRL, a line for each contender. The ending of `path` says in which format."""
    matplotlib.rcParams["svg.hashsalt"] = "ocspeed"  # the same picture for the same result
    rows = [row for row in result["rows"] if row["shards"] == 1]
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    for name in dict.fromkeys(row["name"] for row in rows):
        points = [row for row in rows if row["name"] == name]
        middle = [row["cpu_seconds"] for row in points]
        low = [row["cpu_seconds"] - row["minimum"] for row in points]
        high = [row["maximum"] - row["cpu_seconds"] for row in points]
        axes.errorbar(
            [row["entries"] for row in points], middle, yerr=[low, high], marker="o", capsize=3, label=name
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("entries of one CRL")
    axes.set_ylabel("CPU seconds (median, minimum to maximum)")
    axes.set_title(f"{result['machine']}, {result['commit']}, {result['date'][:10]}", fontsize=9)
    if rows:
        axes.legend(loc="best", fontsize=8)
    figure.savefig(path, metadata={"Date": None})
