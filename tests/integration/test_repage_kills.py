"""A re-paging is killed before random lines of it while clients ask: one layout is whole, and they notice nothing."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from signer.ocsp.batch import Pool
from signer.ocsp.service import open_service
from store.clock import SystemClock
from tests.integration.test_repage_load import asked
from tests.signer.works import DAY, Works, row_in_page

ROOT = Path(__file__).parents[2]
BITS = 2
LAYOUTS = range(BITS + 1, BITS + 4)  # page bits, one after the other
KILLS = 6  # of each
NEVER = 10**9


@pytest.fixture
def works(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Works]:
    works = Works(tmp_path_factory.mktemp("s"), None, SystemClock(), page_bits=BITS)
    with works.context:
        late = works.clock.now() + 50 * DAY
        pages = range(1 << BITS)
        works.add(
            row_in_page(page, number, page_bits=BITS, not_after=late)
            for page in pages
            for number in range(12)
        )
        with Pool(works.file, 1) as pool:
            open_service(works.context, "demo", pool).sign_all(lambda pages: None)
        yield works


def doomed(works: Works, way: str, bits: int, line: int) -> int:
    """How many lines there were; 0 if it was killed."""
    arguments = [str(works.file), way, str(bits), str(line)]
    command = [sys.executable, "-m", "tests.signer.repage_doomed", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, -9), done.stderr
    return int(done.stdout.split()[-1]) if done.returncode == 0 else 0


@pytest.mark.slow
@pytest.mark.conformance("R-08", "R-20")
@pytest.mark.parametrize("way", ["command", "run"])
def test_killed_anywhere_it_leaves_one_layout_whole(works: Works, way: str) -> None:
    """A certificate is revoked before each kill. Its seed is printed, and OCSPEED_SEED sets it."""
    seed = int(os.environ.get("OCSPEED_SEED") or random.SystemRandom().getrandbits(32))
    sys.stderr.write(f"seed {seed}: OCSPEED_SEED={seed} does the same again\n")
    chooser, kills, lines = random.Random(seed), 0, 400
    with asked(works) as watching:
        for bits in LAYOUTS:
            for _ in range(KILLS):
                victim = chooser.choice(watching.serials)
                works.revoke(victim.to_bytes((victim.bit_length() + 7) // 8))
                ended = doomed(works, way, bits, chooser.randrange(lines))
                kills += not ended
            lines = max(lines, doomed(works, way, bits, NEVER))
            assert works.issuer.page_bits == bits
            assert works.ledger.other_layout(works.issuer.id) is None
            with Pool(works.file, 1) as pool:  # only `run` signs what was revoked
                open_service(works.context, "demo", pool).sign_due(lambda pages: None)
            works.check_store()
    assert watching.bad == []
    assert kills > KILLS * len(LAYOUTS) // 2
