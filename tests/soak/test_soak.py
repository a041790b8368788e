"""A CA's day in twenty minutes: everything is used, everything is ended again and again, and nothing grows (A1, A3 to A6, B1).

OCSPEED_SOAK says for how many minutes; below twenty, memory is looked at and not judged.
"""

import os
import random
import sys
import time
from collections.abc import Iterator

import pytest

from tests.kept import keep
from tests.signer.processes import wait_until
from tests.soak.load import Load
from tests.soak.memory import Memory
from tests.soak.town import PATIENCE, Town

WHOLE = 20.0  # minutes
UNTIL_OLD = 5  # twentieths of the whole after which what lives on is not ended any more
# Those that live on: the signer itself, and all of the second responder. What they leave behind in themselves is seen.
ONCE = ("signer_killed", "signer_ended", "second_responder_killed")
EACH_TIME = (
    "store_emptied",
    "first_responder_killed",
    "pool_process_killed",
    "store_put_back",
    "worker_killed",
    "first_responder_ended",
)


@pytest.fixture
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    town = Town(tmp_path_factory.mktemp("s"))
    try:
        wait_until(town.settled, PATIENCE)
        yield town
    finally:
        town.close()


class Day:
    """Twentieths of the whole, and what befalls in them."""

    def __init__(self, town: Town, minutes: float, seed: int) -> None:
        self._town = town
        self._unit = minutes * 60 / 20
        self._chooser = random.Random(seed)

    def ended_again_and_again(self, deeds: tuple[str, ...], rounds: int) -> None:
        """Over UNTIL_OLD twentieths, or as long as it takes."""
        planned = [one for _ in range(rounds) for one in self._chooser.sample(deeds, len(deeds))]
        began, pause = time.monotonic(), UNTIL_OLD * self._unit / len(planned)
        for number, deed in enumerate(planned, 1):
            self._town.befall(deed)
            time.sleep(max(0.0, began + number * pause - time.monotonic()))

    def left_alone(self) -> tuple[float, float]:
        """For as long; when memory counts: all of it but the first twentieth."""
        began = time.monotonic()
        time.sleep(UNTIL_OLD * self._unit)
        return began + self._unit, time.monotonic()


@pytest.mark.slow
@pytest.mark.invariant("A1", "A3", "A4", "A5", "A6", "B1", "C1", "C4")
def test_nothing_is_wrong_and_nothing_grows(town: Town) -> None:
    minutes = float(os.environ.get("OCSPEED_SOAK") or 1)
    seed = int(os.environ.get("OCSPEED_SEED") or random.SystemRandom().getrandbits(32))
    sys.stderr.write(f"seed {seed}: OCSPEED_SEED={seed} does the same again\n")
    day, began = Day(town, minutes, seed), time.monotonic()
    rounds = 2 if minutes >= WHOLE else 1
    with Memory(town.roles) as memory, Load(town, seed) as load:
        day.ended_again_and_again(ONCE + EACH_TIME, rounds)
        before = memory.medians(*day.left_alone())
        day.ended_again_and_again(EACH_TIME, rounds)
        after = memory.medians(*day.left_alone())
        day.ended_again_and_again(ONCE, 1)
    wait_until(town.settled, PATIENCE)
    counts = load.counts
    found = counts.described() | {
        "seed": seed,
        "minutes": round((time.monotonic() - began) / 60, 1),
        "kills": town.kills,
        "octets_before": before,
        "octets_after": after,
    }
    sys.stderr.write(f"{found}\n")
    keep("soak", f"{minutes:g} minutes", found)
    assert counts.bad == []
    assert counts.deeds["revoked"] > 0 and counts.answers["revoked"] > 0 and counts.crls > 0
    assert town.audit() == 0, (town.works.directory / "audit.json").read_text()
    assert minutes < WHOLE or memory.grown(before, after) == []
