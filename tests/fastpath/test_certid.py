"""CertIDs and issuers against cryptography's OCSPRequestBuilder and hashlib (conformance Q-04, Q-05)."""

import hashlib

import pytest
from asn1crypto import ocsp as asn1_ocsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp as x509_ocsp
from hypothesis import given, settings
from hypothesis import strategies as st

from _fastpath.certid import OTHER, SHA1, SHA256, CertID, IssuerID, minimal_serial, serial_from_int
from _fastpath.request import parse_request
from tests.fastpath.authority import NAME, Authority, issue, make_authority, public_key_bits

AUTHORITY = make_authority()
serials = st.integers(0, 2**160 - 1)
DIGESTS = pytest.mark.parametrize(
    ("hash_algorithm", "digest"), [(SHA1, hashes.SHA1()), (SHA256, hashes.SHA256())], ids=["sha1", "sha256"]
)


def request_for(authority: Authority, serial: int, digest: hashes.SHA1 | hashes.SHA256) -> bytes:
    """A request by cryptography for a certificate that the authority issued."""
    leaf = issue(authority.key, authority.hash_algorithm, NAME, serial)
    request = x509_ocsp.OCSPRequestBuilder().add_certificate(leaf, authority.certificate, digest).build()
    return request.public_bytes(serialization.Encoding.DER)


@pytest.mark.conformance("Q-04")
@DIGESTS
@pytest.mark.parametrize("serial", [1, 0x7F, 0x80, 2**127, 2**159 - 1])
def test_an_encoded_cert_id_is_the_one_cryptography_asks_with(
    hash_algorithm: int, digest: hashes.SHA1 | hashes.SHA256, serial: int
) -> None:
    request = asn1_ocsp.OCSPRequest.load(request_for(AUTHORITY, serial, digest))
    cert_id = request["tbs_request"]["request_list"][0]["req_cert"]
    assert AUTHORITY.issuer.encode_cert_id(hash_algorithm, serial_from_int(serial)) == cert_id.dump()


@pytest.mark.conformance("Q-04")
@DIGESTS
def test_an_issuer_matches_its_own_cert_ids_only(
    hash_algorithm: int, digest: hashes.SHA1 | hashes.SHA256
) -> None:
    (cert_id,) = parse_request(request_for(AUTHORITY, 5, digest)).cert_ids
    other_key = make_authority(secret=8)  # one DN, another key
    other_name = IssuerID(b"0\x00", public_key_bits(AUTHORITY.key))
    assert cert_id.hash_algorithm == hash_algorithm
    assert AUTHORITY.issuer.matches(cert_id)
    assert not other_key.issuer.matches(cert_id)
    assert not other_name.matches(cert_id)


@pytest.mark.conformance("Q-05")
def test_a_cert_id_of_another_hash_matches_nobody() -> None:
    leaf = issue(AUTHORITY.key, AUTHORITY.hash_algorithm, NAME, 5)
    request = (
        x509_ocsp.OCSPRequestBuilder().add_certificate(leaf, AUTHORITY.certificate, hashes.SHA512()).build()
    )
    (cert_id,) = parse_request(request.public_bytes(serialization.Encoding.DER)).cert_ids
    assert (cert_id.hash_algorithm, len(cert_id.issuer_name_hash)) == (OTHER, 64)
    assert not AUTHORITY.issuer.matches(cert_id)


@pytest.mark.conformance("Q-04")
def test_hashes_are_over_the_name_and_the_key_bits() -> None:
    name, bits = NAME.public_bytes(), public_key_bits(AUTHORITY.key)
    issuer = IssuerID(name, bits)
    identifier = x509.SubjectKeyIdentifier.from_public_key(AUTHORITY.key.public_key())
    assert issuer.name == name
    assert issuer.key_hash_sha1 == identifier.digest
    assert issuer.lookup_key(SHA1) == hashlib.sha1(name).digest() + identifier.digest
    assert issuer.lookup_key(SHA256) == hashlib.sha256(name).digest() + hashlib.sha256(bits).digest()
    assert issuer.fingerprint == issuer.lookup_key(SHA256)


@DIGESTS
def test_lookup_key_is_what_a_cert_id_carries(
    hash_algorithm: int, digest: hashes.SHA1 | hashes.SHA256
) -> None:
    (cert_id,) = parse_request(request_for(AUTHORITY, 5, digest)).cert_ids
    key = AUTHORITY.issuer.lookup_key(hash_algorithm)
    assert key == cert_id.issuer_name_hash + cert_id.issuer_key_hash


@pytest.mark.parametrize("hash_algorithm", [OTHER, 3, -1])
def test_there_is_no_key_or_cert_id_for_another_hash(hash_algorithm: int) -> None:
    with pytest.raises(ValueError, match="hash algorithm"):
        AUTHORITY.issuer.lookup_key(hash_algorithm)
    with pytest.raises(ValueError, match="hash algorithm"):
        AUTHORITY.issuer.encode_cert_id(hash_algorithm, b"\x01")


@pytest.mark.parametrize("serial", [b"", b"\x00\x01", b"\x00\x80", b"\x01" * 21])
def test_a_cert_id_needs_a_minimal_serial(serial: bytes) -> None:
    with pytest.raises(ValueError, match="serial number"):
        AUTHORITY.issuer.encode_cert_id(SHA1, serial)


def test_a_cert_id_is_only_read_from_a_request() -> None:
    with pytest.raises(TypeError, match="parse_request"):
        CertID()


@pytest.mark.conformance("Q-10")
@given(serial=serials, zeros=st.integers(0, 3))
@settings(max_examples=100)
def test_minimal_serials_keep_the_value(serial: int, zeros: int) -> None:
    minimal = minimal_serial(bytes(zeros) + serial.to_bytes(20, "big"))
    assert minimal == serial_from_int(serial)
    assert int.from_bytes(minimal, "big") == serial
    assert len(minimal) == 1 or minimal[0] != 0


@pytest.mark.parametrize("octets", [b"", b"\x00", bytes(9)])
def test_zero_is_one_octet(octets: bytes) -> None:
    assert minimal_serial(octets) == serial_from_int(0) == b"\x00"


@pytest.mark.parametrize("value", [-1, 2**160])
def test_a_serial_has_at_most_twenty_octets(value: int) -> None:
    with pytest.raises(ValueError, match="not a serial number"):
        serial_from_int(value)
