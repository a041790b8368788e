"""The rows: slow clients beside good traffic, overload, and floods of serials that nobody issued."""

import contextlib
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.serve.corpus import Corpus, create_corpus
from bench.serve.generator import Load, Schedule, Status, run
from bench.serve.processes import GENERATOR_CORE, SERVER_CORE, on_core
from bench.serve.servers import Responder, StoreServer, answers_of, responder
from bench.siege.latencies import Told, ask
from store.embedded import EmbeddedStore

__all__ = ["ROWS", "Plan", "measure"]

Say = Callable[[str], None]
MEBIBYTE = 1 << 20
WARM = 2_000  # certificates whose answers are in the cache
SETTLE = 3.0  # seconds from there until what they began with is done
PATIENCE = 120.0  # seconds for the slow clients to come


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    rows: tuple[str, ...]
    certificates: int = 36_000
    clients: int = 5_000  # slow ones
    pairs: int = 5  # with them and without
    seconds: float = 10.0
    rate: float = 5_000.0  # of good requests a second beside the slow clients
    delay: float = 0.02  # seconds by which the store is held back under overload
    room: int = 32  # lookups that may wait
    over: float = 3.0  # times the capacity that is offered
    overload_seconds: float = 30.0
    flood: int = 10_000_000
    flood_step: int = 200_000


