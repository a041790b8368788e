"""Everything that is measured, in one temporary directory: sizes, then the large sets."""

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.crl.contenders import Chain, Contender, Cryptography, Memory, Openssl, Run, WrongCrl
from bench.crl.corpus import NEXT_UPDATE, Corpus, create_corpus, import_into_ledger
from signer.crl.build import CrlFields, CrlSigner, build_shard
from signer.crl.preflight import PreflightError, preflight
from signer.keys.file import load_key
from store.model import load_certificate

__all__ = ["NAMES", "USUAL", "Measured", "Oversize", "Plan", "Series", "measure"]

SHARDS = 128
INCIDENT = 3_048_289  # revocations in a day, Let's Encrypt 2020 (D11)
NAMES = ("sizes", "million", "oversize", "incident")
USUAL = NAMES[:3]
LONG = 3.0  # seconds of CPU from which a contender runs once and is not waited for again

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    sizes: tuple[int, ...] = (1_000, 10_000, 100_000)
    rounds: int = 9
    million: int = 1_000_000
    builds: int = 3  # of a large set
    incident: int = INCIDENT
    rows: tuple[str, ...] = USUAL


@dataclass(slots=True)
class Series:
    """All runs of one contender over one corpus, in their order."""

    name: str
    entries: int
    shards: int = 1
    runs: list[Run] = field(default_factory=list)

    @property
    def cpu(self) -> float:
        return statistics.median(run.cpu for run in self.runs)

    @property
    def peak_mib(self) -> float | None:
        """The worst."""
        return max((run.peak_mib for run in self.runs if run.peak_mib is not None), default=None)

    def ratio(self, peer: "Series") -> float:
        """Of CPU time: the median of the rounds, or by the only run of a slow peer."""
        if len(peer.runs) < len(self.runs):
            return self.cpu / peer.cpu
        pairs = zip(self.runs, peer.runs, strict=True)
        return statistics.median(ours.cpu / theirs.cpu for ours, theirs in pairs)

    def as_json(self) -> dict[str, Any]:
        """Stable keys, for results and plots."""
        return {
            "name": self.name,
            "entries": self.entries,
            "shards": self.shards,
            "cpu_seconds": round(self.cpu, 5),
            "seconds": round(statistics.median(run.seconds for run in self.runs), 5),
            "minimum": round(min(run.cpu for run in self.runs), 5),
            "maximum": round(max(run.cpu for run in self.runs), 5),
            "octets": self.runs[-1].octets,
            "peak_mib": None if self.peak_mib is None else round(self.peak_mib, 2),
            "runs": [round(run.cpu, 5) for run in self.runs],
        }


@dataclass(frozen=True, slots=True)
class Oversize:
    """One CRL that no one may publish (P-03): what building it took, and which check refused it."""

    entries: int
    cpu: float
    octets: int
    refused_by: str


@dataclass(slots=True)
class Measured:
    """What came of a plan."""

    plan: Plan
    series: list[Series] = field(default_factory=list)
    million: Series | None = None
    incident: Series | None = None
    oversize: Oversize | None = None
    missing: list[str] = field(default_factory=list)


def measure(plan: Plan, say: Say) -> Measured:
    """Carry out the plan. Nothing is left behind."""
    measured = Measured(plan)
    with tempfile.TemporaryDirectory(prefix="bench-crl-") as name:
        directory = Path(name)
        for size in plan.sizes if "sizes" in plan.rows else ():
            say(f"{size:,} entries")
            measured.series += _size(plan, directory, size, measured.missing)
        if "oversize" in plan.rows:
            say(f"one CRL of {plan.million:,} entries")
            measured.oversize = _oversize(directory, plan.million)
        if "million" in plan.rows:
            measured.million = _set(plan, directory, plan.million, say)
        if "incident" in plan.rows:
            measured.incident = _set(plan, directory, plan.incident, say)
    return measured


def _size(plan: Plan, directory: Path, size: int, missing: list[str]) -> list[Series]:
    """All contenders over one corpus, in turns, the order changing from round to round."""
    corpus = create_corpus(directory / f"one-{size}", size)
    import_into_ledger(corpus)
    with ExitStack() as stack:
        chain = stack.enter_context(Chain.started(corpus))
        chain.run()  # the first has no live CRL to be compared with: those that count renew one
        contenders: list[Contender] = [Memory(corpus), chain, Cryptography(corpus)]
        if shutil.which("openssl"):
            contenders.insert(1, Openssl(corpus))
        elif (why := "openssl is not installed") not in missing:
            missing.append(why)
        series = [Series(contender.name, size) for contender in contenders]
        for turn in range(plan.rounds):
            _round(list(zip(contenders, series, strict=True)), turn)
    return series


def _round(pairs: Sequence[tuple[Contender, Series]], turn: int) -> None:
    start = turn % len(pairs)
    for contender, series in (*pairs[start:], *pairs[:start]):
        if not series.runs or series.runs[0].cpu < LONG:
            series.runs.append(contender.run())


def _set(plan: Plan, directory: Path, entries: int, say: Say) -> Series:
    """The whole chain over many shards: the first build and renewals."""
    say(f"{entries:,} entries into the ledger")
    corpus = create_corpus(directory / f"set-{entries}", entries, SHARDS)
    import_into_ledger(corpus)
    with Chain.started(corpus, SHARDS) as chain:
        series = Series(chain.name, entries, SHARDS)
        for number in range(1, plan.builds + 1):
            say(f"{SHARDS} shards, build {number} of {plan.builds}")
            series.runs.append(chain.run())
    return series


def _oversize(directory: Path, entries: int) -> Oversize:
    corpus = create_corpus(directory / "oversize", entries)
    signer, fields = _signer(corpus), _fields(int(time.time()))
    before = time.process_time()
    data = build_shard(signer, fields, corpus.entries)
    cpu = time.process_time() - before
    try:
        preflight(
            data,
            signer,
            fields,
            corpus.entries,
            live=None,
            now=fields.this_update,
            may_vanish=lambda serial, this_update: False,
        )
    except PreflightError as error:
        return Oversize(entries, cpu, len(data), error.check)
    raise WrongCrl(f"a CRL of {len(data)} octets passed every check")


def _signer(corpus: Corpus) -> CrlSigner:
    return CrlSigner(load_certificate(corpus.directory / "ca.pem"), load_key(corpus.directory / "ca.key"))


def _fields(now: int) -> CrlFields:
    url = "http://127.0.0.1/crl/bench/0-0.crl"
    return CrlFields(crl_number=1, this_update=now, next_update=now + NEXT_UPDATE, distribution_point_url=url)
