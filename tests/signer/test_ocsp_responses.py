"""What one response says and when it ends: the bounds of R-12, R-17 and R-18, and the check of every signature."""

import pickle
from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from _fastpath.certid import IssuerID
from _fastpath.page import decode_record
from _fastpath.signing import UnsignedRecords
from _fastpath.template import Template
from signer.errors import SignerExpiring, SigningFault
from signer.keys.file import EcKey
from signer.ocsp.responses import ResponseSigner, next_update_bounds
from store.errors import OcspeedError, StoreUnavailable
from tests.signer.ledgers import NOW
from tests.signer.works import DAY, Works, row_in_page

HOUR = 3600
FAR = NOW + 10_000 * DAY

ISSUER = IssuerID(b"0\0", b"\4")
SIGNATURE = bytes(256)


def next_update_of(this_update: int, validity: int, not_after: int, signer_not_after: int) -> int:
    """What a record says."""
    template = Template(
        signature_algorithm=bytes.fromhex("300d06092a864886f70d01010b0500"),
        signature_size=len(SIGNATURE),
        responder_key_hash=bytes(20),
        certificates=b"",
        validity=validity,
    )
    earliest, latest = next_update_bounds(this_update, validity, signer_not_after)
    unsigned = UnsignedRecords(
        ISSUER,
        template,
        0,
        (1,),
        [(0, b"\1", not_after, None, 0)],
        this_update=this_update,
        produced_at=this_update,
        earliest=earliest,
        latest=latest,
    )
    record = unsigned.records([SIGNATURE])[b"\1"]
    return decode_record(ISSUER, template, b"\1", record).response.next_update


validities = st.integers(16 * HOUR + 1, 7 * DAY).map(lambda duration: duration - 1)


@pytest.mark.conformance("R-12", "R-13", "R-17", "R-18")
@pytest.mark.invariant("B5")
@given(validity=validities, left=st.integers(-DAY, 20 * DAY), signer_left=st.integers(-DAY, 20 * DAY))
def test_bounds(validity: int, left: int, signer_left: int) -> None:
    if signer_left < 16 * HOUR:
        with pytest.raises(SignerExpiring):
            next_update_of(NOW, validity, NOW + left, NOW + signer_left)
        return
    lasts = next_update_of(NOW, validity, NOW + left, NOW + signer_left) - NOW
    assert 8 * HOUR <= lasts <= min(validity, signer_left)
    assert lasts <= max(left, 8 * HOUR)  # R-18, which R-12 beats
    assert lasts in (validity, signer_left, left, 8 * HOUR)  # and not shorter than that asks for


@pytest.mark.conformance("R-12", "R-18")
@pytest.mark.parametrize(
    ("left", "lasts"),
    [(FAR - NOW, 96 * HOUR - 1), (10 * HOUR, 10 * HOUR), (8 * HOUR, 8 * HOUR), (60, 8 * HOUR)],
    ids=["long", "ten hours", "eight hours", "one minute"],
)
def test_end_of_the_certificate(left: int, lasts: int) -> None:
    assert next_update_of(NOW, 96 * HOUR - 1, NOW + left, FAR) == NOW + lasts


@pytest.mark.conformance("R-17", "D-08")
@pytest.mark.invariant("B5")
def test_end_of_the_signer() -> None:
    # B5: refused near the end, shorter before.
    assert next_update_of(NOW, 96 * HOUR - 1, FAR, NOW + 20 * HOUR) == NOW + 20 * HOUR
    with pytest.raises(SignerExpiring, match="2.0 h away"):
        next_update_of(NOW, 96 * HOUR - 1, FAR, NOW + 2 * HOUR)


@pytest.mark.parametrize(
    "error",
    [SignerExpiring(NOW + HOUR, NOW), SigningFault("bad"), StoreUnavailable("gone", remedy="start it")],
    ids=lambda error: type(error).__name__,
)
def test_errors_cross_from_a_signing_process(error: OcspeedError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (copy.message, copy.remedy, str(copy)) == (error.message, error.remedy, str(error))


@pytest.mark.conformance("R-15", "R-21")
def test_a_record_is_what_the_row_says(works: Works) -> None:
    signer = works.context.response_signer("demo")
    row = row_in_page(0, 1, revoked=NOW - 50)._replace(reason=4)
    record = decode_record(signer.issuer.id, signer.template, row.serial, signer.record(row, NOW, NOW + 3))
    response = record.response
    assert (response.this_update, response.produced_at) == (NOW, NOW + 3)
    assert response.next_update == NOW + 4 * DAY - 1  # N = 96 h counts both ends
    assert (response.revocation_time, response.reason) == (NOW - 50, 4)
    assert record.sha1_signature and record.sha256_signature


class BrokenKey:
    """A token that returns signatures of another key, from the `good`th on."""

    def __init__(self, good: int) -> None:
        self._key = EcKey(ec.generate_private_key(ec.SECP256R1()))
        self._other = EcKey(ec.generate_private_key(ec.SECP256R1()))
        self.signature_algorithm = self._key.signature_algorithm
        self.signature_size = self._key.signature_size
        self.left = good

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._key.public_key

    def sign_der(self, data: bytes) -> bytes:
        self.left -= 1
        return (self._key if self.left >= 0 else self._other).sign_der(data)

    def sign_each(self, data: Sequence[bytes]) -> list[bytes]:
        return [self.sign_der(octets) for octets in data]

    def verify(self, data: bytes, signature: bytes) -> bool:
        return self._key.verify(data, signature)


@pytest.mark.conformance("A-05")
@pytest.mark.invariant("G4")
@pytest.mark.parametrize(("good", "signed_before"), [(0, 0), (999, 999), (1001, 1023)])
def test_a_bad_signature_stops_the_signer(works: Works, good: int, signed_before: int) -> None:
    """The first thousand signatures are all looked at, then one in 128 (A-05)."""
    stored = works.ledger.add_template(
        works.issuer.id, works.context.response_signer("demo").template.encode()
    )
    key = BrokenKey(good)
    signer = ResponseSigner(works.context.issuer("demo"), stored, key, (1,), FAR)
    row = row_in_page(0, 1)
    with pytest.raises(SigningFault, match=row.serial.hex()):
        for _ in range(1_200):
            signer.record(row, NOW, NOW)
    assert good - key.left - 1 == signed_before
