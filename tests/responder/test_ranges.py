"""RFC 9110 section 14: which part is meant, and of which representation."""

import pytest

from responder.answers import Header, HttpAnswer
from responder.ranges import RangeRequest, ranged

BODY = bytes(range(100))
MODIFIED = 1_790_000_000
DATE = b"Mon, 21 Sep 2026 14:13:20 GMT"
ETAG = b'"abc"'
WHOLE = HttpAnswer(200, ((b"content-length", b"100"), (b"etag", ETAG)), BODY, MODIFIED)


def asked(*headers: Header) -> HttpAnswer:
    return ranged(WHOLE, RangeRequest.of(headers), ETAG, MODIFIED)


PARTS = {
    b"bytes=0-0": (0, 1),
    b"bytes=0-": (0, 100),
    b"bytes=99-": (99, 100),
    b"bytes=10-19": (10, 20),
    b"bytes=90-1000": (90, 100),
    b"bytes=-1": (99, 100),
    b"bytes=-100": (0, 100),
    b"bytes=-1000": (0, 100),
    b"BYTES=10-19": (10, 20),
    b"bytes= 10-19 ": (10, 20),
    b"bytes=0-999999999999999999": (0, 100),
}


@pytest.mark.conformance("U-10")
@pytest.mark.parametrize("value", PARTS, ids=bytes.decode)
def test_parts(value: bytes) -> None:
    start, end = PARTS[value]
    answer = asked((b"range", value))
    assert (answer.code, bytes(answer.body)) == (206, BODY[start:end])
    assert dict(answer.headers) == {
        b"content-length": b"%d" % (end - start),
        b"content-range": b"bytes %d-%d/100" % (start, end - 1),
        b"etag": ETAG,
    }


@pytest.mark.conformance("U-10")
@pytest.mark.parametrize("value", [b"bytes=100-", b"bytes=100-200", b"bytes=-0"], ids=bytes.decode)
def test_beyond_the_end(value: bytes) -> None:
    answer = asked((b"range", value))
    assert (answer.code, answer.body, dict(answer.headers)[b"content-range"]) == (416, b"", b"bytes */100")


@pytest.mark.conformance("U-10")
@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"range", b"bytes=-")],
        [(b"range", b"bytes=9-8")],
        [(b"range", b"bytes=0-1,5-6")],
        [(b"range", b"bytes 0-1")],
        [(b"range", b"octets=0-1")],
        [(b"range", b"bytes=0x1-2")],
        [(b"range", b"bytes=+1-2")],
        [(b"range", b"bytes=0-" + b"9" * 5000)],
        [(b"range", b"bytes=0-1"), (b"range", b"bytes=0-1")],
        [(b"content-range", b"bytes 0-1/100")],
        [(b"if-range", ETAG)],
    ],
    ids=str,
)
def test_what_is_no_range_is_passed_over(headers: list[Header]) -> None:
    assert asked(*headers) is WHOLE


@pytest.mark.conformance("U-10")
@pytest.mark.parametrize(
    ("value", "code"),
    [
        (ETAG, 206),
        (b" " + ETAG + b" ", 206),
        (b'"other"', 200),
        (b"W/" + ETAG, 200),
        (ETAG + b', "other"', 200),
        (DATE, 206),
        (b"Mon, 21 Sep 2026 14:13:19 GMT", 200),
        (b"Mon, 21 Sep 2026 14:13:21 GMT", 200),
        (b"abc", 200),
        (b"", 200),
    ],
)
def test_if_range(value: bytes, code: int) -> None:
    answer = asked((b"range", b"bytes=1-2"), (b"if-range", value))
    assert (answer.code, bytes(answer.body)) == (code, BODY[1:3] if code == 206 else BODY)


@pytest.mark.invariant("F2")
def test_a_part_is_no_copy() -> None:
    """F2: thousands of slow clients may be owed parts of 10 MB."""
    answer = asked((b"range", b"bytes=1-98"))
    assert isinstance(answer.body, memoryview) and answer.body.obj is BODY
