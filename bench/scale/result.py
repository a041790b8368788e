"""What was measured, as one JSON object and as tables."""

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from cryptography.hazmat.backends.openssl import backend
from rich.table import Table

from bench.command import table
from bench.environment import environment
from bench.scale.lookups import KEY
from bench.scale.session import RESPONSES, Measured
from bench.scale.watched import MEBIBYTE, Took
from bench.serve.result import ratios_of

__all__ = ["as_json", "as_lines", "as_table", "goals"]

FULL = 20_000_000  # certificates that the goals are for
TELLING = 1_000_000  # of fewer starting takes the most
FULL_SECONDS = 28 * 60.0
FULL_OCTETS = 3_500_000_000
RATIO = 1.2
COLUMNS = ("phase", "of", "seconds", "a second", "CPU s", "store CPU s", "peak MiB of each process")
LIBRARIES = ("cryptography", "Cython", "SQLAlchemy", "redis", "hiredis")


def goals(certificates: int) -> dict[str, float]:
    """At most; in proportion to those of 20,000,000 certificates, where that says something."""
    found = {KEY: RATIO}
    if certificates >= TELLING:
        part = certificates / FULL
        found |= {"total_s": FULL_SECONDS * part, "store_bytes": FULL_OCTETS * part}
    return found


def as_json(measured: Measured) -> dict[str, Any]:
    """The figures that have goals first; everything else below them."""
    plan = measured.plan
    return {
        **_figures(measured),
        "verified": measured.verified,
        "generating_s": round(measured.generating, 1),
        "missing": measured.missing,
        **environment(),
        "versions": {name.lower(): version(name) for name in LIBRARIES}
        | {"openssl": backend.openssl_version_text(), "store": measured.store},
        "plan": {
            name: getattr(plan, name) for name in ("certificates", "workers", "asked", "pairs", "seconds")
        },
        "phases": [_phase(took) for took in measured.phases],
        "rows": [pairs.as_json() for pairs in measured.lookups],
    }


def _figures(measured: Measured) -> dict[str, float]:
    certificates = measured.plan.certificates
    found = {
        "certificates": certificates,
        "total_s": round(measured.seconds, 1),
        "store_bytes": measured.store_used,
        **ratios_of(measured.lookups),
        "store_bytes_per_response": round(measured.store_used / (RESPONSES * certificates), 2),
        "store_peak_mib": round(measured.store_peak_mib, 1),
        "pages": measured.pages,
        "ledger_bytes": measured.ledger_size,
        "crl_bytes": measured.crls_size,
    }
    for took in measured.phases:
        found |= {f"{took.name}_s": round(took.seconds, 2), f"{took.name}_per_s": round(took.rate, 1)}
    return found


def _phase(took: Took) -> dict[str, Any]:
    return {
        "name": took.name,
        "count": took.count,
        "seconds": round(took.seconds, 2),
        "cpu_s": round(took.cpu, 2),
        "store_cpu_s": round(took.store_cpu, 2),
        "peaks_mib": [round(peak, 1) for peak in took.peaks],
    }


def as_table(measured: Measured) -> Table:
    """A line for each phase; CPU is user and system of all processes."""
    title = f"{measured.plan.certificates:,} certificates, {measured.plan.workers} processes that sign"
    return table(title, COLUMNS, ("phase",), map(_cells, measured.phases))


def _cells(took: Took) -> Iterator[str]:
    yield took.name
    yield f"{took.count:,}"
    yield f"{took.seconds:.1f}"
    yield f"{took.rate:,.0f}"
    yield f"{took.cpu:.1f}"
    yield f"{took.store_cpu:.1f}"
    yield " ".join(f"{peak:.0f}" for peak in took.peaks)


def as_lines(measured: Measured) -> Iterator[str]:
    """Sizes, figures with goals, and what does not count."""
    figures = _figures(measured)
    yield f"ledger: {measured.ledger_size / MEBIBYTE:,.0f} MiB; CRLs: {measured.crls_size / MEBIBYTE:,.1f} MiB"
    yield (
        f"store: {measured.store_used / MEBIBYTE:,.0f} MiB used in {measured.pages:,} pages, "
        f"{figures['store_bytes_per_response']:g} octets a response; resident at most {measured.store_peak_mib:,.0f} MiB"
    )
    yield f"answers verified: {measured.verified:,}"
    for pairs in measured.lookups:
        left, right = (data["us"] for data in (pairs.as_json()["left"], pairs.as_json()["right"]))
        yield f"lookups, {pairs.row.connections} connections: {left:.2f} us beside {right:.2f} us of the small store"
        yield from (f"* VOID: {reason}" for reason in pairs.void)
    for name, goal in goals(measured.plan.certificates).items():
        if name in figures:
            yield f"{name}: {figures[name]:g}, goal {goal:g}{'' if figures[name] <= goal else ' MISSED'}"
    yield from (f"MISSING: {text}" for text in measured.missing)
