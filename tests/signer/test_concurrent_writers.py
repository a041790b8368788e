"""Writers that commit when they like, against the tail: it is told of every change once, in order, and stores it."""

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import pytest

from _fastpath.page import decode_record, page_number
from _fastpath.template import Template
from signer.ledger.ledger import Ledger
from signer.ledger.values import Change, ChangeKind
from signer.ocsp.schedule import PageRange
from signer.ocsp.tail import Tail
from store.clock import SystemClock
from tests.signer.ledger_writer import READY
from tests.signer.ledgers import NOW
from tests.signer.processes import wait_until
from tests.signer.works import OffsetClock, Works

ROOT = Path(__file__).parents[2]
PAGE_BITS = 10
WRITERS, CHANGES = 8, 100_000


@dataclass
class Watched:
    """What the tail was told, in order."""

    told: list[Change] = field(default_factory=list)

    def watch(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        changes = ledger.changes

        def told(issuer_id: int, after: int, limit: int) -> list[Change]:
            found = changes(issuer_id, after, limit)
            self.told += found
            return found

        monkeypatch.setattr(ledger, "changes", told)


def follow(works: Works, tail: Tail, written: list["subprocess.Popen[str]"]) -> None:
    """Steps until the writers have left, and then until nothing is new."""
    signer = tail._signer
    going = True
    while going:
        going = any(writer.poll() is None for writer in written)
        read = -1
        while read != tail.read:
            read = tail.read
            assert tail.step().faults == []
        for page in tail.take_urgent() + tail.take_wanted():  # as the pool would
            assert signer.sign_range(PageRange(page, page)).faults == []
            tail.settle([page], tail.read)
    assert works.ledger.pending_changes(works.issuer.id) == 0


def start_together(running: list["subprocess.Popen[str]"], files: Sequence[TextIO]) -> None:
    wait_until(lambda: all(Path(file.name).stat().st_size for file in files), 60)
    for writer in running:
        assert writer.stdin is not None
        writer.stdin.close()


def race(
    works: Works,
    monkeypatch: pytest.MonkeyPatch,
    *,
    writers: int,
    changes: int,
    delay: int,
    sequence: bool = False,
) -> tuple[list[Change], Counter[tuple[ChangeKind, bytes]]]:
    """What the tail was told, and what the writers say they did; `delay` is what a commit waits, in milliseconds."""
    signer = works.signer()
    signer.sign_range(PageRange(0, signer.page_count - 1))
    first = works.ledger.generation(works.issuer.id) + 1
    works.ledger.set_tail_position(works.issuer.id, first - 1)
    watched = Watched()
    watched.watch(works.ledger, monkeypatch)
    seed = random.SystemRandom().randrange(1 << 32)
    sys.stdout.write(f"seed {seed}\n")
    arguments = [works.context.settings.ledger_url, str(changes // writers), str(delay)]
    if sequence:
        (works.directory / "sequence").write_text(str(first))
        arguments.append(str(works.directory / "sequence"))
    with ExitStack() as stack:
        files = [stack.enter_context((works.directory / f"{one}.out").open("w+")) for one in range(writers)]
        command = [sys.executable, "-m", "tests.signer.ledger_writer", arguments[0]]
        running = [
            stack.enter_context(
                subprocess.Popen(
                    [*command, str(seed + one), *arguments[1:]],
                    stdin=subprocess.PIPE,
                    stdout=file,
                    cwd=ROOT,
                    text=True,
                )
            )
            for one, file in enumerate(files)
        ]
        start_together(running, files)
        follow(works, Tail(works.ledger, signer), running)
        assert [writer.returncode for writer in running] == [0] * writers
        made: Counter[tuple[ChangeKind, bytes]] = Counter()
        for file in files:
            file.seek(0)
            assert file.readline() == READY
            made.update((ChangeKind(kind), bytes.fromhex(serial)) for kind, serial in map(str.split, file))
    return watched.told, made


def check_stored(works: Works) -> None:
    """Each certificate of the ledger is in its page, good or revoked since when the ledger says."""
    issuer = works.context.issuer("demo").id
    (template,) = (Template.decode(one.content) for one in works.ledger.templates(works.issuer.id).values())
    rows = works.ledger.snapshot(works.issuer.id, 0, 2**32 - 1).rows
    pages = {page: works.stored(page) for page in range(1 << PAGE_BITS)}
    for row in rows:
        found = pages[page_number(row.serial, PAGE_BITS)]
        assert found is not None
        said = decode_record(issuer, template, row.serial, found[1][row.serial]).response
        assert (said.revocation_time, said.reason or 0) == (row.revocation_time, row.reason)
    assert sum(len(found[1]) for found in pages.values() if found) == len(rows)


@pytest.fixture
def wide(tmp_path: Path, store_url: str) -> "Works":
    """On a clock that goes on: revocations of one page follow on each other by a second."""
    wall = SystemClock()
    return Works(tmp_path, store_url, OffsetClock(wall, NOW - wall.now()), page_bits=PAGE_BITS)


@pytest.mark.parametrize(
    ("writers", "changes"), [(4, 600), pytest.param(WRITERS, CHANGES, marks=pytest.mark.slow)]
)
@pytest.mark.conformance("R-10", "R-20")
def test_no_change_is_skipped(
    wide: Works, monkeypatch: pytest.MonkeyPatch, writers: int, changes: int
) -> None:
    """Generations are in commit order (A1): who has read up to one has read all before it."""
    with wide.context:
        before = wide.ledger.generation(wide.issuer.id)
        told, made = race(wide, monkeypatch, writers=writers, changes=changes, delay=5)
        assert [change.generation for change in told] == list(range(before + 1, before + 1 + changes))
        assert Counter((change.kind, change.serial) for change in told) == made
        check_stored(wide)


@pytest.mark.slow
def test_numbers_of_a_sequence_would_be_skipped(wide: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test above would find: a number that is taken under no lock comes into the log after a higher one."""
    with wide.context:
        told, made = race(wide, monkeypatch, writers=4, changes=2_000, delay=10, sequence=True)
        assert made.total() == 2_000
        assert len(told) < 2_000
