import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from _fastpath.page import hash32
from signer.ledger.crls import open_series, planned
from signer.ledger.errors import LedgerError
from signer.ledger.ledger import Ledger
from signer.ledger.values import (
    CA_SERIES,
    FULL_SERIES,
    CrlPlan,
    LedgerIssuer,
    PlacedBy,
    Placement,
    Publication,
    Revocation,
    SeriesRow,
    SeriesSpec,
)
from store.model import Issuer
from tests.signer.conftest import URL_PATTERN
from tests.signer.ledgers import NOW, YEAR, certificate_row, certificate_rows, publication, revoke

DAY = 86_400


def entries(
    ledger: Ledger, issuer: LedgerIssuer, index: int = 0, after: Publication | None = None
) -> list[tuple[bytes, int, int]]:
    with ledger.shard_snapshot(issuer.id, 0, index, after=after) as snapshot:
        return list(snapshot.entries())


@pytest.fixture
def one_shard(ledger: Ledger, issuer: Issuer) -> LedgerIssuer:
    return ledger.ensure_issuer(issuer, 4, CrlPlan((SeriesSpec(URL_PATTERN, 1),)), NOW)


@pytest.mark.conformance("C-19", "P-08")
def test_shards_are_a_partition_in_order_of_serials(ledger: Ledger, r1: LedgerIssuer) -> None:
    rows = certificate_rows(2_000, revoked_every=3)
    ledger.add_certificates(r1.id, rows, NOW)
    parts = [entries(ledger, r1, index) for index in range(4)]
    assert all(part == sorted(part) and part for part in parts)
    everything = [entry for part in parts for entry in part]
    revoked = [(row.serial, row.revocation_time, row.reason) for row in rows if row.revoked]
    assert sorted(everything) == sorted(revoked)


@pytest.mark.conformance("C-19", "P-08")
@pytest.mark.parametrize("revoked", [None, NOW - 5])
def test_the_shard_of_a_serial_is_one_for_ever(ledger: Ledger, r1: LedgerIssuer, revoked: int | None) -> None:
    """Of four: written down, for certificates out there name them. Another hash would be another promise."""
    shards = {"01": 3, "ff0010": 3, "000102030405060708090a0b0c0d0e0f": 2, "7f" * 20: 0}
    rows = [certificate_row(bytes.fromhex(serial), revoked) for serial in shards]
    ledger.add_certificates(r1.id, sorted(rows), NOW)
    found = [ledger.find(r1.id, bytes.fromhex(serial)) for serial in shards]
    assert [one and (one.series, one.shard_index) for one in found] == [
        (0, index) for index in shards.values()
    ]


def test_entries_and_generation_are_one_snapshot(ledger: Ledger, one_shard: LedgerIssuer) -> None:
    serials = [bytes([1, number]) for number in range(100)]
    rows = sorted(certificate_row(serial, NOW) for serial in serials[:50])
    ledger.add_certificates(one_shard.id, [*rows], NOW)
    ledger.add_certificates(one_shard.id, sorted(certificate_row(serial) for serial in serials[50:]), NOW)
    before = ledger.generation(one_shard.id)
    with ledger.shard_snapshot(one_shard.id, 0, 0, after=None) as snapshot:
        next(iter(snapshot.entries()))
        revoke(ledger, one_shard.id, [Revocation(serial, NOW) for serial in serials[50:]])
        assert (snapshot.generation, len(list(snapshot.entries()))) == (before, 50)
    assert len(entries(ledger, one_shard)) == 100


def test_damage_met_while_entries_are_read_is_told(ledger_url: str, issuer: Issuer, tmp_path: Path) -> None:
    """D4: half a list is never the list."""
    ledger = Ledger.open(ledger_url, create=True)
    one_shard = ledger.ensure_issuer(issuer, 4, CrlPlan((SeriesSpec(URL_PATTERN, 1),)), NOW)
    ledger.add_certificates(one_shard.id, certificate_rows(3_000, revoked_every=1), NOW)
    ledger.close()
    path = tmp_path / "ledger.db"
    connection = sqlite3.connect(path)
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    pages = connection.execute(
        "SELECT pageno FROM dbstat WHERE name = 'certificate_by_shard' ORDER BY path"
    ).fetchall()
    connection.close()
    with path.open("r+b") as file:
        file.seek((pages[-1][0] - 1) * page_size)
        file.write(bytes(page_size))
    ledger = Ledger.open(ledger_url)
    read: list[tuple[bytes, int, int]] = []
    with pytest.raises(LedgerError, match="the ledger cannot be used: database disk image is malformed"):
        with ledger.shard_snapshot(one_shard.id, 0, 0, after=None) as snapshot:
            read.extend(snapshot.entries())
    assert 0 < len(read) < 3_000
    ledger.close()


