"""What an answer costs from a large store beside a small one: the row `store` of bench-serve, in turns."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from bench.serve.corpus import Corpus, create_corpus
from bench.serve.fleet import Fleet
from bench.serve.pairs import WARM_UP, Pairs, Row, Sample, Side, measure
from bench.serve.rows import CONNECTIONS, Sides
from bench.serve.servers import StoreServer
from store.embedded import EmbeddedStore

__all__ = ["KEY", "compare"]

KEY = "large_vs_small"


@dataclass(frozen=True, slots=True)
class _Asked:
    """One of the two: a responder that has to go to its store for every answer."""

    corpus: Corpus
    store: StoreServer
    sides: Sides

    @classmethod
    def started(cls, stack: ExitStack, corpus: Corpus, url: str, seconds: float) -> "_Asked":
        store = StoreServer(url)
        return cls(corpus, store, Sides(corpus, Fleet(stack, corpus, store, ()), seconds, 0))

    def side(self, name: str, connections: int) -> Side:
        return replace(self.sides.from_store(connections), name=name)

    def run(self, side: Side, turn: int) -> Sample:
        return measure(side, turn, self.store, self.corpus.responder)


def compare(large: Corpus, url: str, directory: Path, pairs: int, seconds: float) -> Iterator[Pairs]:
    """With each number of connections. As many certificates are asked about on both sides; so many are in the small
    store, which is made in `directory`. Raises NotOutnumbered where those are too few for the smallest cache.
    """
    directory.mkdir()
    with EmbeddedStore(directory / ".ocspeed") as embedded, ExitStack() as stack:
        small = create_corpus(directory, len(large.serials), seed=1)
        left = _Asked.started(stack, large, url, seconds)
        right = _Asked.started(stack, small, embedded.url, seconds)
        for connections in CONNECTIONS:
            yield _turns(left, right, connections, pairs)


def _turns(left: _Asked, right: _Asked, connections: int, pairs: int) -> Pairs:
    """A run of each that is not counted, then turns of both, the other one first each time."""
    row = Row(KEY, connections, left.side("large store", connections), right.side("small store", connections))
    found = Pairs(row)
    order = [(left, row.left, found.left), (right, row.right, found.right)]
    for asked, side, _ in order:
        asked.run(_shorter(side), pairs)
    for turn in range(pairs):
        for asked, side, samples in order if turn % 2 == 0 else order[::-1]:
            samples.append(asked.run(side, turn))
    return found


def _shorter(side: Side) -> Side:
    assert side.schedule.seconds is not None
    return replace(side, schedule=replace(side.schedule, seconds=side.schedule.seconds * WARM_UP))
