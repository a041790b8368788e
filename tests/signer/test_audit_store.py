"""`audit` on the store: what is as it should be is no finding, and every fault that is planted is named (A1, A3, A5, B1, C2, C4)."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from _fastpath.ocsp import SingleResponse, encode_tbs_response_data, signature_to_raw
from _fastpath.page import HEADER_FIELD, PageHeader, encode_record, page_number
from _fastpath.template import Template
from signer.audit.whole import audit_issuer
from signer.commands import audit as command
from signer.ledger.values import CertificateRow
from store.schema import page_key
from tests.signer.audits import Audited, Settled, publish, settle_pages
from tests.signer.ledgers import NOW
from tests.signer.works import DAY, FakeClock, row_in_page

BITS = 2


@pytest.fixture
def audited(
    settled: Settled, store_url: str, tmp_path: Path, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> Iterator[Audited]:
    with settled.again(tmp_path / "again", clock) as works:
        yield Audited(works, capsys)


def rows(audited: Audited, *, revoked: bool = False) -> list[CertificateRow]:
    snapshot = audited.works.ledger.snapshot(audited.works.issuer.id, 0, 2**32 - 1)
    return [row for row in snapshot.rows if row.revoked is revoked]


def key_of(serial: bytes) -> bytes:
    return page_key("demo", 1, page_number(serial, BITS))


def put(audited: Audited, serial: bytes, record: bytes) -> None:
    """As somebody does who can write to the store: the header stays."""
    audited.works.context.client.hset(key_of(serial), serial, record)


def record_of(audited: Audited, serial: bytes) -> bytes:
    found: Any = audited.works.context.client.hget(key_of(serial), serial)
    assert isinstance(found, bytes)
    return found


def said(serial: bytes, **changes: Any) -> SingleResponse:
    fields: dict[str, Any] = {"this_update": NOW, "produced_at": NOW, "next_update": NOW + 345_599}
    return SingleResponse(serial, **fields | changes)


def signed(audited: Audited, response: SingleResponse) -> bytes:
    """A record with signatures of the issuer's own responder, whatever it says."""
    context = audited.works.context
    stored = next(iter(audited.works.ledger.templates(audited.works.issuer.id).values()))
    template, issuer = Template.decode(stored.content), context.issuer("demo").id
    key = context.ocsp_signer("demo").key
    signatures = [
        signature_to_raw(
            template, key.sign_der(encode_tbs_response_data(template, issuer, algorithm, response))
        )
        for algorithm in (1, 2)
    ]
    return encode_record(issuer, template, stored.slot, response, *signatures)


@pytest.mark.parametrize("full", [True, False])
def test_what_agrees_is_clean(audited: Audited, full: bool, tmp_path: Path) -> None:
    report = audited.report(full=full, sample=20, report=tmp_path / "audit.json")
    assert report["clean"] and report["findings"] == []
    (issuer,) = report["issuers"]
    assert (issuer["certificates"], issuer["records"], issuer["pages"]) == (60, 60, 4)
    assert issuer["signatures"] == (120 if full else 40)
    assert (issuer["crls"], issuer["crl_entries"]) == (3, 6)
    assert json.loads((tmp_path / "audit.json").read_text()) == report
    assert audited.pauses == []


@pytest.mark.slow
def test_certificates_that_ended_are_no_findings(audited: Audited, clock: FakeClock) -> None:
    """Their records stay until their page is due; then they are gone, and nothing is amiss either."""
    audited.works.add([row_in_page(1, 1, not_after=NOW + 2 * DAY)])
    settle_pages(audited.works)
    clock.pass_time(2 * DAY + 1)
    publish(audited.works)
    assert audited.report()["issuers"][0]["records"] == 61 and audited.report()["clean"]
    settle_pages(audited.works)
    assert audited.report()["issuers"][0]["records"] == 60 and audited.report()["clean"]


def test_a_lost_page(audited: Audited) -> None:
    audited.works.context.client.delete(page_key("demo", 1, 2))
    found = audited.first("page_missing")
    assert (found["page"], found["issuer"], found["message"]) == (2, "demo", "the page is not there")


def test_a_page_without_header(audited: Audited) -> None:
    audited.works.context.client.hdel(page_key("demo", 1, 2), HEADER_FIELD)
    assert "no header" in audited.first("page_damaged")["message"]


@pytest.mark.slow
def test_a_header_that_cannot_be_read(audited: Audited) -> None:
    audited.works.context.client.hset(page_key("demo", 1, 2), HEADER_FIELD, b"\x01short")
    assert audited.first("page_damaged")["message"].startswith("its header: ")


