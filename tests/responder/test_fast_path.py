"""The fast path's protocol: requests that wait, clients that leave, and what else can happen to a connection meanwhile."""

from responder.app import Application
from tests.responder.ca import CA
from tests.responder.conftest import GOOD
from tests.responder.connections import Worker
from tests.responder.test_both_paths import get, path_of, post


async def test_a_young_connection_may_have_unread_answers(application: Application, ca: CA) -> None:
    """F3: its time to read begins with it, not with the machine."""
    for message in (get(path_of(ca.request(GOOD))), post(b"/", ca.request(GOOD))):
        client = Worker(application).connect()
        client.send(message)
        await client.settle()
        client.send(message)
        assert client.get_write_buffer_size() > 0
        client.protocol.sweep(client.protocol.loop.time())
        assert not client.closed
        client.leave()
