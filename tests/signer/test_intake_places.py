"""Which CRL a certificate is in: by the hash of its serial until something better says, then for ever (C-19, D5)."""

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from _fastpath.page import hash32
from signer.ledger.errors import LedgerError
from signer.ledger.ledger import Ledger
from signer.ledger.placement import Misplaced, correction
from signer.ledger.values import CA_SERIES, PlacedBy, Placement, Publication
from tests.signer.intakes import Brought, Ca, Place, shard_url, write_rows
from tests.signer.ledgers import NOW, certificate_row
from tests.signer.works import Works, row_in_page

CA = Ca.make()
END = "2030-01-01T00:00:00Z"


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Place:
    return Place(tmp_path, CA, capsys)


def bring_rows(place: Place, *rows: Brought) -> Path:
    path = place.directory / "index.txt"
    write_rows("openssl-index", path, rows)
    return path


def bring_certificates(place: Place, **urls: str) -> Path:
    """Files named and numbered `name=url`: x9, or x9_2 for another file with the same serial."""
    directory = place.directory / "certificates"
    directory.mkdir(exist_ok=True)
    for old in directory.iterdir():
        old.unlink()
    for name, url in urls.items():
        serial = int(name.partition("_")[0][1:])
        (directory / f"{name}.pem").write_bytes(CA.pem(serial, [url] if url else []))
    return directory


def bring_csv(place: Place, *rows: tuple[int, str]) -> Path:
    path = place.directory / "rows.csv"
    lines = [f"{serial:x},{END},{url}" for serial, url in rows]
    path.write_text("\n".join(["serial,not_after,crl_url", *lines, ""]))
    return path


def where(place: Place) -> dict[int, tuple[int, int, str]]:
    return {int.from_bytes(row[0]): row[4:] for row in place.certificates()}


def by_hash(serial: int) -> int:
    return hash32(bytes([serial])) % 4


def other(serial: int) -> int:
    return (by_hash(serial) + 1) % 4


def publish(place: Place, index: int) -> None:
    """A CRL of a shard, built from the ledger as it is."""
    ledger = Ledger.open(f"sqlite:///{place.directory / 'ledger.db'}")
    found = ledger.issuer("r1")
    ledger.add_publication(
        Publication(found.id, 0, index, 1, NOW, NOW + 9, ledger.generation(found.id), 1, 300, bytes(32), NOW)
    )
    ledger.close()


def with_ledger(place: Place) -> Any:
    return Ledger.open(f"sqlite:///{place.directory / 'ledger.db'}")


@pytest.mark.conformance("C-19")
def test_a_certificate_corrects_the_hash(place: Place) -> None:
    place.run("openssl-index", bring_rows(place, Brought(b"\x01"), Brought(b"\x02"), Brought(b"\x03")))
    path = bring_certificates(place, x1=shard_url(other(1)), x2=shard_url(by_hash(2)), x4=shard_url(0))
    tried = place.run("pem-dir", path, dry_run=True)
    result = place.run("pem-dir", path)
    assert (tried["placed"], tried["new"]) == (result["placed"], result["new"]) == (2, 1)
    assert result["moved_entries"] == 0
    assert where(place) == {
        1: (0, other(1), "certificate"),
        2: (0, by_hash(2), "certificate"),
        3: (0, by_hash(3), "hash"),
        4: (0, 0, "certificate"),
    }
    before = place.dump()
    assert place.run("pem-dir", path)["unchanged"] == 3
    assert place.run("openssl-index", place.directory / "index.txt")["unchanged"] == 3
    assert place.dump() == before


@pytest.mark.conformance("C-19")
def test_a_move_away_from_a_published_crl_is_warned_of(place: Place) -> None:
    rows = [Brought(bytes([number]), revoked_at=NOW - 5) for number in (1, 2)]
    place.run("openssl-index", bring_rows(place, *rows))
    publish(place, by_hash(1))
    moved = {f"x{number}": shard_url(other(number)) for number in (1, 2)}
    result = place.run("pem-dir", bring_certificates(place, **moved))
    unpublished = [] if by_hash(2) != by_hash(1) else ["02"]
    assert result["moved_entry_serials"] == ["01", *unpublished]
    assert "serial 01: its entry goes to the CRL that its certificate names" in place.errors
    assert (result["kept_revoked"], result["placed"]) == (0, 2)
    assert [row[2] for row in place.certificates()] == [NOW - 5, NOW - 5]


