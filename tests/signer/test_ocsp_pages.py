"""Pages in a real store: what is signed into them, and what happens when somebody else was there first."""

import pytest

from _fastpath.page import HEADER_FIELD, PageHeader, record_slot
from signer.ledger.values import Change, ChangeKind, Snapshot
from signer.ocsp.pages import ATTEMPTS, PageSigner
from signer.ocsp.schedule import PageRange
from store.schema import page_key
from store.writer import PagePut, PageWriter, PutResult
from tests.signer.ledgers import NOW
from tests.signer.works import DAY, FakeClock, OffsetClock, Works, row_in_page

ALL = PageRange(0, 3)


@pytest.fixture
def signer(works: Works) -> PageSigner:
    return works.signer()


def test_the_store_says_what_the_ledger_says(works: Works, signer: PageSigner) -> None:
    works.add_some(60, revoked_every=7)
    works.revoke(works.add_some(1, seed=2)[0].serial, reason=1)
    tally = signer.sign_range(ALL)
    assert (tally.pages, tally.responses, tally.faults) == (4, 2 * 61, [])
    works.check_store()
    generation = works.ledger.generation(works.issuer.id)
    assert all(works.header(page).as_of == generation for page in range(4))
    assert all(works.header(page).this_update == NOW for page in range(4))


def test_empty_pages_are_written(works: Works, signer: PageSigner) -> None:
    works.add([row_in_page(2, 1)])
    assert signer.sign_range(ALL).pages == 4
    assert [works.header(page).count for page in range(4)] == [0, 0, 1, 0]


def test_one_page_of_an_issuer(works: Works, signer: PageSigner) -> None:
    works.add_some(20)
    assert signer.sign_range(PageRange(1, 2)).pages == 2
    assert [works.stored(page) is None for page in range(4)] == [True, False, False, True]


def test_the_same_again_is_current(works: Works, signer: PageSigner) -> None:
    works.add_some(20)
    signer.sign_range(ALL)
    tally = signer.sign_range(ALL)
    assert (tally.pages, tally.current, tally.responses) == (0, 4, 0)


@pytest.mark.conformance("R-27", "R-28")
def test_expired_certificates_leave(works: Works, clock: FakeClock, signer: PageSigner) -> None:
    """After their last second, notAfter; a revoked one is named, or the store would refuse to forget it."""
    good = row_in_page(0, 1, not_after=NOW + 100)
    revoked = row_in_page(0, 2, revoked=NOW - 5, not_after=NOW + 100)
    stays = row_in_page(0, 3, revoked=NOW - 5)
    works.add([good, revoked, stays])
    signer.sign_range(ALL)
    assert works.header(0).revoked_count == 2
    clock.pass_time(100)
    signer.sign_range(ALL)
    assert works.header(0).count == 3
    clock.pass_time(1)
    assert signer.sign_range(ALL).faults == []
    works.check_store()
    assert set(works.stored(0)[1]) == {stays.serial}  # type: ignore[index]


class Interrupted(PageWriter):
    """The real writer, but somebody else gets in before the first writes, one of a serial each: a minute later by `clock`."""

    def __init__(
        self, works: Works, other: PageSigner, serials: list[bytes], clock: FakeClock | None = None
    ) -> None:
        super().__init__(works.context.client, works.context.endpoint.url)
        self._works = works
        self._other = other
        self.serials = serials
        self._clock = clock

    def put_pages(self, pages: "list[PagePut]") -> list[PutResult]:  # type: ignore[override]
        if self.serials:
            if self._clock is not None:
                self._clock.pass_time(60)
            for change in self._works.revoke(self.serials.pop()):
                done = self._other.sign_change(change, in_order=self._clock is None)
                assert done.responses == 2
        return super().put_pages(pages)


def test_a_page_that_moved_on_is_read_again(works: Works, clock: FakeClock, signer: PageSigner) -> None:
    rows = [works.add([row_in_page(1, number)])[0] for number in range(3)]
    signer.sign_range(ALL)
    clock.pass_time(10)
    other = works.signer(clock=OffsetClock(clock, -1))
    writer = Interrupted(works, other, [rows[0].serial])
    tally = works.signer(writer).sign_range(ALL)
    assert (tally.pages, tally.faults) == (4, [])
    assert works.is_revoked(rows[0].serial)
    assert works.header(1).this_update == clock.now()
    works.check_store()


