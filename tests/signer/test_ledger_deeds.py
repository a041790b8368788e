"""Deeds of the intake API in the ledger: each item by itself, the same again changes nothing, promises are kept."""

import pytest

from _fastpath.page import hash32
from signer.ledger import reservations
from signer.ledger.deeds import Conflict, Deed, Issue, Reserve, Result, Revoke, Settled, Unissued
from signer.ledger.errors import LedgerError
from signer.ledger.ledger import Ledger
from signer.ledger.placement import Misplaced
from signer.ledger.values import (
    CertificateRow,
    ChangeKind,
    CrlPlan,
    LedgerIssuer,
    PlacedBy,
    Placement,
    Revocation,
    SeriesSpec,
)
from store.model import Issuer
from tests.signer.conftest import URL_PATTERN
from tests.signer.ledgers import NOW, YEAR, certificate_row, certificate_rows

SERIAL = b"\x2f\x00\xa1"
OTHER = b"\x2f\x00\xa2"


def do(ledger: Ledger, *group: Deed, now: int = NOW) -> list[Result]:
    """All results of a group."""
    return [result for results in ledger.carry_out(group, now) for result in results]


def outcomes(results: list[Result]) -> list[str]:
    return [one.outcome if isinstance(one, Settled) else type(one).__name__ for one in results]


def placed(serial: bytes, index: int, by: PlacedBy) -> CertificateRow:
    return certificate_row(serial)._replace(placement=Placement(0, index, by))


def issue(ledger: Ledger, issuer: LedgerIssuer, *rows: CertificateRow) -> list[Result]:
    return do(ledger, Issue(issuer.id, "t", rows))


def reserve(ledger: Ledger, issuer: LedgerIssuer, *serials: bytes, now: int = NOW) -> list[Result]:
    return do(ledger, Reserve(issuer.id, "t", serials), now=now)


def test_recording_is_idempotent_and_logged_once(ledger: Ledger, r1: LedgerIssuer) -> None:
    assert outcomes(issue(ledger, r1, certificate_row(SERIAL))) == ["recorded"]
    after = ledger.generation(r1.id)
    (again,) = issue(ledger, r1, certificate_row(SERIAL))
    assert isinstance(again, Settled)
    assert (again.outcome, again.state.not_after, again.state.revocation_time) == ("known", NOW + YEAR, None)
    assert ledger.generation(r1.id) == after
    assert [one.kind for one in ledger.changes(r1.id, r1.generation, 9)] == [ChangeKind.ISSUE]
    entries = [one for one in ledger.journal_entries() if one.event == "issue"]
    assert [one.detail for one in entries] == [
        {"issuer": "r1", "certificates": 1, "first_generation": after, "last_generation": after}
    ]
    assert entries[0].actor == "t"


def test_a_serial_has_one_end(ledger: Ledger, r1: LedgerIssuer) -> None:
    """A precertificate and its certificate end at the same second (RFC 6962 section 3.1)."""
    late = certificate_row(SERIAL, not_after=NOW + 2 * YEAR)
    rows = [certificate_row(SERIAL), certificate_row(OTHER), late]
    assert outcomes(issue(ledger, r1, *rows)) == ["recorded", "recorded", "Conflict"]
    state = ledger.state(r1.id, SERIAL)
    assert state is not None
    assert state.not_after == NOW + YEAR


def test_one_refused_row_holds_up_no_other(ledger: Ledger, r1: LedgerIssuer) -> None:
    rows = certificate_rows(40)
    issue(ledger, r1, rows[7]._replace(placement=Placement(0, 1, PlacedBy.CERTIFICATE)))
    rows[7] = rows[7]._replace(placement=Placement(0, 2, PlacedBy.CERTIFICATE))
    results = issue(ledger, r1, *reversed(rows))
    assert outcomes(results) == ["recorded"] * 32 + ["Conflict"] + ["recorded"] * 7
    assert len(ledger.snapshot(r1.id, 0, 2**32 - 1).rows) == 40


def test_a_recorded_revocation_is_not_undone_by_the_certificate(ledger: Ledger, r1: LedgerIssuer) -> None:
    issue(ledger, r1, certificate_row(SERIAL))
    do(ledger, Revoke(r1.id, "t", [Revocation(SERIAL, NOW - 5, 4)]))
    (again,) = issue(ledger, r1, certificate_row(SERIAL))
    assert isinstance(again, Settled)
    assert (again.outcome, again.state.revocation_time, again.state.reason) == ("known", NOW - 5, 4)


def test_revoking_by_itself_and_in_order(ledger: Ledger, r1: LedgerIssuer) -> None:
    issue(ledger, r1, certificate_row(SERIAL))
    asked = [
        Revocation(SERIAL, NOW - 5, 4),
        Revocation(OTHER, NOW, 1),
        Revocation(SERIAL, NOW, 4),
        Revocation(SERIAL, NOW + 9, 4),
        Revocation(SERIAL, NOW, 1),
        Revocation(SERIAL, NOW - 9, 3),
    ]
    results = do(ledger, Revoke(r1.id, "t", asked))
    assert outcomes(results) == ["revoked", "Unissued", "known", "Conflict", "updated", "updated"]
    assert {one.state[-2:] for one in results if isinstance(one, Settled)} == {(NOW - 9, 1)}
    (entry,) = [one for one in ledger.journal_entries() if one.event == "revoke"]
    assert entry.detail["certificates"] == 3
    assert ledger.verify_journal() == len(list(ledger.journal_entries()))


