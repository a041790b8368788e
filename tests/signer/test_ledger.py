import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from signer.ledger.errors import LedgerError
from signer.ledger.ledger import Ledger
from signer.ledger.values import (
    CertificateRow,
    ChangeKind,
    CrlPlan,
    LedgerIssuer,
    PlacedBy,
    Revocation,
    SeriesSpec,
)
from store.model import Issuer
from tests.signer.conftest import URL_PATTERN, make_issuer
from tests.signer.ledgers import NOW, YEAR, certificate_row, certificate_rows, revoke

EVERYTHING = (0, (1 << 32) - 1)


def test_an_issuer_keeps_its_layout_whatever_is_asked_later(
    ledger: Ledger, issuer: Issuer, r1: LedgerIssuer
) -> None:
    again = ledger.ensure_issuer(issuer, 12, CrlPlan((SeriesSpec(URL_PATTERN, 4),)), NOW + 1)
    assert again == r1
    assert (r1.page_bits, r1.page_epoch, r1.generation) == (4, 1, 1 << 48)


def test_another_ca_under_a_known_name_is_refused(ledger: Ledger, r1: LedgerIssuer) -> None:
    with pytest.raises(LedgerError, match="r1: its CA certificate has another name or key"):
        ledger.ensure_issuer(make_issuer("r1"), 4, CrlPlan((SeriesSpec(URL_PATTERN, 4),)), NOW)


@pytest.mark.conformance("U-11")
def test_a_ca_ends_when_the_last_of_its_certificates_does(ledger: Ledger) -> None:
    """Renewed with its name and key it is the same CA; its CRLs are due until then, also when nobody configures it."""
    key = ec.generate_private_key(ec.SECP256R1())
    plan = CrlPlan((SeriesSpec(URL_PATTERN, 1),))
    for days, end in ((3650, 3650), (7300, 7300), (30, 7300)):
        found = ledger.ensure_issuer(make_issuer("r1", key, days), 4, plan, NOW)
        assert ledger.ca_not_after(found.id) == NOW + end * 86_400
    assert [one.event for one in ledger.journal_entries()] == ["issuer", "series", "issuer renewed"]


def test_an_unknown_issuer_is_told_with_those_there_are(ledger: Ledger, r1: LedgerIssuer) -> None:
    ledger.ensure_issuer(make_issuer("e1"), 4, CrlPlan((SeriesSpec(URL_PATTERN, 1),)), NOW)
    with pytest.raises(LedgerError, match="no issuer 'r2'; it knows: e1, r1"):
        ledger.issuer("r2")
    assert ledger.issuer("r1") == r1
    assert [one.name for one in ledger.issuers()] == ["e1", "r1"]


def test_a_snapshot_is_a_range_in_order_with_its_generation(ledger: Ledger, r1: LedgerIssuer) -> None:
    rows = certificate_rows(300, revoked_every=10)
    ledger.add_certificates(r1.id, rows, NOW)
    whole = ledger.snapshot(r1.id, *EVERYTHING)
    assert whole.rows == rows
    assert whole.generation == ledger.generation(r1.id) > r1.generation
    first, last = rows[100].hash32, rows[200].hash32
    assert ledger.snapshot(r1.id, first, last).rows == rows[100:201]
    assert sum(row.revoked for row in whole.rows) == 30


def test_a_snapshot_that_fails_leaves_no_transaction(ledger: Ledger, r1: LedgerIssuer) -> None:
    """The next one begins its own, and sees what came since."""
    with pytest.raises(LedgerError, match="no issuer with id 99"):
        ledger.snapshot(99, *EVERYTHING)
    rows = certificate_rows(3)
    ledger.add_certificates(r1.id, rows, NOW)
    assert ledger.snapshot(r1.id, *EVERYTHING).rows == rows


def test_issuers_share_serials_but_nothing_else(ledger: Ledger, r1: LedgerIssuer) -> None:
    other = ledger.ensure_issuer(make_issuer("e1"), 4, CrlPlan((SeriesSpec(URL_PATTERN, 1),)), NOW)
    for one in (r1, other):
        ledger.add_certificates(one.id, [certificate_row(b"\x05")], NOW)
    revoke(ledger, r1.id, [Revocation(b"\x05", NOW)])
    found, untouched = ledger.find(r1.id, b"\x05"), ledger.find(other.id, b"\x05")
    assert found is not None and found.revocation_time == NOW
    assert untouched is not None and untouched.revocation_time is None
    assert ledger.changes(other.id, other.generation + 1, 10) == []


def test_what_is_kept_of_a_certificate(ledger: Ledger, r1: LedgerIssuer) -> None:
    row = certificate_row(b"\x80" + bytes(19), NOW - 5, reason=4)
    ledger.add_certificates(r1.id, [row], NOW)
    found = ledger.find(r1.id, row.serial)
    assert found is not None
    assert (found.serial, found.not_after, found.revocation_time, found.reason) == (
        row.serial,
        NOW + YEAR,
        NOW - 5,
        4,
    )
    assert (found.series, found.shard_index, found.placed_by) == (0, row.hash32 % 4, PlacedBy.HASH)
    assert found.issued_generation == found.revoked_generation == ledger.generation(r1.id)
    assert ledger.find(r1.id, b"\x81" + bytes(19)) is None


def test_counts_add_up(ledger: Ledger, r1: LedgerIssuer) -> None:
    rows = [
        certificate_row(b"\x01"),
        certificate_row(b"\x02", not_after=NOW),
        certificate_row(b"\x03", not_after=NOW - 1),
        certificate_row(b"\x04", NOW - 9),
        certificate_row(b"\x05", NOW - 9, not_after=NOW - 1),
    ]
    ledger.add_certificates(r1.id, sorted(rows), NOW)
    counts = ledger.counts(r1.id, NOW)
    assert (counts.certificates, counts.good, counts.revoked, counts.expired) == (5, 2, 2, 1)


