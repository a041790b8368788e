"""What was measured, as one JSON object and as a table."""

from collections.abc import Iterator
from importlib.metadata import version
from statistics import median
from typing import Any

from rich.table import Table

from bench.command import table
from bench.environment import environment, last_line
from bench.serve.open_loop import LatencyPairs
from bench.serve.pairs import NGINX_US, Pairs
from bench.serve.rows import ROWS
from bench.serve.session import Measured, Memory

__all__ = ["GOALS", "as_json", "as_table", "ratios_of"]

MEBIBYTE = 1 << 20
GOALS = {kind.key: kind.goal for kind in ROWS.values()}
COLUMNS = (
    "row", "conn.", "left", "us", "store us", "right", "us", "ratio", "goal", "min-max", "IQR", "busy", "gen.",
)  # fmt: skip
WORDS = ("row", "left", "right")


def as_json(measured: Measured) -> dict[str, Any]:
    """The ratios that have goals first; everything else below them."""
    return {
        **ratios_of(measured.pairs),
        **_latency(measured.latency),
        **_memory(measured.memory),
        **_start(measured),
        "void": list(_void(measured)),
        "missing": measured.missing,
        **environment(),
        "versions": _versions(measured.store),
        "plan": _plan(measured),
        "rows": [pairs.as_json() for pairs in measured.pairs],
        "memory": [_memory_json(*item) for item in measured.memory.items()],
        "latency": measured.latency.as_json() if measured.latency else None,
    }


def ratios_of(rows: list[Pairs]) -> dict[str, float]:
    """Medians, for each number of connections as KEY_CONNECTIONS, and as KEY the worst of them."""
    found: dict[str, float] = {}
    for pairs in rows:
        key, ratio = pairs.row.key, round(pairs.ratio, 4)
        found[key] = max(ratio, found.get(key, 0))
        found[f"{key}_{pairs.row.connections}"] = ratio
    return found


def _latency(latency: LatencyPairs | None) -> dict[str, float]:
    if latency is None:
        return {}
    ours, nginx = latency.medians(latency.ours), latency.medians(latency.nginx)
    return {
        "p99_vs_nginx": round(latency.ratio, 4),
        "p50_ours_ms": ours["p50"],
        "p50_nginx_ms": nginx["p50"],
        "p99_ours_ms": ours["p99"],
        "p99_nginx_ms": nginx["p99"],
    }


def _memory(memory: dict[tuple[str, int], Memory]) -> dict[str, float]:
    """Growth of the worker over all rows of unknown serials."""
    rows = [noted for (key, _), noted in memory.items() if key == ROWS["unknown"].key]
    return {"unknown_growth_mib": _mebibytes(rows[-1].after - rows[0].before)} if rows else {}


def _memory_json(name: tuple[str, int], noted: Memory) -> dict[str, Any]:
    return {
        "key": name[0],
        "connections": name[1],
        "before_mib": _mebibytes(noted.before),
        "after_mib": _mebibytes(noted.after),
        "hits": noted.hits,
        "cache_entries": noted.cache_entries,
    }


def _mebibytes(octets: int) -> float:
    return round(octets / MEBIBYTE, 2)


def _start(measured: Measured) -> dict[str, float]:
    start = measured.start
    return {} if start is None else {"start_s": start.seconds, "idle_percent": start.idle_percent}


def _void(measured: Measured) -> Iterator[str]:
    """Why runs do not count; nothing in a good round."""
    for pairs in measured.pairs:
        name = f"{pairs.row.key} {pairs.row.connections}"
        yield from (f"{name}: {reason}" for reason in pairs.void)
        us = median(sample.us for sample in pairs.right)
        if pairs.row.right.name == "nginx" and not NGINX_US[0] <= us <= NGINX_US[1]:
            yield f"{name}: nginx took {us:.1f} us, not {NGINX_US[0]:.0f} to {NGINX_US[1]:.0f}"
    if measured.latency is not None:
        yield from measured.latency.void


def _plan(measured: Measured) -> dict[str, Any]:
    plan = measured.plan
    return {
        "pairs": plan.pairs,
        "seconds": plan.seconds,
        "certificates": plan.certificates,
        "warm": plan.warm,
        "unknown": plan.unknown,
        "rows": list(plan.rows),
    }


def _versions(store: str) -> dict[str, str]:
    libraries = ("uvloop", "uvicorn", "hiredis", "Cython", "cryptography", "starlette", "redis")
    return {
        **{name.lower(): version(name) for name in libraries},
        "nginx": last_line("nginx", "-v").rpartition("/")[2],
        "openssl": last_line("openssl", "version"),
        "store": store,
    }


def as_table(measured: Measured) -> Table:
    """A line for each row; times are CPU time of the server for each answer."""
    return table(
        "CPU for each answer, user and system, all processes of the server; * void",
        COLUMNS,
        WORDS,
        map(_cells, measured.pairs),
    )


def _cells(pairs: Pairs) -> list[str]:
    data = pairs.as_json()
    left, right, goal = data["left"], data["right"], GOALS[data["key"]]
    return [
        data["key"] + (" *" if data["void"] else ""),
        str(data["connections"]),
        left["name"],
        f"{left['us']:.2f}",
        f"{left['store_us']:.2f}",
        right["name"],
        f"{right['us']:.2f}",
        f"{data['ratio']:.3f}",
        "" if goal is None else f"{goal:.2f}",
        f"{data['minimum']:.3f}-{data['maximum']:.3f}",
        f"{data['iqr']:.3f}",
        f"{left['busy']:.2f}/{right['busy']:.2f}",
        f"{left['generator_busy']:.2f}/{right['generator_busy']:.2f}",
    ]
