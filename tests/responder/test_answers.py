"""Answers and freshness without a server: lifetimes under random clocks, and the header fields of refusals."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _fastpath.answer import Entry, assemble
from _fastpath.certid import SHA1, serial_from_int
from _fastpath.http import MARGIN
from responder.answers import Conditions, error_answer, http_refusal, not_modified, ocsp_answer
from responder.errors import ERROR_BODIES
from tests.responder.ca import CA, SLOT, TEMPLATE_NUMBER, good

AUTHORITY = CA("demo")
assert SLOT != TEMPLATE_NUMBER


def answer_with(this_update: int, validity: int) -> Entry:
    response = good(5, this_update=this_update, next_update=this_update + validity)
    record = AUTHORITY.record(response, (SHA1,))
    answer = assemble(
        AUTHORITY.template, TEMPLATE_NUMBER, AUTHORITY.issuer.id, SHA1, serial_from_int(5), record, 0, 1 << 40
    )
    assert answer is not None
    return answer


@pytest.mark.conformance("H-04", "R-11")
@settings(max_examples=100, deadline=None)
@given(
    this_update=st.integers(1_700_000_000, 4_000_000_000),
    validity=st.integers(28_800, 863_999),
    elapsed=st.integers(-10, 900_000),
    cap=st.integers(0, 864_000),
)
def test_lifetimes_end_before_next_update(this_update: int, validity: int, elapsed: int, cap: int) -> None:
    """H-04, B1: thisUpdate < Date + max-age < nextUpdate, and nothing is sent in the last minute."""
    answer = answer_with(this_update, validity)
    now = this_update + elapsed
    fault = answer.fault(now)
    if fault is not None:
        assert (fault == "expired") == (now >= answer.next_update - MARGIN)
        assert fault == "expired" or now < answer.produced_at
        return
    assert answer.produced_at <= now < answer.next_update - MARGIN
    headers = dict(ocsp_answer(answer, now, cap).headers)
    age = int(headers[b"cache-control"].split(b",")[0].removeprefix(b"max-age="))
    assert 0 <= age <= cap
    assert this_update < now + age <= answer.next_update - MARGIN


@pytest.mark.conformance("H-01", "H-06")
@pytest.mark.invariant("E3")
def test_refusals_are_kept_by_nobody() -> None:
    for status, body in ERROR_BODIES.items():
        answer = error_answer(status, 1_800_000_000)
        assert (answer.code, answer.body) == (200, body)
        assert dict(answer.headers)[b"cache-control"] == b"no-store"
    closing = {code for code in (400, 404, 405, 408, 413, 414, 415, 431, 503) if _closes(code)}
    assert closing == {400, 408, 413, 414, 431, 503}


def _closes(code: int) -> bool:
    headers = dict(http_refusal(code, 1_800_000_000).headers)
    assert headers[b"cache-control"] == b"no-store"
    return headers.get(b"connection") == b"close"


@pytest.mark.conformance("H-09")
def test_not_modified_has_no_content_fields() -> None:
    whole = ocsp_answer(answer_with(1_800_000_000, 345_599), 1_800_000_100, 3600)
    names = [name for name, _ in not_modified(whole).headers]
    assert names == [b"date", b"last-modified", b"etag", b"expires", b"cache-control"]


@pytest.mark.conformance("H-09")
@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_conditions_of_any_octets_do_not_fail(value: bytes) -> None:
    Conditions(if_none_match=value).match(b'"x"', 0)
    assert Conditions(if_modified_since=value).match(b'"x"', 1 << 40) is False


@pytest.mark.conformance("H-09")
def test_conditions_in_several_lines() -> None:
    lines = [(b"if-none-match", b'"a"'), (b"if-none-match", b'"x"')]
    assert Conditions.of(lines).match(b'"x"', 0)
    dates = [(b"if-modified-since", b"Sat, 01 Jan 2050 00:00:00 GMT")] * 2
    assert not Conditions.of(dates).match(b'"x"', 0)
