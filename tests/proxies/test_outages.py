"""H-06, H-11, R-11 at the end of every proxy: the store or the responder goes away and comes back."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from _fastpath.ocsp import TRY_LATER, UNAUTHORIZED
from tests.clients.commands import wait_until
from tests.proxies.fronts import DEPLOY, FRONTS, Kind
from tests.proxies.life import got, reached
from tests.proxies.origin import Origin, fresh, ocsp_request, origin, serial_of, serving
from tests.responder.ca import good

pytestmark = pytest.mark.slow  # nginx, HAProxy and Varnish are installed by tests/tools.sh

TICK = 1.0  # caches count whole seconds


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    """A responder that is started by the tests and lets caches keep its answers for an hour."""
    with origin(tmp_path_factory.mktemp("o")) as made:
        yield made


def issued(origin: Origin) -> bytes:
    """A request about a new certificate."""
    serial = origin.new_serial()
    origin.shelf().put(fresh(serial))
    return ocsp_request(origin.shelf().ca, serial)


@pytest.mark.conformance("R-11", "H-06", "H-11")
def test_without_the_store(lasting: Origin, kind: Kind, tmp_path: Path) -> None:
    """What a cache has goes on; what it has not is tryLater, and an answer again as soon as there is one."""
    kept, asked = issued(lasting), issued(lasting)
    with serving(lasting), kind.before(lasting, tmp_path) as front:
        answer = got(front.web, kept).answer
        lasting.store.__exit__(None, None, None)
        before = reached(lasting)
        assert [got(front.web, asked).answer.body for _ in range(3)] == [TRY_LATER] * 3
        assert reached(lasting) == before + 3
        assert front.web.post(asked).body == TRY_LATER
        assert got(front.web, kept).answer.body == answer.body
        assert reached(lasting) == before + 3
        lasting.store.__enter__()
        lasting.settled(asked, TRY_LATER)
        assert len(got(front.web, asked).answer.body) > 100


@pytest.mark.conformance("H-11")
def test_without_the_responder(lasting: Origin, kind: Kind, tmp_path: Path) -> None:
    kept, asked = issued(lasting), issued(lasting)
    with kind.before(lasting, tmp_path, started=False) as front:
        with serving(lasting):
            wait_until(lambda: front.web.request("GET", "/").code == 200, "the responder through the proxy")
            answer = got(front.web, kept).answer
        assert [got(front.web, asked).answer.code // 100 for _ in range(3)] == [5] * 3
        assert front.web.post(asked).code // 100 == 5
        assert got(front.web, kept).answer.body == answer.body
        with serving(lasting):
            wait_until(lambda: got(front.web, asked).answer.code == 200, "the responder through the proxy")
            assert len(got(front.web, asked).answer.body) > 100


@pytest.mark.conformance("H-04", "H-11", "R-11")
@pytest.mark.parametrize("alive", [True, False], ids=["responder up", "responder down"])
def test_nothing_outlives_its_end(lasting: Origin, kind: Kind, tmp_path: Path, alive: bool) -> None:
    """An hour is allowed, but max-age ends a minute before nextUpdate, and no cache goes on after it."""
    shelf, serial = lasting.shelf(), lasting.new_serial()
    request = ocsp_request(shelf.ca, serial)
    with ExitStack() as running, kind.before(lasting, tmp_path, started=False) as front:
        running.enter_context(serving(lasting))
        wait_until(lambda: front.web.request("GET", "/").code == 200, "the responder through the proxy")
        end = int(time.time()) + 10
        shelf.put(good(serial, this_update=end - 10, produced_at=end - 10, next_update=end + 60))
        sights = [got(front.web, request)]
        assert serial_of(sights[0].answer.body) == serial
        if not alive:
            running.close()
        while sights[-1].answer.body == sights[0].answer.body:
            assert sights[-1].at <= end + TICK
            time.sleep(0.1)
            sights.append(got(front.web, request))
        assert len(sights) > 2
        time.sleep(2 * TICK)
        for sight in (sights[-1], got(front.web, request)):
            assert (sight.answer.body == TRY_LATER) is alive
            assert (sight.answer.code // 100 == 5) is not alive


@pytest.mark.conformance("R-20")
def test_haproxy_keeps_nothing_for_longer_than_its_own_max_age(lasting: Origin, tmp_path: Path) -> None:
    """It cannot be purged, so its configuration says how late a revocation may be seen."""
    haproxy = next(kind for kind in FRONTS if kind.name == "haproxy")
    serial, shelf = lasting.new_serial(), lasting.shelf()
    request = ocsp_request(shelf.ca, serial)
    with serving(lasting), haproxy.before(lasting, tmp_path, more={"max-age 60": "max-age 4"}) as front:
        shelf.put(fresh(serial))
        first = got(front.web, request)
        assert first.max_age == 3600
        shelf.put(fresh(serial, revoked=True))
        lasting.settled(request, first.answer.body)
        assert got(front.web, request).answer.body == first.answer.body
        wait_until(lambda: got(front.web, request).answer.body != first.answer.body, "the revocation", 10)
        assert time.time() <= first.at + 4 + 2 * TICK


@pytest.mark.conformance("H-20")
def test_a_full_responder(kind: Kind, tmp_path: Path) -> None:
    """503 with Retry-After comes through, is kept by nobody, and is over when there is room again."""
    with origin(tmp_path / "o", "limit_concurrency = 40") as made, serving(made), ExitStack() as room:
        request = issued(made)
        made.settled(request, UNAUTHORIZED)
        for _ in range(50):  # first, so that the proxy keeps no connection from before
            room.enter_context(socket.create_connection(("127.0.0.1", made.port)))
        with kind.before(made, tmp_path / "p", started=False) as front:
            for full in (front.web.post(request), got(front.web, request).answer):
                assert (full.code, full.headers.get("retry-after"), full.body) == (503, "1", b"")
            room.close()
            wait_until(lambda: got(front.web, request).answer.code == 200, "room")
            assert got(front.web, request).answer.body == made.web.get(request).body


@pytest.mark.conformance("H-17")
def test_port_80_and_no_way_to_https(lasting: Origin, kind: Kind, tmp_path: Path) -> None:
    """Varnish is told its port when it is started."""
    text = (DEPLOY / kind.file).read_text()
    assert kind.name == "varnish" or re.search(r"^ *(listen|bind :)\s*80\b", text, re.M)
    asked = issued(lasting)
    with serving(lasting), kind.before(lasting, tmp_path) as front:
        for answer in (got(front.web, asked).answer, front.web.post(asked), front.web.request("GET", "/")):
            assert answer.code == 200
            assert not {"location", "strict-transport-security", "refresh"} & answer.headers.keys()
