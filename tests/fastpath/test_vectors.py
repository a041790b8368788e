"""Each file of `tests/vectors` against its property in `docs/test-vectors.md` and against another reader."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from asn1crypto import ocsp as asn1_ocsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp as x509_ocsp

from _fastpath.certid import OTHER, SHA1, SHA256, IssuerID, serial_from_int
from _fastpath.errors import MalformedRequest
from _fastpath.http import decode_get_path
from _fastpath.ocsp import (
    SingleResponse,
    encode_response,
    encode_tbs_response_data,
    signature_to_raw,
    split_response,
)
from _fastpath.request import parse_request
from _fastpath.template import Template

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests" / "vectors"
DOCUMENT = ROOT / "docs" / "test-vectors.md"
CA = x509.load_pem_x509_certificate((VECTORS / "ocsp/ca.pem").read_bytes())
CA_KEY_BITS = CA.public_key().public_bytes(
    serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
)
ISSUER = IssuerID(CA.subject.public_bytes(), CA_KEY_BITS)
GOOD = bytes.fromhex("5a00fc")
HASH_NAMES = {"sha1": SHA1, "sha256": SHA256}


@dataclass(frozen=True, slots=True)
class Request:
    """What a request asks: (hash algorithm, serial) of each CertID, octets of its nonce."""

    asks: tuple[tuple[int, bytes], ...]
    nonce_size: int | None = None
    strict_der: bool = True  # what strict readers accept too


REQUESTS = {
    "ocsp/req-sha1.der": Request(((SHA1, GOOD),)),
    "ocsp/req-sha256.der": Request(((SHA256, GOOD),)),
    "ocsp/req-sha512.der": Request(((OTHER, GOOD),)),
    "ocsp/req-two-certids.der": Request(((SHA1, GOOD), (SHA1, b"\x02"))),
    "ocsp/req-two-hashes.der": Request(((SHA1, GOOD), (SHA256, GOOD))),
    "ocsp/req-serial-zero.der": Request(((SHA1, b"\0"),)),
    "ocsp/req-serial-20-octets.der": Request(
        ((SHA1, bytes.fromhex("f1f2f3f4f5f6f7f8f9fafbfcfdfeff0102030405")),)
    ),
    "ocsp/req-signed.der": Request(((SHA1, GOOD),)),
    "ocsp/req-nonce-16.der": Request(((SHA1, GOOD),), nonce_size=16),
    "ocsp/req-nonce-32-critical.der": Request(((SHA1, b"\x05"),), nonce_size=32),
    "ocsp/req-explicit-v1.der": Request(((SHA1, b"\x05"),), strict_der=False),
    "ocsp/req-explicit-not-critical.der": Request(((SHA1, b"\x05"),), strict_der=False),
}
READ_BY_CRYPTOGRAPHY = [
    name for name, request in REQUESTS.items() if request.strict_der and len(request.asks) == 1
]
BAD = {  # and what it says
    "bad/req-critical-unknown.der": "value",
    "bad/req-version-2.der": "value",
    "bad/req-empty-list.der": "past the end",
    "bad/req-serial-33-octets.der": "value",
    "bad/req-trailing-octet.der": "after the end",
    "bad/req-indefinite-length.der": "indefinite",
    "bad/req-length-not-minimal.der": "not minimal",
}
# Those that break a rule of OCSP or of this service; the others are not DER.
BAD_BUT_READ_BY_CRYPTOGRAPHY = ["bad/req-critical-unknown.der", "bad/req-serial-33-octets.der"]
OURS = {  # responses that we would have made octet by octet; whether with the certificate
    "ocsp/resp-good.der": False,
    "ocsp/resp-revoked.der": True,
}
RESPONSES = [*OURS, "ocsp/resp-unknown-by-name-nonce.der"]
PATHS = ["http/get-unescaped.txt", "http/get-percent-encoded.txt"]
OTHERS = ["ocsp/ca.pem", "http/post-openssl.txt"]
USED = [*REQUESTS, *BAD, *RESPONSES, *PATHS, *OTHERS]


def read(name: str) -> bytes:
    return (VECTORS / name).read_bytes()


def test_every_file_is_documented_and_used() -> None:
    files = {
        str(path.relative_to(VECTORS))
        for path in VECTORS.glob("*/*")
        if path.suffix in (".der", ".pem", ".txt")
    }
    documented = re.findall(r"^\| `(\w+/[\w.-]+)` \|", DOCUMENT.read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(files)
    assert sorted(USED) == sorted(files)


@pytest.mark.conformance("Q-03", "Q-05", "Q-07", "Q-08", "Q-10")
@pytest.mark.parametrize("name", REQUESTS)
def test_requests_ask_what_their_name_says(name: str) -> None:
    request = parse_request(read(name))
    expected = REQUESTS[name]
    assert tuple((one.hash_algorithm, one.serial_number) for one in request.cert_ids) == expected.asks
    assert (None if request.nonce is None else len(request.nonce)) == expected.nonce_size
    for cert_id in request.cert_ids:
        assert ISSUER.matches(cert_id) == (cert_id.hash_algorithm != OTHER)


@pytest.mark.parametrize("name", READ_BY_CRYPTOGRAPHY)
def test_cryptography_reads_the_same(name: str) -> None:
    ours = parse_request(read(name))
    theirs = x509_ocsp.load_der_ocsp_request(read(name))
    (cert_id,) = ours.cert_ids
    assert cert_id.issuer_name_hash == theirs.issuer_name_hash
    assert cert_id.issuer_key_hash == theirs.issuer_key_hash
    assert cert_id.serial_number == serial_from_int(theirs.serial_number)
    assert cert_id.hash_algorithm == HASH_NAMES.get(theirs.hash_algorithm.name, OTHER)
    nonces = [one.value.nonce for one in theirs.extensions if isinstance(one.value, x509.OCSPNonce)]
    assert nonces == ([] if ours.nonce is None else [ours.nonce])


@pytest.mark.parametrize("name", [name for name, request in REQUESTS.items() if len(request.asks) > 1])
def test_asn1crypto_reads_the_same_list(name: str) -> None:
    theirs = asn1_ocsp.OCSPRequest.load(read(name), strict=True)["tbs_request"]["request_list"]
    for ours, other in zip(parse_request(read(name)).cert_ids, theirs, strict=True):
        cert_id = other["req_cert"]
        assert ours.issuer_name_hash == cert_id["issuer_name_hash"].native
        assert ours.serial_number == serial_from_int(cert_id["serial_number"].native)
        assert ours.hash_algorithm == HASH_NAMES[cert_id["hash_algorithm"]["algorithm"].native]


@pytest.mark.parametrize("name", [name for name, request in REQUESTS.items() if not request.strict_der])
def test_what_is_tolerated_is_not_der(name: str) -> None:
    with pytest.raises(ValueError, match="EncodedDefault"):
        x509_ocsp.load_der_ocsp_request(read(name))


def test_the_signed_request_is_signed() -> None:
    request = asn1_ocsp.OCSPRequest.load(read("ocsp/req-signed.der"), strict=True)
    assert request["optional_signature"]["signature"].native
    assert request["tbs_request"]["requestor_name"].native


def test_the_critical_nonce_is_critical() -> None:
    (extension,) = x509_ocsp.load_der_ocsp_request(read("ocsp/req-nonce-32-critical.der")).extensions
    assert extension.critical


@pytest.mark.conformance("Q-02")
@pytest.mark.parametrize("name", BAD)
def test_bad_requests_are_refused_for_their_defect(name: str) -> None:
    with pytest.raises(MalformedRequest, match=BAD[name]):
        parse_request(read(name))
    if name in BAD_BUT_READ_BY_CRYPTOGRAPHY:
        assert x509_ocsp.load_der_ocsp_request(read(name)).serial_number > 0
    else:
        with pytest.raises((ValueError, NotImplementedError)):
            x509_ocsp.load_der_ocsp_request(read(name))


@pytest.mark.parametrize("name", RESPONSES)
def test_responses_are_taken_apart_and_their_signature_holds(name: str) -> None:
    tbs, algorithm, signature = split_response(read(name))
    theirs = x509_ocsp.load_der_ocsp_response(read(name))
    assert (tbs, signature) == (theirs.tbs_response_bytes, theirs.signature)
    assert algorithm.hex() == "300a06082a8648ce3d040302"
    public_key = CA.public_key()
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    public_key.verify(signature, tbs, ec.ECDSA(hashes.SHA256()))


@pytest.mark.conformance("R-01")
@pytest.mark.parametrize("name", OURS)
def test_our_octets_are_those_of_openssl(name: str) -> None:
    theirs = x509_ocsp.load_der_ocsp_response(read(name))
    assert theirs.next_update_utc is not None
    this_update, next_update = (
        int(when.timestamp()) for when in (theirs.this_update_utc, theirs.next_update_utc)
    )
    revoked = theirs.revocation_time_utc
    reasons = {None: 0, x509.ReasonFlags.key_compromise: 1}
    response = SingleResponse(
        serial_from_int(theirs.serial_number),
        this_update=this_update,
        produced_at=int(theirs.produced_at_utc.timestamp()),
        next_update=next_update,
        revocation_time=None if revoked is None else int(revoked.timestamp()),
        reason=reasons[theirs.revocation_reason],
    )
    template = Template(
        signature_algorithm=bytes.fromhex("300a06082a8648ce3d040302"),
        signature_size=64,
        responder_key_hash=ISSUER.key_hash_sha1,
        certificates=CA.public_bytes(serialization.Encoding.DER) if OURS[name] else b"",
        validity=next_update - this_update,
    )
    hash_algorithm = HASH_NAMES[theirs.hash_algorithm.name]
    tbs, _, signature = split_response(read(name))
    assert encode_tbs_response_data(template, ISSUER, hash_algorithm, response) == tbs
    raw = signature_to_raw(template, signature)
    assert encode_response(template, ISSUER, hash_algorithm, response, raw) == read(name)


def test_statuses_of_the_responses() -> None:
    statuses = [x509_ocsp.load_der_ocsp_response(read(name)).certificate_status for name in RESPONSES]
    status = x509_ocsp.OCSPCertStatus
    assert statuses == [status.GOOD, status.REVOKED, status.UNKNOWN]
    unlike_ours = x509_ocsp.load_der_ocsp_response(read(RESPONSES[2]))
    assert unlike_ours.responder_name == CA.subject
    assert [type(one.value) for one in unlike_ours.extensions] == [x509.OCSPNonce]


@pytest.mark.conformance("H-14")
@pytest.mark.parametrize("name", PATHS)
def test_paths_carry_the_request(name: str) -> None:
    path = read(name)
    assert decode_get_path(path, strict=True) == (read("ocsp/req-sha1.der"), 0)
    assert all(octet in path or b"%%%02X" % ord(octet) in path for octet in (b"+", b"/", b"="))


def test_openssl_posts_the_request_as_it_is() -> None:
    head, _, body = read("http/post-openssl.txt").partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    assert body == read("ocsp/req-sha1.der")
    assert line == b"POST /ocsp HTTP/1.0"
    names = dict(field.split(b": ") for field in fields)
    assert names == {
        b"Host": b"127.0.0.1",
        b"Content-Type": b"application/ocsp-request",
        b"Content-Length": b"%d" % len(body),
    }
