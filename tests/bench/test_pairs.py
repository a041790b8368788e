"""The arithmetic of ratios, and what makes a run void."""

import random
from dataclasses import replace
from statistics import quantiles

import pytest

from bench.serve.generator import Load, Outcome, Schedule, Status
from bench.serve.h2load import outcome_of
from bench.serve.open_loop import Latencies, LatencyPairs, due_times
from bench.serve.pairs import Pairs, Row, Sample, Side, faults, quartiles
from bench.serve.processes import Processes
from bench.serve.result import ratios_of
from bench.serve.servers import Server

NOBODY = Server(1, Processes(1))
OURS = Side("ours", NOBODY, lambda turn: Load([]), Schedule())
PEER = replace(OURS, name="peer")
OUTCOME = Outcome(
    answers=100, not_200=0, reconnects=0, failures=0, wall=1.0, cpu=0.5, octets=0, statuses={0: 100}, kept=[],
    latencies=(), kinds=(),
)  # fmt: skip


def sample(us: float, *void: str) -> Sample:
    return Sample("side", us, 1.0, 1000.0, 0.99, 0.5, 3, {0: 10, 6: 1}, 0, 1.0, void)


def pairs_of(key: str, connections: int, ours: list[float], peer: list[float]) -> Pairs:
    row = Row(key, connections, OURS, PEER)
    return Pairs(row, [sample(us) for us in ours], [sample(us) for us in peer])


def test_a_row_is_the_median_of_the_ratios_of_its_pairs() -> None:
    """Not the ratio of medians: the machine's speed differs from pair to pair."""
    pairs = pairs_of("k", 32, [10.0, 40.0, 30.0], [20.0, 40.0, 20.0])
    assert pairs.ratios == [0.5, 1.0, 1.5]
    result = pairs.as_json()
    assert (result["ratio"], result["minimum"], result["maximum"], result["iqr"]) == (1.0, 0.5, 1.5, 0.5)
    assert (result["left"]["us"], result["right"]["us"]) == (30.0, 20.0)
    assert result["left"]["statuses"] == {0: 30, 6: 3}


def test_quartiles_are_those_of_the_statistics_module() -> None:
    values = [random.Random(2).random() for _ in range(9)]
    low, _, high = quantiles(values, n=4, method="inclusive")
    assert quartiles(values) == (low, high)
    assert quartiles([3.0]) == (3.0, 3.0)


def test_the_key_of_a_row_is_its_worst_number_of_connections() -> None:
    rows = [
        pairs_of("k", 32, [3.0], [2.0]),
        pairs_of("k", 128, [1.0], [2.0]),
        pairs_of("other", 16, [1.0], [4.0]),
    ]
    assert ratios_of(rows) == {"k": 1.5, "k_32": 1.5, "k_128": 0.5, "other": 0.25, "other_16": 0.25}


def test_a_good_run_has_no_fault() -> None:
    assert list(faults(OURS, OUTCOME, busy=0.97, commands=0)) == []


@pytest.mark.parametrize(
    ("side", "outcome", "busy", "commands", "words"),
    [
        (OURS, OUTCOME, 0.94, 0, "not busy"),
        (OURS, replace(OUTCOME, cpu=0.98), 0.97, 0, "generator"),
        (OURS, replace(OUTCOME, failures=1), 0.97, 0, "without an answer"),
        (OURS, replace(OUTCOME, not_200=1), 0.97, 0, "other answers than SUCCESSFUL"),
        (OURS, replace(OUTCOME, statuses={0: 99, 3: 1}), 0.97, 0, "other answers than SUCCESSFUL"),
        (replace(OURS, expected=Status.UNAUTHORIZED), OUTCOME, 0.97, 0, "other answers than UNAUTHORIZED"),
        (replace(OURS, store_commands=1), OUTCOME, 0.97, 99, "99 commands of the store for 100 answers"),
        (replace(OURS, store_commands=0), OUTCOME, 0.97, 1, "1 commands of the store"),
    ],
)
def test_what_makes_a_run_void(side: Side, outcome: Outcome, busy: float, commands: int, words: str) -> None:
    (fault,) = faults(side, outcome, busy, commands)
    assert words in fault


def test_void_reasons_are_counted() -> None:
    pairs = Pairs(Row("k", 32, OURS, PEER), [sample(1, "a"), sample(1, "a")], [sample(1, "b"), sample(1)])
    assert pairs.void == ["a (2)", "b (1)"]


def test_arrival_times_are_ascending_and_as_many_as_the_rate_says() -> None:
    times = due_times(10_000, 2.0, seed=1)
    assert times == sorted(times)
    assert len(times) == pytest.approx(20_000, rel=0.05)
    assert times[-1] < 2e9
    assert due_times(10_000, 2.0, seed=1) == times != due_times(10_000, 2.0, seed=2)


def test_the_latency_ratio_is_the_median_of_its_pairs_and_failures_void_it() -> None:
    def runs(values: list[float], failures: int = 0) -> list[Latencies]:
        return [Latencies({"p50": 1.0, "p99": value, "p999": 9.0}, failures) for value in values]

    pairs = LatencyPairs(128, 1000.0, runs([1.0, 9.0, 2.0]), runs([2.0, 3.0, 2.0]))
    assert pairs.ratio == 1.0
    assert pairs.void == []
    assert LatencyPairs(128, 1000.0, runs([1.0], 2), runs([1.0])).void != []


def test_what_h2load_counted() -> None:
    text = (
        "\nfinished in 1.00s, 61.00 req/s, 66.21KB/s\n"
        "requests: 61 total, 62 started, 60 done, 59 succeeded, 1 failed, 0 errored, 0 timeout\n"
        "status codes: 59 2xx, 0 3xx, 1 4xx, 0 5xx\n"
    )
    outcome = outcome_of(text, wall=2.0, cpu=1.0)
    assert (outcome.answers, outcome.not_200, outcome.failures, outcome.statuses) == (60, 1, 1, {0: 59})
    assert (outcome.rate, outcome.busy) == (30.0, 0.5)
    with pytest.raises(RuntimeError, match="h2load"):
        outcome_of("could not connect", 1.0, 1.0)
