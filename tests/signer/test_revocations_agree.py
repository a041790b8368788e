"""What a revocation says, and what it becomes when it is repeated, is the same in responses and in CRLs (A5)."""

from pathlib import Path

import pytest

from _fastpath.crl_reader import Crl
from signer.crl.service import CrlService
from signer.ocsp.schedule import PageRange
from signer.ocsp.tail import Tail
from store.model import REASON_NUMBERS
from tests.signer.works import FakeClock, Works, row_in_page

HOUR = 3600
SUPERSEDED, KEY_COMPROMISE = 4, 1


def by_ocsp(works: Works, serial: bytes) -> tuple[int, int]:
    """Revocation time and reason."""
    response = works.response(serial)
    assert response is not None and response.revocation_time_utc is not None
    reason = response.revocation_reason
    return int(response.revocation_time_utc.timestamp()), 0 if reason is None else REASON_NUMBERS[reason]


def by_crl(works: Works) -> dict[bytes, tuple[int, int]]:
    """The same of all entries that anybody can fetch."""
    directory = Path(works.context.settings.objects_target) / "crl" / "demo"
    crls = (Crl((directory / f"0-{index}.crl").read_bytes()) for index in range(3))
    return {serial: (time, reason) for crl in crls for serial, time, reason in crl}


def wait_an_hour(service: CrlService, clock: FakeClock) -> None:
    for _ in range(60):
        clock.pass_time(60)
        service.step(lambda outcome: None)


@pytest.mark.invariant("A5", "A6")
def test_a_revocation_and_a_graver_one_reach_both(works: Works, clock: FakeClock) -> None:
    """Within the hour that `crl.revoked_within` allows; the time stays that of the first."""
    row, _ = works.add(row_in_page(1, number) for number in range(2))
    signer = works.signer()
    signer.sign_range(PageRange(0, 3))
    tail, service = Tail(works.ledger, signer), works.context.crl_service("demo")
    tail.step()
    tail.settle(tail.open_pages, tail.read)
    service.step(lambda outcome: None)
    clock.pass_time(60)
    first = clock.now()
    for reason in (SUPERSEDED, KEY_COMPROMISE):
        works.revoke(row.serial, reason=reason)
        tail.step()
        assert by_ocsp(works, row.serial) == (first, reason)
        wait_an_hour(service, clock)
        assert by_crl(works) == {row.serial: (first, reason)}
