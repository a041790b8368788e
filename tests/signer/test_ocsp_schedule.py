"""The flat schedule: every page once a cycle, none early, none twice, however late the signer is."""

from hypothesis import given
from hypothesis import strategies as st

from signer.ocsp.batch import CHUNK_PAGES, chunks_of
from signer.ocsp.schedule import PageRange, due_position, pages_due, ranges_of, split

DAY = 86_400


def pages_in(ranges: list[PageRange]) -> list[int]:
    return [page for run in ranges for page in range(run.first, run.last + 1)]


@given(
    start=st.integers(0, 2_000_000_000),
    pages=st.sampled_from([1, 2, 16, 256, 4096]),
    cycle=st.sampled_from([3600, DAY, 2 * DAY]),
    steps=st.lists(st.integers(0, 7200), min_size=1, max_size=40),
)
def test_every_due_position_is_signed_exactly_once(
    start: int, pages: int, cycle: int, steps: list[int]
) -> None:
    now, done = start, due_position(start, cycle, pages)
    first, signed = done, 0
    for step in steps:
        now += step
        due = due_position(now, cycle, pages)
        found = pages_in(pages_due(done, due, pages))
        assert len(found) == len(set(found)) == min(due - done, pages)
        signed += due - done
        done = due
    assert done - first == signed
    # A page is never more than one cycle and one step behind: positions grow as pages / cycle.
    assert abs((done - first) - (now - start) * pages / cycle) <= 1


@given(pages=st.sampled_from([4, 64, 1024]), now=st.integers(0, 2_000_000_000))
def test_a_whole_cycle_is_every_page(pages: int, now: int) -> None:
    done, due = due_position(now, DAY, pages), due_position(now + DAY, DAY, pages)
    assert due - done == pages
    assert sorted(pages_in(pages_due(done, due, pages))) == list(range(pages))


def test_work_is_flat_over_the_cycle() -> None:
    pages, cycle = 1 << 18, DAY
    counts = [due_position(t + 60, cycle, pages) - due_position(t, cycle, pages) for t in range(0, DAY, 60)]
    assert max(counts) - min(counts) <= 1


def test_wrapping_round_the_last_page() -> None:
    assert pages_due(14, 18, 16) == [PageRange(14, 15), PageRange(0, 1)]
    assert pages_due(18, 18, 16) == []
    assert pages_due(18, 10, 16) == []
    assert pages_due(0, 1000, 16) == [PageRange(0, 15)]


@given(st.sets(st.integers(0, 200)))
def test_ranges_hold_the_same_pages(pages: set[int]) -> None:
    ranges = ranges_of(sorted(pages))
    assert pages_in(ranges) == sorted(pages)
    assert all(left.last + 1 < right.first for left, right in zip(ranges, ranges[1:], strict=False))


@given(first=st.integers(0, 100), size=st.integers(1, 300), chunk=st.integers(1, 64))
def test_chunks_are_the_whole(first: int, size: int, chunk: int) -> None:
    whole = PageRange(first, first + size - 1)
    chunks = split(whole, chunk)
    assert pages_in(chunks) == pages_in([whole])
    assert all(len(part) <= chunk for part in chunks)


@given(
    pages=st.sets(st.integers(0, 400), max_size=300),
    workers=st.integers(1, 5),
)
def test_chunks_of_a_pool(pages: set[int], workers: int) -> None:
    """Each page once, in order; none larger than what is left for each worker, so that they end together."""
    chunks = list(chunks_of(ranges_of(sorted(pages)), workers))
    assert pages_in(chunks) == sorted(pages)
    left = len(pages)
    for chunk in chunks:
        assert 1 <= len(chunk) <= CHUNK_PAGES
        assert len(chunk) == 1 or len(chunk) <= left // workers
        left -= len(chunk)


def test_chunks_of_many_pages() -> None:
    assert [len(chunk) for chunk in chunks_of([PageRange(0, 63)], 1)] == [16] * 4
    assert [len(chunk) for chunk in chunks_of([PageRange(0, 63)], 2)] == [16, 16, 16, 8, 4, 2, 1, 1]
