import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signer.ledger import revocation
from signer.ledger.errors import LedgerError
from signer.ledger.ledger import Ledger
from signer.ledger.values import (
    ALLOWED_REASONS,
    CA_SERIES,
    ChangeKind,
    CrlPlan,
    LedgerIssuer,
    Outcome,
    PlacedBy,
    Placement,
    Revocation,
    SeriesSpec,
)
from store.model import Issuer
from tests.signer.ledgers import NOW, certificate_row, certificate_rows, revoke

SERIAL = b"\x2f\x00\xa1"


@pytest.fixture
def known(ledger: Ledger, r1: LedgerIssuer) -> LedgerIssuer:
    """The issuer with one good certificate."""
    ledger.add_certificates(r1.id, [certificate_row(SERIAL)], NOW)
    return ledger.issuer("r1")


def test_revoking_is_recorded_and_logged(ledger: Ledger, known: LedgerIssuer) -> None:
    done = revoke(ledger, known.id, [Revocation(SERIAL, NOW - 3, 4)])
    assert (done.outcomes, done.reasons) == ({Outcome.REVOKED: 1}, {4: 1})
    generation = ledger.generation(known.id)
    found = ledger.find(known.id, SERIAL)
    assert found is not None
    assert (found.revocation_time, found.reason, found.revoked_generation) == (NOW - 3, 4, generation)
    (change,) = ledger.changes(known.id, known.generation, 10)
    assert (change.kind, change.serial, change.generation) == (ChangeKind.REVOKE, SERIAL, generation)


@pytest.mark.invariant("G5")
def test_the_same_again_changes_nothing(ledger: Ledger, known: LedgerIssuer) -> None:
    revoke(ledger, known.id, [Revocation(SERIAL, NOW - 3, 4)])
    generation, length = ledger.generation(known.id), ledger.verify_journal()
    again = revoke(ledger, known.id, [Revocation(SERIAL, NOW, 4)])
    assert again.outcomes == {Outcome.ALREADY: 1}
    assert (ledger.generation(known.id), ledger.verify_journal()) == (generation, length)


@pytest.mark.conformance("C-17", "R-21")
@pytest.mark.invariant("A6")
@pytest.mark.parametrize(
    ("asked", "outcome", "time", "reason"),
    [
        (Revocation(SERIAL, NOW - 9, 4), Outcome.UPDATED, NOW - 9, 4),
        (Revocation(SERIAL, NOW, 1), Outcome.UPDATED, NOW - 3, 1),
        (Revocation(SERIAL, NOW - 9, 1), Outcome.UPDATED, NOW - 9, 1),
        (Revocation(SERIAL, NOW, 5), Outcome.ALREADY, NOW - 3, 4),
        (Revocation(SERIAL, NOW, 0), Outcome.ALREADY, NOW - 3, 4),
    ],
    ids=["earlier", "keyCompromise", "both", "other-reason", "no-reason"],
)
def test_a_second_revocation_only_gets_earlier_or_graver(
    ledger: Ledger, known: LedgerIssuer, asked: Revocation, outcome: Outcome, time: int, reason: int
) -> None:
    revoke(ledger, known.id, [Revocation(SERIAL, NOW - 3, 4)])
    (planned,) = ledger.plan_revocations(known.id, [asked], NOW)
    assert (planned.outcome, planned.revocation_time, planned.reason) == (outcome, time, reason)
    assert revoke(ledger, known.id, [asked]).outcomes == {outcome: 1}
    found = ledger.find(known.id, SERIAL)
    assert found is not None and (found.revocation_time, found.reason) == (time, reason)
    kinds = [change.kind for change in ledger.changes(known.id, known.generation, 10)]
    assert kinds == [ChangeKind.REVOKE] + [ChangeKind.UPDATE] * (outcome is Outcome.UPDATED)


