"""H-02 to H-11 at the end of every proxy: what is kept, for how long, how old it says it is, and what is never kept."""

import time
from pathlib import Path

import pytest

from _fastpath.ocsp import MALFORMED_REQUEST, TRY_LATER, UNAUTHORIZED
from tests.clients.commands import wait_until
from tests.conformance.http import target_of
from tests.proxies.conftest import MAX_AGE
from tests.proxies.fronts import Front, Kind
from tests.proxies.life import Sight, got, reached
from tests.proxies.origin import Origin, fresh, ocsp_request, serial_of
from tests.responder.ca import good

pytestmark = pytest.mark.slow  # nginx, HAProxy and Varnish are installed by tests/tools.sh

TICK = 1.0  # caches count whole seconds
DESCRIBED_BY = ("etag", "last-modified", "expires", "cache-control")
CONTENT = (*DESCRIBED_BY, "content-type", "content-length")


@pytest.fixture
def request_of_new(responder: Origin) -> bytes:
    """A request about a certificate that no cache has heard of."""
    serial = responder.new_serial()
    responder.shelf().put(fresh(serial))
    return ocsp_request(responder.shelf().ca, serial)


def revoke(responder: Origin, request: bytes, serial: int) -> bytes:
    """What every worker says from now on."""
    before = responder.web.post(request).body
    responder.shelf().put(fresh(serial, revoked=True))
    return responder.settled(request, before)


@pytest.mark.conformance("H-02", "H-04", "H-05")
def test_an_answer_is_kept(front: Front, responder: Origin, request_of_new: bytes) -> None:
    before = reached(responder)
    sights = [got(front.web, request_of_new)]
    time.sleep(0.2)  # nginx sends an answer before it has kept it
    sights += [got(front.web, request_of_new) for _ in range(4)]
    assert sights[-1].at - sights[0].at < MAX_AGE  # else the machine is too slow for this test
    assert reached(responder) == before + 1
    assert len({sight.answer.body for sight in sights}) == 1
    assert sights[0].max_age == MAX_AGE


@pytest.mark.invariant("E3")
@pytest.mark.conformance("H-04", "H-11", "R-20", "K-10")
def test_a_revocation_is_seen_when_max_age_is_over(front: Front, responder: Origin) -> None:
    """And until then the old answer is as old as it says, and never older than it may be."""
    serial = responder.new_serial()
    responder.shelf().put(fresh(serial))
    request = ocsp_request(responder.shelf().ca, serial)
    start = time.time()
    sights = [got(front.web, request)]
    new = revoke(responder, request, serial)
    while sights[-1].answer.body != new:
        assert time.time() < start + MAX_AGE + 2 * TICK, "the old answer is still there"
        time.sleep(0.1)
        sights.append(got(front.web, request))
    old = [sight for sight in sights if sight.answer.body != new]
    assert {sight.answer.body for sight in old} == {old[0].answer.body}
    for sight in old:
        assert sight.at - start <= MAX_AGE + TICK
        assert sight.says_age >= sight.at - start - TICK
        assert sight.max_age == MAX_AGE
    assert _left(sights[-1]) > MAX_AGE - 2 * TICK


def _left(sight: Sight) -> float:
    """For how long the next cache may keep it."""
    return sight.max_age - sight.says_age


@pytest.mark.invariant("B1")
@pytest.mark.conformance("H-11", "R-20")
def test_what_is_over_is_not_served_once_more(front: Front, responder: Origin) -> None:
    """To one who asks a while later, as a cache would that asks for the new one behind their back."""
    serial = responder.new_serial()
    responder.shelf().put(fresh(serial))
    request = ocsp_request(responder.shelf().ca, serial)
    assert serial_of(got(front.web, request).answer.body) == serial
    new = revoke(responder, request, serial)
    time.sleep(MAX_AGE + 2 * TICK)
    assert got(front.web, request).answer.body == new


