"""Responses we write: read by cryptography and asn1crypto, verified, and equal to those of cryptography's builder."""

import datetime

import pytest
from asn1crypto import ocsp as asn1_ocsp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp as x509_ocsp
from hypothesis import strategies as st

from _fastpath.certid import SHA1
from _fastpath.ocsp import (
    SingleResponse,
    encode_response,
    encode_tbs_response_data,
    signature_to_raw,
    split_response,
)
from tests.fastpath.authority import Authority
from tests.property.responses import (
    LAST_TIME,
    REASONS,
    authorities,
    hash_algorithms,
    raw_signature,
    revocations,
    said,
    serials,
    single_responses,
    verify,
)
from tests.property.tiers import property_of

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def moment(seconds: int) -> datetime.datetime:
    return EPOCH + datetime.timedelta(seconds=seconds)


def seconds(when: datetime.datetime | None) -> int | None:
    return None if when is None else int((when - EPOCH).total_seconds())


def facts(response: SingleResponse) -> tuple[object, ...]:
    """What is said of one certificate, in an order that the other readers' functions below follow."""
    return (
        int.from_bytes(response.serial_number, "big"),
        response.produced_at,
        response.this_update,
        response.next_update,
        response.revocation_time,
        REASONS[response.reason],
    )


def facts_by_cryptography(theirs: x509_ocsp.OCSPResponse) -> tuple[object, ...]:
    (single,) = theirs.responses
    reason = single.revocation_reason
    assert (single.certificate_status.name == "REVOKED") == (single.revocation_time_utc is not None)
    return (
        single.serial_number,
        seconds(theirs.produced_at_utc),
        seconds(single.this_update_utc),
        seconds(single.next_update_utc),
        seconds(single.revocation_time_utc),
        None if reason is None else reason.name,
    )


def facts_by_asn1crypto(data: asn1_ocsp.ResponseData) -> tuple[object, ...]:
    (single,) = data["responses"]
    status = single["cert_status"]
    revoked = status.chosen if status.name == "revoked" else None
    assert revoked is not None or status.name == "good"
    return (
        single["cert_id"]["serial_number"].native,
        seconds(data["produced_at"].native),
        seconds(single["this_update"].native),
        seconds(single["next_update"].native),
        None if revoked is None else seconds(revoked["revocation_time"].native),
        None if revoked is None else revoked["revocation_reason"].native,
    )


def check_identities(authority: Authority, hash_algorithm: int, theirs: x509_ocsp.OCSPResponse) -> None:
    """CertID, responder and certificates, and none of the extensions that pre-signed responses do without."""
    (single,) = theirs.responses
    assert isinstance(single.hash_algorithm, hashes.SHA1 if hash_algorithm == SHA1 else hashes.SHA256)
    found = single.issuer_name_hash + single.issuer_key_hash
    assert found == authority.issuer.lookup_key(hash_algorithm)
    assert theirs.responder_key_hash == authority.template.responder_key_hash
    certificates = [one.public_bytes(serialization.Encoding.DER) for one in theirs.certificates]
    assert b"".join(certificates) == authority.template.certificates
    assert len(theirs.extensions) == len(theirs.single_extensions) == 0


ALL_READ = ("R-01", "R-03", "R-04", "R-05", "R-07", "R-21", "R-23", "R-24", "R-29")


@pytest.mark.conformance(*ALL_READ)
@property_of(
    authority=authorities,
    response=single_responses,
    hash_algorithm=hash_algorithms,
    seed=st.integers(0, 2**32 - 1),
    zeros=st.integers(0, 40),
)
def test_a_response_says_the_same_to_cryptography_and_asn1crypto(
    authority: Authority, response: SingleResponse, hash_algorithm: int, seed: int, zeros: int
) -> None:
    raw = raw_signature(authority.template.signature_size, seed, zeros)
    body = encode_response(authority.template, authority.issuer, hash_algorithm, response, raw)
    theirs = x509_ocsp.load_der_ocsp_response(body)
    basic = asn1_ocsp.OCSPResponse.load(body, strict=True).basic_ocsp_response
    assert facts_by_cryptography(theirs) == facts(response)
    assert facts_by_asn1crypto(basic["tbs_response_data"]) == facts(response)
    check_identities(authority, hash_algorithm, theirs)
    assert signature_to_raw(authority.template, theirs.signature) == raw
    assert split_response(body) == (
        encode_tbs_response_data(authority.template, authority.issuer, hash_algorithm, response),
        authority.template.signature_algorithm,
        theirs.signature,
    )


