"""The servers of a run, each started when a row first needs it."""

import contextlib
from collections.abc import Sequence
from functools import cached_property

from bench.serve import servers
from bench.serve.corpus import Corpus
from bench.serve.servers import Responder, Server, StoreServer

__all__ = ["Fleet", "NotOutnumbered"]

LARGE_CACHE, SMALL_CACHE = "64MiB", "1MiB"  # the smaller one is the smallest there is
OUTNUMBERED = 2 * 20  # certificates for each entry of the small cache; a run asks about half of them


class NotOutnumbered(Exception):
    """The small cache holds too many of the certificates for a row that has to go to the store."""


class Fleet:
    """Servers that live as long as `stack`. `warm` are the certificates in the large cache and in nginx's files."""

    def __init__(
        self, stack: contextlib.ExitStack, corpus: Corpus, store: StoreServer, warm: Sequence[int]
    ) -> None:
        self.warm = warm
        self._stack = stack
        self._corpus = corpus
        self._store = store

    @cached_property
    def _warmed(self) -> tuple[Responder, dict[int, bytes]]:
        responder = self._stack.enter_context(servers.responder(self._corpus, "cached", LARGE_CACHE))
        return responder, servers.answers_of(responder, self._corpus, self.warm)

    @property
    def cached(self) -> Responder:
        """Ours, with every warm answer in its cache."""
        return self._warmed[0]

    @property
    def answers(self) -> dict[int, bytes]:
        """The OCSPResponse to each warm serial."""
        return self._warmed[1]

    @cached_property
    def outnumbered(self) -> Responder:
        """Ours, with a cache that holds a twentieth of half of the certificates. Raises NotOutnumbered."""
        responder = self._stack.enter_context(servers.responder(self._corpus, "small", SMALL_CACHE))
        serials = self._corpus.serials
        servers.answers_of(responder, self._corpus, serials)
        entries = int(responder.settled_metrics()["ocsp_cache_entries"])
        if entries * OUTNUMBERED > len(serials):
            raise NotOutnumbered(
                f"{len(serials):,} certificates beside {entries} cache entries: --certificates {entries * OUTNUMBERED}"
            )
        return responder

    @cached_property
    def nginx(self) -> Server:
        """Raises MissingPeer."""
        return self._stack.enter_context(servers.nginx(self._corpus, self.cached, self.answers))

    @cached_property
    def starlette(self) -> Server:
        """Over the same store."""
        return self._stack.enter_context(servers.starlette(self._corpus, self._store, self.answers))

    @cached_property
    def openssl(self) -> Server:
        """Raises MissingPeer."""
        return self._stack.enter_context(servers.openssl(self._corpus))
