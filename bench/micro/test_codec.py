"""The codec beside cryptography: reading a request, making a response, making a CRL."""

import datetime
import hashlib
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from _fastpath.answer import assemble
from _fastpath.certid import SHA1, SHA256
from _fastpath.crl import encode_tbs_cert_list
from _fastpath.ocsp import SingleResponse, encode_tbs_response_data, signature_to_raw
from _fastpath.page import encode_record
from _fastpath.template import Template
from signer.demo.authority import create_authority
from signer.keys.file import load_key
from store.model import load_certificate, load_issuer

NOW = 1_790_000_000
SERIAL = bytes.fromhex("7f" * 16)
ENTRIES = 1_000


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory = tmp_path_factory.mktemp("ca")
    create_authority(directory, 100, NOW, "http://o.example/", lambda serial: "http://c.example/0.crl", 1)
    issuer = load_issuer("demo", directory / "ca.pem")
    key = load_key(directory / "responder.key")
    certificate = load_certificate(directory / "responder.pem")
    template = Template(
        signature_algorithm=key.signature_algorithm,
        signature_size=key.signature_size,
        responder_key_hash=hashlib.sha1(b"any").digest(),
        certificates=certificate.public_bytes(Encoding.DER),
        validity=345_599,
    )
    response = SingleResponse(SERIAL, this_update=NOW, produced_at=NOW, next_update=NOW + 345_599)
    raw = signature_to_raw(template, key.sign_der(b"any"))
    record = encode_record(issuer.id, template, 0, response, raw, raw)
    return {"issuer": issuer, "key": key, "certificate": certificate, "template": template, "response": response,
            "record": record}  # fmt: skip


def request_der(issuer: x509.Certificate) -> bytes:
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(bytes(20), bytes(20), 2**120, hashes.SHA1())
    return builder.build().public_bytes(Encoding.DER)


@pytest.mark.benchmark(group="read a request")
def test_parse_request(benchmark: Any, parts: dict[str, Any]) -> None:
    from _fastpath.request import parse_request

    der = request_der(parts["certificate"])
    assert benchmark(parse_request, der).cert_ids[0].serial_number == (2**120).to_bytes(16)


@pytest.mark.benchmark(group="read a request")
def test_parse_request_cryptography(benchmark: Any, parts: dict[str, Any]) -> None:
    der = request_der(parts["certificate"])
    assert benchmark(lambda: ocsp.load_der_ocsp_request(der).serial_number) == 2**120


@pytest.mark.benchmark(group="a stored record into an answer")
def test_assemble(benchmark: Any, parts: dict[str, Any]) -> None:
    answer = benchmark(
        assemble, parts["template"], 1, parts["issuer"].id, SHA1, SERIAL, parts["record"], 0, NOW
    )
    assert answer.next_update == NOW + 345_599


@pytest.mark.benchmark(group="a signed response")
def test_sign(benchmark: Any, parts: dict[str, Any]) -> None:
    def sign() -> bytes:
        tbs = encode_tbs_response_data(parts["template"], parts["issuer"].id, SHA256, parts["response"])
        return signature_to_raw(parts["template"], parts["key"].sign_der(tbs))

    assert len(benchmark(sign)) == 64


@pytest.mark.benchmark(group="a signed response")
def test_sign_bare(benchmark: Any, parts: dict[str, Any]) -> None:
    assert benchmark(parts["key"].sign_der, bytes(150))[0] == 0x30


@pytest.mark.benchmark(group="a CRL of 1,000 entries, unsigned")
def test_crl(benchmark: Any, parts: dict[str, Any]) -> None:
    entries = [(bytes([0x40]) + index.to_bytes(15), NOW, 1) for index in range(ENTRIES)]
    issuer = parts["issuer"]
    tbs = benchmark(
        lambda: encode_tbs_cert_list(
            entries,
            signature_algorithm=parts["key"].signature_algorithm,
            issuer_name=issuer.id.name,
            this_update=NOW,
            next_update=NOW + 604_799,
            authority_key_identifier=bytes(20),
            crl_number=1,
            issuing_distribution_point=None,
        )
    )
    assert len(tbs) > 40 * ENTRIES


@pytest.mark.benchmark(group="a CRL of 1,000 entries, unsigned")
def test_crl_entries_cryptography(benchmark: Any, parts: dict[str, Any]) -> None:
    """Only making the list of entries; the builder also signs."""
    moment = datetime.datetime.fromtimestamp(NOW, datetime.UTC)

    def build() -> x509.CertificateRevocationListBuilder:
        builder = x509.CertificateRevocationListBuilder()
        for index in range(ENTRIES):
            entry = x509.RevokedCertificateBuilder(2**120 + index, moment)
            builder = builder.add_revoked_certificate(entry.build())
        return builder

    assert benchmark(build) is not None
