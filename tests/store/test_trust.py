"""Responder certificates out of the store: whatever cannot be read is refused, like what the CA did not sign."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from store.trust import Untrusted, responder_of
from tests.store.offline import OfflineCA

ROOT = OfflineCA()
DELEGATE = ROOT.delegate(ec.generate_private_key(ec.SECP256R1())).public_bytes(Encoding.DER)
VERSION, ECDSA_SHA256 = bytes.fromhex("a003020102"), bytes.fromhex("06082a8648ce3d040302")


@pytest.mark.conformance("D-01")
@pytest.mark.parametrize(
    ("before", "after"), [(VERSION, VERSION[:-1] + b"\x01"), (ECDSA_SHA256, ECDSA_SHA256[:-1] + b"\x7f")]
)
def test_what_cryptography_cannot_read_is_untrusted(before: bytes, after: bytes) -> None:
    """A version and an algorithm that there are not."""
    assert before in DELEGATE
    with pytest.raises(Untrusted, match="is not one of the CA"):
        responder_of(ROOT.issuer, DELEGATE.replace(before, after))
