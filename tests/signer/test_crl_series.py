"""Series: URLs and the place of a certificate."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signer.crl.series import Series


def test_urls_follow_whatever_pattern_the_certificates_carry() -> None:
    default = Series("r1", 2, "http://c.example/crl/{issuer}/{series}-{index}.crl", 16)
    assert (default.url(0), default.url(15)) == (
        "http://c.example/crl/r1/2-0.crl",
        "http://c.example/crl/r1/2-15.crl",
    )
    assert (
        Series("r1", 0, "http://c.example/%7Bp{0}/{index}.crl", 2).url(1) == "http://c.example/%7Bp{0}/1.crl"
    )
    assert Series("r1", 0, "http://c.example/all.crl", 1).url(0) == "http://c.example/all.crl"


@pytest.mark.parametrize("index", [-1, 16])
def test_there_is_no_shard_outside_the_count(index: int) -> None:
    with pytest.raises(ValueError, match="shards 0 to 15"):
        Series("r1", 2, "http://c.example/{index}.crl", 16).url(index)


@pytest.mark.parametrize(
    ("pattern", "count", "message"),
    [
        ("http://c.example/all.crl", 2, "need {index}"),
        ("http://c.example/{index}.crl", 0, "at least 1"),
        ("https://c.example/{index}.crl", 2, "plain http"),
        ("http://c.example/a b/{index}.crl", 2, "printable ASCII"),
        ("http://ü.example/{index}.crl", 2, "printable ASCII"),
    ],
)
def test_patterns_that_are_refused(pattern: str, count: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Series("r1", 0, pattern, count)


@settings(max_examples=100, deadline=None)
@given(serial=st.binary(min_size=1, max_size=20), count=st.integers(1, 2_000))
def test_each_serial_has_one_place(serial: bytes, count: int) -> None:
    series = Series("r1", 0, "http://c.example/{index}.crl", count)
    expected = int.from_bytes(hashlib.sha256(serial).digest()[:4], "big") % count
    assert series.shard_index(serial) == expected
    assert series.url(expected).endswith(f"/{expected}.crl")
