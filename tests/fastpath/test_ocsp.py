"""Response data, signatures and whole responses against cryptography, asn1crypto and openssl."""

import datetime
import subprocess
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import ocsp as asn1_ocsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.x509 import ocsp as x509_ocsp
from hypothesis import given, settings
from hypothesis import strategies as st

from _fastpath import ocsp
from _fastpath.certid import OTHER, SHA1, SHA256, minimal_serial
from _fastpath.errors import MalformedDer
from _fastpath.ocsp import (
    SingleResponse,
    encode_response,
    encode_tbs_response_data,
    signature_to_raw,
    split_response,
)
from _fastpath.template import Template
from tests.fastpath.authority import (
    ECDSA,
    NAME,
    RSA,
    VALIDITY,
    Authority,
    good,
    issue,
    make_authority,
    make_template,
    revoked,
)

P256 = make_authority()
P521_BARE = make_authority("secp521r1", embed=False)
LAST_TIME = 253_402_300_799
RSA_2048 = RSA["rsa-sha256"][1]

minimal_serials = st.binary(min_size=1, max_size=20).map(minimal_serial)
hash_algorithms = st.sampled_from([SHA1, SHA256])
reasons = st.sampled_from([0, 1, 2, 3, 4, 5, 6, 8, 9, 10])
single_responses = st.one_of(
    st.builds(good, minimal_serials, this_update=st.integers(0, LAST_TIME - VALIDITY)),
    st.builds(revoked, minimal_serials, st.integers(0, LAST_TIME), reasons),
)
REASONS = {
    1: x509.ReasonFlags.key_compromise,
    2: x509.ReasonFlags.ca_compromise,
    3: x509.ReasonFlags.affiliation_changed,
    4: x509.ReasonFlags.superseded,
    5: x509.ReasonFlags.cessation_of_operation,
    6: x509.ReasonFlags.certificate_hold,
    8: x509.ReasonFlags.remove_from_crl,
    9: x509.ReasonFlags.privilege_withdrawn,
    10: x509.ReasonFlags.aa_compromise,
}


def make_single_response(**changes: Any) -> SingleResponse:
    """A good one, but for the fields named."""
    fields: dict[str, Any] = {"this_update": 100, "produced_at": 101, "next_update": 200}
    return SingleResponse(changes.pop("serial_number", b"\x01"), **fields | changes)


def seconds(when: datetime.datetime | None) -> int | None:
    return None if when is None else int(when.timestamp())


def verify(authority: Authority, tbs: bytes, signature: bytes) -> None:
    """Raises InvalidSignature."""
    if isinstance(authority.key, rsa.RSAPrivateKey):
        authority.key.public_key().verify(signature, tbs, padding.PKCS1v15(), authority.hash_algorithm)
    else:
        authority.key.public_key().verify(signature, tbs, ec.ECDSA(authority.hash_algorithm))


@pytest.mark.conformance("R-02")
def test_error_responses_are_exact() -> None:
    assert ocsp.MALFORMED_REQUEST.hex() == "30030a0101"
    assert ocsp.INTERNAL_ERROR.hex() == "30030a0102"
    assert ocsp.TRY_LATER.hex() == "30030a0103"
    assert ocsp.UNAUTHORIZED.hex() == "30030a0106"
    for body in (ocsp.MALFORMED_REQUEST, ocsp.INTERNAL_ERROR, ocsp.TRY_LATER, ocsp.UNAUTHORIZED):
        assert x509_ocsp.load_der_ocsp_response(body).response_status.value == body[-1]


