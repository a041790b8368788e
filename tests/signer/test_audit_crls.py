"""`audit` on CRLs: each published one against the ledger, every planted fault named (A5, D1, D4)."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from _fastpath.crl_reader import Crl
from signer.crl.build import CrlFields, CrlScope, build_shard
from signer.ledger.values import PlacedBy, Placement
from tests.signer.audits import Audited, Settled, publish, settle_pages
from tests.signer.ledgers import NOW
from tests.signer.works import DAY, FakeClock, Works, row_in_page

Entries = list[tuple[bytes, int, int]]


@pytest.fixture
def audited(
    settled: Settled, store_url: str, tmp_path: Path, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> Iterator[Audited]:
    with settled.again(tmp_path / "again", clock) as works:
        yield Audited(works, capsys)


def published(works: Works, name: str) -> Path:
    return works.directory / "objects" / "crl" / "demo" / name


def shard_with_entries(works: Works) -> tuple[Path, Crl]:
    """The first one that has any."""
    for path in sorted(published(works, "").glob("0-*.crl")):
        crl = Crl(path.read_bytes())
        if len(crl):
            return path, crl
    raise AssertionError


def sign_anew(works: Works, change: Callable[[Entries], Entries], number: int = 0) -> Path:
    """Put a CRL that the CA signed in the place of one, with other entries or another number."""
    path, crl = shard_with_entries(works)
    fields = CrlFields(
        crl_number=crl.crl_number + number,
        this_update=crl.this_update,
        next_update=crl.next_update,
        distribution_point_url=crl.distribution_point_url,
        scope=CrlScope.USER_CERTIFICATES,
    )
    path.write_bytes(build_shard(works.context.crl_signer("demo"), fields, sorted(change(list(crl)))))
    return path


def test_a_crl_that_is_gone(audited: Audited) -> None:
    published(audited.works, "0-1.crl").unlink()
    found = audited.first("crl_missing")
    assert found["url"] == "http://crl.example/demo/0-1.crl" and "is not there" in found["message"]


def test_crls_that_never_were(works: Works, capsys: pytest.CaptureFixture[str]) -> None:
    works.add_some(4)
    settle_pages(works)
    report = Audited(works, capsys).report()
    assert [(one["kind"], one["count"]) for one in report["findings"]] == [("crl_missing", 3)]
    assert "was never published" in report["findings"][0]["first"][0]["message"]


def test_what_is_no_crl(audited: Audited) -> None:
    published(audited.works, "0-1.crl").write_bytes(b"no CRL")
    assert "parse" in audited.first("crl_fault")["message"]


def test_a_crl_that_the_ca_did_not_sign(audited: Audited) -> None:
    """It proves nothing, whatever it says: no other finding comes of it."""
    path = sign_anew(audited.works, lambda entries: [*entries, (b"\x05" * 16, NOW - 5, 1)])
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert "signature: " in audited.first("crl_fault")["message"]


def lacking_one(entries: Entries) -> Entries:
    return entries[1:]


def one_more(entries: Entries) -> Entries:
    return [*entries, (b"\x05" * 16, NOW - 5, 1)]


def changed(time: int, reason: int) -> Callable[[Entries], Entries]:
    return lambda entries: [(entries[0][0], time, reason), *entries[1:]]


@pytest.mark.conformance("R-21")
@pytest.mark.invariant("A5", "D4")
@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lacking_one, "crl_entry_missing"),
        (one_more, "crl_entry_unknown"),
        (changed(NOW - 60, 4), "crl_entry"),
        (changed(NOW - 30, 0), "crl_entry"),
        (changed(NOW - 90, 0), "crl_entry_unknown"),
        (changed(NOW - 60, 1), "crl_entry_unknown"),
    ],
    ids=["lacking", "unknown", "reason", "later", "earlier", "keyCompromise"],
)
def test_entries_that_are_not_the_ledgers(
    audited: Audited, change: Callable[[Entries], Entries], kind: str
) -> None:
    """A5, D4: signed by the CA all the same."""
    sign_anew(audited.works, change)
    assert audited.kinds() == {"crl_fault": 1, kind: 1}  # nor is it the one that was published


def test_an_entry_of_a_certificate_that_is_good(audited: Audited) -> None:
    rows = audited.works.ledger.snapshot(audited.works.issuer.id, 0, 2**32 - 1).rows
    good = next(row.serial for row in rows if not row.revoked)
    sign_anew(audited.works, lambda entries: [*entries, (good, NOW - 5, 1)])
    (_, found) = audited.report()["findings"]
    assert found["kind"] == "crl_entry_unknown"
    assert found["first"][0]["serial"] == good.hex()


@pytest.mark.conformance("U-06")
def test_an_older_one_and_one_from_nowhere(audited: Audited, clock: FakeClock) -> None:
    """D1: number and ledger go together."""
    path, _ = shard_with_entries(audited.works)
    older = path.read_bytes()
    clock.pass_time(60)
    publish(audited.works)
    path.write_bytes(older)
    assert audited.kinds() == {"crl_behind": 1}
    sign_anew(audited.works, lambda entries: entries, number=7)
    assert audited.kinds() == {"crl_ahead": 1}


def test_one_that_was_published_and_not_recorded(audited: Audited, clock: FakeClock) -> None:
    """Its build was killed in between: it has a number that the ledger gave out, and entries that it has."""
    works = audited.works
    path, crl = shard_with_entries(works)
    number = works.ledger.reserve_crl_number(works.issuer.id, 0, int(path.stem[2:]))
    sign_anew(works, lambda entries: entries, number=number - crl.crl_number)
    assert audited.report()["clean"]
    sign_anew(works, one_more)
    assert audited.kinds() == {"crl_entry_unknown": 1}
    sign_anew(works, lambda entries: entries, number=1)
    assert audited.kinds()["crl_ahead"] == 1


def test_what_was_revoked_since_is_not_held_against_it(audited: Audited, clock: FakeClock) -> None:
    rows = audited.works.ledger.snapshot(audited.works.issuer.id, 0, 2**32 - 1).rows
    clock.pass_time(60)
    audited.works.revoke(next(row.serial for row in rows if not row.revoked))
    settle_pages(audited.works)
    assert audited.report()["clean"]


def test_an_entry_that_was_moved_is_not_held_against_the_shard_before(
    audited: Audited, clock: FakeClock
) -> None:
    works = audited.works
    path, crl = shard_with_entries(works)
    serial = next(iter(crl))[0]
    row = next(
        row for row in works.ledger.snapshot(works.issuer.id, 0, 2**32 - 1).rows if row.serial == serial
    )
    before = path.read_bytes()
    other = (int(path.stem[2:]) + 1) % 3
    works.add([row._replace(placement=Placement(0, other, PlacedBy.CERTIFICATE))])
    assert audited.report()["clean"]
    clock.pass_time(60)
    publish(works)
    assert audited.report()["clean"]
    path.write_bytes(before)
    assert audited.kinds() == {"crl_behind": 1}


def test_an_entry_that_left_with_its_certificate(audited: Audited, clock: FakeClock) -> None:
    """C-18: it was on one CRL past the end."""
    audited.works.add([row_in_page(1, 1, revoked=NOW - 5, not_after=NOW + DAY)])
    for _ in range(3):
        clock.pass_time(DAY)
        publish(audited.works)
    settle_pages(audited.works)
    report = audited.report()
    assert report["clean"] and report["issuers"][0]["crl_entries"] == 6


@pytest.mark.conformance("U-03")
def test_crls_that_should_have_been_replaced(audited: Audited, clock: FakeClock) -> None:
    clock.pass_time(5 * 3600 + 1)
    assert audited.kinds() == {"crl_overdue": 3}


def test_a_manifest_of_another_set(audited: Audited) -> None:
    path = published(audited.works, "manifest.json")
    manifest: Any = json.loads(path.read_bytes())
    manifest["shards"][1]["crl_number"] = 9
    path.write_text(json.dumps(manifest))
    assert "it has number 9, the ledger number 1" in audited.first("manifest")["message"]
    del manifest["shards"][1]
    path.write_text(json.dumps(manifest))
    assert "shard 1 is missing" in audited.first("manifest")["message"]
    path.write_bytes(b"{")
    assert audited.first("manifest")["url"].endswith("crl/demo/manifest.json")
    path.unlink()
    assert audited.first("manifest")["message"] == "it is not there"


def test_a_second_target_is_looked_at_too(audited: Audited) -> None:
    works = audited.works
    text = works.file.read_text().replace(
        "[signer]", '[objects]\n[[objects.also]]\ntarget = "second"\n[signer]'
    )
    works.file.write_text(text)
    (works.directory / "second").mkdir()
    assert audited.kinds() == {"crl_missing": 3, "manifest": 1}
