"""The last response of a certificate: signed 16 h before the end or earlier, kept to the end, and when it is not (R-18)."""

import pytest
from cryptography.x509 import ocsp

from signer.ledger.values import CertificateRow
from signer.ocsp.pages import PageSigner
from signer.ocsp.schedule import PageRange
from store.schema import page_key
from tests.signer.ledgers import NOW
from tests.signer.test_ocsp_pages import Interrupted
from tests.signer.works import DAY, FakeClock, OffsetClock, Works, row_in_page

ALL = PageRange(0, 3)
HOUR = 3600
pytestmark = pytest.mark.conformance("R-18")


@pytest.fixture
def signer(works: Works) -> PageSigner:
    return works.signer()


def record(works: Works, row: CertificateRow) -> bytes:
    found = works.stored(0)
    assert found is not None
    return found[1][row.serial]


def times(works: Works, row: CertificateRow) -> tuple[int, int]:
    """thisUpdate and nextUpdate."""
    response = works.response(row.serial)
    assert response is not None and response.next_update_utc is not None
    return int(response.this_update_utc.timestamp()), int(response.next_update_utc.timestamp())


@pytest.mark.parametrize(("left", "kept"), [(57_600, False), (57_599, True), (60, True)])
def test_the_last_one_stays(
    works: Works, clock: FakeClock, signer: PageSigner, left: int, kept: bool
) -> None:
    ending, other = works.add(
        [row_in_page(0, 1, not_after=NOW + 40 * HOUR), row_in_page(0, 2, not_after=NOW + 90 * DAY)]
    )
    if ending.not_after > other.not_after:
        ending, other = other, ending
    signer.sign_range(ALL)
    before = record(works, ending)
    clock.seconds = ending.not_after - left
    tally = signer.sign_range(ALL)
    assert (tally.pages, tally.responses) == (4, 2 if kept else 4)
    assert (record(works, ending) == before) == kept
    assert times(works, ending) == (NOW if kept else clock.now(), ending.not_after)
    assert times(works, other)[0] == clock.now()
    works.check_store()


@pytest.mark.parametrize(("begun", "kept"), [(40 * HOUR, True), (40 * HOUR + 1, False)])
def test_one_from_before_the_last_cycle_is_of_a_store_that_was_put_back(
    works: Works, clock: FakeClock, signer: PageSigner, begun: int, kept: bool
) -> None:
    """It had been renewed since, and its thisUpdate may not go back for long (R-20)."""
    (row,) = works.add([row_in_page(0, 1, not_after=NOW + begun)])
    signer.sign_range(ALL)
    clock.seconds = row.not_after - 10 * HOUR
    signer.sign_range(ALL)
    assert times(works, row) == (NOW if kept else clock.now(), row.not_after)


@pytest.mark.conformance("R-20")
def test_none_is_kept_of_a_store_that_was_put_back(
    works: Works, clock: FakeClock, signer: PageSigner
) -> None:
    """Clients may have seen a newer one."""
    (row,) = works.add([row_in_page(0, 1, not_after=NOW + 20 * HOUR)])
    signer.sign_range(ALL)
    clock.pass_time(8 * HOUR)
    signer.sign_range(ALL)
    assert times(works, row) == (NOW, row.not_after)
    clock.pass_time(1)
    signer.sign_range(ALL, keeps=False)
    assert times(works, row) == (clock.now(), row.not_after)


def test_it_leaves_with_its_certificate(works: Works, clock: FakeClock, signer: PageSigner) -> None:
    works.add([row_in_page(0, 1, not_after=NOW + 10 * HOUR)])
    signer.sign_range(ALL)
    clock.pass_time(10 * HOUR)
    assert signer.sign_range(ALL).responses == 0
    assert works.header(0).count == 1
    clock.pass_time(1)
    assert signer.sign_range(ALL).faults == []
    assert works.header(0).count == 0