@pytest.mark.conformance("C-18", "C-19")
def test_a_moved_entry_is_new_in_its_crl_and_may_leave_the_old(place: Place) -> None:
    place.run("openssl-index", bring_rows(place, Brought(b"\x01", NOW - 3, NOW - 50)))
    for index in range(4):
        publish(place, index)  # after the certificate's end: each may leave its entries out from now on
    place.run("pem-dir", bring_certificates(place, x1=shard_url(other(1))))
    ledger = with_ledger(place)
    issuer = ledger.issuer("r1").id
    latest = ledger.latest_publication(issuer, 0, other(1))
    with ledger.shard_snapshot(issuer, 0, other(1), after=latest) as snapshot:
        assert [serial for serial, _, _ in snapshot.entries()] == [b"\x01"]
    with ledger.shard_snapshot(issuer, 0, by_hash(1), after=None) as snapshot:
        assert list(snapshot.entries()) == []
    assert ledger.may_vanish(issuer, 0, by_hash(1), b"\x01", NOW - 100)
    assert not ledger.may_vanish(issuer, 0, other(1), b"\x01", NOW - 100)
    ledger.close()


def test_an_entry_that_only_the_hash_placed_may_not_vanish(place: Place) -> None:
    place.run("openssl-index", bring_rows(place, Brought(b"\x01", revoked_at=NOW - 5)))
    ledger = with_ledger(place)
    assert not ledger.may_vanish(ledger.issuer("r1").id, 0, other(1), b"\x01", NOW)
    ledger.close()


@pytest.mark.conformance("C-19")
def test_a_certificate_never_leaves_the_crl_it_named(place: Place) -> None:
    place.run("pem-dir", bring_certificates(place, x1=shard_url(1), x2=shard_url(2)))
    path = bring_certificates(place, x1=shard_url(3), x2=shard_url(2), x3=shard_url(0))
    before = place.dump()
    for dry_run in (True, False):
        result = place.run("pem-dir", path, code=1, dry_run=dry_run)
        (one,) = result["rejections"]
        assert one["file"] == str(path / "x1.pem")
        assert one["message"] == (
            f"distribution point: serial 01 names {shard_url(3)}, but a certificate said {shard_url(1)}"
        )
        assert place.dump() == before
    result = place.run("pem-dir", path, keep_going=True, code=3)
    assert (result["good"], result["rejected"], result["new"], result["unchanged"]) == (2, 1, 1, 1)
    assert where(place)[1] == (0, 1, "certificate")


def test_certificates_that_contradict_each_other_are_all_refused(place: Place) -> None:
    path = bring_certificates(place, x1=shard_url(1), x1_2=shard_url(2), x5=shard_url(1))
    result = place.run("pem-dir", path, code=1)
    assert sorted(Path(one["file"]).name for one in result["rejections"]) == ["x1.pem", "x1_2.pem"]
    assert (result["rows"], result["good"], result["duplicates"]) == (3, 1, 0)
    assert place.dump() == []


def test_a_certificate_without_a_distribution_point_says_nothing(place: Place) -> None:
    place.run("pem-dir", bring_certificates(place, x1="", x1_2=shard_url(other(1)), x2=""))
    assert where(place) == {1: (0, other(1), "certificate"), 2: (0, by_hash(2), "hash")}
    before = place.dump()
    place.run("pem-dir", bring_certificates(place, x1=""))
    assert place.dump() == before


def test_a_file_of_rows_places_until_the_certificate_does(place: Place) -> None:
    place.run("openssl-index", bring_rows(place, Brought(b"\x01")))
    assert place.run("csv", bring_csv(place, (1, shard_url(other(1))), (2, "")))["placed"] == 1
    assert where(place) == {1: (0, other(1), "file"), 2: (0, by_hash(2), "hash")}
    (one,) = place.run("csv", bring_csv(place, (1, shard_url(by_hash(1)))), code=1)["rejections"]
    assert one["line"] == 2 and "but a file said" in one["message"]
    place.run("pem-dir", bring_certificates(place, x1=shard_url(by_hash(1))))
    assert where(place)[1] == (0, by_hash(1), "certificate")
    (one,) = place.run("csv", bring_csv(place, (1, shard_url(other(1)))), code=1)["rejections"]
    assert "but a certificate said" in one["message"]


def test_an_older_series_keeps_its_certificates(place: Place) -> None:
    place.run("pem-dir", bring_certificates(place, x1=shard_url(1)))
    place.append_series("http://crl.example/{issuer}/new-{series}-{index}.crl", 2, "2020-01-01T00:00:00Z")
    newer = "http://crl.example/r1/new-1-0.crl"
    place.run("pem-dir", bring_certificates(place, x1=shard_url(1), x2=shard_url(2), x3=newer, x4=""))
    found = where(place)
    assert (found[1], found[2], found[3]) == (
        (0, 1, "certificate"),
        (0, 2, "certificate"),
        (1, 0, "certificate"),
    )
    assert found[4] == (1, hash32(b"\x04") % 2, "hash")


