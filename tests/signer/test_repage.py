"""Pages in another layout: answers stay the same octets, changes meanwhile are in them, and nothing is lost on the way."""

from collections.abc import Iterator

import pytest

from _fastpath.page import page_number
from signer.commands.repage import repage as command
from signer.errors import NoRoom
from signer.files import held
from signer.ledger.errors import LedgerError
from signer.ledger.values import Layout
from signer.ocsp import repage, repager
from signer.ocsp.batch import Pool
from signer.ocsp.repage import Repaging, pages_lock
from signer.ocsp.repager import Repager
from signer.ocsp.schedule import PageRange
from signer.ocsp.service import IssuerService, open_service
from signer.steady import SteadyClock
from signer.witness import witness
from store.errors import StoreError, UsageError
from tests.signer.loops import Loop
from tests.signer.test_ocsp_service import step_until_idle
from tests.signer.works import FakeClock, Works, row_in_page

ALL = PageRange(0, 3)
BITS = 4


@pytest.fixture(autouse=True)
def _small_and_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page a piece of work, and no waiting."""
    monkeypatch.setattr(repage, "COMPARED", 1)
    monkeypatch.setattr(repage, "COPIED", 1)
    monkeypatch.setattr(repage, "FOLLOW", 0.0)
    monkeypatch.setattr(repage, "PAUSE", 0.0)


@pytest.fixture
def signed(works: Works) -> Works:
    """Sixty certificates in four pages, some revoked."""
    works.add_some(60, revoked_every=7)
    works.signer().sign_range(ALL)
    works.ledger.set_tail_position(works.issuer.id, works.ledger.generation(works.issuer.id))
    return works


@pytest.fixture
def service(signed: Works, pool: Pool) -> IssuerService:
    return open_service(signed.context, "demo", pool)


def begin(works: Works, bits: int = BITS) -> Layout:
    return works.ledger.begin_layout(works.issuer.id, bits)


def records(works: Works) -> dict[bytes, bytes]:
    """All that can be answered."""
    found: dict[bytes, bytes] = {}
    for page in range(1 << works.issuer.page_bits):
        stored = works.stored(page)
        assert stored is not None
        assert all(page_number(serial, works.issuer.page_bits) == page for serial in stored[1])
        found |= stored[1]
    return found


def good_but(works: Works, lost: int) -> list[bytes]:
    """Good certificates that are not in a page."""
    rows = works.ledger.snapshot(works.issuer.id, 0, 2**32 - 1).rows
    return [
        row.serial
        for row in rows
        if not row.revoked and page_number(row.serial, works.issuer.page_bits) != lost
    ]


def layout_told(works: Works) -> Layout:
    """Where responders look."""
    record = works.reader.issuer("demo")
    assert record is not None
    return Layout(record.page_epoch, record.page_bits)


def finish(work: Iterator[int]) -> int:
    return sum(work)


@pytest.mark.conformance("R-20")
def test_answers_are_the_same_octets(signed: Works) -> None:
    before, generations = records(signed), {signed.header(page).as_of for page in range(4)}
    signed.ledger.set_checkpoint(signed.issuer.id, 86_400, 3)
    assert begin(signed) == (2, BITS) and layout_told(signed) == (1, 2)
    assert finish(Repaging(signed.context, "demo", None).work("me")) == 4
    assert layout_told(signed) == signed.issuer.layout == (2, BITS)
    assert records(signed) == before
    assert {signed.header(page).as_of for page in range(16)} == generations
    assert signed.ledger.checkpoint(signed.issuer.id) == (86_400, 9)
    signed.check_store()
    assert signed.ledger.other_layout(signed.issuer.id) == (1, 2)
    assert signed.reader.incomplete_pages("demo", 1, range(4)) == []
    assert finish(Repaging(signed.context, "demo", None).work("me")) == 4
    assert signed.reader.incomplete_pages("demo", 1, range(4)) == [0, 1, 2, 3]
    assert signed.ledger.other_layout(signed.issuer.id) is None
    signed.check_store()


@pytest.mark.invariant("B6")
@pytest.mark.parametrize("hour", [1, 7, 20])
def test_who_starts_after_it_finds_the_clock_right(signed: Works, clock: FakeClock, hour: int) -> None:
    """Nothing is taken for signed at a time that is yet to come, in whichever part of the cycle that is."""
    clock.pass_time(hour * 3600)
    with Pool(signed.file, 1, clock) as pool:
        open_service(signed.context, "demo", pool).sign_due(lambda pages: None)
    begin(signed)
    finish(Repaging(signed.context, "demo", None).work("me"))
    assert SteadyClock(clock, witness(signed.ledger, signed.context.settings.root.issuer)).doubt is None


@pytest.mark.conformance("R-08", "R-20")
@pytest.mark.parametrize("every", [1, 3])
def test_changes_meanwhile_are_in_both(signed: Works, service: IssuerService, every: int) -> None:
    """Revocations, new certificates and an import between any two pieces of the work, and before the switch."""
    begin(signed)
    serials = [row.serial for row in signed.ledger.snapshot(signed.issuer.id, 0, 2**32 - 1).rows]
    work = Repaging(signed.context, "demo", service).work("me")
    pieces = 0
    for pieces, _ in enumerate(work):
        if pieces % every == 0 and pieces < 40:
            signed.revoke(serials.pop())
            signed.add([row_in_page(pieces % 4, pieces)])
            if pieces == 3:
                signed.add_some(20, seed=9)
        service.step()
        said = records(signed)
    assert pieces > 3 and signed.issuer.layout == (2, BITS)
    assert records(signed) == said
    with Pool(signed.file, 1, signed.clock) as pool:
        step_until_idle(open_service(signed.context, "demo", pool))
    signed.check_store()


def test_what_is_revoked_while_the_pool_is_held_is_in_both(
    signed: Works, service: IssuerService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its page was compared for the last time already: it comes at the switch."""
    rows = signed.ledger.snapshot(signed.issuer.id, 0, 2**32 - 1).rows
    good = [row.serial for row in rows if not row.revoked]
    holds: list[bool] = []
    revoked: list[bytes] = []

    def hold() -> bool:
        holds.append(IssuerService.hold(service))
        return holds[-1]

    monkeypatch.setattr(service, "hold", hold)
    begin(signed)
    for _ in Repaging(signed.context, "demo", service).work("me"):
        if holds:
            revoked.append(good.pop())
            signed.revoke(revoked[-1])
        service.step()
    assert revoked and signed.issuer.layout == (2, BITS)
    assert all(map(signed.is_revoked, revoked))


