"""E2, E6 through every proxy: whoever asks gets the answer that was asked for, however many ask at once."""

import asyncio
import base64
import random
import time
from urllib.parse import quote

import pytest

from _fastpath.ocsp import MALFORMED_REQUEST, UNAUTHORIZED
from tests.proxies.crowd import Mismatch, ask_all
from tests.proxies.fronts import Front
from tests.proxies.origin import ALGORITHMS, Origin, asks_about, fresh, is_about, ocsp_request

pytestmark = pytest.mark.slow  # nginx, HAProxy and Varnish are installed by tests/tools.sh

SERIALS = 300
CLIENTS, EACH = 40, 150
NONCES = (b"", bytes(range(16)), bytes(32))


@pytest.fixture(scope="module")
def expected(responder: Origin) -> dict[bytes, bytes]:
    """By request, of two CAs that share every serial: what the responder says, which was checked here."""
    chooser = random.Random(2)
    serials = [chooser.getrandbits(127) for _ in range(SERIALS)]
    known = {}
    for shelf in responder.shelves.values():
        shelf.put(*(fresh(serial, revoked=number % 3 == 0) for number, serial in enumerate(serials)))
        for number, serial in enumerate(serials):
            algorithm = [*ALGORITHMS][number % len(ALGORITHMS)]
            for nonce in NONCES:
                request = ocsp_request(shelf.ca, serial, algorithm, nonce=nonce)
                known[request] = body = responder.web.post(request).body
                assert is_about(body, asks_about(request))
        missing = ocsp_request(shelf.ca, chooser.getrandbits(126))
        known[missing] = UNAUTHORIZED
    assert len(set(known.values())) == len(responder.shelves) * SERIALS + 1
    return known | {b"garbage": MALFORMED_REQUEST}


@pytest.mark.invariant("E2", "E6")
@pytest.mark.conformance("H-12", "H-19", "R-20", "Q-04", "Q-08")
def test_everybody_gets_their_own_answer(front: Front, expected: dict[bytes, bytes]) -> None:
    """Long enough for entries to be made, used and expire meanwhile."""
    rounds, until = 0, time.monotonic() + 8
    while rounds < 2 or time.monotonic() < until:
        answered = asyncio.run(ask_all(front.port, expected, clients=CLIENTS, each=EACH))
        assert answered == CLIENTS * EACH
        rounds += 1


@pytest.mark.conformance("H-12")
def test_a_crowd_notices_an_answer_for_another(front: Front, expected: dict[bytes, bytes]) -> None:
    """That the test above can fail."""
    swapped = dict(zip(expected, [*list(expected.values())[1:], b""], strict=True))
    with pytest.raises(Mismatch):
        asyncio.run(ask_all(front.port, swapped, clients=2, each=20))


@pytest.mark.invariant("E2")
@pytest.mark.conformance("H-12", "Q-01")
def test_get_and_post_share_no_entry(front: Front, responder: Origin) -> None:
    """A POST at the path of a cached GET is about its body; a GET at a posted path about its path."""
    shelf = responder.shelf()
    one, other = responder.new_serial(), responder.new_serial()
    shelf.put(fresh(one), fresh(other))
    of_one, of_other = ocsp_request(shelf.ca, one), ocsp_request(shelf.ca, other)
    target = "/" + quote(base64.b64encode(of_one), safe="")
    got = front.web.request("GET", target).body
    posted = front.web.request("POST", target, of_other).body
    assert is_about(got, asks_about(of_one))
    assert is_about(posted, asks_about(of_other))
    assert front.web.request("GET", target).body == got
    assert front.web.post(of_one).body == got
    assert front.web.post(of_other).body == posted
    assert front.web.request("GET", "/").body == MALFORMED_REQUEST
    assert front.web.request("POST", target, b"0").body == MALFORMED_REQUEST


@pytest.mark.invariant("E2")
@pytest.mark.conformance("H-12")
def test_a_post_is_never_answered_by_a_cache(front: Front, responder: Origin) -> None:
    """Every POST sees what is in the store now, after a GET and a POST of the same request."""
    shelf, serial = responder.shelf(), responder.new_serial()
    request = ocsp_request(shelf.ca, serial)
    shelf.put(fresh(serial))
    before = front.web.get(request).body
    assert front.web.post(request).body == before
    shelf.put(fresh(serial, revoked=True))
    direct = responder.settled(request, before)
    assert front.web.post(request).body == direct
