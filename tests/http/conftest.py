"""The worker of tests/responder."""

from tests.responder.conftest import application as application
from tests.responder.conftest import ca as ca
from tests.responder.conftest import client as client
from tests.responder.conftest import clock as clock
from tests.responder.conftest import counters as counters
from tests.responder.conftest import pytest_asyncio_loop_factories as pytest_asyncio_loop_factories
from tests.responder.conftest import server as server
from tests.responder.conftest import settings as settings
from tests.responder.conftest import shelf as shelf
