"""Keys in PKCS #11 tokens, with SoftHSM 2: every kind, what is refused, and tokens that go away."""

import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from pkcs11 import Session

from signer.errors import SigningFault, TokenUnavailable
from signer.keys.pkcs11 import HOLD_OFF, find_key
from signer.keys.place import KeyPlace
from signer.keys.token import TokenKey
from store.errors import ConfigError, OcspeedError
from tests.signer.softhsm import PIN, PrivateKey, SoftHsm, Token
from tests.signer.works import FakeClock

DATA = b"to be signed"
P256, P384 = "300a06082a8648ce3d040302", "300a06082a8648ce3d040303"
P521 = "300a06082a8648ce3d040304"
DIGESTS = {64: hashes.SHA256(), 96: hashes.SHA384(), 132: hashes.SHA512()}
RSA = "300d06092a864886f70d01010b0500"


@pytest.fixture
def hsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHsm:
    return SoftHsm(tmp_path, monkeypatch)


@pytest.fixture
def token(hsm: SoftHsm) -> Token:
    return hsm.token()


def place_of(token: Token, label: str | None = "responder", id: bytes | None = None) -> KeyPlace:
    return KeyPlace(token.hsm.module, token.label, token.pin_file, label, id)


def certificate(key: PrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    moment = datetime(2026, 11, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 5)
    return builder.not_valid_before(moment).not_valid_after(moment + timedelta(60)).sign(key, hashes.SHA256())


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def opened(token: Token, key: PrivateKey, clock: FakeClock | None = None) -> TokenKey:
    """After the key was put there."""
    token.put(key, "responder", "01")
    return TokenKey(place_of(token), certificate(key), clock or FakeClock())


def refusal(place: KeyPlace, key: PrivateKey, kind: type[OcspeedError] = ConfigError) -> str:
    with pytest.raises(kind) as caught:
        TokenKey(place, certificate(key), FakeClock())
    assert type(caught.value) is kind and caught.value.remedy
    assert PIN not in str(caught.value)
    return str(caught.value)


@pytest.mark.conformance("A-01")
@pytest.mark.parametrize(
    ("curve", "algorithm", "size"),
    [(ec.SECP256R1(), P256, 64), (ec.SECP384R1(), P384, 96), (ec.SECP521R1(), P521, 132)],
    ids=["P-256", "P-384", "P-521"],
)
def test_ecdsa(token: Token, curve: ec.EllipticCurve, algorithm: str, size: int) -> None:
    private = ec.generate_private_key(curve)
    key = opened(token, private)
    assert (key.signature_algorithm.hex(), key.signature_size) == (algorithm, size)
    assert key.public_key == private.public_key()
    for number in range(20):
        signature = key.sign_der(DATA + bytes([number]))
        private.public_key().verify(signature, DATA + bytes([number]), ec.ECDSA(DIGESTS[size]))
    key.close()


@pytest.mark.conformance("A-01")
@pytest.mark.parametrize("bits", [2048, pytest.param(4096, marks=pytest.mark.slow)])
def test_rsa(token: Token, bits: int) -> None:
    private = rsa.generate_private_key(65537, bits)
    key = opened(token, private)
    assert (key.signature_algorithm.hex(), key.signature_size) == (RSA, bits // 8)
    megabytes = bytes(3_000_000)  # as a CRL
    private.public_key().verify(key.sign_der(megabytes), megabytes, padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.conformance("A-01")
def test_rsa_that_is_too_short(token: Token) -> None:
    private = rsa.generate_private_key(65537, 1024)
    token.put(private, "responder", "01")
    assert "not a key that may sign here" in refusal(place_of(token), private)


def test_no_such_key(token: Token) -> None:
    token.put(new_key(), "another", "01")
    text = refusal(place_of(token), new_key())
    assert f"token '{token.label}', key 'responder': not there; there is 'another'" in text
    assert "key with id 0203: not there" in refusal(place_of(token, None, b"\x02\x03"), new_key())


def test_two_keys_with_one_label(token: Token) -> None:
    first, second = new_key(), new_key()
    token.put(first, "responder", "0a01")
    token.put(second, "responder", "0a02")
    assert "there are 2 of them, with the ids 0a01, 0a02" in refusal(place_of(token), first)
    for place in (place_of(token, id=b"\x0a\x02"), place_of(token, None, b"\x0a\x02")):
        assert TokenKey(place, certificate(second), FakeClock()).sign_der(DATA)


@pytest.mark.invariant("G4")
def test_the_key_of_another_certificate(token: Token) -> None:
    token.put(new_key(), "responder", "01")
    others: list[PrivateKey] = [
        new_key(),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
    ]
    for other in others:
        assert "key 'responder': not the key of the certificate CN=x" in refusal(place_of(token), other)


def test_a_wrong_pin_is_tried_once(hsm: SoftHsm, token: Token) -> None:
    """Tokens lock themselves: here the token's PIN becomes the one that was refused, and is still not tried."""
    private = new_key()
    token.put(private, "responder", "01")
    token.write_pin("another-0815")
    text = refusal(place_of(token), private)
    assert f"the PIN in {token.pin_file} is refused" in text and "0815" not in text
    set_pin = "import sys, pkcs11; module, label, old, new = sys.argv[1:]; "
    set_pin += "pkcs11.lib(module).get_token(token_label=label).open(rw=True, user_pin=old).set_pin(old, new)"
    command = [sys.executable, "-c", set_pin, str(hsm.module), token.label, PIN, "another-0815"]
    subprocess.run(command, check=True)
    assert "is refused" in refusal(place_of(token), private)
    again = [sys.executable, "-c", set_pin, str(hsm.module), token.label, "another-0815", "corrected-42"]
    subprocess.run(again, check=True)
    token.write_pin("corrected-42")
    assert TokenKey(place_of(token), certificate(private), FakeClock()).sign_der(DATA)


def test_no_such_token(token: Token) -> None:
    text = refusal(replace(place_of(token), token="absent"), new_key(), TokenUnavailable)
    assert f"token 'absent', key 'responder': NoSuchToken: 0 tokens have that label; those there are '{token.label}'" in text  # fmt: skip


@pytest.mark.invariant("G4")
def test_a_token_that_goes_away(hsm: SoftHsm, token: Token) -> None:
    """Nothing is signed while it is away, nor asked of it too often; once back it signs, for every key of it."""
    clock = FakeClock()
    private, other = new_key(), new_key()
    token.put(other, "other", "02")
    key = opened(token, private, clock)
    second = TokenKey(place_of(token, "other"), certificate(other), clock)
    hsm.remove()
    for one in (key, second, key):
        with pytest.raises(TokenUnavailable, match="NoSuchToken"):
            one.sign_der(DATA)
    hsm.bring_back()
    with pytest.raises(TokenUnavailable, match="NoSuchToken"):
        key.sign_der(DATA)
    clock.elapsed += HOLD_OFF
    for one, its in ((key, private), (second, other), (key, private)):
        its.public_key().verify(one.sign_der(DATA), DATA, ec.ECDSA(hashes.SHA256()))


@pytest.mark.invariant("G4")
def test_a_token_that_was_gone_for_a_moment(hsm: SoftHsm, token: Token) -> None:
    """The session is lost and nobody notices before the next signature."""
    private = new_key()
    key = opened(token, private)
    hsm.remove()
    assert "NoSuchToken" in refusal(replace(place_of(token), token="absent"), private, TokenUnavailable)
    hsm.bring_back()
    private.public_key().verify(key.sign_der(DATA), DATA, ec.ECDSA(hashes.SHA256()))


@pytest.mark.invariant("G4")
def test_another_token_in_its_place(hsm: SoftHsm, token: Token) -> None:
    """It has the label and the PIN, and a key of that label: not the key."""
    clock = FakeClock()
    key = opened(token, new_key(), clock)
    hsm.remove()
    token.initialise()
    token.put(new_key(), "responder", "01")
    for _ in range(2):
        with pytest.raises(ConfigError, match="not the key of the certificate"):
            key.sign_der(DATA)


@pytest.mark.conformance("A-05")
@pytest.mark.invariant("G4")
def test_a_token_that_signs_wrongly(token: Token) -> None:
    """As if its key changed under the handle."""
    token.put(new_key(), "other", "02")
    key = opened(token, new_key())
    assert key._session is not None
    key._key = find_key(key._session, place_of(token, "other"))
    with pytest.raises(SigningFault, match="key 'responder': bad signature made"):
        key.sign_der(DATA)


@pytest.mark.invariant("G4")
def test_threads_have_sessions_of_their_own(token: Token) -> None:
    private = new_key()
    token.put(private, "responder", "01")
    made: list[bytes] = []
    sessions: list[Session] = []

    def sign() -> None:
        key = TokenKey(place_of(token), certificate(private), FakeClock())
        assert key._session is not None
        sessions.append(key._session)
        made.extend(key.sign_der(DATA) for _ in range(100))

    threads = [threading.Thread(target=sign) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(made) == 300 and len(set(map(id, sessions))) == 3


def test_closed_sessions_leave_the_others_logged_in(token: Token) -> None:
    private = new_key()
    key = opened(token, private)
    other = TokenKey(place_of(token), certificate(private), FakeClock())
    other.close()
    assert key.sign_der(DATA) and other.sign_der(DATA)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o620])
def test_a_pin_that_others_may_read_or_change(token: Token, mode: int) -> None:
    token.pin_file.chmod(mode)
    assert f"{token.pin_file}: others may read or change it" in refusal(place_of(token), new_key())


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read: No such file"), (b"", "no PIN in it"), (b"\n", "no PIN"), (b"\xff\n", "no PIN")],
)
def test_a_file_without_a_pin(token: Token, content: bytes | None, message: str) -> None:
    token.pin_file.unlink()
    if content is not None:
        token.pin_file.write_bytes(content)
        token.pin_file.chmod(0o600)
    assert f"{token.pin_file}: {message}" in refusal(place_of(token), new_key())