def test_a_killed_one_is_taken_up(signed: Works) -> None:
    begin(signed)
    work = Repaging(signed.context, "demo", None).work("me")
    for _ in range(3):
        next(work)
    del work
    assert layout_told(signed) == (1, 2)
    copied = set(range(16)) - set(signed.reader.incomplete_pages("demo", 2, range(16)))
    assert 0 < len(copied) < 16
    assert begin(signed) == (2, BITS)
    with pytest.raises(LedgerError, match=r"another layout \(16 of them\)"):
        begin(signed, BITS + 1)
    finish(Repaging(signed.context, "demo", None).work("me"))
    signed.check_store()


def test_killed_between_ledger_and_store(signed: Works, pool: Pool) -> None:
    """Responders are told by whoever comes next; until then they have the pages that they know."""
    begin(signed)
    before = records(signed)
    work = Repaging(signed.context, "demo", None)
    finish(work._copy_all())
    signed.ledger.put_in_force(signed.issuer.id, signed.clock.now(), actor="me")
    assert layout_told(signed) == (1, 2)
    assert signed.reader.incomplete_pages("demo", 1, range(4)) == []
    open_service(signed.context, "demo", pool)
    assert layout_told(signed) == (2, BITS) and records(signed) == before


def test_what_was_never_in_force_is_replaced(signed: Works) -> None:
    """Whatever a page of the new layout says that was left there: newer, damaged or of somebody else."""
    layout = begin(signed)
    reader, client = signed.reader, signed.context.client
    client.hset(b"ocsp:page:demo:2:3", "", b"x")
    finish(Repaging(signed.context, "demo", None)._copy_all())
    header = reader.header("demo", 2, 5)
    assert header is not None
    newer = type(header)(header.as_of + 9, header.this_update + 9, header.count, header.revoked_count)
    client.hset(b"ocsp:page:demo:2:5", "", newer.encode())
    finish(Repaging(signed.context, "demo", None).work("me"))
    assert signed.issuer.layout == layout
    signed.check_store()


def test_it_waits_for_who_signs_in_another_process(signed: Works) -> None:
    begin(signed)
    work = Repaging(signed.context, "demo", None).work("me")
    lock = pages_lock(signed.context.settings.state_directory)
    with held(lock, lambda process: None, shared=True), held(lock, lambda process: None, shared=True):
        for _ in range(20):
            next(work)
        assert layout_told(signed) == (1, 2)
    finish(work)
    assert layout_told(signed) == (2, BITS)


