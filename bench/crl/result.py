"""What was measured, as one JSON object and as a table."""

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from rich.table import Table

from bench.command import table
from bench.crl.contenders import Chain, Cryptography, Memory, Openssl
from bench.crl.session import Measured, Series
from bench.environment import environment, last_line

__all__ = ["GOALS", "as_json", "as_table"]

SHORT = {1_000: "1k", 10_000: "10k", 100_000: "100k"}
GOALS = {
    "encode_sign_100k_seconds": 0.1,
    "chain_100k_seconds": 0.5,
    "chain_100k_peak_mib": 40.0,
    "million_128_shards_cpu_seconds": 5.0,
}
LIBRARIES = ("cryptography", "Cython", "SQLAlchemy", "obstore", "pkilint")
COLUMNS = (
    "entries", "shards", "what", "CPU s", "min-max", "s", "runs", "octets", "peak MiB", "goal",
)  # fmt: skip
WORDS = ("what",)


def as_json(measured: Measured) -> dict[str, Any]:
    """The figures that have goals first; everything else below them."""
    return {
        **_figures(measured),
        "missing": measured.missing,
        **environment(),
        "versions": {name.lower(): version(name) for name in LIBRARIES}
        | {"openssl": last_line("openssl", "version")},
        "plan": {name: getattr(measured.plan, name) for name in measured.plan.__dataclass_fields__},
        "rows": [series.as_json() for series in _all(measured)],
    }


def _all(measured: Measured) -> list[Series]:
    large = (measured.million, measured.incident)
    return [*measured.series, *(series for series in large if series is not None)]


def _figures(measured: Measured) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for size in measured.plan.sizes:
        by_name = {series.name: series for series in measured.series if series.entries == size}
        if by_name:
            found |= _of_size(SHORT.get(size, str(size)), by_name)
    if measured.million is not None:
        found["million_128_shards_cpu_seconds"] = round(measured.million.cpu, 3)
        found["million_128_shards_peak_mib"] = measured.million.as_json()["peak_mib"]
    if measured.oversize is not None:
        found["oversize_seconds"] = round(measured.oversize.cpu, 3)
        found["oversize_octets"] = measured.oversize.octets
        found["oversize_refused_by"] = measured.oversize.refused_by
    if measured.incident is not None:
        found["incident_cpu_seconds"] = round(measured.incident.cpu, 3)
        found["incident_seconds"] = measured.incident.as_json()["seconds"]
        found["incident_peak_mib"] = measured.incident.as_json()["peak_mib"]
    return found


def _of_size(size: str, by_name: dict[str, Series]) -> dict[str, float | None]:
    memory, chain = by_name[Memory.name], by_name[Chain.name]
    found: dict[str, float | None] = {
        f"encode_sign_{size}_seconds": round(memory.cpu, 5),
        f"chain_{size}_seconds": round(chain.cpu, 4),
        f"chain_{size}_peak_mib": chain.as_json()["peak_mib"],
        f"vs_cryptography_{size}": round(memory.ratio(by_name[Cryptography.name]), 4),
    }
    if Openssl.name in by_name:
        found[f"vs_openssl_{size}"] = round(chain.ratio(by_name[Openssl.name]), 4)
        found[f"encode_sign_vs_openssl_{size}"] = round(memory.ratio(by_name[Openssl.name]), 4)
    return found


def as_table(measured: Measured) -> Table:
    """A line for each contender and size; times are CPU time, user and system, of all processes."""
    return table("CRLs: medians of runs in turns", COLUMNS, WORDS, map(_cells, _all(measured)))


def _cells(series: Series) -> Iterator[str]:
    data = series.as_json()
    yield f"{series.entries:,}"
    yield str(series.shards)
    yield series.name
    yield f"{data['cpu_seconds']:.4f}"
    yield f"{data['minimum']:.4f}-{data['maximum']:.4f}"
    yield f"{data['seconds']:.4f}"
    yield str(len(series.runs))
    yield f"{data['octets']:,}"
    yield "" if data["peak_mib"] is None else f"{data['peak_mib']:.1f}"
    yield _goal(series)


def _goal(series: Series) -> str:
    goals = {
        (100_000, Memory.name): "encode_sign_100k_seconds",
        (100_000, Chain.name): "chain_100k_seconds",
        (1_000_000, Chain.name): "million_128_shards_cpu_seconds",
    }
    key = goals.get((series.entries, series.name))
    return "" if key is None else f"{GOALS[key]:g}"
