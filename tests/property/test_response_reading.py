"""What we read back of responses, signatures and templates, damaged, beside cryptography or by its own encoding."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import strategies as st

from _fastpath.errors import MalformedDer, RecordDamaged, UnknownFormat
from _fastpath.ocsp import signature_to_raw, split_response
from _fastpath.template import Template
from tests.property.der_tree import damaged
from tests.property.differences import Refusal, read_by_us
from tests.property.response_readers import DIFFERENCES, explain
from tests.property.responses import KINDS, embedding, signer
from tests.property.tiers import property_of

VECTORS = Path(__file__).parents[1] / "vectors"
EXAMPLES = DIFFERENCES.examples()
RESPONSES = [path.read_bytes() for path in sorted(VECTORS.glob("ocsp/resp-*.der"))] + list(EXAMPLES.values())
SIGNATURES = [
    encode_dss_signature(r, s)
    for r, s in ((1, 1), (2**255, 2**256 - 1), (2**256 - 1, 127), (128, 2**248), (2**384 - 1, 5))
]
TEMPLATES = [maker(kind).template.encode() for maker in (signer, embedding) for kind in KINDS[:4]]


@pytest.mark.conformance("A-05", "R-01")
@property_of(data=damaged(RESPONSES))
def test_a_damaged_response_is_taken_apart_as_by_cryptography_but_for_known_differences(data: bytes) -> None:
    explain(data)


@pytest.mark.conformance("A-05")
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_known_difference_is_one(name: str) -> None:
    ours = read_by_us(split_response, EXAMPLES[name])
    assert name in explain(EXAMPLES[name])
    assert isinstance(ours, Refusal) == (name in DIFFERENCES.we_refuse)


@pytest.mark.conformance("A-05")
@property_of(data=damaged(SIGNATURES))
def test_a_damaged_signature_is_the_two_integers_of_cryptography_or_refused(data: bytes) -> None:
    template = signer("secp256r1").template
    try:
        r, s = decode_dss_signature(data)
    except ValueError:
        r, s = 0, 0
    if 0 < r < 2**256 and 0 < s < 2**256:
        assert signature_to_raw(template, data) == r.to_bytes(32, "big") + s.to_bytes(32, "big")
    else:
        with pytest.raises(MalformedDer):
            signature_to_raw(template, data)


@pytest.mark.conformance("A-01", "A-02")
@property_of(data=damaged(TEMPLATES) | st.sampled_from(TEMPLATES))
def test_a_damaged_template_is_refused_or_says_what_its_octets_say(data: bytes) -> None:
    """A template that is read encodes to the octets it came from: nothing in it was overlooked."""
    try:
        template = Template.decode(data)
    except (RecordDamaged, UnknownFormat):
        return
    assert template.encode() == data
