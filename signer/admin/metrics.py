"""What /metrics of the signer says: counters of this process, and the CRLs as the ledger has them."""

import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from signer.crl.job import ShardOutcome, ShardStatus
from signer.lateness import Lateness
from signer.ledger.errors import LedgerError
from signer.ledger.ledger import Ledger
from signer.ocsp.pages import Tally
from store.clock import Clock

__all__ = ["Metrics"]

CRL_GAUGES = {
    "crl_size_bytes": ("Octets of the CRL", "size"),
    "crl_entries": ("Entries of the CRL", "entries"),
    "crl_next_update_timestamp_seconds": ("When the CRL ends", "next_update"),
}


OCSP_GAUGES = {
    "ocsp_stale_responses": ("Responses in the store past the time of their renewal (R-16)", "stale"),
    "ocsp_oldest_response_age_seconds": ("Age of the oldest response in the store", "oldest"),
    "ocsp_unsigned_change_age_seconds": (
        "Since the oldest change that is not answered yet (R-10)",
        "waiting",
    ),
    "ocsp_schedule_behind_seconds": ("Since the oldest page fell due that is not signed", "behind"),
}
IMPORTED_GAUGES = {
    "ocsp_imported_responses": ("Responses signed elsewhere that are served", "responses"),
    "ocsp_imported_next_update_timestamp_seconds": ("When the first of them ends", "first_end"),
    "ocsp_imported_ending_responses": ("How many of them are to be replaced by now", "ending"),
    "ocsp_imported_contradicted_certificates": (
        "Certificates revoked since their imported response said good",
        "contradicted",
    ),
}
SIGN_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)


class Metrics:
    """Counts; safe to use from several threads."""

    def __init__(self, ledger: Ledger, issuers: Sequence[str], lateness: Lateness, clock: Clock) -> None:
        self.registry = CollectorRegistry()
        self._seconds = Histogram(
            "ocsp_sign_seconds",
            "Reading, signing and storing one chunk of pages",
            ["issuer"],
            buckets=SIGN_SECONDS,
            registry=self.registry,
        )
        self._trusted = Gauge(
            "signer_clock_trusted",
            "0 while the clock is in doubt and nothing is signed",
            registry=self.registry,
        )
        self._trusted.set(1)
        self._signatures = Counter(
            "ocsp_signatures", "OCSP responses signed", ["issuer", "result"], registry=self.registry
        )
        self._crls = Counter("crl_generated", "CRLs built", ["issuer", "result"], registry=self.registry)
        self._intake = Counter(
            "intake_items",
            "What the intake API was asked for",
            ["issuer", "verb", "outcome"],
            registry=self.registry,
        )
        self._problems = Counter(
            "intake_problems", "Requests that the admin listener refused", ["status"], registry=self.registry
        )
        for issuer in issuers:
            self._seconds.labels(issuer)
            for result in ("signed", "failed"):
                self._signatures.labels(issuer, result)
            for status in ("published", "refused"):
                self._crls.labels(issuer, status)
        self.registry.register(_Ledger(ledger, issuers, lateness, clock))

    def clock(self, *, trusted: bool) -> None:
        self._trusted.set(int(trusted))

    def signed(self, issuer: str, tally: Tally) -> None:
        """Pages that failed count once each."""
        self._signatures.labels(issuer, "signed").inc(tally.responses)
        self._signatures.labels(issuer, "failed").inc(len(tally.faults))
        for seconds in tally.seconds:
            self._seconds.labels(issuer).observe(seconds)

    def crl(self, issuer: str, done: ShardOutcome) -> None:
        refused = done.status is ShardStatus.REFUSED
        self._crls.labels(issuer, "refused" if refused else "published").inc()

    def taken_in(self, issuer: str, verb: str, outcome: str, count: int = 1) -> None:
        self._intake.labels(issuer, verb, outcome).inc(count)

    def refused(self, status: int) -> None:
        self._problems.labels(str(status)).inc()


class _Ledger(Collector):
    """Read at every scrape."""

    def __init__(self, ledger: Ledger, issuers: Sequence[str], lateness: Lateness, clock: Clock) -> None:
        self._ledger = ledger
        self._issuers = issuers
        self._lateness = lateness
        self._clock = clock

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        labels = {"version": version("ocspeed"), "python": platform.python_version()}
        build = GaugeMetricFamily("ocsp_build_info", "What is running", labels=list(labels))
        build.add_metric(list(labels.values()), 1)
        yield build
        yield GaugeMetricFamily("signer_leader", "1 while this process signs", value=1)
        yield from self._crls()
        yield from self._ocsp()

    def _ocsp(self) -> Iterable[Metric]:
        now = self._clock.now()
        try:
            yield from _gauges(OCSP_GAUGES, self._lateness.all(now))
            yield from _gauges(IMPORTED_GAUGES, self._lateness.imported(now))
        except LedgerError:
            return  # /healthz says so

    def _crls(self) -> Iterable[Metric]:
        families = {
            name: GaugeMetricFamily(name, text, labels=["issuer", "shard"])
            for name, (text, _) in CRL_GAUGES.items()
        }
        try:
            known = [one for one in self._ledger.issuers() if one.name in self._issuers]
            for issuer in known:
                for crl in self._ledger.publications(issuer.id):
                    for name, (_, field) in CRL_GAUGES.items():
                        labels = [issuer.name, f"{crl.series}-{crl.shard_index}"]
                        families[name].add_metric(labels, getattr(crl, field))
        except LedgerError:
            return  # /healthz says so
        yield from families.values()


def _gauges(
    gauges: Mapping[str, tuple[str, str]], found: Iterable[tuple[str, object]]
) -> Iterable[GaugeMetricFamily]:
    """One family each, with the field of that name of every issuer for which it is known."""
    families = {name: GaugeMetricFamily(name, text, labels=["issuer"]) for name, (text, _) in gauges.items()}
    for issuer, values in found:
        for name, (_, field) in gauges.items():
            if (value := getattr(values, field)) is not None:
                families[name].add_metric([issuer], value)
    return families.values()
