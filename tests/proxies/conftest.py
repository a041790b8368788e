"""One responder for all files here, and each proxy before it, once a file."""

from collections.abc import Iterator

import pytest

from tests.proxies.fronts import FRONTS, Front, Kind
from tests.proxies.origin import Origin, origin, serving

MAX_AGE = 3  # seconds: long enough for a test to ask twice, short enough to wait for


@pytest.fixture(scope="session")
def responder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    directory = tmp_path_factory.mktemp("o")
    with origin(directory, f"max_age_cap = {MAX_AGE}\nworkers = 2") as made, serving(made):
        yield made


@pytest.fixture(scope="module", params=FRONTS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest.fixture(scope="module")
def front(responder: Origin, kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """The proxy before the responder."""
    with kind.before(responder, tmp_path_factory.mktemp("p")) as front:
        yield front