@pytest.mark.parametrize(
    ("change", "message"), [((1, 0), "count of"), ((0, 1), "revoked count of")], ids=["count", "revoked"]
)
def test_counts_that_are_not_those_of_the_page(
    audited: Audited, change: tuple[int, int], message: str
) -> None:
    header = audited.works.header(2)
    wrong = PageHeader(
        header.as_of, header.this_update, header.count + change[0], header.revoked_count + change[1]
    )
    audited.works.context.client.hset(page_key("demo", 1, 2), HEADER_FIELD, wrong.encode())
    assert message in audited.first("page_damaged")["message"]


def test_a_page_ahead_of_the_ledger(audited: Audited) -> None:
    """A1: its next whole page would be refused, and what it has that the ledger has not is lost."""
    header = audited.works.header(2)
    later = PageHeader(header.as_of + 1000, header.this_update, header.count, header.revoked_count)
    audited.works.context.client.hset(page_key("demo", 1, 2), HEADER_FIELD, later.encode())
    found = audited.first("page_ahead")
    assert found["page"] == 2


@pytest.mark.invariant("A4")
def test_a_record_that_is_missing(audited: Audited) -> None:
    """C4: also in a page whose header goes with it."""
    row = rows(audited)[0]
    page = page_number(row.serial, BITS)
    header = audited.works.header(page)
    less = PageHeader(header.as_of, header.this_update, header.count - 1, header.revoked_count)
    audited.works.context.client.hdel(key_of(row.serial), row.serial)
    audited.works.context.client.hset(key_of(row.serial), HEADER_FIELD, less.encode())
    found = audited.first("record_missing")
    assert (found["serial"], found["page"]) == (row.serial.hex(), page)


@pytest.mark.invariant("A3")
def test_a_record_that_nobody_knows(audited: Audited) -> None:
    """A3: signed by the responder, and not in the ledger."""
    serial = row_in_page(1, 7).serial
    put(audited, serial, signed(audited, said(serial)))
    assert audited.kinds() == {"page_damaged": 1, "record_unknown": 1}


def test_a_record_in_the_place_of_another(audited: Audited) -> None:
    """C1: its checksum is over the serial."""
    one, other = rows(audited)[:2]
    put(audited, one.serial, record_of(audited, other.serial))
    assert audited.first("record_damaged")["serial"] == one.serial.hex()


@pytest.mark.slow
def test_a_record_in_the_wrong_page(audited: Audited) -> None:
    serial = rows(audited)[0].serial
    other = (page_number(serial, BITS) + 1) % 4
    audited.works.context.client.hset(page_key("demo", 1, other), serial, record_of(audited, serial))
    assert audited.kinds() == {"page_damaged": 1, "record_damaged": 1}


@pytest.mark.slow
def test_a_field_that_is_no_serial(audited: Audited) -> None:
    audited.works.context.client.hset(page_key("demo", 1, 0), b"x" * 60, b"z")
    assert audited.kinds() == {"page_damaged": 1, "record_damaged": 1}


def flip(record: bytes) -> bytes:
    return record[:-1] + bytes([record[-1] ^ 1])


def unknown_slot(record: bytes) -> bytes:
    return record[:1] + b"\x77" + record[2:]


@pytest.mark.parametrize("damage", [flip, unknown_slot, lambda record: b""], ids=["bit", "slot", "empty"])
def test_a_damaged_record(audited: Audited, damage: Callable[[bytes], bytes]) -> None:
    serial = rows(audited)[0].serial
    put(audited, serial, damage(record_of(audited, serial)))
    assert audited.first("record_damaged")["serial"] == serial.hex()


@pytest.mark.conformance("R-21")
@pytest.mark.invariant("A5", "A6")
@pytest.mark.parametrize(
    ("revoked", "says", "kind"),
    [
        (True, {}, "status"),
        (True, {"revocation_time": NOW - 30}, "status"),
        (True, {"revocation_time": NOW - 60, "reason": 4}, "status"),
        (False, {"revocation_time": NOW - 30}, "revocation_unknown"),
        (True, {"revocation_time": NOW - 90}, "revocation_unknown"),
        (True, {"revocation_time": NOW - 60, "reason": 1}, "revocation_unknown"),
    ],
    ids=["good", "later", "reason", "revoked", "earlier", "keyCompromise"],
)
def test_another_status_than_the_ledgers(
    audited: Audited, revoked: bool, says: dict[str, int], kind: str
) -> None:
    """A1, A5, A6: stale in the store, or unknown to the ledger."""
    serial = rows(audited, revoked=revoked)[0].serial
    put(audited, serial, signed(audited, said(serial, **says)))
    kinds = audited.kinds()
    if revoked == ("revocation_time" in says):
        assert kinds == {kind: 1}
    else:
        assert kinds == {kind: 1, "page_damaged": 1}  # the revoked count too


