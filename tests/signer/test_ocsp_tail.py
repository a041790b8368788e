"""The tail against a real ledger and store: nothing is taken for stored that is not, and revocations do not wait."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signer.errors import SignerExpiring
from signer.ocsp.pages import PageSigner
from signer.ocsp.schedule import PageRange
from signer.ocsp.tail import SAVE_EVERY, Tail
from tests.signer.ledgers import NOW
from tests.signer.works import DAY, FakeClock, Works, row_in_page

ALL = PageRange(0, 3)


@pytest.fixture
def signer(works: Works) -> PageSigner:
    signer = works.signer()
    signer.sign_range(ALL)
    return signer


@pytest.fixture
def tail(works: Works, signer: PageSigner) -> Tail:
    works.ledger.set_tail_position(works.issuer.id, works.ledger.generation(works.issuer.id))
    return Tail(works.ledger, signer)


def position(works: Works) -> int:
    return works.ledger.tail_position(works.issuer.id)


def test_nothing_new(works: Works, tail: Tail) -> None:
    before = position(works)
    assert tail.step().responses == 0
    assert position(works) == before


def test_a_revocation_is_one_record(works: Works, signer: PageSigner, tail: Tail) -> None:
    rows = works.add(row_in_page(1, number) for number in range(10))
    signer.sign_range(ALL)
    tail = Tail(works.ledger, signer)
    tail.step()
    tail.settle(tail.open_pages, tail.read)
    works.revoke(rows[3].serial)
    tally = tail.step()
    assert (tally.responses, tally.pages) == (2, 0)
    assert works.ledger.pending_changes(works.issuer.id) == 0
    works.check_store()


def test_an_import_is_left_to_the_pool_and_holds_the_position(
    works: Works, signer: PageSigner, tail: Tail
) -> None:
    before = position(works)
    works.add_some(40)
    assert tail.step().responses == 0
    assert tail.take_wanted() == tail.open_pages == [0, 1, 2, 3]
    assert tail.take_wanted() == []
    assert position(works) == before
    signer.sign_range(ALL)
    tail.settle([0, 1, 2], tail.read)
    assert position(works) == before
    tail.settle([3], tail.read)
    assert works.ledger.pending_changes(works.issuer.id) == 0


def test_the_position_is_written_now_and_then_while_pages_are_open(
    works: Works, signer: PageSigner, tail: Tail, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each write waits its turn behind an import's, and revocations behind it."""
    written: list[int] = []
    monkeypatch.setattr(works.ledger, "set_tail_position", lambda issuer, position: written.append(position))
    for turn in range(SAVE_EVERY):  # there is always one open, and never the same one for long
        works.add(row_in_page(turn % 2, 10 * turn + number) for number in range(10))
        tail.step()
        assert turn % 2 in tail.open_pages
        tail.settle([1 - turn % 2], tail.read)
    assert len(written) <= 3
    tail.settle(range(4), tail.read)
    assert written[-1] == works.ledger.generation(works.issuer.id)


def test_a_page_that_changed_while_the_pool_had_it_is_wanted_again(works: Works, tail: Tail) -> None:
    works.add_some(40)
    tail.step()
    tail.take_wanted()
    read = tail.read
    works.add_some(40, seed=2)
    tail.step()
    tail.take_wanted()
    before = position(works)
    tail.settle(range(4), read)
    assert tail.take_wanted() == [0, 1, 2, 3]
    assert position(works) == before


def test_a_revocation_does_not_wait_for_an_import(works: Works, signer: PageSigner, tail: Tail) -> None:
    """Neither in the same stretch of the log nor in a later one, and the import is not taken for signed."""
    known = works.add([row_in_page(1, 1), row_in_page(1, 2)])
    signer.sign_range(ALL)
    works.add_some(40)
    tail.step()
    before = works.header(1)
    works.revoke(known[0].serial)
    tail.step()
    assert works.is_revoked(known[0].serial)
    assert works.header(1).as_of == before.as_of
    assert 1 in tail.open_pages
    signer.sign_range(ALL)
    works.check_store()


def test_many_changes_of_a_page(works: Works, signer: PageSigner, tail: Tail) -> None:
    rows = works.add(row_in_page(1, number) for number in range(10))
    tail.step()
    signer.sign_range(ALL)
    tail.settle(tail.open_pages, tail.read)
    works.revoke(*(row.serial for row in rows[:6]))
    assert tail.step().pages == 1
    works.check_store()
    assert works.ledger.pending_changes(works.issuer.id) == 0


@pytest.mark.invariant("A1", "A4")
def test_a_bad_page_holds_the_position_but_not_the_others(
    works: Works, signer: PageSigner, tail: Tail
) -> None:
    bad, good = row_in_page(0, 1), row_in_page(2, 1)
    works.add([bad, row_in_page(0, 2), good])
    tail.step()
    signer.sign_range(ALL)
    tail.settle(tail.open_pages, tail.read)
    before = position(works)
    works.revoke(bad.serial)
    works.damage(bad.serial)
    assert [fault.page for fault in tail.step().faults] == [0]
    for _ in range(3):
        works.revoke(good.serial, reason=0)
        tail.step()
    assert works.is_revoked(good.serial)
    works.revoke(row_in_page(0, 2).serial)
    tail.step()
    assert works.is_revoked(row_in_page(0, 2).serial), "a revocation in the bad page itself"
    assert position(works) == before
    assert tail.open_pages == [0]


