"""CRLs of others and damaged ones, read by our second reader, by cryptography and by a walk through the tree."""

import pytest

from _fastpath.crl_reader import Crl
from tests.property.crl_differences import DIFFERENCES, crl, explain
from tests.property.crl_readers import SeenCrl, see_by_cryptography
from tests.property.crls import NAMES, Listed, Scope
from tests.property.der_tree import damaged
from tests.property.differences import Refusal, read_by_cryptography, read_by_us
from tests.property.tiers import property_of

# What cryptography says of an authorityCertSerialNumber; that we refuse the field is in the table.
pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")

EXAMPLES = DIFFERENCES.examples()
ENTRIES = ((5, 1_700_000_000, 0), (2**159, 2_600_000_000, 1), (300, 1_700_000_000, 9))
OURS = [
    Listed(
        ENTRIES, NAMES[1], (1_700_000_000, 2_600_000_000), b"k" * 20, 2**150, Scope("http://c/", True, False)
    ),
    Listed(ENTRIES[:1], NAMES[0], (1_700_000_000, 1_700_000_001), b"k", 0, Scope(None, False, True)),
    Listed((), NAMES[0], (1_700_000_000, 1_700_000_001), b"k" * 20, 127, None),
]
ORIGINALS = [one.encode() for one in OURS] + [bytes.fromhex(crl())] + list(EXAMPLES.values())


@pytest.mark.conformance(
    "C-01", "C-03", "C-05", "C-07", "C-08", "C-11", "C-13", "C-14", "C-15", "C-20", "C-21"
)
@property_of(data=damaged(ORIGINALS))
def test_a_damaged_crl_is_read_as_cryptography_does_but_for_known_differences(data: bytes) -> None:
    explain(data)


@pytest.mark.conformance(
    "C-01", "C-03", "C-05", "C-07", "C-08", "C-11", "C-13", "C-14", "C-15", "C-20", "C-21"
)
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_known_difference_is_one(name: str) -> None:
    ours = read_by_us(Crl, EXAMPLES[name])
    assert explain(EXAMPLES[name]) == [name]
    assert isinstance(ours, Refusal) == (name in DIFFERENCES.we_refuse)


def test_the_originals_are_read_before_they_are_damaged() -> None:
    for data in ORIGINALS[: len(OURS) + 1]:
        assert explain(data) == []
        assert isinstance(read_by_us(Crl, data), Crl)
        assert isinstance(read_by_cryptography(see_by_cryptography, data), SeenCrl)
