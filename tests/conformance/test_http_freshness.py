"""Group H: for how long an answer is fresh, what names it, and who may keep it, at clocks all over its life."""

import random
from email.utils import parsedate_to_datetime

import pytest
import redis
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509 import ocsp

from _fastpath.ocsp import TRY_LATER
from responder.config import load_settings
from responder.counters import Counters
from store.embedded import EmbeddedStore
from tests.conformance.conftest import Serve, World
from tests.conformance.http import Client, Response, target_of
from tests.responder.ca import CA, NOW, TEMPLATE_NUMBER, THIS_UPDATE, VALIDITY, Shelf, good
from tests.responder.conftest import GOOD, GOOD_TOO, FakeClock, serving, wait_until, write_config

HOUR, DAY = 3600, 86_400
NEXT_UPDATE = THIS_UPDATE + VALIDITY
DEADLINE = THIS_UPDATE + VALIDITY // 2  # min(V/2, 4 d), for V of 4 d - 1 s
CAP = HOUR


def seconds_of(answer: Response, name: str) -> int:
    return int(parsedate_to_datetime(answer.headers[name]).timestamp())


def max_age_of(answer: Response) -> int:
    return int(answer.headers["cache-control"].partition("max-age=")[2].partition(",")[0])


CLOCKS = [
    THIS_UPDATE + 2,
    DEADLINE - CAP - 1,
    DEADLINE - CAP,
    DEADLINE - 1,
    DEADLINE,
    DEADLINE + 1,
    NEXT_UPDATE - 61,
    *(THIS_UPDATE + random.Random(4).randrange(2, VALIDITY - 60) for _ in range(40)),
]


@pytest.mark.conformance("H-03", "H-04", "H-05", "H-08")
@pytest.mark.invariant("B1", "E3")
def test_freshness_at_every_time_of_an_answers_life(world: World) -> None:
    """RFC 9919 section 7: thisUpdate < Date + max-age < nextUpdate, and the replacement is due no earlier."""
    request = world.ca.request(GOOD)
    for now in CLOCKS:
        world.clock.seconds = now
        answer = world.web.get(request)
        response = ocsp.load_der_ocsp_response(answer.body)
        assert response.next_update_utc is not None
        assert seconds_of(answer, "date") == now
        assert seconds_of(answer, "expires") == int(response.next_update_utc.timestamp()) == NEXT_UPDATE
        assert seconds_of(answer, "last-modified") == int(response.produced_at_utc.timestamp()) <= now
        age = max_age_of(answer)
        assert age == max(0, min(CAP, DEADLINE - now, NEXT_UPDATE - now - 60))
        assert THIS_UPDATE < now + age < NEXT_UPDATE
        assert "no-" not in answer.headers["cache-control"].replace("no-transform", "")
        assert "pragma" not in answer.headers


@pytest.mark.conformance("H-04", "H-06", "R-11")
@pytest.mark.invariant("B1")
@pytest.mark.parametrize("late", [0, 1, 60, DAY, 400 * DAY])
def test_in_the_last_minute_and_after_it_there_is_no_answer(world: World, late: int) -> None:
    world.clock.seconds = NEXT_UPDATE - 60 + late
    answer = world.web.get(world.ca.request(GOOD))
    assert (answer.code, answer.body, answer.headers["cache-control"]) == (200, TRY_LATER, "no-store")


@pytest.mark.conformance("H-04")
@pytest.mark.parametrize("cap", [0, 1, 300])
def test_the_cap_is_the_operators(serve: Serve, ca: CA, cap: int) -> None:
    with serve(f"max_age_cap = {cap}\nlookup_timeout_ms = 5000") as port:
        assert max_age_of(Client(port).get(ca.request(GOOD))) == cap


@pytest.mark.conformance("H-07")
def test_the_etag_is_r_and_the_template_number(world: World) -> None:
    answer = world.web.get(world.ca.request(GOOD))
    r, _ = decode_dss_signature(ocsp.load_der_ocsp_response(answer.body).signature)
    assert answer.headers["etag"] == f'"{r:064x}{TEMPLATE_NUMBER:02x}"'


@pytest.mark.conformance("H-07", "R-20")
def test_the_etag_is_that_of_every_worker_and_new_with_every_signing(
    serve: Serve, ca: CA, shelf: Shelf
) -> None:
    target = target_of(ca.request(GOOD))
    with serve("lookup_timeout_ms = 5000") as one, serve("lookup_timeout_ms = 5000") as other:
        first, second = (Client(port).request("GET", target) for port in (one, other))
        assert (first.body, first.headers) == (second.body, second.headers)
        shelf.put(good(GOOD))  # signed anew over the same content
        wait_until(lambda: Client(one).request("GET", target).headers["etag"] != first.headers["etag"])
        wait_until(lambda: Client(other).request("GET", target).headers["etag"] != first.headers["etag"])
        after = [Client(port).request("GET", target) for port in (one, other)]
        assert after[0].body == after[1].body != first.body
        assert after[0].headers["etag"] == after[1].headers["etag"]


