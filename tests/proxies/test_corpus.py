"""E5: the whole corpus of tests/http over real sockets, many messages at once, directly and through every proxy."""

import asyncio
import contextlib

import pytest

from _fastpath.ocsp import MALFORMED_REQUEST
from tests.http.answers import Answer, parse
from tests.http.corpus import CASES
from tests.http.reference import Reading, read
from tests.http.sequences import JOINTS, ODD, joint
from tests.http.world import answers_to
from tests.proxies.fronts import Front
from tests.proxies.origin import Origin
from tests.proxies.test_smuggling import Cast, check_others, post
from tests.proxies.test_smuggling import cast as cast

pytestmark = [
    pytest.mark.slow,  # nginx, HAProxy and Varnish are installed by tests/tools.sh
    pytest.mark.invariant("E5"),
    pytest.mark.conformance("H-16"),
]

AT_ONCE = 32  # connections
SILENCE = 0.5  # seconds after which nothing more is expected
PATIENCE = 600.0
PURGED = b"<title>200 Purged</title>"  # Varnish's own answer to PURGE from its own host

Heard = tuple[bytes, bool]  # octets, and whether the connection has ended


async def hear(reader: asyncio.StreamReader) -> Heard:
    heard = b""
    try:
        while octets := await asyncio.wait_for(reader.read(1 << 16), SILENCE):
            heard += octets
    except TimeoutError:
        return heard, False
    except ConnectionError:
        pass
    return heard, True


async def talk(port: int, message: bytes, next_one: bytes) -> tuple[Heard, bytes]:
    """What comes back for a message, and, on the same connection if it is still there, for a proper one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(message)
        heard, ended = await hear(reader)
        if ended:
            return (heard, True), b""
        writer.write(next_one)
        return (heard, False), (await hear(reader))[0]
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def talk_all(port: int, messages: list[bytes], next_one: bytes) -> list[tuple[Heard, bytes]]:
    """Each over a connection of its own, so many at once that a proxy mixes them on those to the responder."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(message: bytes) -> tuple[Heard, bytes]:
        async with places:
            return await talk(port, message, next_one)

    return await asyncio.gather(*map(one, messages))


def messages_of(cast: Cast) -> dict[str, bytes]:
    """The corpus, and every odd octet at every joint."""
    found = {name: case.message(cast.parts) for name, case in CASES.items()}
    for place in JOINTS:
        found |= {f"{octets!r} at {place}": joint(cast.parts, place, octets) for octets in ODD}
    return found


def check(cast: Cast, name: str, answers: list[Answer], reading: Reading) -> None:
    """Answers are in the order of the requests; what a proxy reads that the reference does not is the same anyway."""
    right = answers_to(reading, cast.parts, cast.asked, cast.hidden)
    for place, answer in enumerate(answers):
        if answer.code != 200 or PURGED in answer.body:
            continue
        if place < len(reading.requests) and not reading.refused:
            assert answer.body in (right[place].body, MALFORMED_REQUEST), name
        elif place == 0:
            assert answer.body in (cast.asked, MALFORMED_REQUEST), name
        else:
            assert answer.body in (cast.asked, cast.hidden, MALFORMED_REQUEST), name


def check_next(cast: Cast, name: str, reading: Reading, octets: bytes) -> None:
    """What follows is answered rightly or not at all; a message that was not at its end swallows it."""
    bodies = [answer.body for answer in parse(octets) if answer.code == 200]
    assert reading.unfinished or bodies in ([], [cast.after]), name


def converse(port: int, cast: Cast) -> int:
    """The number of messages that the other side answered with 200."""
    messages = messages_of(cast)
    heard = asyncio.run(
        asyncio.wait_for(talk_all(port, [*messages.values()], post(cast.request_after)), PATIENCE)
    )
    answered = 0
    for (name, message), ((first, _), then) in zip(messages.items(), heard, strict=True):
        reading = read(message)
        answers = parse(first, [request.method for request in reading.requests])
        check(cast, name, answers, reading)
        check_next(cast, name, reading, then)
        answered += any(answer.code == 200 for answer in answers)
    return answered


def test_directly(responder: Origin, cast: Cast) -> None:
    assert converse(responder.port, cast) > 200


def test_through_a_proxy(front: Front, cast: Cast) -> None:
    assert converse(front.port, cast) > 200
    check_others(front.web, cast)
