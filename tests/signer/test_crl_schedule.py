"""When CRLs are built, what is late, and how a refused one waits: arithmetic over made-up publications."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.crl.alarm import alarm_age, overdue, running_out
from signer.crl.schedule import BackOff, due, next_build, phase
from signer.ledger.values import Publication
from tests.signer.ledgers import NOW, publication

HOUR = 3600
DAY = 86_400
INTERVAL = 4 * HOUR


def published(index: int, this_update: int, life: int = 7 * DAY) -> Publication:
    one = publication(1, 1, this_update, 5)
    return Publication(
        1, 0, index, 1, this_update, this_update + life - 1, 5, 0, one.size, one.sha256, this_update
    )


def keys_due(
    latest: dict[tuple[int, int], Publication], revoked: dict[tuple[int, int], int], now: int
) -> list[int]:
    keys = [(0, index) for index in range(8)]
    return [one.key[1] for one in due("r1", keys, latest, revoked, now, INTERVAL, HOUR)]


@pytest.mark.conformance("U-03", "U-05")
@given(st.integers(1, 2**32), st.integers(0, 500), st.integers(60, DAY))
def test_the_next_one_is_on_its_phase_and_within_the_interval(
    this_update: int, place: int, interval: int
) -> None:
    at = next_build(this_update, place % interval, interval)
    assert this_update < at <= this_update + interval
    assert at % interval == place % interval


@pytest.mark.conformance("U-03")
def test_no_two_shards_have_one_time() -> None:
    """128 that were all built in one second spread over the interval at once, and stay so."""
    phases = [phase("r1", position, 128, INTERVAL) for position in range(128)]
    assert len(set(phases)) == 128
    times = sorted(next_build(NOW, one, INTERVAL) for one in phases)
    assert max(Counter((at - NOW) // 600 for at in times).values()) <= 6  # in ten minutes, of 24 such
    assert {next_build(at, at % INTERVAL, INTERVAL) - at for at in times} == {INTERVAL}
    assert phase("r2", 0, 128, INTERVAL) != phase("r1", 0, 128, INTERVAL)


@pytest.mark.conformance("U-02")
def test_what_never_was_is_due_first() -> None:
    latest = {(0, index): published(index, NOW - INTERVAL * (index + 1)) for index in range(7)}
    assert keys_due(latest, {}, NOW) == [7, 6, 5, 4, 3, 2, 1, 0]


@pytest.mark.conformance("U-04")
def test_a_revocation_waits_for_half_of_its_bound() -> None:
    latest = {(0, index): published(index, NOW) for index in range(8)}
    soon = NOW + 60
    quiet = [index for index in range(8) if index not in keys_due(latest, {}, soon + HOUR)]
    index = quiet[0]
    assert index not in keys_due(latest, {(0, index): soon}, soon + HOUR // 2 - 1)
    assert index in keys_due(latest, {(0, index): soon}, soon + HOUR // 2)


def test_a_refused_one_waits_longer_and_longer_and_no_other_does() -> None:
    back_off = BackOff()
    waits = []
    at = 0.0
    for _ in range(9):
        back_off.refused((0, 1), at)
        assert back_off.ready((0, 2), at)
        wait = next(step for step in range(1, 4000) if back_off.ready((0, 1), at + step))
        waits.append(wait)
        at += wait
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    back_off.built((0, 1))
    assert back_off.ready((0, 1), at)
    back_off.refused((0, 1), at)
    assert back_off.ready((0, 1), at + 60)


@pytest.mark.conformance("U-03")
@pytest.mark.invariant("D8", "G6")
def test_late_is_a_matter_of_age() -> None:
    """D8: not of what a job says. One that never was counts from the day its series opened."""
    limit = alarm_age(INTERVAL)
    assert limit == INTERVAL + HOUR
    assert alarm_age(60) == 120
    latest = {(0, 0): published(0, NOW)}
    opened = {(0, 0): NOW - DAY, (0, 1): NOW + 60}
    assert overdue(opened, latest, NOW + limit, limit) == []
    assert overdue(opened, latest, NOW + limit + 1, limit) == [(0, 0)]
    assert overdue(opened, latest, NOW + limit + 61, limit) == [(0, 0), (0, 1)]


def test_a_crl_of_a_ceremony_runs_out_60_days_ahead() -> None:
    latest = {(0, 0): published(0, NOW, 365 * DAY), (0, 1): published(1, NOW, 30 * DAY)}
    keys = [(0, 0), (0, 1), (0, 2)]
    assert running_out(keys, latest, NOW) == [(0, 2)]
    assert running_out(keys, latest, NOW + 14 * DAY) == [(0, 2)]
    assert running_out(keys, latest, NOW + 16 * DAY) == [(0, 1), (0, 2)]
    assert running_out(keys[:1], latest, NOW + 305 * DAY - 1) == []
    assert running_out(keys[:1], latest, NOW + 305 * DAY) == [(0, 0)]