@pytest.mark.conformance("C-17", "R-21")
@pytest.mark.invariant("A6")
@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, NOW), st.sampled_from(sorted(ALLOWED_REASONS))), min_size=1))
def test_time_never_moves_later_and_reason_only_to_key_compromise(asked: list[tuple[int, int]]) -> None:
    state: tuple[int | None, int] = (None, 0)
    for time, reason in asked:
        result = revocation.decide(Revocation(SERIAL, time, reason), state)
        assert result.revocation_time is not None
        if state[0] is not None:
            assert result.revocation_time <= state[0]
            assert result.reason in (state[1], 1)
        state = (result.revocation_time, result.reason)
    assert state[0] == min(time for time, _ in asked)
    assert state[1] == (1 if any(reason == 1 for _, reason in asked) else asked[0][1])


def test_an_unknown_serial_is_rejected_and_the_others_are_not(ledger: Ledger, known: LedgerIssuer) -> None:
    asked = [Revocation(b"\x07", NOW), Revocation(SERIAL, NOW), Revocation(SERIAL, NOW, 1)]
    expected = [Outcome.REJECTED, Outcome.REVOKED, Outcome.UPDATED]
    assert [one.outcome for one in ledger.plan_revocations(known.id, asked, NOW)] == expected
    done = revoke(ledger, known.id, asked)
    assert done.outcomes == dict.fromkeys(expected, 1)
    assert done.rejected.first == [b"\x07"]
    assert ledger.find(known.id, b"\x07") is None


@pytest.mark.conformance("C-15", "C-21", "R-21")
@pytest.mark.parametrize("reason", [2, 6, 7, 8, 10])
def test_a_reason_that_is_not_for_subscribers_stops_all(
    ledger: Ledger, known: LedgerIssuer, reason: int
) -> None:
    with pytest.raises(LedgerError, match=f"2f00a1: reason {reason} is not allowed"):
        revoke(ledger, known.id, [Revocation(SERIAL, NOW), Revocation(SERIAL, NOW, reason)])
    assert ledger.generation(known.id) == known.generation


@pytest.mark.conformance("C-17")
@pytest.mark.invariant("A6")
def test_a_time_in_the_future_stops_all(ledger: Ledger, known: LedgerIssuer) -> None:
    revoke(ledger, known.id, [])
    with pytest.raises(LedgerError, match="2f00a1: its revocation time is in the future"):
        revoke(ledger, known.id, [Revocation(SERIAL, NOW + 1)])
    with pytest.raises(LedgerError, match="2f00a1: its revocation time is before 1970"):
        revoke(ledger, known.id, [Revocation(SERIAL, -1)])
    assert ledger.generation(known.id) == known.generation


def test_planning_changes_nothing(ledger: Ledger, known: LedgerIssuer) -> None:
    ledger.plan_revocations(known.id, [Revocation(SERIAL, NOW)], NOW)
    found = ledger.find(known.id, SERIAL)
    assert found is not None and found.revocation_time is None
    assert ledger.generation(known.id) == known.generation


def test_scattered_ones_are_revoked_in_the_order_asked(ledger: Ledger, r1: LedgerIssuer) -> None:
    serials = [(1 << 16 | number).to_bytes(3) for number in range(60)]
    ledger.add_certificates(r1.id, sorted(certificate_row(serial) for serial in serials), NOW)
    before = ledger.generation(r1.id)
    done = revoke(ledger, r1.id, [Revocation(serial, NOW) for serial in serials])
    assert done.outcomes == {Outcome.REVOKED: 60}
    assert ledger.generation(r1.id) == before + 60
    assert [change.serial for change in ledger.changes(r1.id, before, 5_000)] == serials


