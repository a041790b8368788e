"""What a primary lacks is found by the headers of its pages, signed, and then its head is written (A2)."""

import time

import pytest

import signer.ocsp.tail
from signer.ocsp.batch import Pool
from signer.ocsp.faults import RETRY_INTERVAL
from signer.ocsp.service import IssuerService, open_service
from store.errors import StoreError
from store.schema import HEAD_FIELD, Head, issuer_key
from tests.signer.works import DAY, FakeClock, Works, quietly, row_in_page

OTHER = b"5" * 40


def opened(works: Works, pool: Pool) -> IssuerService:
    return open_service(works.context, "demo", pool)


def head_of(works: Works) -> Head | None:
    record = works.reader.issuer("demo")
    assert record is not None
    return record.head


def fail_over(works: Works, lost: int) -> None:
    """The ledger's newest `lost` changes were stored, as the tail knows, in a primary that is no more."""
    works.ledger.set_tail_position(works.issuer.id, works.ledger.generation(works.issuer.id))
    assert len(works.changes()) > lost
    works.context.writer.write_head("demo", Head(1, OTHER))


def run_until_reconciled(works: Works, service: IssuerService) -> None:
    service.enqueue_missing()
    step_until_reconciled(works, service)


def step_for_a_while(service: IssuerService) -> None:
    """For something that must not happen."""
    for _ in range(30):
        service.step()
        time.sleep(0.01)


def step_until_reconciled(works: Works, service: IssuerService) -> None:
    for _ in range(10_000):
        service.step()
        head = head_of(works)
        if head is not None and head.replication_id == works.reader.replication_id():
            return
        time.sleep(0.001)  # the pool's thread is at work
    raise AssertionError("no head")


def test_a_pass_writes_the_head_and_the_next_one_leaves_it(works: Works, pool: Pool) -> None:
    works.add_some(20, revoked_every=5)
    service = opened(works, pool)
    assert head_of(works) is None
    service.sign_due(quietly)
    generation = works.ledger.generation(works.issuer.id)
    head = Head(generation, works.reader.replication_id())
    assert head_of(works) == head
    works.add([row_in_page(1, 1)])
    opened(works, pool).sign_all(quietly)
    assert head_of(works) == head


def test_an_issuer_of_which_nothing_happened_has_a_head(works: Works, pool: Pool) -> None:
    """Its certificates are to come; until then responders say that they do not know them, and not that they cannot."""
    run_until_reconciled(works, opened(works, pool))


@pytest.mark.invariant("A2")
@pytest.mark.parametrize("whole_pass", [False, True], ids=["run", "sign"])
def test_what_was_lost_is_signed_before_the_head(works: Works, pool: Pool, whole_pass: bool) -> None:
    """One revocation that the store lacks, one import, and one page that is gone."""
    rows = [row_in_page(page, number) for number in range(3) for page in range(4)]
    works.add(rows)
    opened(works, pool).sign_all(quietly)
    revoked = rows[1].serial
    works.revoke(revoked)
    works.add([row_in_page(2, 9)])
    works.context.client.delete(b"ocsp:page:demo:1:3")
    fail_over(works, 2)
    assert not works.is_revoked(revoked)
    service = opened(works, pool)
    if whole_pass:
        service.sign_due(quietly)
    else:
        run_until_reconciled(works, service)
    assert head_of(works) == Head(works.ledger.generation(works.issuer.id), works.reader.replication_id())
    works.check_store()


@pytest.mark.invariant("A1")
@pytest.mark.parametrize("whole_pass", [False, True], ids=["run", "sign"])
def test_a_new_change_does_not_pass_for_what_the_page_lacks(
    works: Works, pool: Pool, whole_pass: bool
) -> None:
    """All in one second: a revocation that the store lost, and one of the same page that nobody signed yet."""
    rows = [row_in_page(1, number) for number in range(3)]
    works.add(rows)
    opened(works, pool).sign_all(quietly)
    works.revoke(rows[0].serial)
    fail_over(works, 1)
    works.revoke(rows[1].serial)
    service = opened(works, pool)
    if whole_pass:
        service.sign_due(quietly)
    else:
        run_until_reconciled(works, service)
    works.check_store()


