"""A whole run: index.txt, import, signing, CRLs, a sample of answers, lookups."""

import contextlib
import json
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from cryptography import x509

from bench.scale.answers import check_answers
from bench.scale.corpus import ISSUER, SHARDS, Drawn, create_ca, drawn_corpus, write_index
from bench.scale.lookups import compare
from bench.scale.watched import MEBIBYTE, Failed, Took, memory_of, run_watched
from bench.serve import servers
from bench.serve.corpus import Corpus
from bench.serve.fleet import LARGE_CACHE, NotOutnumbered
from bench.serve.pairs import Pairs
from bench.serve.processes import GENERATOR_CORE, SERVER_CORE, free_port, on_core
from bench.sign.contenders import store_processes
from store.embedded import EmbeddedStore

__all__ = ["Measured", "Plan", "measure"]

RESPONSES = 2  # of a certificate: one for each CertID algorithm

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    certificates: int = 20_000_000
    workers: int = 2  # processes that sign
    asked: int = 36_000  # certificates that lookups are about, and how many the small store has
    checked: int = 1_000  # of which the answers are verified
    pairs: int = 9
    seconds: float = 1.0  # of a run of lookups
    directory: Path | None = None  # absent: a temporary one
    keep: bool = False


@dataclass(slots=True)
class Measured:
    """What came of it. Sizes are octets."""

    plan: Plan
    store: str = ""  # name and version
    generating: float = 0.0  # seconds
    phases: list[Took] = field(default_factory=list)
    ledger_size: int = 0
    crls_size: int = 0
    store_used: int = 0
    store_peak_mib: float = 0.0
    pages: int = 0
    verified: int = 0
    lookups: list[Pairs] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Of everything that a CA has to wait for."""
        return sum(phase.seconds for phase in self.phases)


def measure(plan: Plan, say: Say) -> Measured:
    """Carry out the plan. Nothing is left behind unless it is to be kept. Raises Failed."""
    with _place(plan) as directory, EmbeddedStore(directory / ".ocspeed") as store:
        run = _Run(Measured(plan), directory, store, say)
        try:
            run.all()
        finally:
            if not plan.keep:
                run.client.flushall()  # or it would all be saved
            run.client.close()
    return run.measured


@contextlib.contextmanager
def _place(plan: Plan) -> Iterator[Path]:
    if plan.directory is None:
        with tempfile.TemporaryDirectory(prefix="bench-scale-") as name:
            yield Path(name)
        return
    plan.directory.mkdir(parents=True)
    if plan.keep:
        yield plan.directory.resolve()
        return
    with tempfile.TemporaryDirectory(dir=plan.directory) as name:
        yield Path(name)
    plan.directory.rmdir()


class _Run:
    """One after the other."""

    def __init__(self, measured: Measured, directory: Path, store: EmbeddedStore, say: Say) -> None:
        self.measured = measured
        self.client = redis.Redis.from_url(store.url)
        self._plan = measured.plan
        self._directory = directory
        self._url = store.url
        self._processes = store_processes(store.url)
        self._say = say
        self._config = create_ca(directory, free_port(), secrets.token_hex(32))

    def all(self) -> None:
        drawn = self._fill()
        corpus = drawn_corpus(self._directory, drawn)
        with on_core(GENERATOR_CORE):
            self._check(corpus, drawn[: self._plan.checked])
            self._compare(corpus)

    def _fill(self) -> list[Drawn]:
        """From index.txt to CRLs."""
        plan, index = self._plan, self._directory / "index.txt"
        self._say(f"{plan.certificates:,} certificates: index.txt")
        began = time.monotonic()
        drawn = write_index(index, plan.certificates, 1, plan.asked)
        self.measured.generating = time.monotonic() - began
        arguments = ["import", "--issuer", ISSUER, "--format", "openssl-index", str(index), "--json"]
        (done,) = self._phase("import", arguments, plan.certificates, self._ledger_state)
        self._expect("import", done["new"], plan.certificates)
        index.unlink()
        self.measured.ledger_size = self._ledger_size()
        self._sign()
        self._publish()
        return drawn

    def _sign(self) -> None:
        responses = RESPONSES * self._plan.certificates
        arguments = ["sign", "--all", "--workers", str(self._plan.workers), "--json"]
        (done,) = self._phase("sign", arguments, responses, self._store_state)
        self._expect("sign", done["responses"], responses)
        info: Any = self.client.info()
        self.measured.store = (
            f"{info.get('server_name', 'redis')} {info.get('valkey_version', info['redis_version'])}"
        )
        self.measured.store_used = int(info["used_memory"])
        self.measured.store_peak_mib = memory_of(self._processes.pids[0])
        self.measured.pages = done["pages"]

    def _publish(self) -> None:
        told = self._phase("crl", ["crl", "build", "--json"], SHARDS, lambda: "building")
        published = [one["size"] for one in told if one["status"] == "published"]
        self._expect("crl", len(published), SHARDS)
        self.measured.crls_size = sum(published)

    def _phase(self, name: str, arguments: list[str], count: int, state: Callable[[], str]) -> list[Any]:
        """Every object that the command prints."""
        self._say(f"{name}: begun")
        took = run_watched(name, arguments, self._config, count, self._processes, state)
        self.measured.phases.append(took)
        self._say(f"{name}: {took.seconds:.1f} s, {took.rate:,.0f} a second")
        return [json.loads(line) for line in took.output.splitlines() if line.startswith("{")]

    def _expect(self, name: str, found: int, wanted: int) -> None:
        if found != wanted:
            raise Failed(f"{name}: {found:,} and not {wanted:,}")

    def _ledger_size(self) -> int:
        return sum(file.stat().st_size for file in self._directory.glob("ledger.db*"))

    def _ledger_state(self) -> str:
        return f"ledger of {self._ledger_size() / MEBIBYTE:,.0f} MiB"

    def _store_state(self) -> str:
        pages: Any = self.client.dbsize()
        used: Any = self.client.info("memory")["used_memory"]
        return f"{pages:,} pages, {used / MEBIBYTE:,.0f} MiB in the store"

    def _check(self, corpus: Corpus, drawn: list[Drawn]) -> None:
        self._say(f"{len(drawn):,} certificates: answers verified")
        ca = x509.load_pem_x509_certificate((self._directory / "ca.pem").read_bytes())
        with servers.responder(corpus, "checked", LARGE_CACHE) as responder:
            self.measured.verified = check_answers(responder.port, ca, corpus.responder, drawn)

    def _compare(self, corpus: Corpus) -> None:
        """Left out, loudly, where it cannot be measured."""
        plan = self._plan
        if SERVER_CORE == GENERATOR_CORE:
            self.measured.missing.append("lookups: two cores are needed")
            return
        self._say(f"lookups: {plan.pairs} pairs")
        try:
            for pairs in compare(corpus, self._url, self._directory / "small", plan.pairs, plan.seconds):
                self.measured.lookups.append(pairs)
                self._say(f"{pairs.row.key} {pairs.row.connections}: {pairs.ratio:.3f}")
        except NotOutnumbered as error:
            self.measured.missing.append(f"lookups: {error}")
