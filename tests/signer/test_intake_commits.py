"""Group commit: what waits for the ledger goes into one transaction, and is told when that is durable."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager

import pytest

from signer.intake.commits import Committer
from signer.ledger.deeds import Deed, Issue, Result, Settled
from signer.ledger.errors import LedgerError
from signer.ledger.ledger import Ledger
from signer.ledger.values import LedgerIssuer
from tests.signer.ledgers import certificate_row
from tests.signer.processes import wait_until
from tests.signer.works import FakeClock


@pytest.fixture
def groups(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many deeds each commit began with."""
    sizes: list[int] = []
    carry_out = ledger.carry_out

    def counted(group: Sequence[Deed], now: int) -> list[list[Result]]:
        sizes.append(len(group))
        return carry_out(group, now)

    monkeypatch.setattr(ledger, "carry_out", counted)
    return sizes


def issue(issuer_id: int, number: int) -> Issue:
    return Issue(issuer_id, "t", [certificate_row(bytes([1, number]))])


@contextmanager
def held_up(
    committer: Committer, ledger_url: str, issuer: LedgerIssuer, groups: list[int]
) -> Iterator["Future[list[Result]]"]:
    """A first commit that waits for somebody else, who writes until the end."""
    other = Ledger.open(ledger_url)
    with other._write():
        first = committer.submit(issue(issuer.id, 0))
        wait_until(lambda: groups == [1])
        yield first
    other.close()


@pytest.mark.invariant("A4")
def test_what_waits_is_one_commit(
    ledger: Ledger, ledger_url: str, r1: LedgerIssuer, clock: FakeClock, groups: list[int]
) -> None:
    """While somebody else writes, everything is still to be had; then all are told, each of its own."""
    with Committer(ledger, clock) as committer:
        with held_up(committer, ledger_url, r1, groups) as first:
            later = [committer.submit(issue(r1.id, number)) for number in range(1, 30)]
            assert not any(one.done() for one in (first, *later))
        for number, one in enumerate((first, *later)):
            (result,) = one.result(20)
            assert isinstance(result, Settled)
            assert (result.outcome, result.state.serial) == ("recorded", bytes([1, number]))
        assert groups == [1, 29]


def test_what_is_given_up_in_time_is_not_done(
    ledger: Ledger, ledger_url: str, r1: LedgerIssuer, clock: FakeClock, groups: list[int]
) -> None:
    with Committer(ledger, clock) as committer:
        with held_up(committer, ledger_url, r1, groups) as first:
            second = committer.submit(issue(r1.id, 1))
            assert second.cancel()
            assert not first.cancel()
        assert first.result(20)
    assert ledger.state(r1.id, bytes([1, 1])) is None


def test_leaving_waits_for_what_was_submitted(ledger: Ledger, r1: LedgerIssuer, clock: FakeClock) -> None:
    with Committer(ledger, clock) as committer:
        done = [committer.submit(issue(r1.id, number)) for number in range(9)]
    assert all(one.done() for one in done)
    assert len(ledger.snapshot(r1.id, 0, 2**32 - 1).rows) == 9


def test_a_fault_is_told_and_the_next_goes_on(ledger: Ledger, r1: LedgerIssuer, clock: FakeClock) -> None:
    with Committer(ledger, clock) as committer:
        with pytest.raises(LedgerError, match="no issuer with id 99"):
            committer.submit(issue(99, 0)).result(20)
        assert committer.submit(issue(r1.id, 0)).result(20)