def test_a_signer_whose_clock_is_behind_the_stores_writes_the_revocations(
    works: Works, pool: Pool, clock: FakeClock
) -> None:
    """No page of it can be signed, and nobody waits for that: what is revoked is, and the head is there."""
    rows = [row_in_page(page, 1) for page in range(4)]
    works.add(rows)
    opened(works, pool).sign_all(quietly)
    works.revoke(rows[1].serial)
    fail_over(works, 1)
    clock.seconds -= 50
    run_until_reconciled(works, opened(works, pool))
    assert [works.is_revoked(row.serial) for row in rows] == [False, True, False, False]


@pytest.mark.invariant("A2")
def test_a_page_that_stays_behind_keeps_the_head_back(works: Works, pool: Pool, clock: FakeClock) -> None:
    """By this clock not even what is revoked can be signed for it. It is looked at again every minute."""
    rows = [row_in_page(page, 1) for page in range(4)]
    works.add(rows)
    opened(works, pool).sign_all(quietly)
    works.revoke(rows[1].serial)
    fail_over(works, 1)
    service = opened(works, pool)
    clock.seconds -= 2 * DAY
    service.enqueue_missing()
    deadline = time.monotonic() + 60
    while not service.faulty:
        assert time.monotonic() < deadline
        service.step()
    service.step()
    assert head_of(works) == Head(1, OTHER)
    clock.seconds += 2 * DAY
    clock.pass_time(int(RETRY_INTERVAL) - 1)
    step_for_a_while(service)
    assert head_of(works) == Head(1, OTHER)
    clock.pass_time(1)
    step_until_reconciled(works, service)
    assert works.is_revoked(rows[1].serial)


@pytest.mark.parametrize("limits", [{"CHANGES_AT_A_TIME": 1}, {"SINGLES_IN_A_PAGE": 0, "PAGES_IN_A_STEP": 0}])
def test_what_the_tail_has_yet_to_do_is_in_the_store_before_the_head(
    works: Works, pool: Pool, monkeypatch: pytest.MonkeyPatch, limits: dict[str, int]
) -> None:
    """Changes that it has not come to, and pages that it leaves to the pool."""
    rows = [row_in_page(page, number) for number in range(3) for page in range(4)]
    works.add(rows)
    opened(works, pool).sign_all(quietly)
    works.revoke(*(row.serial for row in rows))
    works.context.writer.write_head("demo", Head(1, OTHER))
    for name, value in limits.items():
        monkeypatch.setattr(signer.ocsp.tail, name, value)
    service = opened(works, pool)
    service.enqueue_missing()
    service.hold()
    service.step()
    assert head_of(works) == Head(1, OTHER)
    service.release()
    step_until_reconciled(works, service)
    assert all(works.is_revoked(row.serial) for row in rows)


@pytest.mark.invariant("A2")
def test_a_primary_that_changes_meanwhile_is_begun_with_anew(works: Works, pool: Pool) -> None:
    service = opened(works, pool)
    service.sign_all(quietly)
    service.patrol()
    works.context.writer.write_head("demo", Head(1, OTHER))
    with pytest.raises(StoreError, match="another primary"):
        service.patrol()
    works.context.client.replicaof("127.0.0.1", "1")  # nobody is there
    works.context.client.replicaof("NO", "ONE")
    works.context.writer.write_head("demo", Head(1, works.reader.replication_id()))
    with pytest.raises(StoreError, match="another primary"):
        service.patrol()
    works.context.client.hdel(issuer_key("demo"), HEAD_FIELD)
    with pytest.raises(StoreError, match="another primary"):
        service.patrol()
