"""`audit` on what responders answer, with real ones: over the store that is audited, and over another (A3, A5, C1)."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
import redis

from _fastpath.certid import SHA1, SHA256
from _fastpath.page import hash32
from signer.audit.answers import AnswerAudit
from signer.audit.client import Client
from signer.audit.pages import Subject
from signer.audit.patience import Patience
from signer.audit.report import Checked, Findings
from signer.audit.sample import Choice
from signer.ledger.values import CertificateRow
from store.clock import SystemClock
from store.embedded import EmbeddedStore
from store.errors import UsageError
from tests.ports import free_port
from tests.signer.audits import Audited, serving, settle
from tests.signer.works import DAY, FakeClock, Works

PEM = ("ca.pem", "ca.key", "responder.pem", "responder.key")


class Served(NamedTuple):
    """An issuer that is answered for, and URLs: of its responder, and of one over another store for the same CA."""

    works: Works
    url: str
    other: str


def rows_of(serials: list[int], now: int, revoked: int = 0) -> list[CertificateRow]:
    """Certificates of these serials, the first of them revoked."""
    octets = [serial.to_bytes(16) for serial in serials]
    return [
        CertificateRow(hash32(serial), serial, now + 60 * DAY, now - 60 if number < revoked else None, 0)
        for number, serial in enumerate(octets)
    ]


@pytest.fixture(scope="module")
def served(server: EmbeddedStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    clock = SystemClock()
    serials = [(0x5A17 << 112) + 1000 * number for number in range(20)]
    with ExitStack() as stack:
        works = Works(tmp_path_factory.mktemp("w"), server.url, clock)
        other = Works(tmp_path_factory.mktemp("w"), f"{server.url}?db=1", clock)
        for name in PEM:
            shutil.copy(works.directory / name, other.directory / name)
        for one in (works, other):
            stack.enter_context(one.context)
        works.add(rows_of(serials, clock.now(), revoked=4))
        # It has none of the revocations, not the last certificate, and some that the CA never issued.
        other.add(rows_of([*serials[:-1], *(serial + 1 for serial in serials[:5])], clock.now()))
        settle(works)
        settle(other)
        yield Served(works, *(stack.enter_context(serving(one)) for one in (works, other)))


@pytest.mark.conformance("R-08", "Q-01", "Q-05", "R-21")
def test_what_is_answered_is_what_is_recorded(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    report = Audited(served.works, capsys, (served.url,)).report(sample=40)
    assert report["clean"]
    (issuer,) = report["issuers"]
    assert (issuer["answers"], issuer["unissued"]) == (80, 40)


@pytest.mark.invariant("A3")
def test_a_responder_over_another_store(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """A1, A3: stale answers, missing ones, and some for serials that nobody issued, each named."""
    audited = Audited(served.works, capsys, (served.url, served.other))
    found = {one["kind"]: one for one in audited.report(sample=40)["findings"]}
    assert set(found) == {"http_answer", "http_unissued"}
    assert found["http_answer"]["count"] == (4 + 1) * 4  # both methods, both CertIDs
    messages = " ".join(one["message"] for one in found["http_answer"]["first"])
    assert "answered good, the ledger says revoked" in messages
    assert {one["url"] for one in found["http_answer"]["first"]} == {served.other}
    assert found["http_unissued"]["count"] == 5


@pytest.mark.parametrize(("left", "found"), [(61, 4), (60, 0), (-10, 0)])
def test_a_certificate_that_ends_meanwhile_need_not_be_answered_for(
    served: Served, left: int, found: int
) -> None:
    """R-11: in the last minute of its last response nothing is sent."""
    works = served.works
    rows = works.ledger.snapshot(works.issuer.id, 0, 2**32 - 1).rows
    last = max(rows, key=lambda row: row.serial)
    subject = Subject(works.context.issuer("demo"), works.issuer, (SHA1, SHA256))
    clock = FakeClock(last.not_after - left)
    audit = AnswerAudit(works.ledger, works.reader, subject, {}, Patience(lambda seconds: None), clock)
    findings = Findings()
    with Client(served.other) as client:
        audit.look(
            client, [last], Choice(0, False, Random(1)), findings, Checked("demo", 0), lambda count: None
        )
    assert findings.total == found


@pytest.mark.slow
def test_answers_that_are_over(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """B1: the responder of another clock sends what is over by this one; its record is found overdue too."""
    audited = Audited(served.works, capsys, (served.other,))
    audited.clock = FakeClock(served.works.clock.now() + 5 * DAY)
    found = {one["kind"]: one for one in audited.report(sample=40)["findings"]}
    messages = {one["message"] for one in found["http_answer"]["first"]}
    assert "overdue" in found
    assert any("not in force" in message or "answered good" in message for message in messages)


def test_nobody_there(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    report = Audited(served.works, capsys, (f"http://127.0.0.1:{free_port()}",)).report(sample=2)
    assert [one["kind"] for one in report["findings"]] == ["http_failed"]
    assert "refused" in report["findings"][0]["first"][0]["message"]


@pytest.mark.parametrize(
    "url", ["127.0.0.1:2560", "ftp://x", "http://", "http://x/?a", "http://[x", "http://x:99999"]
)
def test_no_url_of_a_responder(served: Served, capsys: pytest.CaptureFixture[str], url: str) -> None:
    with pytest.raises(UsageError, match="not a URL of a responder"):
        Audited(served.works, capsys, (url,)).report(sample=1)


@pytest.mark.slow
def test_the_url_in_the_configuration_is_asked(
    served: Served, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = served.works.file.read_text()
    try:
        served.works.file.write_text(text.replace("ocsp = {", f'ocsp = {{ url = "{served.url}/",'))
        assert Audited(served.works, capsys).report(sample=3)["issuers"][0]["answers"] == 12
    finally:
        served.works.file.write_text(text)