def test_a_move_is_no_work_for_the_tail(place: Place) -> None:
    """No response says where the CRL is."""
    place.run("openssl-index", bring_rows(place, Brought(b"\x01", revoked_at=NOW - 5), Brought(b"\x02")))
    ledger = with_ledger(place)
    issuer = ledger.issuer("r1").id
    before = len(ledger.changes(issuer, 0, 100))
    place.run("pem-dir", bring_certificates(place, x1=shard_url(other(1)), x2=shard_url(other(2))))
    assert len(ledger.changes(issuer, 0, 100)) == before
    ledger.close()


@pytest.mark.conformance("C-19")
def test_the_ledger_itself_refuses_a_second_place(place: Place) -> None:
    """Another import may have come between the check and the writing."""
    place.run("pem-dir", bring_certificates(place, x1=shard_url(1)))
    before = place.dump()
    ledger = with_ledger(place)
    row = certificate_row(b"\x01")._replace(placement=Placement(0, 2, PlacedBy.CERTIFICATE))
    with pytest.raises(LedgerError, match="serial 01: in shard 0-1 since a certificate said so, not in 0-2"):
        ledger.add_certificates(ledger.issuer("r1").id, [row], NOW)
    ledger.close()
    assert place.dump() == before


@pytest.mark.conformance("C-19")
@pytest.mark.parametrize("recorded", PlacedBy)
@pytest.mark.parametrize("stated", [PlacedBy.FILE, PlacedBy.CERTIFICATE])
def test_who_corrects_whom(recorded: PlacedBy, stated: PlacedBy) -> None:
    order = list(PlacedBy)
    there, elsewhere = Placement(0, 1, recorded), Placement(0, 2, stated)
    if order.index(stated) > order.index(recorded):
        assert correction(there, elsewhere) == elsewhere
        assert correction(there, Placement(0, 1, stated)) == Placement(0, 1, stated)
    else:
        with pytest.raises(Misplaced):
            correction(there, elsewhere)
        assert correction(there, Placement(0, 1, stated)) is None


@pytest.mark.conformance("C-19")
def test_both_crls_are_published_after_a_move(works: Works) -> None:
    """Round about: each shard loses an entry to the next, so that neither could wait for the other."""
    serials = [row_in_page(0, number).serial for number in range(6)]
    works.add(certificate_row(serial, NOW - 5) for serial in serials)
    job = works.context.crl_job("demo")
    shards = job.shards()
    for _ in range(2):
        outcomes = job.build(shards, lambda outcome: None)
        assert [outcome.message for outcome in outcomes] == [None] * 3
        assert sum(outcome.entries or 0 for outcome in outcomes) == 6
        moved = [Placement(0, (hash32(serial) + 1) % 3, PlacedBy.CERTIFICATE) for serial in serials]
        works.add(
            certificate_row(serial)._replace(placement=place)
            for serial, place in zip(serials, moved, strict=True)
        )
        works.clock.pass_time(60)  # type: ignore[attr-defined]
    for _, index in shards:
        crl = x509.load_der_x509_crl((works.directory / f"objects/crl/demo/0-{index}.crl").read_bytes())
        expected = {int.from_bytes(serial) for serial in serials if (hash32(serial) + 1) % 3 == index}
        assert {entry.serial_number for entry in crl} == expected


@pytest.mark.invariant("D5")
def test_a_series_opens_at_its_date(place: Place) -> None:
    """Known beforehand, so that its shards are live before the first certificate that names them (U-02)."""
    place.append_series("http://crl.example/{issuer}/new-{series}-{index}.crl", 2, "2030-01-01T00:00:00Z")
    place.run("pem-dir", bring_certificates(place, x1="", x2="http://crl.example/r1/new-1-0.crl"))
    assert where(place) == {1: (0, by_hash(1), "hash"), 2: (1, 0, "certificate")}
    place.clock.seconds = 1_893_456_000  # that date
    place.run("pem-dir", bring_certificates(place, x1="", x3=""))
    assert where(place)[1] == (0, by_hash(1), "hash")
    assert where(place)[3] == (1, hash32(b"\x03") % 2, "hash")