@pytest.mark.conformance("A-01")
@pytest.mark.parametrize("kind", [*ECDSA, *RSA])
@pytest.mark.parametrize("hash_algorithm", [SHA1, SHA256])
@pytest.mark.parametrize("embed", [True, False])
def test_every_key_type_signs_a_response_that_others_read(
    kind: str, hash_algorithm: int, embed: bool
) -> None:
    authority = make_authority(kind, embed=embed)
    body = authority.respond(revoked(b"\x80\x01", 1_780_000_000, 1), hash_algorithm)
    tbs, algorithm, signature = split_response(body)
    theirs = x509_ocsp.load_der_ocsp_response(body)
    assert algorithm == authority.template.signature_algorithm
    assert (tbs, signature) == (theirs.tbs_response_bytes, theirs.signature)
    assert theirs.certificates == ([authority.certificate] if embed else [])
    assert type(theirs.signature_hash_algorithm) is type(authority.hash_algorithm)
    verify(authority, tbs, signature)


@given(response=single_responses, hash_algorithm=hash_algorithms)
@settings(max_examples=150, deadline=None)
def test_cryptography_reads_what_was_said(response: SingleResponse, hash_algorithm: int) -> None:
    theirs = x509_ocsp.load_der_ocsp_response(P256.respond(response, hash_algorithm))
    (single,) = theirs.responses
    wide = hash_algorithm == SHA256
    assert isinstance(single.hash_algorithm, hashes.SHA256 if wide else hashes.SHA1)
    assert single.issuer_name_hash + single.issuer_key_hash == P256.issuer.lookup_key(hash_algorithm)
    assert single.serial_number == int.from_bytes(response.serial_number, "big")
    assert seconds(theirs.produced_at_utc) == response.produced_at
    assert seconds(single.this_update_utc) == response.this_update
    assert seconds(single.next_update_utc) == response.next_update
    assert seconds(single.revocation_time_utc) == response.revocation_time
    assert single.revocation_reason == REASONS.get(response.reason)
    assert theirs.responder_key_hash == P256.template.responder_key_hash
    assert len(theirs.extensions) == len(theirs.single_extensions) == 0


@pytest.mark.conformance("R-01")
@given(
    response=single_responses, hash_algorithm=hash_algorithms, signature=st.binary(min_size=132, max_size=132)
)
@settings(max_examples=150)
def test_asn1crypto_encodes_it_to_the_same_octets(
    response: SingleResponse, hash_algorithm: int, signature: bytes
) -> None:
    body = encode_response(P521_BARE.template, P521_BARE.issuer, hash_algorithm, response, signature)
    theirs = asn1_ocsp.OCSPResponse.load(body, strict=True)
    assert theirs["response_status"].native == "successful"
    basic = theirs.basic_ocsp_response
    assert basic["certs"].native is None
    assert basic["tbs_response_data"].dump() == encode_tbs_response_data(
        P521_BARE.template, P521_BARE.issuer, hash_algorithm, response
    )
    assert theirs.copy().dump(force=True) == body
    r, s = decode_dss_signature(basic["signature"].native)
    assert r.to_bytes(66, "big") + s.to_bytes(66, "big") == signature


@pytest.mark.parametrize("hash_algorithm", [SHA1, SHA256])
@pytest.mark.parametrize("reason", [None, 1, 3, 4, 5, 9])
def test_response_data_is_that_of_cryptographys_builder(hash_algorithm: int, reason: int | None) -> None:
    leaf = issue(P256.key, hashes.SHA256(), NAME, 0xABCDEF)
    at = datetime.datetime.fromtimestamp
    response = good(b"\xab\xcd\xef") if reason is None else revoked(b"\xab\xcd\xef", 1_780_000_000, reason)
    builder = (
        x509_ocsp.OCSPResponseBuilder()
        .add_response(
            leaf,
            P256.certificate,
            hashes.SHA1() if hash_algorithm == SHA1 else hashes.SHA256(),
            x509_ocsp.OCSPCertStatus.GOOD if reason is None else x509_ocsp.OCSPCertStatus.REVOKED,
            at(response.this_update, datetime.UTC),
            at(response.next_update, datetime.UTC),
            None if reason is None else at(1_780_000_000, datetime.UTC),
            REASONS.get(reason or 0),
        )
        .responder_id(x509_ocsp.OCSPResponderEncoding.HASH, P256.certificate)
    )
    theirs = builder.sign(P256.key, hashes.SHA256())
    produced_at = seconds(theirs.produced_at_utc)
    assert produced_at is not None
    ours = encode_tbs_response_data(P256.template, P256.issuer, hash_algorithm, response)
    expected = theirs.tbs_response_bytes
    # The builder stamps producedAt with its own clock: 17 octets after the header and the ResponderID.
    start = ours.index(P256.template.responder_key_hash) + 20
    assert ours[:start] == expected[:start]
    assert ours[start + 17 :] == expected[start + 17 :]


