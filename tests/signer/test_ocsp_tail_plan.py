"""The order in which the tail works: revocations first, changes of one page in order, imports last."""

import pytest

from signer.ledger.values import Change, ChangeKind
from signer.ocsp.schedule import PageRange
from signer.ocsp.tail import Work, plan

SHIFT = 28  # 16 pages


def change(generation: int, page: int, kind: ChangeKind = ChangeKind.ISSUE) -> Change:
    value = page << SHIFT | generation
    return Change(generation, kind, value, value, bytes([1, generation]))


def imported(generation: int, first: int, last: int) -> Change:
    return Change(generation, ChangeKind.IMPORT, first << SHIFT, (last << SHIFT) + 5, None)


def test_pages_with_revocations_come_first_and_keep_their_order() -> None:
    issued, other = change(1, 3), change(2, 7)
    revoked = change(3, 7, ChangeKind.REVOKE)
    assert plan([issued, other, revoked], SHIFT) == [Work(changes=(other, revoked)), Work(changes=(issued,))]


def test_a_revocation_does_not_wait_for_an_import_of_its_page() -> None:
    work = plan([imported(1, 0, 15), change(2, 9, ChangeKind.REVOKE)], SHIFT)
    assert work[0] == Work(pages=PageRange(9, 9))
    rest = [page for step in work[1:] if step.pages for page in range(step.pages.first, step.pages.last + 1)]
    assert rest == [page for page in range(16) if page != 9]


def test_many_changes_of_a_page_are_signed_as_the_page() -> None:
    few = [change(number, 2) for number in range(1, 5)]
    many = [change(number, 2) for number in range(1, 6)]
    assert plan(few, SHIFT) == [Work(changes=tuple(few))]
    assert plan(many, SHIFT) == [Work(pages=PageRange(2, 2))]


@pytest.mark.invariant("D11")
def test_a_mass_revocation_is_signed_page_by_page_after_single_revocations_and_before_the_rest() -> None:
    mass = Change(2, ChangeKind.REVOKE, 4 << SHIFT, 6 << SHIFT, None)
    issued, covered, single = change(1, 9), change(3, 5), change(4, 8, ChangeKind.REVOKE)
    pages = [Work(pages=PageRange(page, page)) for page in (4, 5, 6)]
    rest = [Work(changes=(issued,)), Work(pages=PageRange(3, 3), later=True)]
    assert plan([issued, mass, covered, single, imported(5, 3, 4)], SHIFT) == [
        Work(changes=(single,)), *pages, *rest,
    ]  # fmt: skip


def test_nothing_to_do() -> None:
    assert plan([], SHIFT) == []
