"""Responses that were signed elsewhere: what is read of them, and what makes them unfit."""

import hashlib
import re
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from _fastpath.certid import SHA1, SHA256, serial_from_int
from _fastpath.imported import LARGEST_RESPONSE
from store.imported import Unfit, admit, read_response
from tests.store.offline import DAY, NOW, OfflineCA

SERIAL = 0x5A17
ROOT = OfflineCA()
OTHER = OfflineCA()  # of the same name
DELEGATE_KEY = ec.generate_private_key(ec.SECP256R1())
DELEGATE = (ROOT.delegate(DELEGATE_KEY), DELEGATE_KEY)


@pytest.mark.conformance("Q-04", "R-06", "R-07")
@pytest.mark.parametrize("kind", ["p256", "rsa", "ed25519"])
@pytest.mark.parametrize("algorithm", [SHA1, SHA256])
def test_what_a_response_says(kind: str, algorithm: int) -> None:
    root = OfflineCA(kind)
    said = read_response(root.issuer, root.response(SERIAL, algorithm))
    assert (said.hash_algorithm, said.serial) == (algorithm, serial_from_int(SERIAL))
    assert (said.this_update, said.next_update) == (NOW - 3600, NOW - 3600 + 90 * DAY - 1)
    assert said.status == (None, 0) and not said.revoked
    assert said.signer == root.certificate
    gone = read_response(root.issuer, root.response(SERIAL, algorithm, revoked=NOW - 7200))
    assert gone.status == (NOW - 7200, 4) and gone.revoked


@pytest.mark.conformance("D-01", "D-02")
def test_a_responder_that_the_ca_issued_may_sign() -> None:
    for by_name in (False, True):
        said = read_response(ROOT.issuer, ROOT.response(SERIAL, signer=DELEGATE, by_name=by_name))
        assert said.signer == DELEGATE[0] and said.by_name == by_name


def forged(body: bytes) -> bytes:
    """Another serial under the same signature."""
    return body.replace(b"\x02\x02\x5a\x17", b"\x02\x02\x5a\x18")


def of_version_2(body: bytes) -> bytes:
    """The certificate in it, which the response's signature does not cover."""
    return body.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020101"))


def without_ocsp() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    return ROOT.delegate(DELEGATE_KEY, for_ocsp=False), DELEGATE_KEY


UNFIT: dict[str, tuple[Callable[[], bytes], str]] = {
    "not DER": (lambda: b"\x30\x80\x00\x00", "OCSPResponse: cannot be read"),
    "nothing": (lambda: b"", "OCSPResponse: cannot be read"),
    "octets after the end": (lambda: ROOT.response(SERIAL) + b"\0", "OCSPResponse: cannot be read"),
    "an error": (lambda: bytes.fromhex("30030a0106"), "responseStatus: unauthorized"),
    "too large": (lambda: bytes(LARGEST_RESPONSE + 1), "size: 4,001 octets"),
    "forged": (lambda: forged(ROOT.response(SERIAL)), "signature: not that of CN=Offline root"),
    "another key's": (
        lambda: OTHER.response(SERIAL, issuer=ROOT.issuer, embeds=False),
        "responderID: names neither root",
    ),
    "another CA's": (
        lambda: OTHER.response(SERIAL, issuer=ROOT.issuer),
        "certs: the responder certificate is not one",
    ),
    "another key's, by name": (
        lambda: OTHER.response(SERIAL, issuer=ROOT.issuer, by_name=True),
        "signature: not that of",
    ),
    "another CA's certificate": (
        lambda: ROOT.response(SERIAL, issuer=OTHER.issuer),
        "certID: its issuer is not root",
    ),
    "a nonce": (
        lambda: ROOT.response(SERIAL, extension=x509.OCSPNonce(bytes(16))),
        "responseExtensions: a nonce",
    ),
    "no end": (lambda: ROOT.response(SERIAL, ends=False), "nextUpdate: it is missing"),
    "not for OCSP": (
        lambda: ROOT.response(SERIAL, signer=without_ocsp()),
        "certs: the responder certificate is not",
    ),
    "a responder of another CA": (
        lambda: ROOT.response(SERIAL, signer=(OTHER.delegate(DELEGATE_KEY), DELEGATE_KEY)),
        "certs: the responder certificate is not one of the CA",
    ),
    "a certificate of a version that there is not": (
        lambda: of_version_2(ROOT.response(SERIAL, signer=DELEGATE)),
        "certs: the responder certificate is not one of the CA: 1 is not a valid X509 version",
    ),
    "a responder that is not there": (
        lambda: ROOT.response(SERIAL, signer=DELEGATE, embeds=False),
        "responderID: names neither",
    ),
}


@pytest.mark.conformance("Q-04", "R-03", "R-07", "R-24")
@pytest.mark.invariant("G2")
@pytest.mark.parametrize("case", UNFIT)
def test_what_is_unfit(case: str) -> None:
    make, message = UNFIT[case]
    with pytest.raises(Unfit) as caught:
        read_response(ROOT.issuer, make())
    assert str(caught.value).startswith(message)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_every_certificate_in_it_is_whole() -> None:
    """Its signature does not cover them."""
    body, embedded = ROOT.response(SERIAL), ROOT.certificate.public_bytes(Encoding.DER)
    start = body.index(embedded)
    for at in range(start, start + len(embedded)):
        flipped = bytearray(body)
        flipped[at] ^= 1
        with pytest.raises(Unfit, match=r"^(certs|OCSPResponse): "):
            read_response(ROOT.issuer, bytes(flipped))


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.parametrize("time", [b"20260230000000Z", b"00000101000000Z", b"2026010100000\xffZ"])
def test_times_that_there_are_not(time: bytes) -> None:
    body = ROOT.response(SERIAL, embeds=False)
    times = [found.start() for found in re.finditer(rb"20\d{12}Z", body)]
    assert len(times) == 3
    for at in times:
        with pytest.raises(Unfit):
            read_response(ROOT.issuer, body[:at] + time + body[at + len(time) :])


RESPONSE = ROOT.response(SERIAL, signer=DELEGATE)


@given(st.integers(0, 8 * len(RESPONSE) - 1))
def test_whatever_was_changed_is_unfit_or_says_the_same(bit: int) -> None:
    """C2: but for octets that nobody signs, such as those of its responder's certificate after it was verified."""
    flipped = bytearray(RESPONSE)
    flipped[bit // 8] ^= 1 << bit % 8
    try:
        said = read_response(ROOT.issuer, bytes(flipped))
    except Unfit:
        return
    before = read_response(ROOT.issuer, RESPONSE)
    assert (said.serial, said.status, said.this_update, said.next_update) == (
        before.serial,
        before.status,
        before.this_update,
        before.next_update,
    )


@pytest.mark.conformance("Q-04")
@pytest.mark.invariant("C1")
def test_a_response_answers_its_own_cert_id_alone() -> None:
    """C1."""
    admitted = admit(ROOT.issuer, RESPONSE, SHA1, serial_from_int(SERIAL))
    assert admitted.digest == hashlib.sha256(RESPONSE).digest()
    assert admitted.not_after == int(DELEGATE[0].not_valid_after_utc.timestamp())
    for algorithm, serial in ((SHA256, SERIAL), (SHA1, SERIAL + 1)):
        with pytest.raises(Unfit, match="certID"):
            admit(ROOT.issuer, RESPONSE, algorithm, serial_from_int(serial))