@pytest.mark.conformance("R-03")
@pytest.mark.parametrize(("hash_algorithm", "option"), [(SHA1, "-sha1"), (SHA256, "-sha256")])
def test_openssl_verifies_and_finds_the_status(tmp_path: Path, hash_algorithm: int, option: str) -> None:
    leaf = issue(P256.key, hashes.SHA256(), NAME, 0xABCDEF)
    now = int(datetime.datetime.now(datetime.UTC).timestamp())
    body = P256.respond(good(b"\xab\xcd\xef", this_update=now - 3), hash_algorithm)
    (tmp_path / "response.der").write_bytes(body)
    (tmp_path / "leaf.pem").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "ca.pem").write_bytes(P256.certificate.public_bytes(serialization.Encoding.PEM))
    files = ["-respin", "response.der", "-CAfile", "ca.pem", "-issuer", "ca.pem"]
    shown = subprocess.run(
        ["openssl", "ocsp", *files, option, "-cert", "leaf.pem"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "Response verify OK" in shown.stderr
    assert "leaf.pem: good" in shown.stdout


@pytest.mark.conformance("R-29")
def test_responses_stay_in_the_size_budget() -> None:
    serial = b"\x7f" * 16
    bare = make_authority(embed=False)
    certificate = len(P256.template.certificates)
    for hash_algorithm, size in ((SHA1, 287), (SHA256, 315)):
        assert abs(len(bare.respond(good(serial), hash_algorithm)) - size) < 12
        embedded = len(P256.respond(good(serial), hash_algorithm)) - certificate
        assert embedded - size < 24  # nothing but the certificate and its wrapping


@pytest.mark.parametrize("filler", [1, 20_000, 70_000])
def test_an_embedded_certificate_may_be_large(filler: int) -> None:
    """Lengths of two and three octets all the way out."""
    certificate = issue(P256.key, hashes.SHA256(), NAME, 1, filler=filler)
    octets = certificate.public_bytes(serialization.Encoding.DER)
    template = make_template(certificates=octets)
    body = encode_response(template, P256.issuer, SHA1, good(b"\x01"), b"\x01" * 64)
    assert x509_ocsp.load_der_ocsp_response(body).certificates == [certificate]
    assert asn1_ocsp.OCSPResponse.load(body, strict=True).dump(force=True) == body
    assert Template.decode(template.encode()).certificates == octets


@given(
    raw=st.one_of(
        st.binary(min_size=64, max_size=64), st.integers(1, 2**40).map(lambda r: r.to_bytes(64, "big"))
    )
)
@settings(max_examples=200)
def test_raw_signatures_and_ecdsa_sig_values_convert_both_ways(raw: bytes) -> None:
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    body = encode_response(P256.template, P256.issuer, SHA1, good(b"\x01"), raw)
    signature = split_response(body)[2]
    assert signature == encode_dss_signature(r, s)
    if r and s:
        assert signature_to_raw(P256.template, signature) == raw
    else:
        with pytest.raises(MalformedDer):
            signature_to_raw(P256.template, signature)


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "3000",
        "3003020101",
        "3006020101020101ff",
        "3009020101020101020101",
        "30080202000102020001",
        "3006020181020101",
        "3006020100020101",
        "3006020101020100",
        "3007020101028101" + "01",
        "3026022101" + "00" * 32 + "020101",
        "3106020101020101",
        "3006040101020101",
    ],
)
def test_signatures_that_are_not_an_ecdsa_sig_value(signature: str) -> None:
    with pytest.raises(MalformedDer):
        signature_to_raw(P256.template, bytes.fromhex(signature))


