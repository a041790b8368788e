"""C6, A1, A8: the store killed, and gone without a word, for a minute under load; section 4, item 8 of the architecture.

Processes of their own: the store behind a relay, the signer, a responder with two workers, the load. What was asked
before the outage goes on for `max_unverified` with less and less max-age, everything else is tryLater at once, and
when the store is back each worker asks for each certificate again once.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from _fastpath.page import page_number
from tests.faults.asking import Outcome
from tests.faults.load import Load, Row, quantile, under_load
from tests.faults.relay import Relay
from tests.faults.servers import Server
from tests.faults.town import PAGE_BITS, PATIENCE, WORKERS, Responder, Town, built
from tests.kept import keep
from tests.signer.processes import wait_until

pytestmark = pytest.mark.slow

OUTAGE = 60.0  # seconds
MAX_UNVERIFIED = 30  # seconds: half of the outage
NOTICED = 4.0  # until a silent store is known to be away: three heartbeats, and a second
PAUSE = 0.5  # between two looks at what came of it
RATE = 400  # questions a second
WARM, COLD = 300, 300  # certificates that are asked about before, and from the outage on
REVOKED = 20  # of the warm ones, during the outage
KEPT_PAGES = 16  # of 32: nothing is revoked there
DURABLE = ("--appendonly", "yes", "--appendfsync", "everysec")  # as deploy/valkey.conf


@dataclass(frozen=True)
class Scene:
    """Before the outage, with everything warm that is to be."""

    server: Server
    relay: Relay
    town: Town
    responder: Responder
    load: Load
    serials: list[bytes]
    doomed: list[int]  # indexes


@contextmanager
def scene(directory: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        server = Server(directory / "store", *DURABLE)
        stack.callback(server.kill)
        relay = stack.enter_context(Relay(server.port))
        town = stack.enter_context(
            built(directory / "ca", f"redis://127.0.0.1:{relay.port}", WARM, COLD, floor=False)
        )
        responder = stack.enter_context(town.responder(f"max_unverified = {MAX_UNVERIFIED}"))
        serials = town.serials
        load = stack.enter_context(
            under_load(directory, directory / "ca" / "ca.pem", responder.port, serials, WORKERS, 4, RATE)
        )
        doomed = [index for index in range(WARM) if page_number(serials[index], PAGE_BITS) >= KEPT_PAGES]
        load.ask(0, WARM - 1)
        made = Scene(server, relay, town, responder, load, serials, doomed[:REVOKED])
        wait_until(lambda: is_warm(load), PATIENCE)
        yield made


def is_warm(load: Load) -> bool:
    """Whether every connection was told of each certificate."""
    time.sleep(PAUSE)
    rows = [row for row in load.rows() if row.outcome is Outcome.GOOD]
    connections = {row.connection for row in rows}
    return len({(row.connection, row.index) for row in rows}) >= len(connections) * WARM > 0


@dataclass(frozen=True)
class Outage:
    """When it began and ended, and when what was revoked in between was acknowledged; monotonic times."""

    began: float
    acknowledged: float
    ended: float

    @property
    def bound(self) -> float:
        """Nothing that was cached is sent later, until the store is back."""
        return self.began + MAX_UNVERIFIED


def outlast(here: Scene, fail: Callable[[], None], mend: Callable[[], None]) -> Outage:
    began = time.monotonic()
    fail()
    gone = time.monotonic()
    here.load.ask(0, WARM + COLD - 1)
    time.sleep(5)
    acknowledged = here.town.revoke([here.serials[index] for index in here.doomed])
    time.sleep(max(0.0, began + OUTAGE - time.monotonic()))
    ended = time.monotonic()
    mend()
    return Outage(gone, acknowledged, ended)


def right_again(here: Scene, outage: Outage) -> dict[int, float]:
    """When each certificate was first asked about with the right answer, from the end of the outage on."""
    time.sleep(PAUSE)
    doomed = {*here.doomed}
    found: dict[int, float] = {}
    for row in here.load.rows():
        right = Outcome.REVOKED if row.index in doomed else Outcome.GOOD
        if row.sent > outage.ended and row.outcome is right:
            found.setdefault(row.index, row.sent - outage.ended)
    return found


def fetches(here: Scene, outage: Outage) -> list[Counter[bytes]]:
    """By connection to the store: how often a certificate was fetched after the outage, on pages that nobody wrote."""
    kept = {serial for serial in here.serials if page_number(serial, PAGE_BITS) < KEPT_PAGES}
    return [
        Counter(words[2] for words in commands if words[0] == b"HGET" and words[2] in kept)
        for commands in here.relay.commands(outage.ended)
    ]


def milliseconds(rows: Sequence[Row]) -> dict[str, float]:
    found = [row.seconds * 1000 for row in rows]
    return {
        name: round(quantile(found, share), 1) for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    }


def check(name: str, here: Scene, outage: Outage) -> None:
    """What every outage has to leave, and what this one did, for whoever keeps it."""
    wait_until(lambda: len(right_again(here, outage)) == WARM + COLD, PATIENCE)
    settled = max(right_again(here, outage).values())
    here.load.end()
    rows = here.load.rows()
    dark = [row for row in rows if outage.began <= row.sent < outage.ended]
    warm = [row for row in dark if row.index < WARM]
    cold = [row for row in dark if row.index >= WARM]
    late = [row for row in dark if row.outcome is Outcome.TRY_LATER]
    asked = fetches(here, outage)
    often = Counter(count for one in asked for count in one.values())
    too_late = Counter(
        here.serials[row.index]
        for row in rows
        if row.sent + row.seconds > outage.ended and row.outcome is Outcome.TRY_LATER
    )
    stale = [
        row
        for row in rows
        if row.sent > outage.ended and row.index in here.doomed and row.outcome is Outcome.GOOD
    ]
    found: dict[str, Any] = {
        "outage_s": round(outage.ended - outage.began, 1),
        "max_unverified_s": MAX_UNVERIFIED,
        "answers": len(rows),
        "wrong": sum(row.outcome in (Outcome.WRONG, Outcome.NONE) for row in rows),
        "cached_went_on": sum(row.outcome is Outcome.GOOD for row in warm),
        "cached_refused_within_bound": sum(
            row.outcome is Outcome.TRY_LATER for row in warm if row.sent + row.seconds < outage.bound - 2
        ),
        "try_later": len(late),
        "try_later_ms": milliseconds(late),
        "try_later_ms_first_3_s": milliseconds([row for row in late if row.sent < outage.began + 3]),
        "try_later_over_50_ms": sum(row.seconds > 0.05 for row in late),
        "whole_after_s": round(settled, 2),
        "fetches_per_certificate_and_worker": {str(count): number for count, number in sorted(often.items())},
        "good_after_the_outage_of_those_revoked_in_it": len(stale),
        "last_such_after_s": round(max((row.sent - outage.ended for row in stale), default=0.0), 2),
    }
    sys.stderr.write(f"{name}: {found}\n")
    keep("outages", name, found)
    assert found["wrong"] == 0
    assert {row.outcome for row in cold} == {Outcome.TRY_LATER}
    assert {row.outcome for row in warm} == {Outcome.GOOD, Outcome.TRY_LATER}
    assert not [row for row in dark if row.sent > outage.bound and row.outcome is not Outcome.TRY_LATER]
    for row in warm:
        if row.outcome is Outcome.GOOD and row.sent > outage.began + NOTICED:
            assert row.max_age <= outage.bound - row.sent + 1
    assert found["cached_went_on"] > found["cached_refused_within_bound"]
    assert often[1] > 0
    for one in asked:  # who was not answered in time may ask again
        assert all(count <= 2 + too_late[serial] for serial, count in one.items())
    assert found["try_later_ms"]["p50"] <= 50


@pytest.mark.invariant("C6", "A1", "A8")
@pytest.mark.conformance("H-11")
def test_the_store_is_killed(tmp_path_factory: pytest.TempPathFactory) -> None:
    """And started again a minute later, on what it had written to its append-only file."""
    with scene(tmp_path_factory.mktemp("s")) as here:
        outage = outlast(here, here.server.kill, here.server.start)
        check("killed", here, outage)


@pytest.mark.invariant("C6", "A1", "A8")
@pytest.mark.conformance("H-11")
def test_the_store_is_gone_without_a_word(tmp_path_factory: pytest.TempPathFactory) -> None:
    with scene(tmp_path_factory.mktemp("s")) as here:
        outage = outlast(here, here.relay.vanish, here.relay.heal)
        check("black hole", here, outage)
