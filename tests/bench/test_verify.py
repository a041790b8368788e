"""An answer that is not the one to its request does not pass."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from bench.serve.generator import Request, Status
from bench.serve.verify import FIELDS, WrongAnswer, verify

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "CA")])
SERIAL = 4711
HEAD = (
    b"HTTP/1.1 200 OK\r\n" + b"".join(name.title().encode() + b": x\r\n" for name in sorted(FIELDS)) + b"\r\n"
)
UNAUTHORIZED = HEAD + b"\x30\x03\x0a\x01\x06"


def certificate(key: ec.EllipticCurvePrivateKey, serial: int) -> x509.Certificate:
    builder = x509.CertificateBuilder(
        NAME, NAME, key.public_key(), serial, MOMENT, MOMENT + timedelta(days=9)
    )
    return builder.sign(key, hashes.SHA256())


KEY = ec.generate_private_key(ec.SECP256R1())
CA = certificate(KEY, 1)


def response(serial: int, key: ec.EllipticCurvePrivateKey = KEY) -> bytes:
    builder = ocsp.OCSPResponseBuilder().add_response(
        certificate(key, serial), CA, hashes.SHA1(), ocsp.OCSPCertStatus.GOOD, MOMENT, None, None, None
    )
    signer = certificate(key, 1)
    signed = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, signer).sign(key, hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


def check(answer: bytes, expected: Status | None = Status.SUCCESSFUL, serial: int | None = SERIAL) -> int:
    return verify([(Request(b"GET", serial), answer)], expected, CA)


def test_the_right_answer_passes() -> None:
    assert check(HEAD + response(SERIAL)) == 1
    assert check(UNAUTHORIZED, Status.UNAUTHORIZED) == 1


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        (HEAD + response(SERIAL + 1), Status.SUCCESSFUL, "asked for 4711, answered about 4712"),
        (HEAD + response(SERIAL, ec.generate_private_key(ec.SECP256R1())), Status.SUCCESSFUL, "signature"),
        (HEAD.replace(b"Etag: x\r\n", b"") + response(SERIAL), Status.SUCCESSFUL, "has no etag"),
        (UNAUTHORIZED, Status.SUCCESSFUL, "UNAUTHORIZED"),
        (HEAD + response(SERIAL), Status.UNAUTHORIZED, "SUCCESSFUL"),
        (HEAD + b"OK", Status.SUCCESSFUL, "no OCSPResponse"),
        (UNAUTHORIZED, None, "UNAUTHORIZED"),
    ],
)
def test_a_wrong_one_does_not(answer: bytes, expected: Status | None, words: str) -> None:
    with pytest.raises(WrongAnswer, match=words):
        check(answer, expected)


def test_nonsense_has_no_right_answer() -> None:
    assert check(HEAD + b"Bad Request", expected=None, serial=None) == 0


def test_of_servers_for_no_cache_header_fields_are_not_asked() -> None:
    bare = b"HTTP/1.0 200 OK\r\n\r\n" + response(SERIAL)
    assert verify([(Request(b"GET", SERIAL), bare)], Status.SUCCESSFUL, CA, cacheable=False) == 1
