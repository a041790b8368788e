"""Each check of how a CRL is served, on an answer with nothing wrong but that."""

import pytest

from _fastpath.http import imf_fixdate
from signer.crl.fetch import Response
from signer.crl.read import read_crl
from signer.crl.verify_http import HTTP_CHECKS, Exchange, http_date, http_faults
from tests.signer.crl_authority import NOW, URL
from tests.signer.crl_forge import forge, right

DAY = 86_400
THIS_UPDATE = NOW - 60
CRL = forge(right(this_update=THIS_UPDATE))
NEXT_UPDATE = THIS_UPDATE + 604_799


def when(seconds: int) -> str:
    return imf_fixdate(seconds).decode()


RIGHT = {
    "date": when(NOW),
    "content-type": "application/pkix-crl",
    "content-length": str(len(CRL)),
    "last-modified": when(THIS_UPDATE),
    "etag": '"0a1b"',
    "expires": when(NEXT_UPDATE),
    "cache-control": "public, max-age=14400, no-transform",
}
Fields = dict[str, str | None]  # None: left out


def faults(
    fields: Fields, *, head: Fields | None = None, data: bytes = CRL, at: int = NOW
) -> list[tuple[str, str]]:
    def response(changes: Fields, body: bytes) -> Response:
        merged = RIGHT | {"content-length": str(len(data))} | changes
        return Response(URL, {name: value for name, value in merged.items() if value is not None}, body, at)

    exchange = Exchange(
        response(fields, data), response(fields if head is None else head, b""), read_crl(data)
    )
    return list(http_faults(exchange))


def test_nothing_is_found_in_a_right_one() -> None:
    assert faults({}) == []
    assert (
        faults({"content-type": "Application/PKIX-CRL", "cache-control": "no-store", "expires": None}) == []
    )
    # From a cache, in its last second.
    assert faults({"age": "14400"}, at=NOW + 14_400) == []
    assert faults({"date": when(NOW), "age": None}, at=NOW + 14_400) == []


LATE = forge(right(this_update=NOW - 604_000))  # 799 s before its end
LATE_END = {"last-modified": when(NOW - 604_000), "expires": when(NOW + 799)}
FAULTS: dict[str, tuple[Fields, str, str]] = {
    "another type": ({"content-type": "application/octet-stream"}, "content type", "Content-Type application/octet"),
    "no type": ({"content-type": None}, "content type", "Content-Type absent, not application/pkix-crl"),
    "no length": ({"content-length": None}, "content length", "Content-Length absent"),
    "a coding": ({"content-encoding": "gzip"}, "content length", "Content-Encoding gzip"),
    "no lifetime": ({"cache-control": None}, "caching", "caches choose for how long"),
    "a lifetime that is none": ({"cache-control": "max-age=soon"}, "caching", "has max-age=soon"),
    "more than four hours": ({"cache-control": "max-age=14401"}, "caching", "max-age=14401, at most 14400 s"),
    "more for shared caches": ({"cache-control": "max-age=60, s-maxage=86400"}, "caching", "s-maxage=86400, at most"),
    "Expires after the end": ({"expires": when(NEXT_UPDATE + 9)}, "caching", "is 9 s after nextUpdate"),
    "stale past the end": (
        {"cache-control": "max-age=60, stale-if-error=604800"}, "stale windows", "stale-if-error=604800, which ends after",
    ),
    "stale and not": (
        {"cache-control": "max-age=60, stale-while-revalidate=60, must-revalidate"},
        "stale windows",
        "stale-while-revalidate and must-revalidate",
    ),
    "stale for what": ({"cache-control": "max-age=60, stale-if-error"}, "stale windows", "has stale-if-error="),
    "older than allowed": ({"age": "20000"}, "age", "the answer is 20000 s old and was to be kept for 14400"),
    "older by its date": ({"date": when(NOW - 20_000)}, "age", "the answer is 20000 s old"),
    "no date of change": ({"last-modified": None}, "last modified", "Last-Modified absent"),
    "changed before it was made": (
        {"last-modified": when(THIS_UPDATE - 5)}, "last modified", "is 5 s before thisUpdate",
    ),
    "changed in the future": ({"last-modified": when(NOW + 60)}, "last modified", "is ahead of the clock"),
    "no tag": ({"etag": None}, "etag", "ETag absent"),
    "weak tag": ({"etag": 'W/"1"'}, "etag", 'ETag W/"1", not a strong one'),
}  # fmt: skip


@pytest.mark.conformance("U-05", "U-07", "U-08", "U-09")
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_by_its_check(name: str) -> None:
    fields, check, message = FAULTS[name]
    [(found, said)] = faults(fields)
    assert found == check and message in said


@pytest.mark.conformance("U-07")
@pytest.mark.parametrize("name", ["max-age", "s-maxage"])
def test_kept_past_next_update(name: str) -> None:
    def kept(seconds: int) -> list[tuple[str, str]]:
        return faults({**LATE_END, "cache-control": f"max-age=0, {name}={seconds}"}, data=LATE)

    assert kept(799) == []
    assert kept(800) == [("caching", f"Cache-Control has {name}=800, which ends 1 s after nextUpdate")]


@pytest.mark.conformance("U-07")
def test_a_cache_that_gives_it_out_later_keeps_it_no_longer() -> None:
    """What counts is when the answer was made: 500 s later its max-age has 299 s left, and so has the CRL."""
    fields: Fields = {**LATE_END, "cache-control": "max-age=799", "age": "500"}
    assert faults(fields, data=LATE, at=NOW + 500) == []


@pytest.mark.conformance("U-09")
def test_head_says_what_get_says() -> None:
    [(check, said)] = faults({}, head={"content-length": "0"})
    assert (check, said) == ("head", f"HEAD has content-length 0, GET {len(CRL)}")
    assert faults({}, head={"etag": None}) == [("head", 'HEAD has etag absent, GET "0a1b"')]
    later: Fields = {"last-modified": when(NOW), "etag": '"2"', "content-length": "1"}
    assert faults({}, head=later) == []  # a new CRL came in between


def test_http_dates() -> None:
    assert http_date(when(NOW)) == NOW
    assert [http_date(value) for value in (None, "", "yesterday", "Mon, 99 Foo 9999")] == [None] * 4


def test_every_check_has_a_fault() -> None:
    shown = {check for _, check, _ in FAULTS.values()} | {"head"}
    assert shown == {name for name, _ in HTTP_CHECKS}


@pytest.mark.parametrize("name", ["age", "max-age", "s-maxage", "stale-if-error"])
def test_a_number_of_any_length_is_a_finding_at_most(name: str) -> None:
    """More digits than Python reads."""
    digits = "9" * 5000
    if name == "age":
        assert faults({"age": digits}) == []
    else:
        found = faults({"cache-control": f"max-age=60, {name}={digits}"})
        assert [message for _, message in found] == [f"Cache-Control has {name}={digits}"]
