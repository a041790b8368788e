"""Slow clients, overload and floods on a small scale: who means well is answered, the others are cut or refused."""

from dataclasses import replace
from typing import Any

import pytest

from bench.siege.session import Plan, measure

pytestmark = pytest.mark.slow  # a minute each; how long answers take says nothing on a busy machine

SMALL = Plan(
    (),
    certificates=6_000,
    clients=400,
    pairs=1,
    seconds=13.0,
    rate=300.0,
    overload_seconds=5.0,
    flood=100_000,
    flood_step=20_000,
)


def found(row: str) -> dict[str, Any]:
    return measure(replace(SMALL, rows=(row,)), lambda text: None)


@pytest.mark.invariant("F3")
@pytest.mark.conformance("H-20")
def test_slow_clients_are_cut_and_others_answered() -> None:
    result = found("slow")
    for runs in result["slow_runs"].values():
        for told in runs:
            assert told["answered"]["count"] == told["offered"]
    assert result["slow_refused"] >= 200  # each whose head or body does not end, once


@pytest.mark.invariant("F5")
@pytest.mark.conformance("H-01")
def test_what_is_too_much_is_refused() -> None:
    """Every request is told something, and nothing is kept of those refused."""
    result = found("overload")
    told = result["overload_run"]
    assert told["unanswered"] == 0
    assert told["answered"]["count"] > 0 and told["refused"]["count"] > told["offered"] // 4
    assert told["answered"]["count"] + told["refused"]["count"] == told["offered"]
    assert result["overload_growth_mib"] < 16


@pytest.mark.invariant("F2")
def test_unknown_serials_leave_nothing() -> None:
    result = found("flood")
    assert result["flood_serials"] == 100_000
    assert result["flood_growth_mib"] < 16
    assert result["flood_new_series"] == 0