@pytest.mark.conformance("R-01", "R-29")
@property_of(
    authority=authorities,
    response=single_responses,
    hash_algorithm=hash_algorithms,
    seed=st.integers(0, 2**32 - 1),
)
def test_asn1crypto_writes_a_response_again_in_the_same_octets(
    authority: Authority, response: SingleResponse, hash_algorithm: int, seed: int
) -> None:
    raw = raw_signature(authority.template.signature_size, seed, 0)
    body = encode_response(authority.template, authority.issuer, hash_algorithm, response, raw)
    theirs = asn1_ocsp.OCSPResponse.load(body, strict=True)
    assert theirs.basic_ocsp_response.dump(force=True) in body
    assert theirs.dump(force=True) == body


@pytest.mark.conformance("A-01", "A-02", "R-04")
@property_of(authority=authorities, response=single_responses, hash_algorithm=hash_algorithms)
def test_a_signature_verifies_over_what_cryptography_takes_as_signed(
    authority: Authority, response: SingleResponse, hash_algorithm: int
) -> None:
    body = authority.respond(response, hash_algorithm)
    theirs = x509_ocsp.load_der_ocsp_response(body)
    verify(authority, theirs.tbs_response_bytes, theirs.signature)
    assert type(theirs.signature_hash_algorithm) is type(authority.hash_algorithm)
    assert facts_by_cryptography(theirs) == facts(response)


def by_builder(
    authority: Authority,
    hash_algorithm: int,
    serial: int,
    updates: tuple[int, int],
    revoked: tuple[int, int] | None,
) -> x509_ocsp.OCSPResponse:
    """cryptography's response of the same words, produced now: its builder does not let one say when."""
    names = authority.issuer.lookup_key(hash_algorithm)
    reason = REASONS[revoked[1]] if revoked else None
    builder = (
        x509_ocsp.OCSPResponseBuilder()
        .add_response_by_hash(
            names[: len(names) // 2],
            names[len(names) // 2 :],
            serial,
            hashes.SHA1() if hash_algorithm == SHA1 else hashes.SHA256(),
            x509_ocsp.OCSPCertStatus.REVOKED if revoked else x509_ocsp.OCSPCertStatus.GOOD,
            moment(updates[0]),
            moment(updates[1]),
            moment(revoked[0]) if revoked else None,
            None if reason is None else x509.ReasonFlags[reason],
        )
        .responder_id(x509_ocsp.OCSPResponderEncoding.HASH, authority.certificate)
    )
    if authority.template.certificates:
        builder = builder.certificates([authority.certificate])
    return builder.sign(authority.key, authority.hash_algorithm)


@pytest.mark.conformance(*ALL_READ, "A-01")
@property_of(
    authority=authorities,
    hash_algorithm=hash_algorithms,
    serial=serials,
    updates=st.tuples(st.integers(0, 1_700_000_000), st.integers(4_000_000_000, LAST_TIME)),
    revoked=revocations,
)
def test_a_response_is_octet_for_octet_that_of_cryptographys_builder(
    authority: Authority,
    hash_algorithm: int,
    serial: int,
    updates: tuple[int, int],
    revoked: tuple[int, int] | None,
) -> None:
    theirs = by_builder(authority, hash_algorithm, serial, updates, revoked)
    response = said_again(theirs, serial, updates, revoked)
    template, issuer = authority.template, authority.issuer
    assert encode_tbs_response_data(template, issuer, hash_algorithm, response) == theirs.tbs_response_bytes
    raw = signature_to_raw(template, theirs.signature)
    whole = theirs.public_bytes(serialization.Encoding.DER)
    assert encode_response(template, issuer, hash_algorithm, response, raw) == whole


def said_again(
    theirs: x509_ocsp.OCSPResponse, serial: int, updates: tuple[int, int], revoked: tuple[int, int] | None
) -> SingleResponse:
    produced_at = int(theirs.produced_at_utc.timestamp())
    return said(serial, updates[0], produced_at - updates[0], updates[1] - produced_at, revoked)