def test_a_revocation_is_signed_at_the_very_end(works: Works, clock: FakeClock, signer: PageSigner) -> None:
    (row,) = works.add([row_in_page(0, 1, not_after=NOW + 20 * HOUR)])
    signer.sign_range(ALL)
    clock.pass_time(19 * HOUR)
    works.revoke(row.serial, reason=1)
    signer.sign_range(ALL)
    assert works.is_revoked(row.serial)
    assert times(works, row) == (clock.now(), clock.now() + 8 * HOUR)  # R-12 beats R-18
    stays = record(works, row)
    clock.pass_time(60)
    signer.sign_range(ALL)
    assert record(works, row) == stays
    works.check_store()


def test_a_graver_reason_is_signed_at_the_very_end(
    works: Works, clock: FakeClock, signer: PageSigner
) -> None:
    (row,) = works.add([row_in_page(0, 1, revoked=NOW - 60, not_after=NOW + 20 * HOUR)])
    signer.sign_range(ALL)
    clock.pass_time(12 * HOUR)
    works.revoke(row.serial, reason=1)
    signer.sign_range(ALL)
    response = works.response(row.serial)
    assert response is not None and response.revocation_reason is not None
    assert response.revocation_reason.name == "key_compromise"
    works.check_store()


def test_a_revocation_that_gets_in_before_the_page(
    works: Works, clock: FakeClock, signer: PageSigner
) -> None:
    """The record was read as good and is to be kept; the page is refused, and read again."""
    (row,) = works.add([row_in_page(0, 1, not_after=NOW + 20 * HOUR)])
    signer.sign_range(ALL)
    clock.pass_time(12 * HOUR)
    other = works.signer(clock=OffsetClock(clock, -1))
    tally = works.signer(Interrupted(works, other, [row.serial])).sign_range(ALL)
    assert tally.faults == []
    assert works.is_revoked(row.serial)
    works.check_store()


def test_one_that_ends_before_its_certificate_is_no_last_one(
    works: Works, clock: FakeClock, signer: PageSigner
) -> None:
    """After days without a signer: what is stored would leave a gap."""
    (row,) = works.add([row_in_page(0, 1, not_after=NOW + 4 * DAY + 6 * HOUR)])
    signer.sign_range(ALL)
    clock.pass_time(4 * DAY - 6 * HOUR)
    signer.sign_range(ALL)
    assert times(works, row) == (clock.now(), row.not_after)


def test_one_of_another_responder_certificate_is_no_last_one(
    works: Works, clock: FakeClock, signer: PageSigner
) -> None:
    (row,) = works.add([row_in_page(0, 1, not_after=NOW + 20 * HOUR)])
    signer.sign_range(ALL)
    clock.pass_time(12 * HOUR)
    text = works.file.read_text().replace(
        '{ key = "responder.key", certificate = "responder.pem" }', '{ key = "ca.key" }'
    )
    works.file.write_text(text)
    with works.open() as context:
        context.announce("demo")
        assert context.page_signer("demo").sign_range(ALL).responses == 2
    found = works.reader.page("demo", 1, 0)
    assert found is not None
    assert found[1][row.serial][1] == 1  # the slot of the new template


def test_a_damaged_one_is_signed_anew(works: Works, clock: FakeClock, signer: PageSigner) -> None:
    (row,) = works.add([row_in_page(0, 1, not_after=NOW + 20 * HOUR)])
    signer.sign_range(ALL)
    clock.pass_time(12 * HOUR)
    broken = bytearray(record(works, row))
    broken[-1] ^= 1
    works.context.client.hset(page_key("demo", 1, 0).decode(), row.serial, bytes(broken))
    signer.sign_range(ALL)
    response = works.response(row.serial)
    assert response is not None
    assert response.certificate_status is ocsp.OCSPCertStatus.GOOD
    assert times(works, row) == (clock.now(), row.not_after)


def test_one_without_a_signature_that_is_wanted_now_is_signed_anew(
    works: Works, clock: FakeClock, signer: PageSigner
) -> None:
    (row,) = works.add([row_in_page(0, 1, not_after=NOW + 20 * HOUR)])
    plain = works.file.read_text()
    works.file.write_text(plain.replace("ocsp = {", 'ocsp = { certid_hashes = ["sha1"],'))
    with works.open() as context:
        context.page_signer("demo").sign_range(ALL)
    clock.pass_time(12 * HOUR)
    assert signer.sign_range(ALL).responses == 2
    works.check_store()