def test_rsa_signatures_are_kept_whole_and_of_one_size() -> None:
    template = make_template(signature_algorithm=RSA_2048, signature_size=256)
    assert signature_to_raw(template, b"s" * 256) == b"s" * 256
    assert not template.is_ecdsa
    for size in (0, 255, 257):
        with pytest.raises(ValueError, match="256 octets"):
            signature_to_raw(template, b"s" * size)


@pytest.mark.parametrize("size", [0, 63, 65])
def test_a_response_needs_a_raw_signature_of_the_templates_size(size: int) -> None:
    with pytest.raises(ValueError, match="64 octets"):
        encode_response(P256.template, P256.issuer, SHA1, good(b"\x01"), bytes(size))


@pytest.mark.parametrize("hash_algorithm", [OTHER, 3, -1])
def test_there_is_no_response_for_another_hash(hash_algorithm: int) -> None:
    with pytest.raises(ValueError, match="hash algorithm"):
        encode_tbs_response_data(P256.template, P256.issuer, hash_algorithm, good(b"\x01"))
    with pytest.raises(ValueError, match="hash algorithm"):
        encode_response(P256.template, P256.issuer, hash_algorithm, good(b"\x01"), bytes(64))


@pytest.mark.parametrize(
    "changes",
    [
        {"serial_number": b""},
        {"serial_number": b"\x00\x01"},
        {"serial_number": b"\x01" * 21},
        {"this_update": 102},
        {"produced_at": 200},
        {"next_update": 101},
        {"this_update": -1},
        {"next_update": LAST_TIME + 1},
        {"revocation_time": -1},
        {"revocation_time": LAST_TIME + 1},
        {"reason": 1},
        {"revocation_time": 1, "reason": 7},
        {"revocation_time": 1, "reason": 11},
        {"revocation_time": 1, "reason": -1},
    ],
    ids=repr,
)
def test_single_responses_that_cannot_be(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="serial|thisUpdate|revocation|CRLReason"):
        make_single_response(**changes)


def test_a_single_response_keeps_what_it_was_given() -> None:
    response = make_single_response(revocation_time=0, reason=4)
    assert (response.this_update, response.produced_at, response.next_update) == (100, 101, 200)
    assert (response.serial_number, response.revocation_time, response.reason) == (b"\x01", 0, 4)
    assert make_single_response().revocation_time is None
    with pytest.raises(AttributeError):
        response.reason = 1  # type: ignore[misc]


def test_only_whole_successful_responses_are_split() -> None:
    body = P256.respond(good(b"\x01"), SHA1)
    for size in range(len(body)):
        with pytest.raises(MalformedDer):
            split_response(body[:size])
    for wrong in (
        ocsp.TRY_LATER,
        body + b"\x00",
        body.replace(b"\x0a\x01\x00", b"\x0a\x01\x03", 1),
        body.replace(bytes.fromhex("2b0601050507300101"), bytes.fromhex("2b0601050507300102"), 1),
    ):
        with pytest.raises(MalformedDer):
            split_response(wrong)


MUTABLE = make_authority(embed=False).respond(good(b"\x7f" * 16), SHA256)


@given(position=st.integers(0, len(MUTABLE) - 1), octet=st.integers(0, 255))
@settings(max_examples=200)
def test_a_mutated_response_is_split_as_cryptography_does_or_not_at_all(position: int, octet: int) -> None:
    mutated = MUTABLE[:position] + bytes([octet]) + MUTABLE[position + 1 :]
    try:
        tbs, _, signature = split_response(mutated)
        theirs = x509_ocsp.load_der_ocsp_response(mutated)
        expected = theirs.tbs_response_bytes, theirs.signature
    except ValueError:  # MalformedDer is one, and so is cryptography's ParseError
        return
    assert (tbs, signature) == expected