@dataclass(frozen=True, slots=True)
class _Place:
    plan: Plan
    corpus: Corpus
    store: EmbeddedStore
    say: Say

    def slow(self) -> dict[str, Any]:
        """Good requests, without slow clients and beside them, in turns."""
        plan = self.plan
        warm = self.corpus.serials[:WARM]
        with responder(self.corpus, "slow", "64MiB", "limit_concurrency = 8192") as server:
            answers_of(server, self.corpus, warm)
            resident = server.processes.resident()
            found: dict[str, list[Told]] = {"without": [], "beside": []}
            crowds = []
            for turn in range(plan.pairs):
                load = self.corpus.questions.gets(warm, 64, turn=turn)
                found["without"].append(ask(server, load, plan.rate, plan.seconds, turn))
                with crowd(server, plan.clients, self.corpus.directory) as seen:
                    found["beside"].append(ask(server, load, plan.rate, plan.seconds, turn))
                    crowds.append(seen())
                p99 = [found[name][-1].answered.p99 for name in found]
                self.say(f"p99 {p99[0]} ms without, {p99[1]} ms beside {crowds[-1]}")
                time.sleep(2)  # until those who left are forgotten
            return {
                "p99_beside_slow_vs_without": _ratio(found["beside"], found["without"]),
                "slow_clients": crowds,
                "slow_refused": int(server.settled_metrics().get("http_refusals_total,408", 0)),
                "slow_resident_mib": [
                    round(size / MEBIBYTE, 1) for size in (resident, server.processes.resident())
                ],
                "slow_runs": {name: [told.as_json() for told in runs] for name, runs in found.items()},
            }

    def overload(self) -> dict[str, Any]:
        """Capacity is how many lookups may wait by how long each does: both are set small here."""
        plan = self.plan
        relay = self.corpus.directory / "relay.sock"
        more = f'waiting_room = {plan.room}\n[store]\nurl = "unix://{relay}"'
        with _module("bench.siege.relay", relay, self.store.socket, plan.delay, cwd=self.corpus.directory):
            _wait_for(relay.exists)
            with responder(self.corpus, "over", "1MiB", more) as server:
                questions, serials = self.corpus.questions, self.corpus.serials
                half = len(serials) // 2
                filled = run(
                    questions.gets(serials[:half], plan.room // 2), server.port, Schedule(plan.seconds)
                )
                capacity = 2 * filled.statuses.get(Status.SUCCESSFUL, 0) / filled.wall
                before = server.processes.resident()
                told = ask(
                    server,
                    questions.gets(serials[half:], 256),
                    plan.over * capacity,
                    plan.overload_seconds,
                    1,
                )
                time.sleep(2)
                return {
                    "overload_capacity_per_s": round(capacity),
                    "overload_offered_per_s": round(told.offered / plan.overload_seconds),
                    "overload_accepted_per_s": round(told.answered.count / plan.overload_seconds),
                    "overload_accepted_p99_ms": told.answered.p99,
                    "overload_refused_p99_ms": told.refused.p99,
                    "overload_growth_mib": round((server.processes.resident() - before) / MEBIBYTE, 2),
                    "overload_run": told.as_json(),
                    "overload_cpu": round(server.processes.cpu(), 2),
                }

    def flood(self) -> dict[str, Any]:
        """Serials that nobody issued, none asked twice; certificates known before are asked about before and after."""
        plan, chooser = self.plan, random.Random("nobody issued them")
        warm = self.corpus.serials[:WARM]
        with responder(self.corpus, "flood", "64MiB") as server:
            answers_of(server, self.corpus, warm)
            p99 = [self._known(server, warm)]
            series = _samples(server)
            resident = []
            asked = 0
            for step in range(-(-plan.flood // plan.flood_step)):
                outcome = run(self._unissued(chooser, step), server.port, Schedule())
                assert outcome.failures == outcome.not_200 == 0
                assert outcome.statuses.keys() <= {Status.UNAUTHORIZED, Status.TRY_LATER}, outcome.statuses
                asked += outcome.answers
                resident.append((asked, round(server.processes.resident() / MEBIBYTE, 2)))
                if step % 5 == 0:
                    self.say(f"{asked:,} unknown serials, {resident[-1][1]} MiB")
            p99.append(self._known(server, warm))
            settled = next(size for count, size in resident if count >= asked // 10)
            return {
                "flood_serials": asked,
                "flood_growth_mib": round(resident[-1][1] - settled, 2),
                "flood_known_p99_ms": p99,
                "flood_new_series": _samples(server) - series,
                "flood_resident_mib": resident,
            }

    def _known(self, server: Responder, warm: Sequence[int]) -> float:
        load = self.corpus.questions.gets(warm, 64)
        return ask(server, load, self.plan.rate, self.plan.seconds, 1).answered.p99

    def _unissued(self, chooser: random.Random, step: int) -> Load:
        serials = self.corpus.questions.unissued(self.plan.flood_step, chooser)
        return self.corpus.questions.gets(serials, 64, turn=step)


ROWS: dict[str, Callable[[_Place], dict[str, Any]]] = {
    "slow": _Place.slow,
    "overload": _Place.overload,
    "flood": _Place.flood,
}


def measure(plan: Plan, say: Say) -> dict[str, Any]:
    """Set everything up in a new directory, measure, and leave nothing behind."""
    with (
        on_core(GENERATOR_CORE),
        tempfile.TemporaryDirectory(prefix="ocspeed-siege-") as name,
        EmbeddedStore(Path(name) / ".ocspeed") as store,
    ):
        say(f"{plan.certificates:,} certificates: import, signing")
        corpus = create_corpus(Path(name), plan.certificates, seed=1)
        StoreServer(store.url)
        place = _Place(plan, corpus, store, say)
        found: dict[str, Any] = {}
        for row in plan.rows:
            say(row)
            found |= ROWS[row](place)
        return found


def _ratio(left: Sequence[Told], right: Sequence[Told]) -> float:
    """Of the 99th percentiles: the median of those of the pairs."""
    return round(
        statistics.median(
            one.answered.p99 / other.answered.p99 for one, other in zip(left, right, strict=True)
        ),
        3,
    )


def _samples(server: Responder) -> int:
    """Lines of /metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.admin}/metrics", timeout=10) as answer:
        return sum(1 for line in answer if not line.startswith(b"#"))


@contextlib.contextmanager
def _module(name: str, *arguments: object, cwd: Path) -> Iterator[Path]:
    """A module of ours as a process; gives what it prints."""
    output = cwd / f"{name}-{time.monotonic_ns()}.out"
    command = [sys.executable, "-m", name, *map(str, arguments)]
    with (
        output.open("wb") as out,
        subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, cwd=Path(__file__).parents[2]
        ) as process,
    ):
        try:
            yield output
        finally:
            process.terminate()


@contextlib.contextmanager
def crowd(server: Responder, count: int, directory: Path) -> Iterator[Callable[[], dict[str, int]]]:
    """Slow clients on the server's core, where they run when it has nothing to do; all of them are there."""
    with on_core(SERVER_CORE):
        stack = contextlib.ExitStack()
        output = stack.enter_context(_module("bench.siege.crowd", server.port, count, cwd=directory))
    with stack:

        def seen() -> dict[str, int]:
            lines = output.read_text().splitlines()
            found: dict[str, int] = json.loads(lines[-1]) if lines else {"connected": 0}
            return found

        _wait_for(lambda: seen()["connected"] >= 0.99 * count)
        time.sleep(SETTLE)
        yield seen


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("what was started does not come")
        time.sleep(0.1)