def test_positions_are_kept(ledger: Ledger, r1: LedgerIssuer) -> None:
    assert (ledger.tail_position(r1.id), ledger.checkpoint(r1.id)) == (0, None)
    ledger.add_certificates(r1.id, [certificate_row(b"\x01")], NOW)
    assert ledger.pending_changes(r1.id) == 1
    for generation in (7, ledger.generation(r1.id)):
        ledger.set_tail_position(r1.id, generation)
        ledger.set_checkpoint(r1.id, NOW, generation)
        assert (ledger.tail_position(r1.id), ledger.checkpoint(r1.id)) == (generation, (NOW, generation))
    assert ledger.pending_changes(r1.id) == 0


def test_changes_are_read_in_order_and_in_parts(ledger: Ledger, r1: LedgerIssuer) -> None:
    serials = [bytes([number]) for number in range(1, 21)]
    ledger.add_certificates(r1.id, sorted(certificate_row(serial) for serial in serials), NOW)
    revoke(ledger, r1.id, [Revocation(serial, NOW) for serial in serials])
    after, seen = r1.generation, []
    while part := ledger.changes(r1.id, after, 7):
        assert len(part) <= 7
        seen += part
        after = part[-1].generation
    assert [change.generation for change in seen] == sorted({change.generation for change in seen})
    revoked = [change.serial for change in seen if change.kind is ChangeKind.REVOKE]
    assert revoked == serials
    assert after == ledger.generation(r1.id)


def test_generations_become_visible_in_order_without_a_gap(ledger: Ledger, r1: LedgerIssuer) -> None:
    """A reader that goes on from the last change it saw never misses one, whoever commits when."""
    writers, each = 4, 12
    serials = [bytes([1, writer, number]) for writer in range(writers) for number in range(each)]
    ledger.add_certificates(r1.id, sorted(certificate_row(serial) for serial in serials), NOW)
    start = ledger.generation(r1.id)
    done = threading.Event()

    def follow() -> list[int]:
        seen: list[int] = []
        while True:
            last_look = done.is_set()
            part = ledger.changes(r1.id, seen[-1] if seen else start, 5)
            seen += [change.generation for change in part]
            if last_look and not part:
                return seen

    def work(writer: int) -> None:
        for number in range(each):
            revoke(ledger, r1.id, [Revocation(bytes([1, writer, number]), NOW)])

    with ThreadPoolExecutor() as pool:
        follower = pool.submit(follow)
        try:
            for future in [pool.submit(work, writer) for writer in range(writers)]:
                future.result()
        finally:
            done.set()
        assert follower.result() == list(range(start + 1, start + 1 + len(serials)))


def test_another_connections_commit_is_noticed(ledger: Ledger, ledger_url: str, r1: LedgerIssuer) -> None:
    other = Ledger.open(ledger_url)
    before = ledger.data_version()
    assert ledger.data_version() == before
    other.add_certificates(r1.id, [certificate_row(b"\x01")], NOW)
    assert ledger.data_version() != before
    other.close()


def test_templates_are_numbered_once(ledger: Ledger, r1: LedgerIssuer) -> None:
    other = ledger.ensure_issuer(make_issuer("e1"), 4, CrlPlan((SeriesSpec(URL_PATTERN, 1),)), NOW)
    first = ledger.add_template(r1.id, b"one")
    second = ledger.add_template(r1.id, b"two")
    third = ledger.add_template(other.id, b"one")
    assert ledger.add_template(r1.id, b"one") == first
    assert [(one.number, one.slot) for one in (first, second, third)] == [(1, 0), (2, 1), (3, 0)]
    assert ledger.templates(r1.id) == {0: first, 1: second}


def test_slots_end_at_one_octet(ledger: Ledger, r1: LedgerIssuer) -> None:
    for number in range(256):
        assert ledger.add_template(r1.id, bytes([number])).slot == number
    with pytest.raises(LedgerError, match="256 template slots") as caught:
        ledger.add_template(r1.id, b"more")
    assert caught.value.remedy is not None and caught.value.remedy.startswith("put back one that it had")
    assert ledger.add_template(r1.id, bytes([7])).slot == 7


@pytest.mark.conformance("C-15", "C-21", "R-21")
def test_a_reason_that_no_crl_may_carry_never_gets_in(ledger: Ledger, r1: LedgerIssuer) -> None:
    row = CertificateRow(certificate_row(b"\x01").hash32, b"\x01", NOW, NOW - 1, 6)
    with pytest.raises(LedgerError, match="serial 01: reason 6 cannot be recorded"):
        ledger.add_certificates(r1.id, [row], NOW)
    assert ledger.generation(r1.id) == r1.generation


def test_the_journal_follows_and_shows_what_was_done(ledger: Ledger, r1: LedgerIssuer) -> None:
    ledger.add_certificates(r1.id, [certificate_row(b"\x01")], NOW)
    before = ledger.generation(r1.id)
    revoke(ledger, r1.id, [Revocation(b"\x01", NOW)], actor="ann")
    ledger.journal("import done", {"rows": 3}, NOW + 1, "bob")
    entries = list(ledger.journal_entries())
    assert [(one.event, one.actor) for one in entries] == [
        ("issuer", "ocsp-signer"),
        ("series", "ocsp-signer"),
        ("revoke begun", "ann"),
        ("revoke", "ann"),
        ("revoke done", "ann"),
        ("import done", "bob"),
    ]
    assert entries[3].detail == {
        "issuer": "r1",
        "batch": "b",
        "certificates": 1,
        "first_generation": before + 1,
        "last_generation": before + 1,
    }
    assert ledger.verify_journal() == 6