@pytest.mark.conformance("H-04", "R-11")
def test_nothing_is_served_in_the_last_minute_before_next_update(front: Front, responder: Origin) -> None:
    shelf, serial = responder.shelf(), responder.new_serial()
    end = int(time.time()) + 7  # of what may be served; nextUpdate is a minute later
    shelf.put(good(serial, this_update=end - 7, produced_at=end - 7, next_update=end + 60))
    request = ocsp_request(shelf.ca, serial)
    sights = [got(front.web, request)]
    while sights[-1].answer.body != TRY_LATER:
        assert time.time() < end + 2 * TICK
        time.sleep(0.1)
        sights.append(got(front.web, request))
    assert serial_of(sights[0].answer.body) == serial
    for sight in sights[:-1]:
        assert sight.at <= end + TICK
        assert _left(sight) <= end - sight.at + TICK
    assert got(front.web, request).answer.body == TRY_LATER


@pytest.mark.conformance("H-04")
def test_an_overdue_answer_is_served_and_not_kept(front: Front, responder: Origin) -> None:
    shelf, serial, now = responder.shelf(), responder.new_serial(), int(time.time())
    shelf.put(good(serial, this_update=now - 1000, produced_at=now - 1000, next_update=now + 900))
    before = reached(responder)
    for _ in range(4):
        sight = got(front.web, ocsp_request(shelf.ca, serial))
        assert (serial_of(sight.answer.body), sight.max_age) == (serial, 0)
    assert reached(responder) == before + 4


@pytest.mark.invariant("E3")
@pytest.mark.conformance("H-06", "R-10", "R-11", "Q-02")
def test_errors_are_not_kept(front: Front, responder: Origin) -> None:
    """An issued certificate is answered for at once, however often it was asked about before."""
    shelf, serial = responder.shelf(), responder.new_serial()
    request = ocsp_request(shelf.ca, serial)
    before = reached(responder)
    for _ in range(3):
        assert got(front.web, request).answer.body == UNAUTHORIZED
        assert got(front.web, b"0").answer.body == MALFORMED_REQUEST
        assert front.web.request("HEAD", target_of(request)).code == 200
    assert reached(responder) == before + 9
    shelf.put(fresh(serial))
    responder.settled(request, UNAUTHORIZED)
    assert serial_of(got(front.web, request).answer.body) == serial
    before = reached(responder)
    assert serial_of(got(front.web, request).answer.body) == serial
    assert reached(responder) == before  # and what is kept then is the answer


@pytest.mark.invariant("E3")
@pytest.mark.conformance("H-06", "R-11")
def test_try_later_is_not_kept(front: Front, responder: Origin) -> None:
    """A page is gone and comes back."""
    shelf, serial = responder.shelf(), responder.new_serial()
    request = ocsp_request(shelf.ca, serial)
    shelf.put(fresh(serial))
    responder.settled(request, UNAUTHORIZED)
    page = shelf.client.dump(shelf.key_of(serial))
    assert isinstance(page, bytes)
    shelf.client.delete(shelf.key_of(serial))
    wait_until(lambda: responder.web.post(request).body == TRY_LATER, "the page is gone")
    responder.settled(request, responder.shelf().ca.template.encode())
    assert [got(front.web, request).answer.body for _ in range(3)] == [TRY_LATER] * 3
    shelf.client.restore(shelf.key_of(serial), 0, page)
    responder.settled(request, TRY_LATER)
    assert serial_of(got(front.web, request).answer.body) == serial