def test_a_put_that_was_held_up_is_no_clock_that_is_behind(
    works: Works, clock: FakeClock, signer: PageSigner
) -> None:
    """Another one, who lacked a change, wrote into the page in the meantime, a minute later by the same clock."""
    row = works.add([row_in_page(1, 1)])[0]
    signer.sign_range(ALL)
    works.add([row_in_page(1, 2)])
    clock.pass_time(10)
    late = Interrupted(works, works.signer(), [row.serial], clock)
    tally = works.signer(late).sign_range(ALL)
    assert (tally.pages, tally.faults) == (4, [])
    assert works.header(1).this_update == clock.now()


def test_a_page_that_never_rests_is_a_fault(works: Works, clock: FakeClock, signer: PageSigner) -> None:
    rows = works.add(row_in_page(1, number) for number in range(ATTEMPTS))
    signer.sign_range(ALL)
    clock.pass_time(10)
    writer = Interrupted(works, works.signer(clock=OffsetClock(clock, -1)), [row.serial for row in rows])
    tally = works.signer(writer).sign_range(ALL)
    assert [fault.page for fault in tally.faults] == [1]
    assert tally.pages == 3
    assert all(works.is_revoked(row.serial) for row in rows)


@pytest.mark.parametrize(("stops", "pages"), [(1, 4), (ATTEMPTS, 0)])
def test_who_was_stopped_between_reading_and_signing_reads_again(
    works: Works,
    clock: FakeClock,
    signer: PageSigner,
    monkeypatch: pytest.MonkeyPatch,
    stops: int,
    pages: int,
) -> None:
    """By a debugger, or by a disk: from thisUpdate to producedAt a record has a place for 255 s."""
    works.add([row_in_page(1, 1)])
    snapshot, stopped = works.ledger.snapshot, [256] * stops

    def read(*asked: int) -> Snapshot:
        found = snapshot(*asked)
        clock.pass_time(stopped.pop() if stopped else 255)
        return found

    monkeypatch.setattr(works.ledger, "snapshot", read)
    tally = signer.sign_range(ALL)
    assert (tally.pages, len(tally.faults)) == (pages, 4 - pages)


@pytest.mark.invariant("A1", "C3")
def test_a_page_of_a_generation_that_never_was_is_a_fault(
    works: Works, clock: FakeClock, signer: PageSigner
) -> None:
    """One bit of its header keeps everything out: also what was revoked since, and that is told of."""
    row = works.add([row_in_page(1, 1)])[0]
    signer.sign_range(ALL)
    key = page_key("demo", 1, 1)
    header = works.header(1)
    stuck = PageHeader(header.as_of | 1 << 63, header.this_update, header.count, header.revoked_count)
    works.context.client.hset(key, items=[HEADER_FIELD, stuck.encode()])
    (change,) = works.revoke(row.serial)
    for tally in (signer.sign_change(change), signer.sign_range(ALL)):
        assert [fault.page for fault in tally.faults] == [1]
        assert f"or {key.decode()} alone is damaged" in tally.faults[0].message
    works.context.client.unlink(key)
    assert signer.sign_change(change).faults == []
    assert works.is_revoked(row.serial)


@pytest.mark.conformance("R-20")
def test_a_clock_a_little_behind_signs_at_the_stored_time(
    works: Works, clock: FakeClock, signer: PageSigner
) -> None:
    works.add([row_in_page(1, 1)])
    signer.sign_range(ALL)
    works.add([row_in_page(1, 2)])
    clock.seconds -= 5
    assert signer.sign_range(ALL).faults == []
    assert works.header(1).this_update == NOW
    assert works.header(1).count == 2
    response = works.response(row_in_page(1, 2).serial)
    assert response is not None
    assert int(response.this_update_utc.timestamp()) == int(response.produced_at_utc.timestamp()) == NOW