def test_it_reads_on_past_a_bad_page(
    works: Works, signer: PageSigner, tail: Tail, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bad page must not hold back what comes after as many changes as one step reads."""
    monkeypatch.setattr("signer.ocsp.tail.CHANGES_AT_A_TIME", 3)
    works.add(row_in_page(page, number) for page in range(4) for number in range(4))
    signer.sign_range(ALL)
    tail = Tail(works.ledger, signer)
    tail.step()
    tail.settle(tail.open_pages, tail.read)
    bad = row_in_page(0, 0)
    works.revoke(bad.serial)
    works.damage(bad.serial)
    serials = [row_in_page(page, number).serial for page in (1, 2, 3) for number in range(4)]
    works.revoke(*serials)
    for _ in range(5):
        tail.step()
    assert all(works.is_revoked(serial) for serial in serials)


def test_a_clock_behind_holds_back_issuances_only(
    works: Works, clock: FakeClock, signer: PageSigner, tail: Tail
) -> None:
    known = works.add(row_in_page(1, number) for number in range(8))
    signer.sign_range(ALL)
    tail.step()
    tail.settle(tail.open_pages, tail.read)
    clock.seconds -= 3600
    works.add([row_in_page(1, 50)])
    works.revoke(*(row.serial for row in known[:2]))
    tail.step()
    works.revoke(*(row.serial for row in known[2:]))  # so many that the page is to be signed whole
    tail.step()
    assert all(works.is_revoked(row.serial) for row in known)
    assert works.response(row_in_page(1, 50).serial) is None
    assert tail.open_pages == [1]
    # After a restart and with the clock mended, the issuance is seen to be missing.
    clock.seconds = NOW + 60
    again = Tail(works.ledger, signer)
    again.step()
    signer.sign_range(PageRange(1, 1))
    again.settle([1], again.read)
    works.check_store()
    assert works.ledger.pending_changes(works.issuer.id) == 0


@pytest.mark.invariant("A1", "A4")
def test_an_error_on_the_way_repeats_the_stretch(
    works: Works, clock: FakeClock, signer: PageSigner, tail: Tail
) -> None:
    row = works.add([row_in_page(1, 1)])[0]
    signer.sign_range(ALL)
    tail.step()
    tail.settle(tail.open_pages, tail.read)
    before = position(works)
    works.revoke(row.serial)
    clock.seconds += 59 * DAY + DAY // 2  # 12 h before the end of the signer's certificate
    with pytest.raises(SignerExpiring, match="16 h are needed"):
        tail.step()
    clock.seconds = NOW
    assert position(works) == before
    tail.step()
    assert works.is_revoked(row.serial)
    assert works.ledger.pending_changes(works.issuer.id) == 0


Step = tuple[str, int, int]
steps = st.lists(
    st.tuples(
        st.sampled_from(["issue", "import", "revoke", "tail", "restart", "lose", "pool", "wait"]),
        st.integers(0, 3),
        st.integers(0, 9),
    ),
    max_size=25,
)


@pytest.mark.conformance("R-20")
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=steps, seed=st.integers(0, 10**6))
def test_any_order_of_events_ends_with_the_store_as_the_ledger(
    tmp_path_factory: pytest.TempPathFactory, store_url: str, plan: list[Step], seed: int
) -> None:
    clock = FakeClock()
    works = Works(tmp_path_factory.mktemp("works"), store_url, clock)
    with works.context:
        works.context.client.flushall()
        _play(works, clock, plan, seed)


def _play(works: Works, clock: FakeClock, plan: list[Step], seed: int) -> None:
    signer = works.signer()
    tail = [Tail(works.ledger, signer)]

    def sign_open() -> None:
        pages, read = tail[0].open_pages, tail[0].read
        for page in pages:
            assert signer.sign_range(PageRange(page, page)).faults == []
        tail[0].settle(pages, read)

    actions: dict[str, Callable[[int, int], object]] = {
        "issue": lambda page, number: works.add([row_in_page(page, seed + number)]),
        "import": lambda page, number: works.add_some(8 + number, seed=seed + number),
        "revoke": lambda page, number: works.revoke(row_in_page(page, seed + number).serial),
        "tail": lambda page, number: tail[0].step(),
        "restart": lambda page, number: tail.__setitem__(0, Tail(works.ledger, signer)),
        "lose": lambda page, number: works.context.client.delete(f"ocsp:page:demo:1:{page}"),
        "pool": lambda page, number: sign_open(),
        "wait": lambda page, number: clock.pass_time(number - 2),
    }
    for name, page, number in plan:
        actions[name](page, number)
    clock.pass_time(60)
    tail[0].step()
    sign_open()
    assert works.ledger.pending_changes(works.issuer.id) == 0
    # What the tail claims is there, without the pages that were lost: those are found by looking.
    for page in works.reader.incomplete_pages("demo", 1, range(4)):
        signer.sign_range(PageRange(page, page))
    works.check_store()
