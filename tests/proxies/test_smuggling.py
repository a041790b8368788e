"""E5: messages of two readings, asked directly and through every proxy, and what those who ask afterwards get."""

import socket
from dataclasses import dataclass

import pytest

from _fastpath.ocsp import MALFORMED_REQUEST
from tests.conformance.http import Client, target_of
from tests.http.answers import Answer, parse
from tests.http.parts import Case, Parts
from tests.proxies.fronts import Front
from tests.proxies.origin import Origin, fresh, ocsp_request
from tests.proxies.smuggling import CASES

pytestmark = pytest.mark.slow  # nginx, HAProxy and Varnish are installed by tests/tools.sh

SILENCE = 0.3  # seconds after which nothing more is expected
VICTIMS = 3


@dataclass(frozen=True, slots=True)
class Cast:
    """What is asked about: by the attack, afterwards, in hiding, and by others; and the right answers."""

    parts: Parts
    asked: bytes
    after: bytes
    hidden: bytes
    request_after: bytes
    request_others: bytes
    others: bytes


@pytest.fixture(scope="module")
def cast(responder: Origin) -> Cast:
    shelf = responder.shelf()
    serials = [responder.new_serial() for _ in range(4)]
    shelf.put(*map(fresh, serials))
    asked, after, hidden, others = (ocsp_request(shelf.ca, serial) for serial in serials)
    answers = [responder.web.post(request).body for request in (asked, after, hidden, others)]
    assert len(set(answers)) == 4
    get = f"GET {target_of(hidden)} HTTP/1.1\r\nHost: ocsp.test\r\n\r\n".encode()
    parts = Parts(target_of(asked).encode(), asked, get)
    return Cast(parts, answers[0], answers[1], answers[2], after, others, answers[3])


def hear(connection: socket.socket) -> tuple[bytes, bool]:
    """What comes until there is silence, and whether the connection has ended."""
    connection.settimeout(SILENCE)
    heard = b""
    try:
        while octets := connection.recv(1 << 16):
            heard += octets
    except TimeoutError:
        return heard, False
    except ConnectionError:
        pass
    return heard, True


def say(connection: socket.socket, octets: bytes) -> None:
    """All of it, unless the other side has had enough."""
    try:
        connection.sendall(octets)
    except ConnectionError:
        pass


def talk(port: int, message: bytes, next_one: bytes) -> tuple[list[Answer], list[Answer]]:
    """The answers to a message, and, on the same connection if it is still there, to a proper one."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        say(connection, message)
        heard, ended = hear(connection)
        if ended:
            return parse(heard), []
        say(connection, next_one)
        return parse(heard), parse(hear(connection)[0])


def post(request: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: ocsp.test\r\nContent-Length: %d\r\n\r\n%s" % (len(request), request)


def check_attacker(case: Case, cast: Cast, first: list[Answer], then: list[Answer]) -> None:
    """The hidden request is answered only where it stands for itself, after the other; the next answer is right."""
    rightly = [(cast.asked, MALFORMED_REQUEST)] + [(cast.hidden,)] * case.follows
    assert len(first) <= len(rightly), first
    for answer, bodies in zip(first, rightly, strict=False):
        assert answer.code != 200 or answer.body in bodies, first
    assert [answer.body for answer in then if answer.code == 200] in ([], [cast.after]), then


def check_others(web: Client, cast: Cast) -> None:
    """New connections, that a proxy may pass on over those that the attack went over."""
    for _ in range(VICTIMS):
        assert web.post(cast.request_others).body == cast.others


@pytest.mark.invariant("E5")
@pytest.mark.conformance("H-01", "H-16")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_directly(responder: Origin, cast: Cast, case: Case) -> None:
    first, then = talk(responder.port, case.message(cast.parts), post(cast.request_after))
    check_attacker(case, cast, first, then)
    assert tuple(answer.code for answer in first) == case.direct
    assert [answer.body for answer in then] == ([] if case.closes else [cast.after])


@pytest.mark.invariant("E5")
@pytest.mark.conformance("H-01", "H-16")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_through_a_proxy(front: Front, cast: Cast, case: Case) -> None:
    first, then = talk(front.port, case.message(cast.parts), post(cast.request_after))
    check_attacker(case, cast, first, then)
    check_others(front.web, cast)


def test_a_wrong_answer_would_be_noticed(cast: Cast) -> None:
    case = next(case for case in CASES if not case.follows)
    right, wrong = Answer(200, cast.asked), Answer(200, cast.hidden)
    check_attacker(case, cast, [right], [Answer(200, cast.after)])
    for first, then in (([wrong], []), ([right, wrong], []), ([right], [wrong]), ([right], [right])):
        with pytest.raises(AssertionError):
            check_attacker(case, cast, first, then)