@pytest.mark.conformance("C-18")
@pytest.mark.invariant("D3")
def test_an_entry_stays_for_one_crl_past_expiry(ledger: Ledger, one_shard: LedgerIssuer) -> None:
    """C-18, D3: gone only from the CRL after one whose thisUpdate was past notAfter; an unpublished one is none."""
    serial, end = b"\x11", NOW + 10 * DAY
    ledger.add_certificates(one_shard.id, [certificate_row(serial, NOW, not_after=end)], NOW)
    generation = ledger.generation(one_shard.id)
    last: Publication | None = None
    for number, this_update in enumerate((NOW, end - 1, end, end + 1), start=1):
        assert [entry[0] for entry in entries(ledger, one_shard, after=last)] == [serial]
        assert ledger.may_vanish(one_shard.id, 0, 0, serial, this_update) is (this_update > end)
        last = publication(one_shard.id, number, this_update, generation)
        ledger.add_publication(last)
    assert entries(ledger, one_shard, after=last) == []
    assert entries(ledger, one_shard) != []


@pytest.mark.conformance("C-18")
@pytest.mark.invariant("D3")
def test_a_revocation_after_expiry_is_published_once_too(ledger: Ledger, one_shard: LedgerIssuer) -> None:
    serial = b"\x12"
    ledger.add_certificates(one_shard.id, [certificate_row(serial, not_after=NOW - DAY)], NOW)
    before = publication(one_shard.id, 1, NOW, ledger.generation(one_shard.id))
    revoke(ledger, one_shard.id, [Revocation(serial, NOW)])
    assert len(entries(ledger, one_shard, after=before)) == 1
    seen = publication(one_shard.id, 2, NOW + 5, ledger.generation(one_shard.id))
    assert entries(ledger, one_shard, after=seen) == []
    revoke(ledger, one_shard.id, [Revocation(serial, NOW - 9, 1)])
    assert entries(ledger, one_shard, after=seen) == [(serial, NOW - 9, 1)]


@pytest.mark.invariant("D3")
def test_what_the_ledger_does_not_know_may_not_vanish(ledger: Ledger, r1: LedgerIssuer) -> None:
    assert ledger.may_vanish(r1.id, 0, 0, b"\x99", NOW + 100 * YEAR) is False


@pytest.mark.conformance("C-19", "P-08")
def test_an_appended_series_moves_nothing(ledger: Ledger, issuer: Issuer, r1: LedgerIssuer) -> None:
    rows = certificate_rows(40, revoked_every=1)
    ledger.add_certificates(r1.id, rows[:20], NOW)
    before = [entries(ledger, r1, index) for index in range(4)]
    plan = CrlPlan((SeriesSpec(URL_PATTERN, 4), SeriesSpec(URL_PATTERN, 8, NOW + 1)))
    for _ in range(2):
        ledger.ensure_issuer(issuer, 4, plan, NOW)
    ledger.add_certificates(r1.id, rows[20:], NOW + 1)
    assert [entries(ledger, r1, index) for index in range(4)] == before
    first, second = ledger.series(r1.id)
    assert (first.number, first.shard_count, first.opened_at) == (0, 4, NOW)
    assert (second.number, second.shard_count, second.opened_at) == (1, 8, NOW + 1)
    assert second.url("r1", 7) == "http://crl.example/r1/1-7.crl"
    found = ledger.find(r1.id, rows[20].serial)
    assert found is not None and (found.series, found.shard_index) == (1, rows[20].hash32 % 8)


@pytest.mark.conformance("C-08")
@pytest.mark.invariant("D1")
def test_numbers_are_never_given_twice(ledger: Ledger, ledger_url: str, r1: LedgerIssuer) -> None:
    assert [ledger.reserve_crl_number(r1.id, 0, 0) for _ in range(3)] == [1, 2, 3]
    assert ledger.reserve_crl_number(r1.id, 0, 1) == 1
    ledger.add_publication(publication(r1.id, 3, NOW, ledger.generation(r1.id)))
    again = Ledger.open(ledger_url)
    assert again.reserve_crl_number(r1.id, 0, 0) == 4
    assert again.reserve_crl_number(r1.id, 0, 0, at_least=1_000) == 1_000
    assert again.reserve_crl_number(r1.id, 0, 0, at_least=7) == 1_001
    again.close()


