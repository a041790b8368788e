"""Requests made by cryptography and asn1crypto, and damaged ones, read by us and by others."""

from pathlib import Path

import pytest

from _fastpath.errors import MalformedRequest
from _fastpath.request import OCSPRequest, parse_request
from tests.property.der_tree import damaged
from tests.property.differences import Refusal, read_by_us
from tests.property.request_readers import DIFFERENCES, explain
from tests.property.requests import (
    Asked,
    asked_of_asn1crypto,
    asked_of_cryptography,
    made_by_asn1crypto,
    made_by_cryptography,
)
from tests.property.tiers import property_of

VECTORS = Path(__file__).parents[1] / "vectors"
EXAMPLES = DIFFERENCES.examples()
ORIGINALS = [path.read_bytes() for path in sorted(VECTORS.glob("*/req-*.der"))] + list(EXAMPLES.values())


def check(asked: Asked, data: bytes) -> None:
    if asked.refused:
        with pytest.raises(MalformedRequest):
            parse_request(data)
    else:
        compare(asked, parse_request(data))


def compare(asked: Asked, request: OCSPRequest) -> None:
    assert request.nonce == asked.nonce
    assert len(request.cert_ids) == len(asked.cert_ids)
    for ours, expected in zip(request.cert_ids, asked.cert_ids, strict=True):
        assert ours.hash_algorithm == expected.hash_algorithm
        assert (ours.issuer_name_hash, ours.issuer_key_hash) == (expected.name_hash, expected.key_hash)
        size = max(1, (expected.serial.bit_length() + 7) // 8)
        assert ours.serial_number == expected.serial.to_bytes(size, "big")


@pytest.mark.conformance("Q-03", "Q-04", "Q-05", "Q-06", "Q-07", "Q-08", "Q-10")
@property_of(asked=asked_of_asn1crypto)
def test_a_request_of_asn1crypto_says_what_was_asked(asked: Asked) -> None:
    check(asked, made_by_asn1crypto(asked))


@pytest.mark.conformance("Q-04", "Q-05", "Q-06", "Q-08")
@property_of(asked=asked_of_cryptography)
def test_a_request_of_cryptography_says_what_was_asked(asked: Asked) -> None:
    check(asked, made_by_cryptography(asked))


@pytest.mark.conformance("Q-02", "Q-05", "Q-06", "Q-07", "Q-10")
@pytest.mark.invariant("F6")
@property_of(data=damaged(ORIGINALS))
def test_a_damaged_request_is_read_as_cryptography_does_but_for_known_differences(data: bytes) -> None:
    explain(data)


@pytest.mark.conformance("Q-02", "Q-05", "Q-06", "Q-07", "Q-10")
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_known_difference_is_one(name: str) -> None:
    ours = read_by_us(parse_request, EXAMPLES[name])
    assert explain(EXAMPLES[name]) == [name]
    assert isinstance(ours, Refusal) == (name in DIFFERENCES.we_refuse)