@pytest.mark.invariant("B6")
def test_a_clock_far_behind_is_a_fault_of_that_page(
    works: Works, clock: FakeClock, signer: PageSigner
) -> None:
    works.add(row_in_page(page, 1) for page in range(4))
    signer.sign_range(ALL)
    clock.pass_time(26)
    signer.sign_range(PageRange(1, 1))
    clock.seconds -= 6
    works.add(row_in_page(page, 2) for page in range(4))
    tally = signer.sign_range(ALL)
    assert [fault.page for fault in tally.faults] == [1]
    assert "6 s ahead" in tally.faults[0].message
    assert [works.header(page).count for page in range(4)] == [2, 1, 2, 2]


def test_a_header_years_ahead_is_a_fault_of_that_page(works: Works, signer: PageSigner) -> None:
    """It is damaged; a revocation does not follow it to where no certificate is valid, nor end the issuer's signing."""
    rows = works.add(row_in_page(page, 1) for page in range(4))
    signer.sign_range(ALL)
    header = works.header(1)
    damaged = PageHeader(header.as_of, header.this_update + 1000 * DAY, header.count, header.revoked_count)
    works.context.client.hset(
        page_key(works.issuer.name, works.issuer.page_epoch, 1), HEADER_FIELD, damaged.encode()
    )
    tallies = [signer.sign_change(change) for row in rows[:2] for change in works.revoke(row.serial)]
    assert [fault.page for tally in tallies for fault in tally.faults] == [1]
    assert "header is damaged" in tallies[1].faults[0].message
    assert works.is_revoked(rows[0].serial) and not works.is_revoked(rows[1].serial)


@pytest.mark.conformance("R-20")
def test_more_revocations_in_the_store_than_in_the_ledger(
    works: Works, clock: FakeClock, signer: PageSigner
) -> None:
    """As after the ledger was restored from a backup: nothing becomes good again."""
    row = works.add([row_in_page(1, 1)])[0]
    signer.sign_range(ALL)
    record = works.context.response_signer("demo").record(row._replace(revocation_time=NOW), NOW, NOW)
    as_of = works.ledger.generation(works.issuer.id)
    works.context.writer.put_pages([PagePut(page_key("demo", 1, 1), as_of, NOW + 1, {row.serial: record})])
    works.add(row_in_page(page, 2) for page in range(4))
    before = works.stored(1)
    clock.pass_time(60)
    tally = signer.sign_range(ALL)
    assert [fault.page for fault in tally.faults] == [1]
    assert "more revocations than the ledger" in tally.faults[0].message
    after = works.stored(1)
    assert before is not None and after is not None
    assert before[1] == after[1]
    assert works.is_revoked(row.serial)
    assert tally.pages == 3


@pytest.mark.conformance("R-16")
@pytest.mark.invariant("B3")
def test_a_row_that_no_record_can_hold_delays_no_other(
    works: Works, clock: FakeClock, signer: PageSigner
) -> None:
    """B3: its page is told as a fault and written with all others. What was stored of it stays."""
    rows = works.add(row_in_page(page, number) for page in range(4) for number in range(3))
    never, bad = row_in_page(1, 1).serial, row_in_page(2, 1).serial
    works.damage(never)
    assert [fault.page for fault in signer.sign_range(ALL).faults] == [1]
    before = works.stored(2)
    works.damage(bad)
    clock.pass_time(60)
    tally = signer.sign_range(ALL)
    assert [(fault.page, "2106" in fault.message) for fault in tally.faults] == [(1, True), (2, True)]
    assert (tally.pages, tally.responses) == (4, 2 * 10)
    after = works.stored(2)
    assert before is not None and after is not None
    assert after[1][bad] == before[1][bad]
    for row in rows:
        response = works.response(row.serial)
        assert (response is None) == (row.serial == never)
        if response is not None and row.serial != bad:
            assert response.this_update_utc.timestamp() == clock.now()
    works.mend(never)
    works.mend(bad)
    clock.pass_time(1)
    assert signer.sign_range(ALL).faults == []
    works.check_store()


