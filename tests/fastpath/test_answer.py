"""From a record to the answer that is sent: what is signed is what is said, and the entity tag names it."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp as x509_ocsp

from _fastpath import certid, ocsp, page
from _fastpath.answer import Entry, assemble
from _fastpath.ocsp import SingleResponse
from tests.fastpath.test_page import (
    ISSUER,
    NOW,
    SERIAL,
    SHA1_SIGNATURE,
    SHA256_SIGNATURE,
    TEMPLATE,
    good,
    good_record,
    revoked,
)

VALID = (0, 1 << 40)  # the signer's certificate, in seconds since 1970


@pytest.mark.conformance("H-07")
@pytest.mark.parametrize(
    ("hash_algorithm", "signature"), [(certid.SHA1, SHA1_SIGNATURE), (certid.SHA256, SHA256_SIGNATURE)]
)
@pytest.mark.parametrize(
    ("template_number", "in_hex"),
    [(0, b"00"), (1, b"01"), (255, b"ff"), (256, b"0100"), (2**63, b"80" + b"00" * 7)],
)
def test_entity_tag(hash_algorithm: int, signature: bytes, template_number: int, in_hex: bytes) -> None:
    answer = assemble(TEMPLATE, template_number, ISSUER, hash_algorithm, SERIAL, good_record(), *VALID)
    assert answer is not None
    assert answer.entity_tag == b'"' + signature[:32].hex().encode() + in_hex + b'"'


@pytest.mark.parametrize("hash_algorithm", [certid.SHA256, certid.OTHER, 99])
def test_no_answer_without_a_signature_for_the_algorithm(hash_algorithm: int) -> None:
    record = page.encode_record(ISSUER, TEMPLATE, 0, good(), SHA1_SIGNATURE, None)
    assert assemble(TEMPLATE, 1, ISSUER, hash_algorithm, SERIAL, record, *VALID) is None
    assert assemble(TEMPLATE, 1, ISSUER, certid.SHA1, SERIAL, record, *VALID) is not None


@pytest.mark.parametrize(
    "response", [good(), revoked(), revoked(0, NOW + 40_000)], ids=["good", "revoked", "clamped"]
)
@pytest.mark.parametrize(
    ("hash_algorithm", "hash_class"), [(certid.SHA1, hashes.SHA1), (certid.SHA256, hashes.SHA256)]
)
def test_an_answer_says_what_was_signed(
    response: SingleResponse, hash_algorithm: int, hash_class: type[hashes.HashAlgorithm]
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    signatures: list[bytes] = []
    for algorithm in (certid.SHA1, certid.SHA256):
        tbs = ocsp.encode_tbs_response_data(TEMPLATE, ISSUER, algorithm, response)
        signatures.append(ocsp.signature_to_raw(TEMPLATE, key.sign(tbs, ec.ECDSA(hashes.SHA256()))))
    record = page.encode_record(ISSUER, TEMPLATE, 0, response, signatures[0], signatures[1])

    answer = assemble(TEMPLATE, 1, ISSUER, hash_algorithm, SERIAL, record, *VALID)

    assert answer is not None
    assert (answer.this_update, answer.produced_at, answer.next_update) == (
        response.this_update,
        response.produced_at,
        response.next_update,
    )
    assert answer.revoked is (response.revocation_time is not None)
    parsed = x509_ocsp.load_der_ocsp_response(answer.body)
    key.public_key().verify(parsed.signature, parsed.tbs_response_bytes, ec.ECDSA(hashes.SHA256()))
    assert isinstance(parsed.hash_algorithm, hash_class)
    assert parsed.serial_number == int.from_bytes(SERIAL, "big")
    assert parsed.this_update_utc.timestamp() == response.this_update
    assert parsed.next_update_utc is not None
    assert parsed.next_update_utc.timestamp() == response.next_update
    assert (parsed.certificate_status is x509_ocsp.OCSPCertStatus.REVOKED) is answer.revoked


def test_an_entry_is_not_made_by_hand() -> None:
    with pytest.raises(TypeError):
        Entry()
