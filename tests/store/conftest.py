"""Real servers for the store's tests: the embedded Valkey, and Redis 7 in the slow tier."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import redis

from store.config import StoreSection
from store.connection import Endpoint
from store.embedded import EmbeddedStore


@dataclass(frozen=True, slots=True)
class Engine:
    """A server program; None is the one that EmbeddedStore finds by itself."""

    name: str
    program: str | None


VALKEY = Engine("valkey", None)
REDIS = Engine("redis", "redis-server")


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(VALKEY, id="valkey"),
        pytest.param(REDIS, id="redis", marks=pytest.mark.slow),
    ],
)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedStore]:
    engine: Engine = request.param
    with EmbeddedStore(tmp_path_factory.mktemp("store"), program=engine.program) as store:
        yield store


@pytest.fixture
def endpoint(server: EmbeddedStore) -> Endpoint:
    """The server, empty but for its functions."""
    endpoint = Endpoint.of(StoreSection(), server.socket.parent.parent)
    with endpoint.client() as client:
        client.flushall()
    return endpoint


@pytest.fixture
def client(endpoint: Endpoint) -> Iterator[redis.Redis]:
    with endpoint.client() as client:
        yield client
