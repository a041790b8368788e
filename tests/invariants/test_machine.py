"""What may happen to a CA, in any order: at no step is anything answered or published that must not be (A1 to D5).

With `OCSPEED_MACHINE="seed=7 examples=200 steps=50"` the slow one runs longer, or as it ran when it failed; with
`shrink=1` it then looks for the fewest steps that fail, which takes minutes.
"""

import os
from pathlib import Path

import hypothesis
import pytest
import structlog
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

import responder.app
import responder.crl_versions
import responder.floor
import responder.issuers
import responder.lookup
import signer.ocsp.repage
import store.connection
from tests.invariants.machine import Machine
from tests.invariants.machine_town import found
from tests.invariants.machine_watch import HOUR
from tests.signer.works import DAY

log = structlog.get_logger()

FAST = "seed=1 examples=6 steps=20"
LONG = "seed=0 examples=60 steps=50"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real time that is waited for so that others have some, or until they come back, is as short as can be."""
    monkeypatch.setattr(store.connection, "RETRIES", 0)
    monkeypatch.setattr(signer.ocsp.repage, "FOLLOW", 0.0)
    monkeypatch.setattr(signer.ocsp.repage, "PAUSE", 0.0)
    monkeypatch.setattr(responder.app, "WARM_UP", 0.05)
    monkeypatch.setattr(responder.lookup, "UNRECONCILED", 0.01)
    monkeypatch.setattr(responder.lookup, "MIN_BACKOFF", 0.01)
    monkeypatch.setattr(responder.lookup, "MAX_BACKOFF", 0.02)
    monkeypatch.setattr(responder.issuers, "RELOAD_INTERVAL", 0.01)
    monkeypatch.setattr(responder.floor, "WATCH_INTERVAL", 0.02)
    monkeypatch.setattr(responder.crl_versions, "RECHECK", 0.0)


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    directory = tmp_path / "origin"
    directory.mkdir()
    found(directory)
    return directory


def machine_of(origin: Path) -> type[Machine]:
    class Placed(Machine):
        pass

    Placed.origin, Placed.directory = origin, origin.parent
    return Placed


def run(origin: Path, words: str) -> None:
    wanted = {name: int(value) for name, value in (word.split("=") for word in words.split())}
    log.info("machine", **wanted)
    how = settings(
        max_examples=wanted["examples"],
        stateful_step_count=wanted["steps"],
        deadline=None,
        database=None,
        derandomize=False,
        print_blob=False,
        phases=[Phase.generate, Phase.shrink] if wanted.get("shrink") else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(hypothesis.seed(wanted["seed"])(machine_of(origin)), settings=how)


@pytest.mark.invariant(
    "A1", "A2", "A3", "A5", "A6", "A8", "B1", "B6", "C1", "C3", "C4", "D1", "D3", "D4", "D5", "D9"
)
def test_one_life(origin: Path) -> None:
    """With what is seldom chosen by chance, or has to come together."""
    machine = machine_of(origin)()
    machine.moment = 2.0
    try:
        machine.precertificate(2 * DAY, issued=False)
        machine.back_up()
        machine.revoke(0, 4, HOUR)
        machine.nothing_wrong_is_answered()
        machine.revoke_again(0, 1, 0)
        for number in range(3):
            machine.signer_is_overtaken(2 - number, number, 5)
            machine.nothing_wrong_is_answered()
        machine.wait(61)  # one of them was ahead
        for dumped in (True, False):
            machine.lose_a_revocation(1, 4, dumped)
            machine.nothing_wrong_is_answered()
        machine.settle()
        machine.page_again()
        machine.roll_the_key()
        machine.nothing_wrong_is_answered()
        machine.restore_ledger(store_too=True)
        machine.nothing_wrong_is_answered()
    finally:
        machine.teardown()


@pytest.mark.invariant(
    "A1", "A2", "A3", "A5", "A6", "A8", "B1", "B6", "C1", "C3", "C4", "D1", "D3", "D4", "D5", "D9"
)
def test_a_few_lives(origin: Path) -> None:
    run(origin, FAST)


@pytest.mark.slow
@pytest.mark.invariant(
    "A1", "A2", "A3", "A5", "A6", "A8", "B1", "B6", "C1", "C3", "C4", "D1", "D3", "D4", "D5", "D9"
)
def test_many_lives(origin: Path) -> None:
    run(origin, os.environ.get("OCSPEED_MACHINE", LONG))
