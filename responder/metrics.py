"""The workers' counters as Prometheus metrics, read when asked for."""

import platform
from collections.abc import Iterable
from importlib.metadata import version
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from responder.counters import COUNTERS, GAUGES, HISTOGRAMS, SLOTS, SUM_UNITS, CounterFile, Family, Totals
from responder.floor_keeper import FloorKeeper

__all__ = ["registry_of"]

FLOOR = (
    ("crl_floor_crls", "CRLs that the floor follows", "crls"),
    ("crl_floor_entries", "Serials on the floor: none is answered good", "entries"),
    ("crl_floor_missing", "CRLs that are published and that the floor does not follow", "missing"),
    (
        "crl_floor_next_update_timestamp_seconds",
        "Earliest nextUpdate of the CRLs that the floor follows; 0 without one",
        "next_update",
    ),
)


class _Workers(Collector):
    def __init__(self, file: CounterFile) -> None:
        self._file = file

    def collect(self) -> Iterable[Metric]:
        totals = self._file.totals()
        yield from (_counter(family, totals) for family in COUNTERS)
        yield from (_histogram(family, totals) for family in HISTOGRAMS)
        yield _gauge("ocsp_workers", "Workers that serve", len(totals.live))
        connected = [row[SLOTS[("store_up",)]] for row in totals.live]
        yield _gauge("store_up", "1 while every worker has its lookup connection", min(connected, default=0))
        for family in GAUGES[1:]:
            yield _gauge(family.name, family.help, sum(row[SLOTS[(family.name,)]] for row in totals.live))
        yield _build_info()


class _Floor(Collector):
    def __init__(self, report: FloorKeeper) -> None:
        self._report = report

    def collect(self) -> Iterable[Metric]:
        status = self._report.status
        for name, text, attribute in FLOOR:
            metric = GaugeMetricFamily(name, text, labels=["issuer"])
            for one in status:
                metric.add_metric([one.issuer], getattr(one, attribute))
            yield metric
        yield CounterMetricFamily(
            "crl_floor_refused", "CRLs that the floor did not take", value=self._report.refused
        )


def _gauge(name: str, text: str, value: int) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _counter(family: Family, totals: Totals) -> Metric:
    metric = CounterMetricFamily(family.name.removesuffix("_total"), family.help, labels=family.labels)
    for labels in family.combinations():
        metric.add_metric(labels, totals.cell(family.name, *labels))
    return metric


def _histogram(family: Family, totals: Totals) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    bounds = [*(str(bound) for bound in family.buckets), "+Inf"]
    for labels in family.combinations():
        counts = [totals.cell(family.name, *labels, offset=place) for place in range(len(bounds))]
        total = totals.cell(family.name, *labels, offset=len(bounds)) / SUM_UNITS
        metric.add_metric(labels, list(zip(bounds, accumulate(counts), strict=True)), total)
    return metric


def _build_info() -> Metric:
    labels = {"version": version("ocspeed"), "python": platform.python_version()}
    metric = GaugeMetricFamily("ocsp_build_info", "What is running", labels=list(labels))
    metric.add_metric(list(labels.values()), 1)
    return metric


def registry_of(file: CounterFile, floor: FloorKeeper | None = None) -> CollectorRegistry:
    """A registry that reads the workers' counters, and what is said of the floor, at every scrape."""
    registry = CollectorRegistry()
    registry.register(_Workers(file))
    if floor is not None:
        registry.register(_Floor(floor))
    return registry
