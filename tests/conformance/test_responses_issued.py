"""From the moment a serial is issued: known without a certificate, answered within minutes, revoked everywhere."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from _fastpath.ocsp import UNAUTHORIZED
from signer.crl.job import ShardOutcome
from signer.ocsp.schedule import PageRange
from tests.conformance.asking import KeptClient, cert_id, request_of
from tests.conformance.assertions import Expected, OcspAnswer, ocsp_findings
from tests.conformance.conftest import World
from tests.conformance.corpus import Issuer, make_issuer
from tests.conformance.crl_assertions import CrlAnswer, agreement_findings, crl_findings, shard_of
from tests.integration.service import Service
from tests.ports import free_port
from tests.responder.conftest import GOOD, REVOKED
from tests.signer.ledgers import NOW
from tests.signer.works import FakeClock, Works, row_in_page

DAY = 86_400
TARGET = 60  # seconds; the limit is 900 (BR 4.9.9)
ALL = PageRange(0, 3)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def ignore(outcome: ShardOutcome) -> None:
    """Progress that nobody looks at."""


@pytest.mark.conformance("R-09")
def test_a_serial_is_issued_when_the_ledger_has_it(works: Works, clock: FakeClock) -> None:
    """As for a precertificate whose certificate never came: nothing but serial and end is known of it."""
    (row,) = works.add([row_in_page(0, 1)])
    signer = works.signer()
    signer.sign_range(ALL)
    assert works.response(row.serial) is not None
    assert not works.is_revoked(row.serial)
    (change,) = works.revoke(row.serial, reason=4)
    signer.sign_change(change)
    assert works.is_revoked(row.serial)
    job = works.context.crl_job("demo")
    job.build(job.shards(), ignore)
    with works.ledger.shard_snapshot(works.issuer.id, 0, row.hash32 % 3, after=None) as shard:
        assert list(shard.entries()) == [(row.serial, NOW, 4)]
    path = f"{works.context.settings.objects_target}/crl/demo/0-{row.hash32 % 3}.crl"
    with open(path, "rb") as file:
        crl = CrlAnswer(
            file.read(),
            f"http://crl.example/demo/0-{row.hash32 % 3}.crl",
            works.context.issuer("demo").certificate,
            NOW,
        )
    assert crl.serials == [int.from_bytes(row.serial)]
    assert crl_findings(crl) == []


@pytest.mark.conformance("R-08", "R-25")
@pytest.mark.parametrize("serial", [GOOD - 1, GOOD + 1, REVOKED - 1, REVOKED + 1, 1, (1 << 159) - 1])
def test_an_unissued_serial_is_unauthorized_and_not_revoked(world: World, serial: int) -> None:
    """Neither good nor the extended revoked: nothing is said that a cache may keep."""
    asked = world.web.get(world.ca.request(serial))
    assert (asked.body, asked.headers["cache-control"]) == (UNAUTHORIZED, "no-store")
    assert world.web.ask(world.ca.request(serial)) == UNAUTHORIZED


@dataclass
class Authority:
    """A CA that goes on issuing while signer and responder run."""

    service: Service
    issuer: Issuer
    client: KeptClient

    def issue(self, serial: int) -> Expected:
        """Add a row to index.txt and import the file again; it returns when the ledger has it."""
        one = Expected(serial, int(time.time()) + 90 * DAY)
        end = time.strftime("%y%m%d%H%M%SZ", time.gmtime(one.not_after))
        with (self.issuer.directory / "index.txt").open("a") as index:
            index.write(f"V\t{end}\t\t{serial:X}\tunknown\t/CN=host\n")
        self.service.signer("import", "--issuer", "p256", str(self.issuer.directory / "index.txt"))
        return one

    def ask(self, one: Expected) -> OcspAnswer | None:
        asked = cert_id(self.issuer, one.serial, "sha256")
        body, headers = self.client.ask(request_of(asked))
        if body == UNAUTHORIZED:
            assert headers["cache-control"] == "no-store"
            return None
        return OcspAnswer(body, asked.dump(), self.issuer.certificate, one, int(time.time()))

    def crl(self, serial: int) -> CrlAnswer:
        url = self.issuer.urls[shard_of(serial, self.issuer.shards)]
        body, _ = self.client.fetch("GET", urlsplit(url).path)
        return CrlAnswer(body, url, self.issuer.certificate, int(time.time()))


@pytest.fixture
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    service = Service(tmp_path_factory.mktemp("run"), free_port())
    issuer = make_issuer("p256", service.directory / "p256", f"127.0.0.1:{service.port}")
    issuer.populate(0, 20, int(time.time()))
    service.write_config(issuer.table)
    service.signer("import", "--issuer", "p256", str(issuer.directory / "index.txt"))
    service.signer("sign", "--all", "--workers", "1")
    with service.serving(), service.signing():
        client = KeptClient(service.port)
        yield Authority(service, issuer, client)
        client.close()


@pytest.mark.slow
@pytest.mark.conformance("R-08", "R-09", "R-10")
def test_what_is_issued_is_answered_for_within_a_minute(authority: Authority) -> None:
    """Before, the answer is unauthorized, which no cache keeps; the worst of a few is far below 15 minutes."""
    waits = []
    for number in range(5):
        serial = 0x5000_0000_0000_0000 + number
        assert authority.ask(Expected(serial, 0)) is None
        one = authority.issue(serial)
        issued = time.monotonic()
        while (answer := authority.ask(one)) is None:
            assert time.monotonic() - issued < TARGET
            time.sleep(0.01)
        waits.append(time.monotonic() - issued)
        assert ocsp_findings(answer) == []
    assert max(waits) < TARGET


@pytest.mark.slow
@pytest.mark.conformance("R-09", "R-21")
def test_what_was_just_issued_can_be_revoked(authority: Authority) -> None:
    one = authority.issue(0x5000_0000_0000_1000)
    issued = time.monotonic()
    authority.service.signer("revoke", "--issuer", "p256", f"{one.serial:x}", "--reason", "superseded")
    while (answer := authority.ask(one)) is None or answer.revoked is None:
        assert time.monotonic() - issued < TARGET
        time.sleep(0.01)
    authority.service.signer("crl", "build")
    crl = authority.crl(one.serial)
    while one.serial not in crl.serials:  # the responder looks for new ones every few seconds
        assert time.monotonic() - issued < 2 * TARGET
        time.sleep(0.1)
        crl = authority.crl(one.serial)
    assert crl_findings(crl) == []
    assert list(agreement_findings(answer, crl.entry(one.serial))) == []