@pytest.mark.conformance("R-11")
def test_a_page_that_is_not_whole_is_signed_first(signed: Works, service: IssuerService) -> None:
    """C4: what is missing is not unissued."""
    step_until_idle(service)
    signed.context.client.delete("ocsp:page:demo:1:2")
    begin(signed)
    with pytest.raises(StoreError, match="1 of its pages are lost or damaged"):
        finish(Repaging(signed.context, "demo", None).work("me"))
    assert layout_told(signed) == (1, 2)
    work = Repaging(signed.context, "demo", service).work("me")
    for _ in range(30):
        next(work)
        service.step()
    assert layout_told(signed) == (1, 2)
    service.enqueue_missing()
    for _ in work:
        service.step()
    signed.check_store()


def test_too_many_changes_put_it_off(
    signed: Works, service: IssuerService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repage, "LATE", 2)
    begin(signed)
    work = Repaging(signed.context, "demo", service).work("me")
    for number in range(40):
        next(work)
        signed.add([row_in_page(page, number) for page in range(4)])
        service.step()
    assert layout_told(signed) == (1, 2)
    for _ in work:
        service.step()
    assert layout_told(signed) == (2, BITS)


@pytest.mark.parametrize("bits", [1, 2, 29])
def test_pages_only_become_smaller(signed: Works, bits: int) -> None:
    with pytest.raises(LedgerError, match="pages only become smaller"):
        begin(signed, bits)


def test_run_makes_more_pages_when_they_have_grown(
    signed: Works, service: IssuerService, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repager, "LOOK", 0.0)
    assert not Repager("demo", 0).step(signed.context, service)
    assert not Repager("demo", 16).step(signed.context, service)
    assert signed.ledger.other_layout(signed.issuer.id) is None
    grown = Repager("demo", 14)
    while not grown.step(signed.context, service):
        assert grown.busy
    assert signed.issuer.layout == (2, 6)
    assert not grown.busy
    with Pool(signed.file, 1, clock) as pool:
        again = open_service(signed.context, "demo", pool)
        while signed.ledger.other_layout(signed.issuer.id) is not None:
            assert not grown.step(signed.context, again)
    signed.check_store()


def test_run_goes_on_signing_in_the_new_layout(signed: Works, clock: FakeClock) -> None:
    """And looks for what the store loses, as before."""
    steady = SteadyClock(clock)
    with Pool(signed.file, 1, steady) as pool:
        loop = Loop(signed, pool, steady)
        with loop.context:
            loop.rest()
            begin(signed)
            for _ in range(4):
                clock.pass_time(2)
                loop.rest()
            assert signed.issuer.layout == (2, BITS) and signed.ledger.other_layout(signed.issuer.id) is None
            signed.context.client.delete("ocsp:page:demo:2:5")
            victim = good_but(signed, 5)[0]
            signed.revoke(victim)
            for _ in range(2):
                clock.pass_time(2)
                loop.rest()
    assert signed.is_revoked(victim)
    signed.check_store()


def test_command(signed: Works, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*, bits: int | None = None, dry_run: bool = False, as_json: bool = True) -> str:
        command(signed.file, issuer="demo", bits=bits, dry_run=dry_run, as_json=as_json, quiet=True)
        return capsys.readouterr().out

    out = run(dry_run=True)
    assert '"certificates":60,"page_bits_before":2,"page_bits":6,"pages_before":4,"pages":64' in out
    assert signed.ledger.other_layout(signed.issuer.id) is None
    assert "4 pages of about 15 certificates would become 64 of 1; they take 0 MiB" in run(
        dry_run=True, as_json=False
    )
    begin(signed, 3)
    assert '"page_bits":3' in run()  # what was begun comes first
    assert layout_told(signed) == signed.issuer.layout == (2, 3)
    assert signed.ledger.other_layout(signed.issuer.id) is None
    assert '"pages":16' in run(bits=4)
    assert "demo: 64 pages of about 1 certificates, as they should be" in [run(), run(as_json=False)][1]
    signed.check_store()
    with pytest.raises(LedgerError, match="only become smaller"):
        run(bits=3)
    signed.file.write_text(signed.file.read_text().replace("page_bits = 2", "enabled = false"))
    with pytest.raises(UsageError, match="`ocsp.enabled` is false"):
        run()


def test_a_store_without_room(signed: Works) -> None:
    client = signed.context.client
    client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + 5_000)
    try:
        with pytest.raises(NoRoom, match=r"no room for [\d,]+ more while its pages are there twice"):
            command(signed.file, issuer="demo", bits=None, dry_run=False, as_json=True, quiet=True)
    finally:
        client.config_set("maxmemory", 0)
    assert signed.ledger.other_layout(signed.issuer.id) is None
