"""What was measured, as one JSON object and as a table."""

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

from rich.table import Table

from bench.command import table
from bench.environment import environment
from bench.revoke.latency import Latencies, quantile
from bench.revoke.mass import Mass
from bench.revoke.session import Measured

__all__ = ["as_json", "as_lines", "as_table", "goals"]

MILLISECONDS = 1_000.0
P99 = 250.0  # ms
INCIDENT = 3_048_289  # revocations of one day in 2020
MINUTES_4 = 240.0
TELLING = 300_000  # revocations; of fewer starting takes the most
LIBRARIES = ("cryptography", "Cython", "SQLAlchemy", "redis", "hiredis")
COLUMNS = ("while", "revocations", "p50 ms", "p99 ms", "max ms", "accepted p50 ms", "accepted p99 ms")


def goals(measured: Measured) -> dict[str, float]:
    """At most; of fewer revocations than on that day in proportion."""
    found = {f"{one.name}_p99_ms": P99 for one in measured.latencies if one.name != "idle"}
    if measured.mass is not None and measured.mass.revoked >= TELLING:
        found["mass_s"] = MINUTES_4 * measured.mass.revoked / INCIDENT
    return found


def as_json(measured: Measured) -> dict[str, Any]:
    """The figures that have goals first; everything else below them."""
    plan = measured.plan
    return {
        **_figures(measured),
        **environment(),
        "versions": {name.lower(): version(name) for name in LIBRARIES},
        "plan": {name: getattr(plan, name) for name in plan.__dataclass_fields__},
        "rows": [
            {"name": one.name, "seen_ms": _rounded(one.seen), "accepted_ms": _rounded(one.accepted)}
            for one in measured.latencies
        ],
    }


def _rounded(seconds: Sequence[float]) -> list[float]:
    return [round(one * MILLISECONDS, 1) for one in seconds]


def _figures(measured: Measured) -> dict[str, float]:
    found: dict[str, float] = {}
    for one in measured.latencies:
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
            found[f"{one.name}_{name}_ms"] = _ms(one.seen, share)
    if measured.mass is not None:
        found |= _mass(measured.mass)
    return found


def _mass(mass: Mass) -> dict[str, float]:
    found = {f"mass_{name}": round(getattr(mass, name), 2) for name in mass.__dataclass_fields__}
    per_second = {"mass_recorded_per_s": round(mass.revoked / mass.recorded)}
    return {"mass_s": round(mass.seconds, 2)} | found | per_second


def _ms(seconds: Sequence[float], share: float) -> float:
    return round(quantile(seconds, share) * MILLISECONDS, 1)


def as_table(measured: Measured) -> Table:
    """A line for each row of latencies."""
    title = f"from acceptance until {measured.plan.workers} workers say revoked"
    return table(title, COLUMNS, ("while",), map(_cells, measured.latencies))


def _cells(one: Latencies) -> Iterator[str]:
    yield one.name
    yield f"{len(one.seen):,}"
    yield from (f"{_ms(one.seen, share):.1f}" for share in (0.5, 0.99, 1.0))
    yield from (f"{_ms(one.accepted, share):.1f}" for share in (0.5, 0.99))


def as_lines(measured: Measured) -> Iterator[str]:
    """The mass revocation, and figures with goals."""
    if (mass := measured.mass) is not None:
        yield (
            f"{mass.revoked:,} revocations: recorded after {mass.recorded:.1f} s, in CRLs after {mass.published:.1f} s, "
            f"signed after {mass.signed:.1f} s"
        )
        yield (
            f"CPU: revoke {mass.revoke_cpu:.1f} s, signer {mass.signer_cpu:.1f} s, CRLs {mass.crl_cpu:.1f} s, "
            f"store {mass.store_cpu:.1f} s; answers verified: {mass.verified:,}"
        )
    figures = _figures(measured)
    for name, goal in goals(measured).items():
        yield f"{name}: {figures[name]:g}, goal {goal:g}{'' if figures[name] <= goal else ' MISSED'}"
