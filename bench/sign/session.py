"""Everything that is measured: rows of contenders in turns, then the memory of servers."""

import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.sign.contenders import Bare, Contender, Ours, Run, store_processes
from bench.sign.corpus import P256, RSA2048, Corpus, create_corpus
from bench.sign.memory import Filling, Memory, measure_memory
from store.embedded import EmbeddedStore
from store.errors import StoreUnavailable

__all__ = ["NAMES", "Measured", "Plan", "Series", "measure"]

TWO = "two"
MEMORY = "memory"
NAMES = (P256, RSA2048, TWO, MEMORY)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    certificates: int = 31_250  # P-256: 512 pages of 61
    rsa_certificates: int = 2_000  # 32 pages of 62
    pairs: int = 21  # single ratios differ by 5 %, and one goal is 1.5 % from even
    filled: int = 1_000_000  # of which the memory is measured
    rsa_filled: int = 250_000
    rows: tuple[str, ...] = NAMES

    def fillings(self) -> tuple[Filling, ...]:
        return (
            Filling(self.filled),
            Filling(self.filled, serial_size=18),
            Filling(self.rsa_filled, signature_size=256),
        )


@dataclass(slots=True)
class Series:
    """All runs of one contender in a row, in their order."""

    row: str
    name: str
    certificates: int
    runs: list[Run] = field(default_factory=list)

    def middle(self, value: Callable[[Run], float]) -> float:
        return statistics.median(value(run) for run in self.runs)

    @property
    def store_us_per_record(self) -> float:
        """CPU time of the store; a certificate has one record."""
        return self.middle(lambda run: run.store_cpu) / self.certificates * 1e6

    def as_json(self) -> dict[str, Any]:
        """Stable keys, for results."""
        return {
            "row": self.row,
            "name": self.name,
            "certificates": self.certificates,
            "us": round(self.middle(lambda run: run.us), 3),
            "minimum": round(min(run.us for run in self.runs), 3),
            "maximum": round(max(run.us for run in self.runs), 3),
            "store_us": round(self.middle(lambda run: run.store_cpu / run.responses * 1e6), 3),
            "rate": round(self.middle(lambda run: run.rate)),
            "all_us": [round(run.us, 3) for run in self.runs],
            "rates": [round(run.rate) for run in self.runs],
        }


@dataclass(slots=True)
class Measured:
    """What came of a plan."""

    plan: Plan
    store: str = ""
    series: list[Series] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def of(self, row: str) -> list[Series]:
        """In the order of their first turns; nothing for a row that was not measured."""
        return [series for series in self.series if series.row == row]


def measure(plan: Plan, say: Say) -> Measured:
    """Carry out the plan. Nothing is left behind."""
    measured = Measured(plan)
    if set(plan.rows) - {MEMORY}:
        with (
            tempfile.TemporaryDirectory(prefix="bench-sign-") as name,
            EmbeddedStore(Path(name) / ".ocspeed") as store,
        ):
            _rows(measured, Path(name), store.url, say)
    if MEMORY in plan.rows:
        _memory(measured, say)
    return measured


def _rows(measured: Measured, directory: Path, url: str, say: Say) -> None:
    plan = measured.plan
    say("certificates into the ledger")
    wanted = {P256: plan.certificates, RSA2048: plan.rsa_certificates}
    if RSA2048 not in plan.rows:
        del wanted[RSA2048]
    corpus = create_corpus(directory, wanted)
    for row in plan.rows:
        if row != MEMORY:
            say(f"{row}: {plan.pairs} turns")
            measured.series += _turns(row, corpus, url, plan.pairs)


def _turns(row: str, corpus: Corpus, url: str, turns: int) -> list[Series]:
    """A run of each that is not counted, then turns of all, another one first each time."""
    issuer = RSA2048 if row == RSA2048 else P256
    with ExitStack() as stack:
        contenders = list(_contenders(row, corpus, issuer, url, stack))
        series = [Series(row, contender.name, corpus.certificates[issuer]) for contender in contenders]
        for contender in contenders:
            contender.run()
        pairs = list(zip(contenders, series, strict=True))
        for turn in range(turns):
            for contender, runs in _rotated(pairs, turn):
                runs.runs.append(contender.run())
    return series


def _rotated(pairs: Sequence[tuple[Contender, Series]], turn: int) -> Sequence[tuple[Contender, Series]]:
    start = turn % len(pairs)
    return (*pairs[start:], *pairs[:start])


def _contenders(row: str, corpus: Corpus, issuer: str, url: str, stack: ExitStack) -> Iterator[Contender]:
    """Ours and the bare loop, with one process and, in the row about that, with two."""
    store = store_processes(url)
    for processes in (1, 2) if row == TWO else (1,):
        yield stack.enter_context(Ours.started(corpus, issuer, processes, store))
        yield stack.enter_context(Bare.started(corpus, issuer, processes))


def _memory(measured: Measured, say: Say) -> None:
    """Valkey is the one that the signer would start itself, Redis the one on PATH."""
    for name, program in (("valkey", None), ("redis", "redis-server")):
        for filling in measured.plan.fillings():
            say(f"{name}: {filling.certificates:,} certificates")
            try:
                found = measure_memory(filling, program)
            except StoreUnavailable as error:
                measured.missing.append(f"{name}: {error}")
                break
            if not found.server.startswith(name):
                measured.missing.append(f"{name}: {found.server} is here instead")
                break
            measured.memory.append(found)
