"""How old responses are by their records, when that is told, and what waits in which order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.lateness import Late, Lateness
from signer.ocsp.ages import Moments
from signer.ocsp.pages import PageSigner
from signer.ocsp.queue import PageQueue, Rank
from signer.ocsp.schedule import PageRange
from tests.signer.ledgers import NOW
from tests.signer.works import DAY, FakeClock, Works, row_in_page

HOUR = 3600
ALL = PageRange(0, 3)
FAR = NOW + 300 * DAY


@pytest.fixture
def signed(works: Works) -> PageSigner:
    works.add(row_in_page(page, number, not_after=FAR) for page in range(4) for number in range(3))
    signer = works.signer()
    signer.sign_range(ALL)
    return signer


@pytest.mark.conformance("R-16")
@pytest.mark.invariant("B3")
def test_one_change_does_not_make_a_page_young(works: Works, clock: FakeClock, signed: PageSigner) -> None:
    """B3: the header says that the page is of now; two of its three records are as old as before."""
    clock.pass_time(30 * HOUR)
    (change,) = works.revoke(row_in_page(1, 1).serial)
    signed.sign_change(change)
    assert works.header(1).this_update == clock.now()
    signed.sign_range(PageRange(0, 0))
    signed.sign_range(PageRange(2, 3))
    ages = works.context.ages("demo")
    assert ages.oldest(clock.now()) is None
    ages.look_at_all(clock.now())
    assert ages.oldest(clock.now()) == 30 * HOUR
    assert (ages.late(clock.now()), ages.stale(clock.now())) == (0, 0)
    clock.pass_time(13 * HOUR)
    assert (ages.late(clock.now()), ages.stale(clock.now())) == (4, 0)  # also without looking again
    clock.pass_time(6 * HOUR)
    assert (ages.late(clock.now()), ages.stale(clock.now())) == (4, 4)
    assert ages.look(clock.now()) == [1]
    signed.sign_range(PageRange(1, 1))
    ages.look_at_all(clock.now())
    assert (ages.oldest(clock.now()), ages.stale(clock.now())) == (19 * HOUR, 0)


def test_the_last_response_of_a_certificate_is_not_overdue(works: Works, clock: FakeClock) -> None:
    works.add([row_in_page(0, 1, not_after=NOW + 30 * HOUR), row_in_page(0, 2, not_after=NOW + 3 * DAY)])
    works.signer().sign_range(ALL)
    clock.pass_time(29 * HOUR)
    ages = works.context.ages("demo")
    ages.look_at_all(clock.now())
    assert ages.oldest(clock.now()) == 29 * HOUR  # the other one will be renewed
    clock.pass_time(20 * HOUR)
    assert ages.stale(clock.now()) == 2


@pytest.mark.conformance("R-17")
def test_what_the_end_of_the_signer_cuts_short_is_renewed_sooner(works: Works, clock: FakeClock) -> None:
    """Its V is 30 h: the next one has to be served after 15 h, and the schedule would come after 24."""
    end = works.context.ocsp_signer("demo").not_after
    works.add([row_in_page(0, 1, not_after=FAR)])
    clock.pass_time(end - 30 * HOUR - clock.now())
    works.signer().sign_range(ALL)
    ages = works.context.ages("demo")
    assert ages.look(clock.now()) == []
    clock.pass_time(8 * HOUR)
    assert ages.look(clock.now()) == [0]
    assert ages.stale(clock.now()) == 0
    clock.pass_time(8 * HOUR)
    assert ages.stale(clock.now()) == 2


@pytest.mark.conformance("R-16", "P-01")
@given(st.integers(16 * HOUR, 7 * DAY - 1), st.integers(HOUR, DAY))
def test_each_moment_comes_before_the_next(validity: int, cycle: int) -> None:
    found = Moments.of(NOW, NOW + validity, cycle)
    assert found.this_update < found.renewal < found.alarm < found.deadline
    assert found.deadline <= NOW + min(validity // 2, 4 * DAY) <= NOW + validity - 8 * HOUR
    if found.deadline - NOW > cycle:
        assert found.renewal >= NOW + cycle  # the schedule comes first


@pytest.mark.conformance("R-10")
def test_a_change_that_waits_is_told(works: Works, clock: FakeClock, signed: PageSigner) -> None:
    lateness = Lateness(works.ledger, works.context.settings.root.issuer)
    works.ledger.set_tail_position(works.issuer.id, works.ledger.generation(works.issuer.id))
    assert list(lateness.alarms(clock.now())) == []
    works.add([row_in_page(1, 9, not_after=FAR)])
    clock.pass_time(100)
    works.add([row_in_page(2, 9, not_after=FAR)])
    clock.pass_time(200)
    assert list(lateness.alarms(clock.now())) == []
    clock.pass_time(1)
    ((name, words),) = lateness.alarms(clock.now())
    assert name == "demo" and words.startswith("changes wait to be signed for 301 s")


def test_a_schedule_that_is_behind_is_told(works: Works, clock: FakeClock, signed: PageSigner) -> None:
    lateness = Lateness(works.ledger, works.context.settings.root.issuer)
    works.ledger.set_tail_position(works.issuer.id, works.ledger.generation(works.issuer.id))
    start = NOW - NOW % DAY
    works.ledger.set_checkpoint(works.issuer.id, start, 1)  # page 1 is due at 6 h
    for seconds, behind in ((-1, 0), (0, 0), (1, 1), (HOUR, HOUR)):
        ((_, late),) = lateness.all(start + 6 * HOUR + seconds)
        assert late.behind == behind
    assert list(lateness.alarms(start + 7 * HOUR)) == []
    ((_, words),) = lateness.alarms(start + 7 * HOUR + 1)
    assert "3,601 s after they fell due" in words


def test_words() -> None:
    assert list(Late(0, 0, 0, 0, 0).alarms(DAY)) == []
    assert "R-16" in next(Late(0, 0, 170_000, 3, 0).alarms(DAY))
    (stale,) = Late(0, 0, 180_000, 3, 2).alarms(DAY)
    assert stale.startswith("2 responses are past")
    assert len(list(Late(0, 901, 0, 0, 0).alarms(HOUR))) == 1


def taken(queue: PageQueue) -> list[tuple[int, int, Rank]]:
    found = []
    while (chunk := queue.first()) is not None:
        queue.remove(chunk)
        found.append((chunk.pages.first, chunk.pages.last, chunk.rank))
    assert len(queue) == 0
    return found


def test_the_most_pressing_first_and_each_once() -> None:
    queue = PageQueue(100, 4)
    queue.put(range(10, 16), Rank.DUE)
    queue.put([50, 12], Rank.REVOKED)
    queue.put([12, 70], Rank.LOST)
    queue.put([71, 72], Rank.NEW)
    assert len(queue) == 10
    assert queue.has_any(PageRange(16, 50)) and not queue.has_any(PageRange(16, 49))
    assert taken(queue) == [
        (12, 15, Rank.REVOKED),
        (50, 50, Rank.REVOKED),
        (70, 72, Rank.LOST),
        (10, 11, Rank.DUE),
    ]


@given(st.lists(st.tuples(st.integers(0, 63), st.sampled_from(Rank)), max_size=60), st.integers(1, 9))
def test_no_page_is_lost_or_comes_twice(puts: list[tuple[int, Rank]], chunk: int) -> None:
    queue = PageQueue(64, chunk)
    for page, rank in puts:
        queue.put([page], rank)
    assert len(queue) == len({page for page, _ in puts})
    found = taken(queue)
    assert all(last - first < chunk for first, last, _ in found)
    pages = [page for first, last, _ in found for page in range(first, last + 1)]
    assert sorted(pages) == sorted({page for page, _ in puts})