@pytest.mark.conformance("C-08")
def test_a_number_published_by_hand_is_passed(ledger: Ledger, r1: LedgerIssuer) -> None:
    ledger.add_publication(publication(r1.id, 50, NOW, ledger.generation(r1.id)))
    assert ledger.reserve_crl_number(r1.id, 0, 0) == 51


@pytest.mark.conformance("C-08", "U-06")
@pytest.mark.invariant("D1")
@pytest.mark.parametrize(
    ("number", "this_update", "generation", "word"),
    [
        (2, NOW, 5, "crl_number"),
        (1, NOW, 5, "crl_number"),
        (3, NOW - 1, 5, "this_update"),
        (3, NOW, 4, "generation"),
    ],
)
def test_publications_never_go_back(
    ledger: Ledger, r1: LedgerIssuer, number: int, this_update: int, generation: int, word: str
) -> None:
    ledger.add_publication(publication(r1.id, 2, NOW, 5))
    with pytest.raises(LedgerError, match=f"shard 0-0: {word}"):
        ledger.add_publication(publication(r1.id, number, this_update, generation))
    latest = ledger.latest_publication(r1.id, 0, 0)
    assert latest == publication(r1.id, 2, NOW, 5)


def test_the_latest_of_every_shard(ledger: Ledger, r1: LedgerIssuer) -> None:
    assert ledger.latest_publication(r1.id, 0, 0) is None
    for number in (1, 2, 10):
        ledger.add_publication(publication(r1.id, number, NOW + number, 5))
    assert [one.crl_number for one in ledger.publications(r1.id)] == [10]


@pytest.mark.conformance("C-09")
@pytest.mark.invariant("D5")
def test_one_url_never_is_two_shards(ledger: Ledger, issuer: Issuer) -> None:
    ledger.ensure_issuer(issuer, 4, CrlPlan((SeriesSpec("http://crl.example/{index}.crl", 2),)), NOW)
    first = SeriesSpec("http://crl.example/{index}.crl", 2)
    second = SeriesSpec("http://crl.example/{index}.crl", 4, NOW)
    for plan in (CrlPlan((first, second)), CrlPlan((first,), ca_url="http://crl.example/0.crl")):
        with pytest.raises(LedgerError, match="http://crl.example/0.crl is the URL of another CRL") as caught:
            ledger.ensure_issuer(issuer, 4, plan, NOW)
        assert caught.value.remedy is not None and "{series}" in caught.value.remedy
    assert len(ledger.series(ledger.issuer("r1").id)) == 1


KEPT = CrlPlan(
    (SeriesSpec(URL_PATTERN, 4), SeriesSpec(URL_PATTERN, 8, NOW + DAY)),
    "http://c.example/f",
    "http://c.example/a",
)


@pytest.mark.conformance("C-19", "P-08")
@pytest.mark.invariant("D5")
@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (replace(KEPT, shards=KEPT.shards[:1]), "series 1 of its CRLs is .* the configuration has none"),
        (
            replace(KEPT, shards=(SeriesSpec(URL_PATTERN, 5), KEPT.shards[1])),
            "series 0 .* in 4 shards.* in 5",
        ),
        (
            replace(KEPT, shards=(SeriesSpec("http://d/{index}", 4), KEPT.shards[1])),
            "says http://d/{index} in 4",
        ),
        (
            replace(KEPT, shards=(KEPT.shards[0], SeriesSpec(URL_PATTERN, 8, NOW + 9))),
            "series 1 .* says from",
        ),
        (replace(KEPT, full_url=None), "the full CRL .* has none"),
        (replace(KEPT, ca_url="http://c.example/b"), "the ca CRL .*http://c.example/b"),
    ],
)
def test_a_series_never_changes(ledger: Ledger, issuer: Issuer, plan: CrlPlan, message: str) -> None:
    """D5: what certificates name is there for ever; configuration cannot move them."""
    found = ledger.ensure_issuer(issuer, 4, KEPT, NOW)
    before = ledger.series(found.id)
    with pytest.raises(LedgerError, match=message) as caught:
        ledger.ensure_issuer(issuer, 4, plan, NOW + 1)
    assert caught.value.remedy is not None and "[[issuer.crl.series]]" in caught.value.remedy
    assert ledger.series(found.id) == before
    assert ledger.ensure_issuer(issuer, 4, KEPT, NOW + 2).id == found.id