@pytest.mark.parametrize(
    ("odd", "outcomes"),
    [
        pytest.param([Revocation(b"\x07", NOW, 4)], {Outcome.REJECTED: 1}, id="unknown"),
        pytest.param([Revocation(SERIAL, NOW, 4)], {Outcome.ALREADY: 1}, id="revoked"),
        pytest.param([Revocation(SERIAL, NOW - 9, 4)], {Outcome.UPDATED: 1}, id="earlier"),
    ],
)
def test_one_among_many_that_is_not_simply_revoked(
    ledger: Ledger, known: LedgerIssuer, odd: list[Revocation], outcomes: dict[Outcome, int]
) -> None:
    revoke(ledger, known.id, [Revocation(SERIAL, NOW - 3, 4)])
    rows = certificate_rows(200)
    ledger.add_certificates(known.id, rows, NOW)
    asked = [Revocation(row.serial, NOW, 1) for row in rows]
    done = revoke(ledger, known.id, [*asked[:90], *odd, *asked[90:]])
    assert done.outcomes == {Outcome.REVOKED: 200, **outcomes}


def test_the_same_one_twice_among_many(ledger: Ledger, r1: LedgerIssuer) -> None:
    rows = certificate_rows(200)
    ledger.add_certificates(r1.id, rows, NOW)
    asked = [Revocation(row.serial, NOW, 4) for row in rows]
    done = revoke(ledger, r1.id, [*asked, asked[0], Revocation(rows[1].serial, NOW, 1)])
    assert done.outcomes == {Outcome.REVOKED: 200, Outcome.ALREADY: 1, Outcome.UPDATED: 1}
    found = ledger.find(r1.id, rows[1].serial)
    assert found is not None and found.reason == 1


def test_a_certificate_of_a_ca_among_many_needs_a_reason(ledger: Ledger, issuer: Issuer) -> None:
    plan = CrlPlan((SeriesSpec("http://crl.example/{index}.crl", 4),), ca_url="http://crl.example/ca.crl")
    r1 = ledger.ensure_issuer(issuer, 4, plan, NOW)
    rows = certificate_rows(200)
    rows[50] = rows[50]._replace(placement=Placement(CA_SERIES, 0, PlacedBy.CERTIFICATE))
    ledger.add_certificates(r1.id, rows, NOW)
    with pytest.raises(LedgerError, match="is a CA's certificate: its revocation needs a reason"):
        revoke(ledger, r1.id, [Revocation(row.serial, NOW) for row in rows])
    done = revoke(ledger, r1.id, [Revocation(row.serial, NOW, 4) for row in rows])
    assert done.outcomes == {Outcome.REVOKED: 200}


@pytest.mark.invariant("D11")
def test_those_that_fill_their_pages_are_one_change_a_commit(ledger: Ledger, r1: LedgerIssuer) -> None:
    rows = certificate_rows(2_500)
    ledger.add_certificates(r1.id, rows, NOW)
    before = ledger.generation(r1.id)
    done = revoke(ledger, r1.id, [Revocation(row.serial, NOW, 4) for row in rows[:2_400]])
    assert (done.outcomes, done.reasons) == ({Outcome.REVOKED: 2_400}, {4: 2_400})
    end = next(at for at in range(2_000, 2_400) if rows[at].hash32 >> 28 != rows[1_999].hash32 >> 28)
    assert end > 2_000
    changes = ledger.changes(r1.id, before, 10)
    assert [(one.kind, one.generation, one.serial) for one in changes] == [
        (ChangeKind.REVOKE, before + 1, None), (ChangeKind.REVOKE, before + 2, None),
    ]  # fmt: skip
    assert [(one.first_hash32, one.last_hash32) for one in changes] == [
        (rows[0].hash32, rows[end - 1].hash32), (rows[end].hash32, rows[2_399].hash32),
    ]  # fmt: skip
    places = [ledger.find(r1.id, row.serial) for row in rows]
    assert [one and one.revoked_generation for one in places] == (
        [before + 1] * end + [before + 2] * (2_400 - end) + [None] * 100
    )
    entries = [one.detail for one in ledger.journal_entries() if one.event == "revoke"]
    assert [one["certificates"] for one in entries] == [end, 2_400 - end]