def test_what_nobody_signed_is_no_news(audited: Audited) -> None:
    """C2: who can write to the store cannot make the ledger look as if it lacked something."""
    stranger, good = row_in_page(1, 7).serial, rows(audited)[0].serial
    stored = next(iter(audited.works.ledger.templates(audited.works.issuer.id).values()))
    template, issuer = Template.decode(stored.content), audited.works.context.issuer("demo").id
    for serial in (stranger, good):
        response = said(serial, revocation_time=NOW - 5)
        forged = encode_record(issuer, template, stored.slot, response, b"\x11" * 64, b"\x22" * 64)
        put(audited, serial, forged)
    kinds = audited.kinds()
    assert kinds.pop("page_damaged") >= 1
    assert kinds == {"signature": 2}


@pytest.mark.conformance("A-05")
def test_a_signature_that_does_not_verify(audited: Audited) -> None:
    """Seen by `--full`, and by a sample that comes upon it."""
    row = rows(audited)[3]
    response = said(row.serial)
    right = signed(audited, response)
    stored = next(iter(audited.works.ledger.templates(audited.works.issuer.id).values()))
    template, issuer = Template.decode(stored.content), audited.works.context.issuer("demo").id
    wrong = encode_record(issuer, template, stored.slot, response, right[-128:-64], b"\x22" * 64)
    put(audited, row.serial, wrong)
    assert audited.first("signature", full=True)["serial"] == row.serial.hex()
    assert audited.kinds(sample=60) == {"signature": 1}


@pytest.mark.conformance("R-03")
def test_a_record_without_one_of_its_signatures(audited: Audited) -> None:
    row = rows(audited)[3]
    stored = next(iter(audited.works.ledger.templates(audited.works.issuer.id).values()))
    template, issuer = Template.decode(stored.content), audited.works.context.issuer("demo").id
    right = signed(audited, said(row.serial))
    half = encode_record(issuer, template, stored.slot, said(row.serial), right[-128:-64], None)
    put(audited, row.serial, half)
    assert audited.first("signature")["message"] == "none for a CertID by SHA-256"


@pytest.mark.parametrize(
    ("says", "row"),
    [
        pytest.param({"next_update": NOW + 28_799}, "R-12", marks=pytest.mark.conformance("R-12", "R-15")),
        pytest.param({"next_update": NOW + 604_800}, "R-12", marks=pytest.mark.conformance("R-14", "R-15")),
        pytest.param(
            {"this_update": NOW + 6, "produced_at": NOW + 6}, "R-06", marks=pytest.mark.conformance("R-06")
        ),
        pytest.param({"produced_at": NOW + 200}, "R-06", marks=pytest.mark.conformance("R-06")),
    ],
)
def test_signed_outside_its_window(audited: Audited, says: dict[str, int], row: str) -> None:
    serial = rows(audited)[0].serial
    put(audited, serial, signed(audited, said(serial, **says)))
    found = audited.first("window")
    assert row in found["message"] and found["serial"] == serial.hex()


@pytest.mark.slow
@pytest.mark.parametrize("says", [{"next_update": NOW + 28_800}, {"next_update": NOW + 604_799}])
def test_at_the_bounds_of_its_window(audited: Audited, says: dict[str, int]) -> None:
    """R-12, R-14, R-15: both ends count."""
    serial = rows(audited)[0].serial
    put(audited, serial, signed(audited, said(serial, **says)))
    assert audited.kinds() == {}


@pytest.mark.conformance("R-18")
def test_beyond_the_end_of_its_certificate(audited: Audited, clock: FakeClock) -> None:
    row = row_in_page(1, 1, not_after=NOW + 2 * DAY)
    audited.works.add([row])
    settle_pages(audited.works)
    put(audited, row.serial, signed(audited, said(row.serial, next_update=NOW + 2 * DAY + 1)))
    assert "R-18" in audited.first("window")["message"]
    ended = signed(audited, said(row.serial, this_update=NOW + 2 * DAY + 1, produced_at=NOW + 2 * DAY + 1))
    put(audited, row.serial, ended)
    clock.seconds = NOW + 2 * DAY + 2
    assert "signed after the certificate ended" in str(audited.report()["findings"])


@pytest.mark.slow
@pytest.mark.conformance("R-17")
@pytest.mark.invariant("B5")
def test_beyond_the_end_of_its_signer(audited: Audited, clock: FakeClock) -> None:
    """B5: the responder certificate of the made-up authority ends before the window of this record does."""
    certificate = audited.works.context.ocsp_signer("demo").certificate
    end = int(certificate.not_valid_after_utc.timestamp())
    serial, start = rows(audited)[0].serial, end - 50_000
    record = signed(audited, said(serial, this_update=start, produced_at=start, next_update=end + 1))
    put(audited, serial, record)
    clock.seconds = start + 1
    report = audited.report()
    assert any("R-17" in one["message"] for kind in report["findings"] for one in kind["first"])


