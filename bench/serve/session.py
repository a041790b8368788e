"""A whole run: store, corpus, servers, rows, latencies."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.serve.corpus import Corpus, create_corpus
from bench.serve.fleet import Fleet
from bench.serve.open_loop import LatencyPairs, run_latencies
from bench.serve.pairs import Pairs, Row, run_row
from bench.serve.processes import GENERATOR_CORE, SERVER_CORE, on_core
from bench.serve.rows import CONNECTIONS, ROWS, Kind, Sides
from bench.serve.servers import MissingPeer, Responder, StoreServer
from bench.serve.start import Start, measure_start
from store.embedded import EmbeddedStore

__all__ = ["NAMES", "USUAL", "Measured", "Memory", "Plan", "measure"]

NAMES = (*ROWS, "latency", "start")
ASKED_FOR = "openssl"  # which listens on every address
USUAL = tuple(name for name in NAMES if name != ASKED_FOR)
MEBIBYTE = 1 << 20
HIT = "ocsp_cache_lookups_total,hit,worker"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. `warm` certificates are in caches and files, all `certificates` in the store."""

    certificates: int = 36_000
    warm: int = 10_000
    pairs: int = 9
    seconds: float = 1.0
    unknown: int = 1_000_000  # distinct serials in all runs
    idle_seconds: float = 10.0
    rows: tuple[str, ...] = USUAL

    @property
    def unknown_of_run(self) -> int:
        """Every row has a run that is not counted."""
        return -(-self.unknown // (len(CONNECTIONS) * (self.pairs + 1)))


@dataclass(frozen=True, slots=True)
class Memory:
    """What a row did to our worker: octets resident, and hits of its cache."""

    before: int
    after: int
    hits: int
    cache_entries: int


@dataclass(slots=True)
class Measured:
    """What came of it."""

    plan: Plan
    store: str  # name and version
    pairs: list[Pairs] = field(default_factory=list)
    latency: LatencyPairs | None = None
    start: Start | None = None
    memory: dict[tuple[str, int], Memory] = field(default_factory=dict)  # by key and connections
    missing: list[str] = field(default_factory=list)


def measure(plan: Plan, say: Say) -> Measured:
    """Set everything up in a new directory, measure, and leave nothing behind."""
    if SERVER_CORE == GENERATOR_CORE:
        raise RuntimeError("two cores are needed, one for the server and one for the load")
    with (
        on_core(GENERATOR_CORE),
        tempfile.TemporaryDirectory(prefix="ocspeed-bench-") as name,
        EmbeddedStore(Path(name) / ".ocspeed") as embedded,
        contextlib.ExitStack() as stack,
    ):
        say(f"{plan.certificates:,} certificates: import, signing")
        corpus = create_corpus(Path(name), plan.certificates, seed=1)
        store = StoreServer(embedded.url)
        fleet = Fleet(stack, corpus, store, corpus.serials[: plan.warm])
        sides = Sides(corpus, fleet, plan.seconds, plan.unknown_of_run)
        run = _Run(corpus, store, sides, Measured(plan, store.version), say)
        run.all()
        return run.measured


@dataclass(frozen=True, slots=True)
class _Run:
    corpus: Corpus
    store: StoreServer
    sides: Sides
    measured: Measured
    say: Say

    def all(self) -> None:
        """What the plan names, one after the other."""
        names = self.measured.plan.rows
        for name, kind in ROWS.items():
            if name in names:
                with self._peers():
                    for connections in kind.connections:
                        self._row(kind, connections)
        if "latency" in names:
            with self._peers():
                self._latency()
        if "start" in names:
            self.say("start, idle")
            self.measured.start = measure_start(self.corpus, self.measured.plan.idle_seconds)

    @contextlib.contextmanager
    def _peers(self) -> Iterator[None]:
        """Without its peer a row is left out, loudly."""
        try:
            yield
        except MissingPeer as error:
            if str(error) not in self.measured.missing:
                self.say(f"MISSING: {error}")
                self.measured.missing.append(str(error))

    def _row(self, kind: Kind, connections: int) -> None:
        row = kind.row(self.sides, connections)
        with self._watched(row):
            pairs = run_row(row, self.measured.plan.pairs, self.store, self.corpus.responder)
        self.measured.pairs.append(pairs)
        self.say(f"{row.key} {connections}: {pairs.ratio:.3f}")

    @contextlib.contextmanager
    def _watched(self, row: Row) -> Iterator[None]:
        """Note what the row did to our worker."""
        server = row.left.server
        if not isinstance(server, Responder):
            yield
            return
        before, resident = server.metrics(), server.processes.resident()
        yield
        after = server.settled_metrics()
        self.measured.memory[row.key, row.connections] = Memory(
            before=resident,
            after=server.processes.resident(),
            hits=int(after[HIT] - before[HIT]),
            cache_entries=int(after["ocsp_cache_entries"]),
        )

    def _latency(self) -> None:
        plan, connections = self.measured.plan, CONNECTIONS[-1]
        ours, nginx = self.sides.cached(connections), self.sides.nginx(connections)
        self.measured.latency = run_latencies(ours, nginx, connections, plan.pairs, plan.seconds)
        self.say(f"p99_vs_nginx: {self.measured.latency.ratio:.3f}")
