"""G6: whatever keeps `run` from its work is in the log, in /healthz until it is over, and counted."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs

from signer.admin.metrics import Metrics
from signer.crl.job import ShardOutcome, ShardStatus
from signer.lateness import Lateness
from signer.ledger.errors import LedgerError
from signer.ocsp.pages import Fault, Tally
from signer.reports import Reports
from signer.watch import WatchReport
from tests.signer.ledgers import NOW
from tests.signer.works import DAY, FakeClock, Works

pytestmark = pytest.mark.invariant("G6")


@dataclass(frozen=True)
class Trouble:
    """How it is reported, what /healthz and the log say of it, and how its end is."""

    begin: Callable[[Reports], None]
    says: str
    event: str
    end: Callable[[Reports], None]


def refused(status: ShardStatus) -> Callable[[Reports], None]:
    outcome = ShardOutcome(0, 1, "http://c.example/0-1.crl", status, 7, 3, 400, "an entry vanished")
    return lambda reports: reports.crl("demo", outcome)


def watched(*bad: str) -> Callable[[Reports], None]:
    report = WatchReport(
        issuer="demo",
        lines=9,
        fewer=0,
        read=9,
        new=0,
        newly_revoked=0,
        updated=0,
        kept_revoked=0,
        bad=len(bad),
        found_bad=bad,
    )
    return lambda reports: reports.watched(report)


TROUBLES = {
    "clock": Trouble(
        lambda reports: reports.clock("it jumped by 3,600 s"),
        "clock: it jumped by 3,600 s: nothing is signed",
        "clock in doubt: nothing is signed",
        lambda reports: reports.clock(None),
    ),
    "token": Trouble(
        lambda reports: reports.trouble("demo", "token unavailable", LedgerError("gone")),
        "issuer demo: ocsp: gone",
        "token unavailable",
        lambda reports: reports.signed("demo", Tally()),
    ),
    "responder certificate": Trouble(
        lambda reports: reports.responder("demo", NOW + DAY, 4 * DAY, NOW),
        "issuer demo: responder certificate: ends at ",
        "responder certificate ends",
        lambda reports: reports.responder("demo", NOW + 9 * DAY, 4 * DAY, NOW),
    ),
    "renewal": Trouble(
        lambda reports: reports.renewal("demo", "the command ended with 1"),
        "issuer demo: renewal: the command ended with 1",
        "responder certificate not renewed",
        lambda reports: reports.renewal("demo", None),
    ),
    "crls": Trouble(
        lambda reports: reports.crl_trouble("demo", LedgerError("locked")),
        "issuer demo: crls: locked",
        "crl job failed",
        lambda reports: reports.crls_well("demo"),
    ),
    "crl refused": Trouble(
        refused(ShardStatus.REFUSED),
        "issuer demo: crl 0-1: an entry vanished",
        "crl refused",
        refused(ShardStatus.PUBLISHED),
    ),
    "watch": Trouble(
        lambda reports: reports.watch_trouble("demo", LedgerError("no such file")),
        "issuer demo: watch: no such file",
        "index not followed",
        watched(),
    ),
    "bad lines": Trouble(
        watched("line 3", "line 7"),
        "issuer demo: watch: 2 lines of its index.txt are not recorded",
        "bad lines",
        watched(),
    ),
}


@pytest.fixture
def reports(works: Works, clock: FakeClock) -> Reports:
    lateness = Lateness(works.ledger, works.context.settings.root.issuer)
    return Reports(Metrics(works.ledger, ["demo"], lateness, clock), lateness)


@pytest.mark.invariant("G6")
@pytest.mark.parametrize("name", TROUBLES)
def test_it_is_told_until_it_is_over(reports: Reports, name: str) -> None:
    trouble = TROUBLES[name]
    with capture_logs() as log:
        trouble.begin(reports)
    told = [(one["event"], one["log_level"]) for one in log]
    assert (trouble.event, "error") in told or (trouble.event, "critical") in told
    said = reports.troubles()
    assert len(said) == 1 and said[0].startswith(trouble.says)
    trouble.end(reports)
    assert reports.troubles() == []


def value(reports: Reports, name: str, **labels: str) -> float:
    found = reports.metrics.registry.get_sample_value(name, labels)
    assert found is not None
    return found


@pytest.mark.invariant("G6")
def test_what_can_be_counted_is(reports: Reports) -> None:
    with capture_logs() as log:
        reports.signed("demo", Tally(faults=[Fault(3, "no such time")]))
        reports.faulty("demo", {3: "no such time"})
        reports.clock("it jumped")
        refused(ShardStatus.REFUSED)(reports)
    assert "page not signed" in [one["event"] for one in log]
    assert "1 cannot be signed, such as page 3: no such time" in "".join(reports.troubles())
    assert value(reports, "ocsp_signatures_total", issuer="demo", result="failed") == 1
    assert value(reports, "crl_generated_total", issuer="demo", result="refused") == 1
    assert value(reports, "signer_clock_trusted") == 0