@pytest.mark.conformance("C-19", "P-08")
@given(
    counts=st.lists(st.integers(1, 300), min_size=1, max_size=5),
    serials=st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=40),
    step=st.integers(1, 100),
)
def test_configuration_moves_no_certificate(counts: list[int], serials: list[bytes], step: int) -> None:
    """D5: whatever series are appended later, the home of a certificate is the one open when it was recorded."""
    specs = [SeriesSpec(URL_PATTERN, count, NOW + step * number) for number, count in enumerate(counts)]
    specs[0] = SeriesSpec(URL_PATTERN, counts[0])
    rows: list[SeriesRow] = []
    for number in range(len(specs)):
        now = NOW + step * number
        rows = planned(rows, 1, "r1", CrlPlan(tuple(specs[: number + 1])), now)
        home = open_series(rows, now)
        assert home.number == number
        later = planned(rows, 1, "r1", CrlPlan(tuple(specs)), now)
        assert open_series(later, now) == home
        assert later[: number + 1] == rows
        assert {hash32(serial) % home.shard_count for serial in serials} <= set(range(home.shard_count))
    urls = [url for row in rows for url in row.urls("r1")]
    assert len(urls) == len(set(urls)) == sum(counts)


@pytest.mark.conformance("C-12", "C-19")
def test_the_full_crl_has_what_the_shards_have(ledger: Ledger, issuer: Issuer) -> None:
    plan = CrlPlan((SeriesSpec(URL_PATTERN, 4),), "http://c.example/full.crl", "http://c.example/ca.crl")
    found = ledger.ensure_issuer(issuer, 4, plan, NOW)
    rows = certificate_rows(60, revoked_every=2)
    authority = certificate_row(b"\x77", NOW, reason=4)._replace(
        placement=Placement(CA_SERIES, 0, PlacedBy.CERTIFICATE)
    )
    ledger.add_certificates(found.id, sorted([*rows, authority]), NOW)

    def read(series: int, index: int) -> list[bytes]:
        with ledger.shard_snapshot(found.id, series, index, after=None) as snapshot:
            return [serial for serial, _, _ in snapshot.entries()]

    parts = [read(0, index) for index in range(4)] + [read(CA_SERIES, 0)]
    assert parts[-1] == [b"\x77"]
    assert read(FULL_SERIES, 0) == sorted(serial for part in parts for serial in part)
    assert len(read(FULL_SERIES, 0)) == 31
    assert not ledger.may_vanish(found.id, FULL_SERIES, 0, b"\x77", NOW)


@pytest.mark.conformance("C-16", "R-22")
def test_a_ca_is_not_revoked_without_a_reason(ledger: Ledger, issuer: Issuer) -> None:
    plan = CrlPlan((SeriesSpec(URL_PATTERN, 4),), ca_url="http://c.example/ca.crl")
    found = ledger.ensure_issuer(issuer, 4, plan, NOW)
    place = Placement(CA_SERIES, 0, PlacedBy.CERTIFICATE)
    rows = [certificate_row(b"\x77")._replace(placement=place), certificate_row(b"\x01")]
    ledger.add_certificates(found.id, sorted(rows), NOW)
    asked = [Revocation(b"\x01", NOW), Revocation(b"\x77", NOW)]
    for refused in (
        lambda: revoke(ledger, found.id, asked),
        lambda: ledger.plan_revocations(found.id, asked, NOW),
    ):
        with pytest.raises(
            LedgerError, match="serial 77 is a CA's certificate: its revocation needs a reason"
        ):
            refused()
    with pytest.raises(LedgerError, match="serial 77: a CA's certificate is not revoked without a reason"):
        ledger.add_certificates(found.id, [certificate_row(b"\x77", NOW)], NOW)
    assert ledger.counts(found.id, NOW).revoked == 0
    revoke(ledger, found.id, [Revocation(b"\x77", NOW, 5)])
    revoke(ledger, found.id, [Revocation(b"\x77", NOW - 5)])  # earlier; the reason is known
    with ledger.shard_snapshot(found.id, CA_SERIES, 0, after=None) as snapshot:
        assert list(snapshot.entries()) == [(b"\x77", NOW - 5, 5)]
