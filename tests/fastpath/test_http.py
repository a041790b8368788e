"""GET paths, dates and lifetimes against the standard library and the rules of conformance H-03, H-04, H-14, H-15."""

import base64
import datetime
import email.utils
import urllib.parse

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _fastpath.errors import MalformedRequest
from _fastpath.http import (
    TOLERATED_DOUBLE_ENCODING,
    TOLERATED_LINE_BREAK,
    TOLERATED_PADDING,
    TOLERATED_SPACE,
    TOLERATED_URL_ALPHABET,
    decode_get_path,
    imf_fixdate,
    max_age,
    refresh_deadline,
)

HOUR, DAY = 3600, 86400
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
# What path handling goes wrong on: a run of slashes, a single one, two `=`; and pluses.
TEXT, PLUS = b"MD777////gAP/8ECAw==", b"MO++++++"
DER = base64.b64decode(TEXT)

requests = st.binary(max_size=200).map(lambda rest: b"\x30" + rest)


def double(text: bytes) -> bytes:
    return text.replace(b"%", b"%25")


def quote(text: bytes) -> bytes:
    return urllib.parse.quote(text, safe="").encode()


@pytest.mark.conformance("H-14")
@pytest.mark.parametrize(
    "path",
    [
        TEXT,
        b"/" + TEXT,
        b"//" + TEXT,
        b"%2F" + TEXT,
        b"/%2f/" + TEXT,
        quote(TEXT),
        b"/" + quote(TEXT),
        TEXT.replace(b"/", b"%2f"),
        TEXT.replace(b"//", b"/%2F"),
        TEXT.replace(b"=", b"%3d"),
        b"".join(b"%%%02x" % octet for octet in TEXT),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_spellings_that_are_right(path: bytes, strict: bool) -> None:
    assert decode_get_path(path, strict=strict) == (DER, 0)


@pytest.mark.conformance("H-15")
@pytest.mark.parametrize(
    ("path", "expected", "tolerated"),
    [
        (PLUS.replace(b"+", b" "), None, TOLERATED_SPACE),
        (PLUS.replace(b"+", b"%20"), None, TOLERATED_SPACE),
        (PLUS.replace(b"+", b"-"), None, TOLERATED_URL_ALPHABET),
        (PLUS.replace(b"+", b"%2D"), None, TOLERATED_URL_ALPHABET),
        (PLUS.replace(b"+", b"%252B"), None, TOLERATED_DOUBLE_ENCODING),
        (PLUS.replace(b"+", b"%2520"), None, TOLERATED_DOUBLE_ENCODING | TOLERATED_SPACE),
        (TEXT.replace(b"/", b"_"), DER, TOLERATED_URL_ALPHABET),
        (TEXT.replace(b"/", b"%252F"), DER, TOLERATED_DOUBLE_ENCODING),
        (double(quote(TEXT)), DER, TOLERATED_DOUBLE_ENCODING),
        (b"%252F" + TEXT, DER, TOLERATED_DOUBLE_ENCODING),
        (TEXT.rstrip(b"="), DER, TOLERATED_PADDING),
        (TEXT[:-1], DER, TOLERATED_PADDING),
        (TEXT[:8] + b"\r\n" + TEXT[8:], DER, TOLERATED_LINE_BREAK),
        (TEXT[:7] + b"%0D%0A" + TEXT[7:] + b"%0a", DER, TOLERATED_LINE_BREAK),
        (TEXT[:-2] + b"=\n=", DER, TOLERATED_LINE_BREAK),
        (b"\n" + TEXT, DER, TOLERATED_LINE_BREAK),
        (
            TEXT.replace(b"/", b"_").rstrip(b"=") + b"%250a",
            DER,
            TOLERATED_URL_ALPHABET | TOLERATED_PADDING | TOLERATED_LINE_BREAK | TOLERATED_DOUBLE_ENCODING,
        ),
    ],
)
def test_spellings_that_are_tolerated_and_counted(
    path: bytes, expected: bytes | None, tolerated: int
) -> None:
    assert decode_get_path(path) == (expected or base64.b64decode(PLUS), tolerated)
    with pytest.raises(MalformedRequest, match="standard base64"):
        decode_get_path(path, strict=True)


@pytest.mark.conformance("Q-02")
@pytest.mark.invariant("E1")
@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"/",
        b"//",
        b"%2F",
        b"=",
        b"====",
        b"M",
        b"M===",
        b"MD77M",
        b"MD7==",
        b"MA===",
        b"MD77=",
        b"MA==MA==",
        b"MA=M",
        b"MA==/",
        b"MB==",
        b"MD1=",
        b"MD77%",
        b"MD77%4",
        b"MD77%zz",
        b"MD77%4g",
        b"MD77%25",
        b"MD77%254",
        b"MD77%25252B",
        b"MD77%%4D",
        b"MD77%00",
        b"MD77\x00",
        b"MD77\xff",
        b"MD77%ff",
        b"MD77?MD77",
        b"MD77#",
        b"MD77.",
        b"../MD77",
        b"MD77/../MD77",
        b"MD77*",
        b"MD77,",
        b"MD77\t",
        b"MD77%u002B",
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_paths_that_are_no_base64(path: bytes, strict: bool) -> None:
    with pytest.raises(MalformedRequest):
        decode_get_path(path, strict=strict)


@pytest.mark.conformance("H-14")
@pytest.mark.invariant("E1")
def test_inner_slashes_are_digits() -> None:
    assert decode_get_path(b"//MAAA////")[0] == base64.b64decode(b"MAAA////")
    assert decode_get_path(b"MAAA//8=") == (base64.b64decode(b"MAAA//8="), 0)


@pytest.mark.conformance("H-14")
@given(
    request=requests,
    encode=st.lists(st.booleans(), min_size=300, max_size=300),
    slashes=st.integers(0, 3),
    lower=st.booleans(),
)
@settings(max_examples=200)
def test_any_percent_encoding_gives_the_request(
    request: bytes, encode: list[bool], slashes: int, lower: bool
) -> None:
    spelled = b"%%%02x" if lower else b"%%%02X"
    text = base64.b64encode(request)
    path = b"".join(
        spelled % octet if wrap else bytes([octet]) for octet, wrap in zip(text, encode, strict=False)
    )
    assert decode_get_path(b"/" * slashes + path, strict=True) == (request, 0)
    assert decode_get_path(double(path)) == (request, TOLERATED_DOUBLE_ENCODING if b"%" in path else 0)


@given(request=requests)
@settings(max_examples=100)
def test_base64url_without_padding_gives_the_request(request: bytes) -> None:
    path = base64.urlsafe_b64encode(request).rstrip(b"=")
    assert decode_get_path(path)[0] == request


@pytest.mark.conformance("H-15")
@given(text=st.lists(st.sampled_from(b"MA/+09az=%2F5 \r\n-_."), max_size=24).map(bytes))
@settings(max_examples=200)
def test_strict_mode_accepts_only_what_the_standard_library_does(text: bytes) -> None:
    try:
        decoded, _ = decode_get_path(text, strict=True)
    except MalformedRequest:
        return
    unquoted = urllib.parse.unquote_to_bytes(text).lstrip(b"/")
    assert base64.b64decode(unquoted, validate=True) == decoded
    assert base64.b64encode(decoded) == unquoted


@pytest.mark.conformance("Q-12")
@pytest.mark.invariant("F1")
def test_a_path_is_at_most_8192_octets() -> None:
    longest = b"MAAA" * 2048
    assert len(decode_get_path(longest)[0]) == 6144
    with pytest.raises(MalformedRequest, match="8192"):
        decode_get_path(b"/" + longest)


@pytest.mark.conformance("H-03")
@given(seconds=st.integers(-62_135_596_800, 253_402_300_799))
@settings(max_examples=200)
def test_dates_are_those_of_the_standard_library(seconds: int) -> None:
    when = EPOCH + datetime.timedelta(seconds=seconds)
    assert imf_fixdate(seconds).decode() == email.utils.format_datetime(when, usegmt=True)


def test_known_dates() -> None:
    assert imf_fixdate(784_111_777) == b"Sun, 06 Nov 1994 08:49:37 GMT"  # RFC 9110 section 5.6.7
    assert imf_fixdate(1_795_255_200) == b"Sat, 21 Nov 2026 10:00:00 GMT"
    assert imf_fixdate(-62_167_219_200) == b"Sat, 01 Jan 0000 00:00:00 GMT"


@pytest.mark.parametrize("seconds", [-62_167_219_201, 253_402_300_800])
def test_dates_outside_four_digit_years(seconds: int) -> None:
    with pytest.raises(ValueError, match="0 to 9999"):
        imf_fixdate(seconds)


@pytest.mark.conformance("H-04", "R-16", "P-01")
@pytest.mark.parametrize(
    ("validity", "deadline"),
    [
        (8 * HOUR, 4 * HOUR),
        (16 * HOUR - 1, 8 * HOUR - 1),
        (16 * HOUR, 8 * HOUR),
        (4 * DAY - 1, 2 * DAY - 1),
        (7 * DAY - 1, 84 * HOUR - 1),
        (8 * DAY, 4 * DAY),
        (10 * DAY, 4 * DAY),
    ],
)
def test_known_deadlines(validity: int, deadline: int) -> None:
    assert refresh_deadline(1_790_000_000, 1_790_000_000 + validity) == 1_790_000_000 + deadline


@pytest.mark.conformance("H-04", "R-16", "P-01")
@pytest.mark.invariant("B3")
@given(this_update=st.integers(0, 2**32), validity=st.integers(1, 400 * DAY))
@settings(max_examples=200)
def test_deadlines_meet_every_bound(this_update: int, validity: int) -> None:
    next_update = this_update + validity
    deadline = refresh_deadline(this_update, next_update)
    assert this_update <= deadline <= this_update + min(validity / 2, 4 * DAY)
    if validity >= 16 * HOUR:
        assert deadline <= next_update - 8 * HOUR


@pytest.mark.conformance("H-04")
@pytest.mark.invariant("B1", "E3")
@given(
    now=st.integers(0, 2**32),
    age=st.integers(-HOUR, 12 * DAY),
    validity=st.integers(1, 10 * DAY),
    cap=st.integers(0, DAY),
)
@settings(max_examples=200)
def test_a_cache_never_outlives_the_response_or_the_deadline(
    now: int, age: int, validity: int, cap: int
) -> None:
    this_update = now - age
    next_update = this_update + validity
    seconds = max_age(now, this_update, next_update, cap)
    deadline = refresh_deadline(this_update, next_update)
    assert seconds == max(0, min(cap, deadline - now, next_update - now - 60))
    if seconds:
        assert now + seconds <= min(deadline, next_update - 60)