def test_a_changed_series_is_refused(place: Place) -> None:
    place.run("pem-dir", bring_certificates(place, x1=shard_url(1)))
    before = place.dump()
    place.configure(8, "http://crl.example/{issuer}/{series}-{index}.crl")
    for dry_run in (True, False):
        with pytest.raises(LedgerError, match="in 4 shards.*says .* in 8"):
            place.run("pem-dir", bring_certificates(place, x2=""), dry_run=dry_run)
    assert place.dump() == before


FULL, AUTHORITIES = "http://crl.example/full.crl", "http://crl.example/ca.crl"
WITH_ALL = f', full_url = "{FULL}", ca_url = "{AUTHORITIES}"'
PATTERN = "http://crl.example/{issuer}/{series}-{index}.crl"


def bring_authority(place: Place, serial: int, *urls: str, name: str = "ca") -> Path:
    """One certificate of a CA, which names these URLs."""
    directory = place.directory / f"authorities-{name}"
    directory.mkdir(exist_ok=True)
    for old in directory.iterdir():
        old.unlink()
    extensions = [x509.BasicConstraints(True, 0)]
    (directory / "ca.pem").write_bytes(CA.pem(serial, urls, extensions=extensions))
    return directory


@pytest.mark.conformance("C-11", "C-19")
@pytest.mark.parametrize("urls", [(), (AUTHORITIES,), (FULL,), ("ldap://x/", AUTHORITIES)])
def test_a_ca_is_in_the_crl_of_cas(place: Place, urls: tuple[str, ...]) -> None:
    place.configure(4, PATTERN, WITH_ALL)
    place.run("openssl-index", bring_rows(place, Brought(b"\x01")))
    place.run("pem-dir", bring_authority(place, 1, *urls))
    assert where(place) == {1: (CA_SERIES, 0, "certificate")}


@pytest.mark.conformance("C-11")
def test_a_ca_needs_a_crl_of_its_own(place: Place) -> None:
    """The shards say onlyContainsUserCerts: what they say of a CA nobody believes."""
    result = place.run("pem-dir", bring_authority(place, 1, shard_url(0)), code=1)
    assert (
        "basicConstraints: a CA's certificate: issuer r1 has no `crl.ca_url`"
        in result["rejections"][0]["message"]
    )
    place.configure(4, PATTERN, WITH_ALL)
    result = place.run("pem-dir", bring_authority(place, 1, shard_url(0)), code=1)
    assert f"{shard_url(0)} is not about CA certificates" in result["rejections"][0]["message"]
    result = place.run("pem-dir", bring_certificates(place, x1=AUTHORITIES), code=1)
    assert "names the CRL of CA certificates, and it is not a CA's" in result["rejections"][0]["message"]


@pytest.mark.conformance("C-16", "R-22")
@pytest.mark.parametrize("first", ["certificate", "rows"])
def test_a_revoked_ca_needs_a_reason(place: Place, first: str) -> None:
    place.configure(4, PATTERN, WITH_ALL)
    steps = [
        ("pem-dir", bring_authority(place, 1)),
        ("openssl-index", bring_rows(place, Brought(b"\x01", revoked_at=NOW - 5), Brought(b"\x02"))),
    ]
    (one, path), (two, other_path) = steps if first == "certificate" else reversed(steps)
    place.run(one, path)
    before = place.dump()
    for dry_run in (True, False):
        (refused,) = place.run(two, other_path, code=1, dry_run=dry_run)["rejections"]
        assert refused["message"] == "reason: serial 01 is a CA's certificate and revoked without one"
        assert place.dump() == before


@pytest.mark.conformance("C-16", "R-22")
def test_a_ca_revoked_for_a_reason_is_taken(place: Place) -> None:
    place.configure(4, PATTERN, WITH_ALL)
    place.run("openssl-index", bring_rows(place, Brought(b"\x01", revoked_at=NOW - 5, reason=4)))
    place.run("pem-dir", bring_authority(place, 1))
    assert where(place) == {1: (CA_SERIES, 0, "certificate")}
    place.run(
        "openssl-index", bring_rows(place, Brought(b"\x01", revoked_at=NOW - 5))
    )  # known, with its reason


@pytest.mark.conformance("C-19")
def test_the_full_crl_says_nothing_of_the_shard(place: Place) -> None:
    place.configure(4, PATTERN, WITH_ALL)
    place.run("pem-dir", bring_certificates(place, x1=FULL))
    assert where(place) == {1: (0, by_hash(1), "hash")}
    place.run("pem-dir", bring_certificates(place, x1=shard_url(other(1))))
    assert where(place) == {1: (0, other(1), "certificate")}