def test_a_change_is_one_record(works: Works, clock: FakeClock, signer: PageSigner) -> None:
    works.add_some(20)
    signer.sign_range(ALL)
    clock.pass_time(7)
    works.add([row_in_page(3, 1)])
    issued = works.changes()[-1]
    before = works.stored(3)
    assert signer.sign_change(
        Change(issued.generation, ChangeKind.ISSUE, *_place(3), row_in_page(3, 1).serial)
    )
    revoked = works.revoke(row_in_page(3, 1).serial)[0]
    tally = signer.sign_change(revoked)
    assert (tally.responses, tally.pages, tally.current) == (2, 0, 0)
    after = works.stored(3)
    assert before is not None and after is not None
    assert after[0].as_of == revoked.generation
    assert {serial: after[1][serial] for serial in before[1]} == before[1]  # the others were not signed again
    assert record_slot(after[1][row_in_page(3, 1).serial]) == 0
    works.check_store()
    assert signer.sign_change(revoked).current == 1


def _place(page: int) -> tuple[int, int]:
    value = row_in_page(page, 1).hash32
    return value, value


def test_a_change_of_an_absent_page_is_the_page(works: Works, signer: PageSigner) -> None:
    row = works.add([row_in_page(0, 1), row_in_page(0, 2)])[0]
    change = works.revoke(row.serial)[0]
    tally = signer.sign_change(change)
    assert (tally.pages, tally.responses) == (1, 4)
    assert works.is_revoked(row.serial)


def test_a_change_of_an_expired_certificate_clears_its_page(
    works: Works, clock: FakeClock, signer: PageSigner
) -> None:
    row = works.add([row_in_page(0, 1, not_after=NOW + 50)])[0]
    signer.sign_range(ALL)
    clock.pass_time(51)
    assert signer.sign_change(works.revoke(row.serial)[0]).faults == []
    assert works.header(0).count == 0


@pytest.mark.conformance("R-20")
def test_a_revocation_goes_in_under_a_clock_an_hour_behind(
    works: Works, clock: FakeClock, signer: PageSigner
) -> None:
    row = works.add([row_in_page(0, 1)])[0]
    signer.sign_range(ALL)
    clock.seconds -= 3600
    change = works.revoke(row.serial)[0]
    assert signer.sign_change(change).responses == 2
    assert works.is_revoked(row.serial)
    assert works.header(0).this_update == NOW


def test_an_issuance_waits_for_the_clock(works: Works, clock: FakeClock, signer: PageSigner) -> None:
    signer.sign_range(ALL)
    clock.seconds -= 3600
    row = works.add([row_in_page(0, 1)])[0]
    change = works.changes()[-1]
    tally = signer.sign_change(
        Change(change.generation, ChangeKind.ISSUE, row.hash32, row.hash32, row.serial)
    )
    assert [fault.page for fault in tally.faults] == [0]
    assert works.response(row.serial) is None


def test_out_of_order_claims_nothing(works: Works, clock: FakeClock, signer: PageSigner) -> None:
    """A revocation stored before an earlier change of its page leaves that one to be seen as missing."""
    row = works.add([row_in_page(0, 1)])[0]
    signer.sign_range(ALL)
    before = works.header(0)
    works.add([row_in_page(0, 2)])
    missing = works.changes()[-1]
    change = works.revoke(row.serial)[0]
    assert signer.sign_change(change, in_order=False).responses == 2
    assert works.is_revoked(row.serial)
    assert works.header(0).as_of == before.as_of < missing.generation
    assert signer.sign_range(ALL).pages == 4
    works.check_store()


@pytest.mark.conformance("R-12", "R-18")
def test_a_certificate_that_lives_less_than_eight_hours(works: Works, signer: PageSigner) -> None:
    row = works.add([row_in_page(0, 1, not_after=NOW + 60)])[0]
    signer.sign_range(ALL)
    response = works.response(row.serial)
    assert response is not None and response.next_update_utc is not None
    assert int(response.next_update_utc.timestamp()) == NOW + 28_800


@pytest.mark.conformance("R-15")
def test_long_ahead(works: Works, signer: PageSigner) -> None:
    row = works.add([row_in_page(0, 1, not_after=NOW + 90 * DAY)])[0]
    signer.sign_range(ALL)
    response = works.response(row.serial)
    assert response is not None and response.next_update_utc is not None
    assert int(response.next_update_utc.timestamp()) == NOW + 4 * DAY - 1
