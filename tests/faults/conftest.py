"""The event loop of workers, and a CA for those that this process runs."""

import pytest

from tests.responder.ca import CA
from tests.responder.conftest import pytest_asyncio_loop_factories

__all__ = ["ca", "pytest_asyncio_loop_factories"]


@pytest.fixture(scope="session")
def ca() -> CA:
    return CA("demo")