@pytest.mark.conformance("C-19")
def test_a_reservation_is_a_promise(ledger: Ledger, issuer: Issuer, r1: LedgerIssuer) -> None:
    """Series that open later do not change it, and the certificate comes to be where it was promised (C-19)."""
    (first,) = reserve(ledger, r1, SERIAL)
    assert isinstance(first, Settled)
    assert first.outcome == "reserved"
    assert first.state[:2] == (SERIAL, None)
    assert first.state.placement == (0, hash32(SERIAL) % 4, PlacedBy.RESERVATION)
    plan = CrlPlan((SeriesSpec(URL_PATTERN, 4), SeriesSpec(URL_PATTERN, 64, NOW + 10)))
    ledger.ensure_issuer(issuer, 4, plan, NOW)
    (later,) = reserve(ledger, r1, OTHER, now=NOW + 20)
    (again,) = reserve(ledger, r1, SERIAL, now=NOW + 20)
    assert isinstance(later, Settled) and isinstance(again, Settled)
    assert later.state.placement.series == 1
    assert (again.outcome, again.state) == ("known", first.state)
    assert ledger.find(r1.id, SERIAL) is None  # reserved is not issued
    (issued,) = do(ledger, Issue(r1.id, "t", [certificate_row(SERIAL)]), now=NOW + 30)
    assert isinstance(issued, Settled)
    assert (issued.outcome, issued.state.placement) == ("recorded", first.state.placement)
    (again,) = reserve(ledger, r1, SERIAL, now=NOW + 40)
    assert isinstance(again, Settled)
    assert (again.outcome, again.state.placement) == ("known", first.state.placement)


@pytest.mark.conformance("C-19")
@pytest.mark.parametrize("by", [PlacedBy.FILE, PlacedBy.CERTIFICATE])
def test_a_certificate_elsewhere_than_promised_is_refused(
    ledger: Ledger, r1: LedgerIssuer, by: PlacedBy
) -> None:
    """Before and after it was recorded, and by an import too."""
    reserve(ledger, r1, SERIAL)
    promised = hash32(SERIAL) % 4
    wrong, right = placed(SERIAL, (promised + 1) % 4, by), placed(SERIAL, promised, by)
    for _ in range(2):
        assert outcomes(issue(ledger, r1, wrong)) == ["Conflict"]
        with pytest.raises(Misplaced, match="since a reservation said so"):
            ledger.add_certificates(r1.id, [wrong], NOW)
        assert outcomes(issue(ledger, r1, right))[0] in ("recorded", "known")
    assert ledger.recorded(r1.id, [right])[SERIAL].placement == (0, promised, PlacedBy.RESERVATION)


@pytest.mark.conformance("C-19")
def test_an_import_keeps_the_promise(ledger: Ledger, r1: LedgerIssuer) -> None:
    rows = certificate_rows(300)
    issuer = r1.id
    with ledger._write() as connection:
        place = Placement(0, 3, PlacedBy.RESERVATION)
        reservations.add(connection, issuer, {row.serial: place for row in rows[::2]}, NOW)
    assert ledger.recorded(issuer, rows[:1])[rows[0].serial].placement == place
    ledger.add_certificates(issuer, rows, NOW)
    states = [ledger.state(issuer, row.serial) for row in rows]
    found = [state.placement for state in states if state is not None]
    assert found[::2] == [place] * 150
    assert {one.placed_by for one in found[1::2]} == {PlacedBy.HASH}


def test_an_issued_serial_is_not_reserved(ledger: Ledger, r1: LedgerIssuer) -> None:
    issue(ledger, r1, certificate_row(SERIAL))
    assert outcomes(reserve(ledger, r1, SERIAL, OTHER, OTHER)) == ["Conflict", "reserved", "known"]
    (entry,) = [one for one in ledger.journal_entries() if one.event == "reserve"]
    assert entry.detail == {"issuer": "r1", "serials": [OTHER.hex()]}


def test_a_group_is_one_commit(ledger: Ledger, r1: LedgerIssuer) -> None:
    """A fault of ours in one deed leaves nothing of the others."""
    unknown = Issue(99, "t", [certificate_row(OTHER)])
    with pytest.raises(LedgerError, match="no issuer with id 99"):
        do(ledger, Issue(r1.id, "t", [certificate_row(SERIAL)]), unknown)
    assert ledger.state(r1.id, SERIAL) is None
    assert outcomes(
        do(
            ledger,
            Issue(r1.id, "a", [certificate_row(SERIAL)]),
            Revoke(r1.id, "b", [Revocation(SERIAL, NOW)]),
            Revoke(r1.id, "c", [Revocation(OTHER, NOW)]),
        )
    ) == ["recorded", "revoked", Unissued.__name__]
    assert [one.actor for one in ledger.journal_entries() if one.event in ("issue", "revoke")] == ["a", "b"]


def test_requests_of_one_caller_in_a_row_are_one_deed(ledger: Ledger, r1: LedgerIssuer) -> None:
    """Each gets its own results, and the journal one entry."""
    rows = certificate_rows(30)
    late = rows[3]._replace(not_after=NOW)
    group = [Issue(r1.id, "a", rows[:4]), Issue(r1.id, "a", [late, *rows[2:30]]), Issue(r1.id, "b", rows[:1])]
    first, second, third = (outcomes(results) for results in ledger.carry_out(group, NOW))
    assert first == ["recorded"] * 4
    assert second == ["Conflict", "known", "known", *["recorded"] * 26]
    assert third == ["known"]
    entries = [one for one in ledger.journal_entries() if one.event == "issue"]
    assert [(one.actor, one.detail["certificates"]) for one in entries] == [("a", 30)]
    assert not issubclass(Unissued, Conflict)