@pytest.mark.conformance("R-16")
def test_what_is_to_be_replaced_by_now(audited: Audited, clock: FakeClock) -> None:
    """Eight hours before nextUpdate, or after four days; the default ends there."""
    clock.seconds += 345_599 - 8 * 3600
    assert "overdue" not in audited.kinds()
    clock.seconds += 1
    assert audited.kinds()["overdue"] == 60


@pytest.mark.slow
def test_the_last_response_of_a_certificate_is_never_overdue(audited: Audited, clock: FakeClock) -> None:
    row = row_in_page(1, 1, not_after=NOW + 20 * 3600)
    audited.works.add([row])
    settle_pages(audited.works)
    clock.seconds = NOW + 20 * 3600 - 1
    publish(audited.works)
    assert audited.kinds() == {}


def test_changes_that_are_not_signed_yet(audited: Audited) -> None:
    """What was recorded before the audit and is not in the store: told as that, once it had time to come."""
    row = rows(audited)[0]
    audited.works.revoke(row.serial)
    new = audited.works.add([row_in_page(1, 9)])[0]
    report = audited.report()
    unsigned = next(one for one in report["findings"] if one["kind"] == "unsigned")
    assert {one["serial"] for one in unsigned["first"]} == {row.serial.hex(), new.serial.hex()}
    assert {one["kind"] for one in report["findings"]} == {"unsigned"}
    assert audited.pauses


@pytest.mark.slow
def test_what_comes_into_the_store_while_it_looks_is_none(audited: Audited) -> None:
    audited.works.revoke(rows(audited)[0].serial)
    settled: list[float] = []

    def pause(seconds: float) -> None:
        if not settled:
            settle_pages(audited.works)
        settled.append(seconds)

    audited.pause = pause
    assert audited.kinds() == {}
    assert settled


def test_changes_after_the_start_are_no_findings(audited: Audited, monkeypatch: pytest.MonkeyPatch) -> None:
    """Revoked and issued once the audit has begun, and not signed to its end."""
    victim = rows(audited)[0].serial
    look = audit_issuer

    def revoked_meanwhile(context: Any, name: str, *rest: Any) -> Any:
        found = context.ledger.issuer(name)
        monkeypatch.setattr(context.ledger, "issuer", lambda name: found)
        audited.works.revoke(victim)
        audited.works.add([row_in_page(1, 9)])
        return look(context, name, *rest)

    monkeypatch.setattr(command, "audit_issuer", revoked_meanwhile)
    assert audited.kinds() == {}
    monkeypatch.setattr(command, "audit_issuer", look)
    assert audited.kinds() == {"unsigned": 2}


def test_an_issuer_record_of_another_layout(audited: Audited) -> None:
    client = audited.works.context.client
    client.hset("ocsp:issuer:demo", "page_bits", "5")
    assert audited.first("issuer_record")["message"] == "page_bits is 5 in the store, not 2"
    client.hset("ocsp:issuer:demo", "page_bits", "x")
    assert "cannot be read" in audited.first("issuer_record")["message"]
    client.delete("ocsp:issuer:demo")
    assert audited.first("issuer_record")["message"] == "the store has no record of it"


def test_a_template_that_is_another_one(audited: Audited) -> None:
    client = audited.works.context.client
    client.set("ocsp:template:1", b"x")
    assert audited.first("template")["message"] == "template 1 is another one"
    client.delete("ocsp:template:1")
    assert audited.first("template")["message"] == "template 1 is not there"


def test_an_empty_store_is_a_finding_a_page(audited: Audited) -> None:
    audited.works.context.client.flushdb()
    assert audited.kinds() == {"issuer_record": 1, "template": 1, "page_missing": 4}


@pytest.mark.slow
def test_many_of_a_kind_are_counted_and_a_few_named(audited: Audited) -> None:
    for row in rows(audited):
        put(audited, row.serial, flip(record_of(audited, row.serial)))
    (found,) = audited.report()["findings"]
    assert (found["count"], len(found["first"])) == (54, 10)


def test_for_people(audited: Audited, capsys: pytest.CaptureFixture[str]) -> None:
    assert audited.printed() == 0
    assert capsys.readouterr().out.endswith("ledger, store, CRLs and answers agree\n")
    audited.works.context.client.delete(page_key("demo", 1, 2))
    assert audited.printed() == 1
    out = capsys.readouterr().out
    assert "page missing" in out and "ocsp-signer run" in " ".join(out.split())
