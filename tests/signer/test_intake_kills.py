"""The intake is killed at each of its steps: what it acknowledged has a status, and nothing is there by half (A4)."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from signer.ocsp.schedule import PageRange
from signer.ocsp.tail import Tail
from tests.signer.audits import Audited, settle
from tests.signer.works import FakeClock, Works

ROOT = Path(__file__).parents[2]
API, COMMITS, LEDGER = "signer.intake.api", "signer.intake.commits", "signer.ledger.ledger"
DEEDS, TAIL, PAGES = "signer.ledger.deeds", "signer.ocsp.tail", "signer.ocsp.pages"
STEPS = (  # in the order in which a deed comes to them
    (API, "Work.submit"),
    (COMMITS, "Committer._commit"),
    (LEDGER, "Ledger.carry_out"),
    (DEEDS, "_record"),
    (DEEDS, "_append"),
    (API, "Submitted.answers"),
    (TAIL, "Tail.step"),
    (PAGES, "PageSigner.sign_change"),
    ("store.writer", "PageWriter.put_records"),
    (TAIL, "Tail._save"),
    (LEDGER, "Ledger.set_tail_position"),
)
FAST = "carry_out-return"


def _points() -> Sequence[object]:
    """Before and after each."""
    points = []
    for module, name in STEPS:
        for event in ("call", "return"):
            case = f"{name.rpartition('.')[2]}-{event}"
            marks = [] if case == FAST else [pytest.mark.slow]
            points.append(pytest.param((module, name, event), id=case, marks=marks))
    return points


def killed(works: Works, seed: int, point: tuple[str, str, str]) -> list[list[str]]:
    """What was acknowledged, until it was killed at that point."""
    arguments = [str(works.directory), str(works.clock.now()), str(seed), *point]
    command = [sys.executable, "-m", "tests.signer.intake_doomed", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == -9, f"{point}: {done.returncode}\n{done.stderr}"
    return [line.split() for line in done.stdout.splitlines()]


def check(works: Works, acknowledged: list[list[str]]) -> None:
    """After a start, as the ledger and the store have it."""
    signer = works.signer()
    tail = Tail(works.ledger, signer)
    assert tail.step().faults == []
    for page in tail.take_wanted():
        signer.sign_range(PageRange(page, page))
    for verb, serial in acknowledged:
        found = works.ledger.find(works.issuer.id, bytes.fromhex(serial))
        assert found is not None, serial
        assert verb == "certificates" or found.revocation_time is not None, serial
        assert works.response(bytes.fromhex(serial)) is not None, serial
    works.check_store()


def audit(works: Works, capsys: pytest.CaptureFixture[str]) -> None:
    """The standing audit joins what was issued with what is stored."""
    settle(works)
    assert Audited(works, capsys).report(full=True)["clean"]


@pytest.mark.invariant("A4")
@pytest.mark.parametrize("point", _points())
def test_what_was_acknowledged_has_a_status(
    works: Works, clock: FakeClock, capsys: pytest.CaptureFixture[str], point: tuple[str, str, str]
) -> None:
    settle(works)
    clock.pass_time(10)
    acknowledged = killed(works, 1, point)
    assert acknowledged
    check(works, acknowledged)
    audit(works, capsys)
