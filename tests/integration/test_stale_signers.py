"""A1: signers that are slow between the ledger and the store never undo what was revoked meanwhile.

Real signers, store and responder. Without the guard of functions.lua the same race leaves hundreds of good answers.
"""

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

import store.writer
from tests.faults.servers import Server
from tests.integration.stale_signers import Counts, Race, Terms
from tests.kept import keep

SMALL = Terms(serials=60, signers=2, longest=0.02)
WHOLE = Terms(serials=750, signers=4, longest=0.1)
STALE = """  if not is_newer(stamp, present) then
    return { STALE, present.value }
  end
"""
FELL = """  if revoked < present.revoked and revoked < present.revoked - revoked_among(key, removed) then
    return { REVOKED_FELL, present.value }
  end
"""

Race_ = Callable[[Terms], Counts]


@pytest.fixture
def race(tmp_path: Path, request: pytest.FixtureRequest) -> Race_:
    def run(terms: Terms) -> Counts:
        server = Server(tmp_path / "store")
        try:
            with Race(tmp_path, f"redis://127.0.0.1:{server.port}", terms, seed=1) as race:
                counts = race.run()
        finally:
            server.kill()
        found = asdict(counts)
        sys.stdout.write(f"{terms}: {found}\n")
        if terms is WHOLE:
            keep("race", request.node.name, found)
        return counts

    return run


@pytest.fixture
def without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The function library is a copy in which these lines are missing."""

    def take_out(*lines: str) -> None:
        text = store.writer.LIBRARY.read_text()
        for one in lines:
            assert one in text
            text = text.replace(one, "")
        (tmp_path / "functions.lua").write_text(text)
        monkeypatch.setattr(store.writer, "LIBRARY", tmp_path / "functions.lua")

    return take_out


def check(counts: Counts, terms: Terms) -> None:
    assert (counts.good_from_store, counts.good_beyond_bound, counts.stuck) == (0, 0, 0)
    assert counts.accepted == terms.serials
    assert counts.pages > 0 and counts.refused > 0  # or nothing was at stake
    assert counts.store_reads > terms.serials and counts.answers > 10


@pytest.mark.invariant("A1")
@pytest.mark.conformance("R-20")
@pytest.mark.parametrize(
    "terms", [SMALL, pytest.param(WHOLE, marks=pytest.mark.slow)], ids=["small", "whole"]
)
def test_nothing_revoked_is_good_again(race: Race_, terms: Terms) -> None:
    check(race(terms), terms)


@pytest.mark.slow
@pytest.mark.invariant("A1")
def test_the_count_of_revocations_would_do_alone(race: Race_, without: Callable[..., None]) -> None:
    """The second line: a page that is older, but would be taken, has fewer revocations."""
    without(STALE)
    counts = race(SMALL)
    assert (counts.good_from_store, counts.good_beyond_bound, counts.stuck) == (0, 0, 0)


@pytest.mark.slow
def test_without_the_guard_hundreds_are(race: Race_, without: Callable[..., None]) -> None:
    """What the test above would find."""
    without(STALE, FELL)
    counts = race(WHOLE)
    assert counts.good_from_store >= 100
    assert counts.good_answers >= 100