@pytest.mark.conformance("H-07")
@pytest.mark.invariant("E2")
def test_no_two_answers_share_an_etag(world: World) -> None:
    answers = [world.web.get(world.ca.request(serial)) for serial in (GOOD, GOOD_TOO)]
    assert answers[0].headers["etag"] != answers[1].headers["etag"]
    assert not any(answer.headers["etag"].startswith("W/") for answer in answers)


@pytest.mark.conformance("H-09", "H-10")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"If-None-Match": "{etag}"}, 304),
        ({"If-None-Match": "W/{etag}"}, 304),
        ({"If-None-Match": '"a", W/"b",{etag}'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"a"'}, 200),
        ({"If-Modified-Since": "{last-modified}"}, 304),
        ({"If-Modified-Since": "{expires}"}, 304),
        ({"If-Modified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}, 200),
        ({"If-None-Match": '"a"', "If-Modified-Since": "{last-modified}"}, 200),
        ({"If-None-Match": "{etag}", "If-Modified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}, 304),
        ({"If-Match": '"a"'}, 200),
        ({"Range": "bytes=0-9"}, 200),
    ],
    ids=str,
)
def test_conditional_requests(world: World, method: str, fields: dict[str, str], code: int) -> None:
    """A 304 has the freshness of its own time, and every field of the 200 but those of the content."""
    target = target_of(world.ca.request(GOOD))
    before = world.web.request("GET", target)
    world.clock.seconds = DEADLINE - 100
    full = world.web.request("GET", target)
    headers = {name: value.format_map(before.headers) for name, value in fields.items()}
    answer = world.web.request(method, target, headers=headers)
    assert answer.code == code
    assert answer.body == (full.body if (method, code) == ("GET", 200) else b"")
    content = () if code == 200 else ("content-type", "content-length")
    assert answer.headers == {name: value for name, value in full.headers.items() if name not in content}
    assert max_age_of(answer) == 100


@pytest.mark.conformance("H-09", "H-12")
def test_conditions_of_a_post_are_passed_over(world: World) -> None:
    request = world.ca.request(GOOD)
    full = world.web.post(request)
    for value in ("*", full.headers["etag"]):
        answer = world.web.request("POST", "/", request, headers={"If-None-Match": value})
        assert (answer.code, answer.body) == (200, full.body)


@pytest.mark.conformance("H-08", "R-06")
def test_last_modified_is_never_ahead_of_date(serve: Serve, ca: CA, shelf: Shelf, clock: FakeClock) -> None:
    """What a signer with a fast clock made is not sent until its time has come."""
    shelf.put(good(GOOD, this_update=NOW, produced_at=NOW + 5))
    with serve("lookup_timeout_ms = 5000") as port:
        for now, sent in ((NOW - 1, False), (NOW, False), (NOW + 4, False), (NOW + 5, True)):
            clock.seconds = now
            answer = Client(port).get(ca.request(GOOD))
            assert (answer.body != TRY_LATER) == sent
            if sent:
                assert seconds_of(answer, "last-modified") == seconds_of(answer, "date") == now


@pytest.mark.conformance("H-04", "R-11")
@pytest.mark.parametrize("allowed", [0, 90])
def test_without_the_store_no_cache_keeps_an_answer_longer_than_we_do(
    tmp_path_factory: pytest.TempPathFactory, allowed: int
) -> None:
    """What is cached goes on for `max_unverified`, with a max-age of no more than what is left of it."""
    ca, counters = CA("lost"), Counters.private()
    with EmbeddedStore(tmp_path_factory.mktemp("s")) as store:
        with redis.Redis.from_url(store.url, protocol=3) as client:
            Shelf(ca, client).put(good(GOOD), good(GOOD_TOO))
        section = f"lookup_timeout_ms = 5000\nmax_unverified = {allowed}"
        path = write_config(tmp_path_factory.mktemp("w"), ca, store.url, section)
        with serving(load_settings(path), counters, FakeClock()) as port:
            web = Client(port)
            before = web.get(ca.request(GOOD))
            assert max_age_of(before) == CAP
            store.stop()
            wait_until(lambda: counters.value("store_up") == 0)
            wait_until(lambda: web.get(ca.request(GOOD)).headers != before.headers)
            after, uncached = web.get(ca.request(GOOD)), web.get(ca.request(GOOD_TOO))
    assert (uncached.body, uncached.headers["cache-control"]) == (TRY_LATER, "no-store")
    if allowed:
        assert after.body == before.body
        assert 0 <= max_age_of(after) <= allowed
    else:
        assert (after.body, after.headers["cache-control"]) == (TRY_LATER, "no-store")
