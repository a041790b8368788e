"""Everything that is measured, in one temporary directory."""

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.ingest.contenders import Import, Rival, Run, Sqlite, WrongImport, available, empty
from bench.ingest.corpus import create_authority_for_imports, write_csv, write_index

__all__ = ["NAMES", "Measured", "Plan", "Series", "measure"]

NAMES = ("index", "csv", "rival", "large")
FORMATS = {"index": ("openssl-index", write_index), "csv": ("csv", write_csv)}
MILLISECONDS = 1_000.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rows: int = 1_000_000
    rounds: int = 9
    large: int = 20_000_000  # certificates in the ledger
    small: int = 100_000  # that come into it
    names: tuple[str, ...] = NAMES


@dataclass(slots=True)
class Series:
    """All runs of one contender, in their order."""

    name: str
    runs: list[Run] = field(default_factory=list)

    @property
    def rows_per_s(self) -> float:
        return statistics.median(run.rows / run.seconds for run in self.runs)

    @property
    def peak_mib(self) -> float:
        """The worst."""
        return max(run.peak_mib for run in self.runs)

    @property
    def longest_commit_ms(self) -> float | None:
        longest = [run.longest_commit for run in self.runs if run.longest_commit is not None]
        return max(longest) * MILLISECONDS if longest else None

    def ratio(self, peer: "Series") -> float:
        """Of wall time: the median of the rounds."""
        pairs = zip(self.runs, peer.runs, strict=True)
        return statistics.median(ours.seconds / theirs.seconds for ours, theirs in pairs)

    def as_json(self) -> dict[str, Any]:
        """Stable keys, for results."""
        longest = self.longest_commit_ms
        return {
            "name": self.name,
            "rows": self.runs[0].rows,
            "rows_per_s": round(self.rows_per_s),
            "minimum": round(min(run.rows / run.seconds for run in self.runs)),
            "maximum": round(max(run.rows / run.seconds for run in self.runs)),
            "cpu_us_per_row": round(statistics.median(1e6 * run.cpu / run.rows for run in self.runs), 3),
            "peak_mib": round(self.peak_mib, 1),
            "longest_commit_ms": None if longest is None else round(longest, 1),
            "runs": [round(run.seconds, 3) for run in self.runs],
        }


@dataclass(slots=True)
class Measured:
    """What came of a plan."""

    plan: Plan
    pairs: dict[str, tuple[Series, Series | None]] = field(default_factory=dict)
    filling: Series | None = None  # the large ledger, from empty
    large: Series | None = None  # and the small import into it
    waits: list[float] = field(default_factory=list)  # seconds a rival's commits took
    missing: list[str] = field(default_factory=list)


def measure(plan: Plan, say: Say) -> Measured:
    """Carry out the plan. Nothing is left behind."""
    measured = Measured(plan)
    if not available():
        measured.missing.append("sqlite3 is not installed")
    with tempfile.TemporaryDirectory(prefix="bench-import-") as name:
        directory = Path(name)
        config = create_authority_for_imports(directory / "ca")
        for row in FORMATS:
            if row in plan.names:
                say(f"{row}: {plan.rows:,} certificates into an empty ledger, {plan.rounds} times")
                measured.pairs[row] = _pair(plan, config, row, peer=not measured.missing)
        if "rival" in plan.names:
            say("the same beside another writer")
            measured.waits = _rival(plan, config)
        if "large" in plan.names:
            say(f"{plan.large:,} certificates into an empty ledger, then {plan.small:,} more, in turn")
            measured.filling, measured.large = _large(plan, config)
    return measured


def _ledger(config: Path) -> Path:
    return config.with_name("ledger.db")


def _pair(plan: Plan, config: Path, row: str, *, peer: bool) -> tuple[Series, Series | None]:
    """Both in turns, the order changing from round to round."""
    format, write = FORMATS[row]
    file = config.with_name(f"{row}.data")
    write(file, plan.rows, 1)
    ours, theirs = Import(config, format, file, plan.rows), Sqlite(config.parent, format, file, plan.rows)
    series = Series(ours.name), Series(theirs.name)
    for turn in range(plan.rounds):
        _round([(ours, series[0]), *([(theirs, series[1])] if peer else [])], turn, _ledger(config))
    file.unlink()
    return series[0], series[1] if peer else None


def _round(pairs: Sequence[tuple[Import | Sqlite, Series]], turn: int, ledger: Path) -> None:
    for contender, series in pairs if turn % 2 == 0 else pairs[::-1]:
        empty(ledger)
        series.runs.append(contender.run())


def _rival(plan: Plan, config: Path) -> list[float]:
    """The ledger has a certificate already, so that the rival can write from the first moment on."""
    empty(_ledger(config))
    file = config.with_name("rival.data")
    write_index(file, 1, 2)
    Import(config, "openssl-index", file, 1).run()
    write_index(file, plan.rows, 3)
    with Rival(_ledger(config)) as rival:
        Import(config, "openssl-index", file, plan.rows).run()
    if not rival.seconds:
        raise WrongImport("the other writer did not come to write at all")
    return rival.seconds


def _large(plan: Plan, config: Path) -> tuple[Series, Series]:
    empty(_ledger(config))
    file = config.with_name("large.data")
    filling, small = Series("import openssl-index, large"), Series("import openssl-index into large")
    write_index(file, plan.large, 4)
    filling.runs.append(Import(config, "openssl-index", file, plan.large).run())
    for turn in range(min(plan.rounds, 3)):
        write_index(file, plan.small, 5 + turn)
        small.runs.append(Import(config, "openssl-index", file, plan.small).run())
    return filling, small
