"""G6: what is wrong in the store or with it is tryLater to clients, counted by its cause, and in the log where it is one of ours to mend."""

import dataclasses
from collections.abc import Callable
from typing import get_args

import httpx
import pytest
from structlog.testing import capture_logs

from _fastpath.certid import SHA256, serial_from_int
from _fastpath.ocsp import TRY_LATER
from responder.counters import Counters
from responder.errors import TryLaterCause
from store.schema import issuer_key, template_key
from store.writer import PageWriter
from tests.responder.ca import CA, NOW, SLOT, TEMPLATE_NUMBER, Shelf, good, template_of
from tests.responder.conftest import GOOD, REVOKED, FakeClock, wait_until

pytestmark = pytest.mark.invariant("G6")


@dataclasses.dataclass(frozen=True)
class Fault:
    """How it comes about, and what the log says of it, if it does."""

    cause: Callable[[Shelf, CA, FakeClock], object]
    event: str | None = None


def record(shelf: Shelf, octets: bytes) -> None:
    shelf.client.hset(shelf.key_of(GOOD), serial_from_int(GOOD), octets)


def forged(shelf: Shelf, ca: CA, clock: FakeClock) -> None:
    forger = CA("demo", ca.subject)
    forger.issuer, forger.template = ca.issuer, ca.template
    record(shelf, forger.record(good(GOOD)))


def another_issuer(shelf: Shelf, ca: CA, clock: FakeClock) -> None:
    shelf.client.flushall()
    Shelf(CA(ca.name, ca.subject), shelf.client).put(good(GOOD))


def another_slot(shelf: Shelf, ca: CA, clock: FakeClock) -> None:
    other = dataclasses.replace(shelf.issuer_record(), templates={SLOT + 1: TEMPLATE_NUMBER})
    PageWriter(shelf.client, "test").write_issuer(ca.name, other)
    shelf.client.hdel(issuer_key(ca.name), f"template:{SLOT}")


def stranger(shelf: Shelf, ca: CA, clock: FakeClock) -> None:
    other = template_of(CA("demo", ca.subject).delegate(ca.responder_key))
    shelf.client.set(template_key(TEMPLATE_NUMBER), other.encode())


def damaged(octets: bytes) -> bytes:
    return octets[:-1] + bytes([octets[-1] ^ 1])


def another_format(shelf: Shelf, ca: CA, clock: FakeClock) -> None:
    """The next one but one (bits 5 to 7 of the flags)."""
    whole = ca.record(good(GOOD))
    record(shelf, bytes([whole[0] | 0x40]) + whole[1:])


FAULTS: dict[TryLaterCause, Fault] = {
    "bad_signature": Fault(forged, "signature does not verify"),
    "expired": Fault(lambda shelf, ca, clock: setattr(clock, "seconds", NOW + 10 * 86_400)),
    "issuer_missing": Fault(
        lambda shelf, ca, clock: shelf.client.delete(issuer_key(ca.name)), "issuer cannot be served"
    ),
    "issuer_wrong": Fault(another_issuer, "issuer cannot be served"),
    "no_signature": Fault(lambda shelf, ca, clock: record(shelf, ca.record(good(GOOD), (SHA256,)))),
    "not_yet_valid": Fault(lambda shelf, ca, clock: setattr(clock, "seconds", NOW - 86_000)),
    "page_incomplete": Fault(lambda shelf, ca, clock: shelf.client.delete(shelf.key_of(GOOD))),
    "record_damaged": Fault(
        lambda shelf, ca, clock: record(shelf, damaged(ca.record(good(GOOD)))), "record refused"
    ),
    "store_error": Fault(
        lambda shelf, ca, clock: shelf.client.set(shelf.key_of(GOOD), b"not a hash"),
        "store refused a command",
    ),
    "template_missing": Fault(
        lambda shelf, ca, clock: shelf.client.delete(template_key(TEMPLATE_NUMBER)), "template refused"
    ),
    "template_untrusted": Fault(stranger, "template refused"),
    "unknown_format": Fault(another_format),
    "unknown_slot": Fault(another_slot),
}
# Of the connection, of the moment, or of the floor: counted in test_lookup, test_fast_path, test_heads and test_floor.
ELSEWHERE: frozenset[TryLaterCause] = frozenset(
    {
        "floor",
        "lookup_timeout",
        "page_changed",
        "store_down",
        "store_protocol",
        "unreconciled",
        "waiting_room",
    }
)


def test_no_cause_was_forgotten() -> None:
    assert FAULTS.keys() | ELSEWHERE == {*get_args(TryLaterCause)}
    assert FAULTS.keys().isdisjoint(ELSEWHERE)


@pytest.mark.invariant("A8", "G6")
@pytest.mark.parametrize("cause", FAULTS)
def test_a_fault_of_the_store_is_counted_and_told(
    port: int, ca: CA, shelf: Shelf, clock: FakeClock, counters: Counters, cause: TryLaterCause
) -> None:
    fault, url = FAULTS[cause], f"http://127.0.0.1:{port}/"
    wait_until(lambda: httpx.post(url, content=ca.request(REVOKED)).content != TRY_LATER)
    with capture_logs() as log:
        fault.cause(shelf, ca, clock)

        def is_told() -> bool:
            answer = httpx.post(url, content=ca.request(GOOD)).content
            return answer == TRY_LATER and counters.value("ocsp_try_later_total", cause) > 0

        wait_until(is_told)
        assert counters.value("ocsp_responses_total", "try_later", "POST") > 0
        events = [str(one["event"]) for one in log if one["log_level"] in ("warning", "error")]
    if fault.event is not None:
        assert fault.event in events
