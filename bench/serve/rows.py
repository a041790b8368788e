"""The rows of `make bench-serve`: who is asked what, beside whom."""

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from bench.serve.corpus import Corpus
from bench.serve.fleet import Fleet
from bench.serve.generator import Load, Mode, Schedule, Status
from bench.serve.h2load import find_h2load, run_h2load
from bench.serve.pairs import Row, Side
from bench.serve.servers import Server

__all__ = ["CONNECTIONS", "ROWS", "Kind", "Sides"]

CONNECTIONS = (32, 128)
MIX = 80_000  # requests of a mix
COLD_EVERY = 10  # one in so many of them is for the store
HOT = 200  # certificates that the others are about
OPENSSL_CONNECTIONS = 16  # it answers one after the other, and 32 may wait
NONE, ONE = 0, 1  # commands of the store for each answer


@dataclass(frozen=True, slots=True)
class Sides:
    """Makes the sides of rows. `seconds` is the length of a run."""

    corpus: Corpus
    fleet: Fleet
    seconds: float
    unknown: int  # distinct serials in a run
    halves: Iterator[int] = field(default_factory=lambda: itertools.cycle((0, 1)))  # of the certificates

    def nginx(self, connections: int) -> Side:
        """The same answers as files."""
        return self._gets("nginx", self.fleet.nginx, connections)

    def cached(self, connections: int) -> Side:
        """Kept connections, answers in the worker's cache."""
        return self._gets("ours, cached", self.fleet.cached, connections)

    def starlette(self, connections: int) -> Side:
        """What one would write first."""
        return self._gets("Starlette", self.fleet.starlette, connections)

    def from_store(self, connections: int) -> Side:
        """Half of the certificates in turn, the other half in the next run: none is asked for that is in the cache."""
        questions, serials = self.corpus.questions, self.corpus.serials

        def load(turn: int) -> Load:
            return questions.gets(serials[next(self.halves) :: 2], connections, turn=turn)

        return Side("ours, store", self.fleet.outnumbered, load, self._timed(), store_commands=ONE)

    def mixed(self, connections: int) -> Side:
        """Nine in ten requests for certificates that stay in the small cache."""
        by_page = self.corpus.by_page()
        hot, cold = by_page[:HOT], by_page[HOT:]
        random.Random(1).shuffle(cold)
        serials = [
            cold[index // COLD_EVERY % len(cold)] if index % COLD_EVERY == 0 else hot[index % HOT]
            for index in range(MIX)
        ]
        load = self._of(self.corpus.questions.gets, serials, connections)
        return Side("ours, 90 % cached", self.fleet.outnumbered, load, self._timed())

    def posts(self, connections: int) -> Side:
        """Kept connections, head and body in two writes, one right after the other, as clients do."""
        load = self._of(self.corpus.questions.posts, self.fleet.warm, connections)
        return Side("ours, POST", self.fleet.cached, load, self._timed(), store_commands=NONE)

    def whole_posts(self, connections: int) -> Side:
        """Head and body in one write."""
        load = self._of(partial(self.corpus.questions.posts, parts=False), self.fleet.warm, connections)
        return replace(self.posts(connections), name="ours, POST whole", load=load)

    def closing(self, name: str, server: Server, connections: int) -> Side:
        """A new connection for each request."""
        load = self._of(self.corpus.questions.old_gets, self.fleet.warm, connections)
        return Side(name, server, load, self._timed(Mode.CLOSE), store_commands=NONE)

    def unissued(self, connections: int) -> Side:
        """Serials that nobody issued, none of them twice in all runs."""
        questions, count = self.corpus.questions, self.unknown

        def load(turn: int) -> Load:
            chooser = random.Random(f"{connections} {turn}")
            return questions.gets(questions.unissued(count, chooser), connections)

        return Side("ours, unknown", self.fleet.outnumbered, load, Schedule(), Status.UNAUTHORIZED)

    def hostile(self, connections: int) -> Side:
        """What no client means; the honest one in nine is verified."""
        load = self._of(self.corpus.questions.hostile, self.fleet.warm, connections)
        return Side("ours, hostile mix", self.fleet.cached, load, self._timed(), expected=None)

    def _gets(self, name: str, server: Server, connections: int) -> Side:
        load = self._of(self.corpus.questions.gets, self.fleet.warm, connections)
        commands = None if name == "Starlette" else NONE
        return Side(name, server, load, self._timed(), store_commands=commands)

    def _of(
        self, make: Callable[..., Load], serials: Sequence[int], connections: int
    ) -> Callable[[int], Load]:
        return lambda turn: make(serials, connections, turn=turn)

    def _timed(self, mode: Mode = Mode.KEEP) -> Schedule:
        return Schedule(self.seconds, mode)


@dataclass(frozen=True, slots=True)
class Kind:
    """A row at several numbers of connections. `goal` is the ratio that is aimed at."""

    key: str
    pair: Callable[[Sides, int], tuple[Side, Side]]
    goal: float | None = None
    connections: tuple[int, ...] = CONNECTIONS

    def row(self, sides: Sides, connections: int) -> Row:
        """Starts the servers that it needs. Raises MissingPeer."""
        left, right = self.pair(sides, connections)
        return Row(self.key, connections, left, right)


def _connection_each(sides: Sides, connections: int) -> tuple[Side, Side]:
    fleet = sides.fleet
    return (
        sides.closing("ours, connection each", fleet.cached, connections),
        # Of a new connection most of the kernel's work is done on the client's core: it cannot make this one busy.
        replace(sides.closing("nginx, connection each", fleet.nginx, connections), saturated=False),
    )


def _by_h2load(sides: Sides, connections: int) -> tuple[Side, Side]:
    find_h2load()
    ours, nginx = (
        replace(side, generator=run_h2load, saturated=False)
        for side in (sides.cached(connections), sides.nginx(connections))
    )
    return ours, nginx


def _openssl(sides: Sides, connections: int) -> tuple[Side, Side]:
    fleet = sides.fleet
    return (
        replace(sides.closing("openssl ocsp", fleet.openssl, connections), cacheable=False),
        sides.closing("ours, connection each", fleet.cached, connections),
    )


# By the name that --row takes.
ROWS = {
    "cached": Kind("cached_vs_nginx", lambda sides, count: (sides.cached(count), sides.nginx(count)), 0.8),
    "store": Kind("store_vs_nginx", lambda sides, count: (sides.from_store(count), sides.nginx(count)), 1.0),
    "mixed": Kind("mixed_vs_nginx", lambda sides, count: (sides.mixed(count), sides.nginx(count))),
    "conn": Kind("conn_vs_nginx", _connection_each, 1.5),
    "post": Kind("post_vs_get", lambda sides, count: (sides.posts(count), sides.cached(count)), 1.15),
    "whole": Kind(
        "whole_post_vs_get", lambda sides, count: (sides.whole_posts(count), sides.cached(count)), 1.15
    ),
    "unknown": Kind("unknown_vs_miss", lambda sides, count: (sides.unissued(count), sides.from_store(count))),
    "hostile": Kind("hostile_vs_get", lambda sides, count: (sides.hostile(count), sides.cached(count))),
    "h2load": Kind("h2load_vs_nginx", _by_h2load, 0.8, CONNECTIONS[:1]),
    "starlette": Kind(
        "starlette_vs_store",
        lambda sides, count: (sides.starlette(count), sides.from_store(count)),
        connections=CONNECTIONS[:1],
    ),
    "openssl": Kind("openssl_vs_conn", _openssl, connections=(OPENSSL_CONNECTIONS,)),
}
