"""E5, E6: every message of the corpus over a connection of a worker, beside the reference reader."""

import random
from collections.abc import Iterator, Sequence

import h11
import pytest

from responder.app import Application
from tests.http import sequences
from tests.http.answers import Answer, parse
from tests.http.corpus import CASES
from tests.http.parts import CLOSING, Case
from tests.http.reference import Reading, read
from tests.http.sequences import JOINTS, LENIENT, ODD, joint
from tests.http.world import World
from tests.responder.ca import CA
from tests.responder.connections import Worker

pytestmark = pytest.mark.conformance("H-16")


@pytest.fixture
async def world(application: Application, ca: CA) -> World:
    return await World.of(Worker(application), ca)


async def ask(world: World, segments: Sequence[bytes], reading: Reading) -> tuple[list[Answer], bool]:
    """What comes back for what arrives in these segments, and whether the connection was closed."""
    client = world.worker.connect()
    client.send(*segments)
    received = await client.settle()
    closed = client.closed
    client.leave()
    return parse(received, [request.method for request in reading.requests]), closed


def ends(reading: Reading) -> bool:
    return reading.refused or any(request.closes for request in reading.requests)


async def check(world: World, case: Case, segments: Sequence[bytes], reading: Reading) -> None:
    """The codes of the corpus, the answers to what the reference reader found, and the end that goes with them."""
    answers, closed = await ask(world, segments, reading)
    assert tuple(answer.code for answer in answers) == case.direct, case.name
    if not case.differs:
        assert answers == world.answers_to(reading), case.name
        assert closed == ends(reading), case.name
    if answers and answers[-1].code in CLOSING:
        assert closed, case.name


@pytest.mark.invariant("E5")
async def test_the_corpus(world: World) -> None:
    """What is answered to each message, with which code, and whether the connection goes on."""
    for case in CASES.values():
        message = case.message(world.parts)
        await check(world, case, [message], read(message))
    assert len(CASES) > 500


@pytest.mark.invariant("E5", "E6")
async def test_the_corpus_octet_by_octet(world: World) -> None:
    """The same, however it arrives."""
    for case in CASES.values():
        message = case.message(world.parts)
        segments = [message[at : at + 1] for at in range(len(message))]
        await check(world, case, segments, read(message))


def cuts(source: random.Random, message: bytes) -> Iterator[list[bytes]]:
    for _ in range(3):
        places = sorted(source.randrange(len(message) + 1) for _ in range(2))
        yield [message[: places[0]], message[places[0] : places[1]], message[places[1] :]]


@pytest.mark.invariant("E5", "E6")
async def test_the_corpus_in_pieces(world: World) -> None:
    source = random.Random(6)
    for case in CASES.values():
        message = case.message(world.parts)
        for segments in cuts(source, message):
            await check(world, case, segments, read(message))


@pytest.mark.slow  # a minute
@pytest.mark.invariant("E5", "E6")
async def test_sequences_cut_at_every_octet(world: World) -> None:
    """And with garbage between the requests."""
    for case in sequences.CASES:
        message = case.message(world.parts)
        reading = read(message)
        for at in range(len(message) + 1):
            await check(world, case, [message[:at], message[at:]], reading)


@pytest.mark.invariant("E5")
@pytest.mark.parametrize("octets", ODD, ids=repr)
async def test_an_odd_octet_at_every_joint(world: World, octets: bytes) -> None:
    """Nothing is read that the reference reader refuses, but where RFC 9112 lets it; nothing is read otherwise."""
    for place in JOINTS:
        message = joint(world.parts, place, octets)
        reading = read(message)
        answers, closed = await ask(world, [message], reading)
        if (place, octets) in LENIENT:
            assert [answer.body for answer in answers] == [world.asked, world.hidden], place
            continue
        right = world.answers_to(reading)
        if answers != right or closed != ends(
            reading
        ):  # then it is refused, and before anything is read wrongly
            assert answers[-1] == Answer(400, b"") and closed, place
            assert answers[:-1] == right[: len(answers) - 1], place


def read_by_h11(message: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Method, target and body of each request."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(message)
    found: list[tuple[bytes, bytes, bytes]] = []
    head, body = (b"", b""), b""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            head, body = (event.method, event.target), b""
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            found.append((*head, body))
            try:
                connection.send(h11.Response(status_code=204, headers=[]))
                connection.send(h11.EndOfMessage())
                connection.start_next_cycle()
            except h11.LocalProtocolError:  # there is no next one
                return found
        else:
            return found


@pytest.mark.invariant("E5")
async def test_the_reference_reads_as_h11_does(world: World) -> None:
    """A reader that others wrote finds the same requests; it refuses some more, and ends with an Upgrade."""
    compared = 0
    for case in CASES.values():
        message = case.message(world.parts)
        read_here = [(request.method, request.target, request.body) for request in read(message).requests]
        try:
            found = read_by_h11(message)
        except h11.RemoteProtocolError:
            continue
        if read_here:
            assert found and found == read_here[: len(found)], case.name
            compared += 1
    assert compared > 150


@pytest.mark.invariant("E5")
@pytest.mark.parametrize(
    ("message", "bodies", "refused", "unfinished"),
    [
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", [b"abc"], False, False),
        (b"POST / HTTP/1.1\r\ncontent-length:3 \r\n\r\nab", [], False, True),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", [], True, False),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;a=b\r\nc\r\n0\r\nX: y\r\n\r\n", [b"abc"], False, False),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", [], True, False),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", [], True, False),
        (b"GET / HTTP/1.1\r\nX : y\r\n\r\n", [], True, False),
        (b"GET / HTTP/1.1\r\nX: y\r\n z\r\n\r\n", [], True, False),
        (b"GET / HTTP/1.1\r\nX: y\nZ: a\r\n\r\n", [], True, False),
        (b"GET / HTTP/1.1\r\nX: y\rZ: a\r\n\r\n", [], True, False),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n", [b""], False, False),
        (b"GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\n\r\n", [b""], False, False),
        (b"\r\nGET / HTTP/1.1\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n", [b"", b""], False, False),
        (b"GET / HTTP/1.1\r", [], False, True),
    ],
)  # fmt: skip
def test_the_reference(message: bytes, bodies: list[bytes], refused: bool, unfinished: bool) -> None:
    """RFC 9112 sections 2.2, 3, 5.1, 5.2, 6.3, 7.1 and 9.3."""
    reading = read(message)
    assert [request.body for request in reading.requests] == bodies
    assert (reading.refused, reading.unfinished) == (refused, unfinished)
