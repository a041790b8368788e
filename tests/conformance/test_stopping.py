"""A worker that is asked to stop: what it has read is answered, and the last answer says that the connection ends."""

import pytest

from responder.app import Application
from tests.responder.ca import CA
from tests.responder.conftest import GOOD, GOOD_TOO, REVOKED, Gate
from tests.responder.conftest import application as application
from tests.responder.conftest import gate as gate
from tests.responder.conftest import settings as settings
from tests.responder.connections import Worker
from tests.responder.test_both_paths import get, path_of, post

CLOSE = b"\r\nconnection: close\r\n"


@pytest.mark.conformance("H-16")
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
@pytest.mark.parametrize("asked", [(GOOD,), (GOOD, REVOKED), (GOOD, REVOKED, GOOD_TOO)], ids=len)
async def test_what_waits_for_the_store_is_answered_and_then_it_ends(
    application: Application, ca: CA, gate: Gate, asked: tuple[int, ...], fast: bool
) -> None:
    worker = Worker(application)
    messages = [get(path_of(ca.request(serial))) for serial in asked]
    expected = []
    for message in messages:
        other = worker.connect()
        other.send(message)
        expected.append((await other.settle()).partition(b"\r\n\r\n")[2])
    application.source.cache.clear()
    gate.close()
    client = worker.connect(fast=fast)
    client.send(b"".join(messages))
    client.protocol.shutdown()
    assert (bytes(client.received), client.closed) == (b"", False)
    gate.open()
    answers = await client.settle()
    heads = []
    for body in expected:
        head, _, rest = answers.partition(b"\r\n\r\n")
        heads.append(head.lower() + b"\r\n")
        assert rest.startswith(body)
        answers = rest.removeprefix(body)
    assert answers == b""
    assert [CLOSE in head for head in heads] == [False] * (len(asked) - 1) + [True]
    assert client.closed


@pytest.mark.conformance("H-16")
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
async def test_who_asks_nothing_more_or_has_not_asked_yet_is_not_waited_for(
    application: Application, ca: CA, fast: bool
) -> None:
    whole = post(b"/", ca.request(GOOD))
    for sent in (whole, whole + whole[:20]):
        client = Worker(application).connect(fast=fast)
        client.send(sent)
        answers = await client.settle()
        client.protocol.shutdown()
        assert client.closed
        assert await client.settle() == answers
        assert b"200 OK" in answers