@pytest.mark.conformance("H-09", "K-10")
def test_conditional_requests(front: Front, request_of_new: bytes) -> None:
    """By one who has the answer, of a cache that has it, and of one where it is over."""
    target = target_of(request_of_new)
    whole = got(front.web, request_of_new).answer
    tag, modified = whole.headers["etag"], whole.headers["last-modified"]
    for wait in (0, MAX_AGE + TICK):
        time.sleep(wait)
        for condition in ({"If-None-Match": tag}, {"If-Modified-Since": modified}):
            same = front.web.request("GET", target, headers=condition)
            assert (same.code, same.body, same.headers["etag"]) == (304, b"", tag), condition
        other = front.web.request("GET", target, headers={"If-None-Match": '"another"'})
        assert (other.code, other.body, other.headers["etag"]) == (200, whole.body, tag)
        # Varnish reads neither; a whole answer is a right one too.
        for tags in ("*", f'"x", {tag}'):
            either = front.web.request("GET", target, headers={"If-None-Match": tags})
            assert (either.code, either.body) in ((304, b""), (200, whole.body))


@pytest.mark.conformance("H-09")
def test_a_304_is_no_answer_for_others(front: Front, responder: Origin, request_of_new: bytes) -> None:
    """The first to ask has it already; the second gets the whole."""
    direct = responder.web.get(request_of_new)
    same = front.web.request(
        "GET", target_of(request_of_new), headers={"If-None-Match": direct.headers["etag"]}
    )
    assert (same.code, same.body) == (304, b"")
    whole = got(front.web, request_of_new).answer
    assert (whole.code, whole.body) == (200, direct.body)


@pytest.mark.conformance("H-10")
def test_head(front: Front, responder: Origin, request_of_new: bytes) -> None:
    direct = responder.web.get(request_of_new)
    for _ in range(2):
        head = front.web.request("HEAD", target_of(request_of_new))
        assert (head.code, head.body) == (200, b"")
        assert [head.headers[name] for name in CONTENT] == [direct.headers[name] for name in CONTENT]
        assert got(front.web, request_of_new).answer.body == direct.body


@pytest.mark.conformance("H-13")
def test_no_coding_no_ranges(front: Front, request_of_new: bytes) -> None:
    fields = {"Accept-Encoding": "gzip, br, deflate", "Range": "bytes=0-9", "Cookie": "a=b"}
    plain = got(front.web, request_of_new).answer
    for _ in range(2):
        answer = front.web.request("GET", target_of(request_of_new), headers=fields)
        assert (answer.code, answer.body) == (200, plain.body)
        assert not {"content-encoding", "vary", "set-cookie", "accept-ranges"} & answer.headers.keys()


def refresh(front: Front, request: bytes) -> int:
    """As docs/proxies.md says to do after a revocation."""
    if front.kind.name == "varnish":
        return front.web.request("PURGE", target_of(request)).code
    return front.web.request("GET", target_of(request), headers={"X-OCSP-Refresh": "1"}).code


@pytest.mark.conformance("R-20")
def test_a_revocation_is_seen_after_a_refresh(front: Front, responder: Origin) -> None:
    if not front.kind.refreshes:
        assert "max-age 60 " in front.text  # it ends by itself, and soon: see test_outages
        return
    serial = responder.new_serial()
    responder.shelf().put(fresh(serial))
    request = ocsp_request(responder.shelf().ca, serial)
    for _ in range(3):
        old = got(front.web, request).answer.body
        new = revoke(responder, request, serial)
        assert refresh(front, request) == 200
        assert old != got(front.web, request).answer.body == new


def test_others_may_not_refresh(responder: Origin, kind: Kind, tmp_path: Path, request_of_new: bytes) -> None:
    closed = {"nginx": {"127.0.0.0/8 1;": ""}, "varnish": {'"127.0.0.1";\n    "::1";': '"192.0.2.1";'}}
    if kind.name not in closed:
        assert not kind.refreshes
        return
    with kind.before(responder, tmp_path, more=closed[kind.name]) as front:
        first = got(front.web, request_of_new)
        before = reached(responder)
        assert refresh(front, request_of_new) == (405 if kind.name == "varnish" else 200)
        assert got(front.web, request_of_new).answer.body == first.answer.body
        assert reached(responder) == before
