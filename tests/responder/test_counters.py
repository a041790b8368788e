"""Counters that several processes share, and the metrics made of them."""

import contextlib
import gc
import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from responder import counters as module
from responder.counters import CounterFile, Counters
from responder.errors import CountersChanged
from responder.metrics import registry_of


def _count(path: Path, times: int) -> None:
    counters = CounterFile(path).claim()
    counters.set("store_up", 1)
    for _ in range(times):
        counters.add("ocsp_responses_total", "good", "GET")
        counters.observe("ocsp_request_seconds", 0.003)


def _in_a_process(target: Callable[..., None], *arguments: object) -> None:
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == 0


@pytest.fixture
def file(tmp_path: Path) -> Iterator[CounterFile]:
    with contextlib.closing(CounterFile(tmp_path / "c", rows=1)) as file:
        yield file


def test_what_dead_workers_counted_stays_and_their_row_is_free(file: CounterFile) -> None:
    for times in (3, 4):
        _in_a_process(_count, file.path, times)
    totals = file.totals()
    assert totals.cell("ocsp_responses_total", "good", "GET") == 7
    assert totals.live == []


def _expect_full(path: Path) -> None:
    with pytest.raises(CountersChanged, match="no row is free"):
        CounterFile(path).claim()


def test_a_row_belongs_to_one_living_worker(file: CounterFile) -> None:
    assert file.claim().value("ocsp_not_modified_total") == 0
    _in_a_process(_expect_full, file.path)


def test_the_lock_lives_as_long_as_the_counters(tmp_path: Path) -> None:
    """The kernel drops it with the first descriptor that is closed."""
    path = tmp_path / "c"
    CounterFile(path, rows=1).close()
    counters = CounterFile(path).claim()
    gc.collect()
    _in_a_process(_expect_full, path)
    counters.add("ocsp_not_modified_total")
    assert counters.value("ocsp_not_modified_total") == 1
    counters.release()


def test_a_file_of_another_layout_is_refused(file: CounterFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LAYOUT", 1)
    with pytest.raises(CountersChanged, match="made by another release"):
        CounterFile(file.path)


def test_observations_go_to_their_bucket() -> None:
    counters = Counters.private()
    for value in (0.0004, 0.0005, 0.0006, 5.0):
        counters.observe("ocsp_request_seconds", value)
    assert counters.value("ocsp_request_seconds") == 4


def test_the_exposition_can_be_read_back(file: CounterFile) -> None:
    _in_a_process(_count, file.path, 5)
    text = generate_latest(registry_of(file)).decode()
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["ocsp_responses_total", (("method", "GET"), ("status", "good"))] == 5
    assert samples["ocsp_request_seconds_count", ()] == 5
    assert samples["ocsp_request_seconds_bucket", (("le", "0.0025"),)] == 0
    assert samples["ocsp_request_seconds_bucket", (("le", "0.005"),)] == 5
    assert samples["ocsp_request_seconds_sum", ()] == pytest.approx(0.015)
    assert samples["store_up", ()] == 0  # nobody lives
    assert samples["ocsp_workers", ()] == 0
    assert any(name == "ocsp_build_info" for name, _ in samples)
    names = {name for name, _ in samples}
    wanted = {
        "ocsp_responses_total",
        "ocsp_unauthorized_total",
        "ocsp_try_later_total",
        "store_seconds_count",
    }
    assert wanted <= names
