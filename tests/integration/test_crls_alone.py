"""A CA with CRLs alone, from its first certificate to the responder: no OCSP key, no store (conformance P-02)."""

import time
import urllib.request
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from signer.demo.authority import create_authority
from store.model import load_certificate
from tests.integration.service import Service
from tests.ports import free_port

ISSUER = """
[[issuer]]
name = "alone"
certificate = "ca.pem"
ocsp = { enabled = false }
crl = { key = "ca.key", shards = 2, url = "http://127.0.0.1:%d/crl/{issuer}/{series}-{index}.crl" }
"""


@pytest.fixture
def service(tmp_path: Path) -> Service:
    made = Service(tmp_path, free_port())
    create_authority(tmp_path, 5, int(time.time()), made.url, lambda serial: "http://c.example/0.crl", 1)
    (tmp_path / "responder.key").unlink()
    made.write_config(ISSUER % made.port)
    made.signer("import", "--issuer", "alone", str(tmp_path / "index.txt"))
    return made


def fetch(url: str, data: bytes | None = None) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=10) as response:
        return bytes(response.read())


@pytest.mark.conformance("P-02", "U-01")
def test_crls_are_built_and_served_without_a_store(service: Service) -> None:
    authority = load_certificate(service.directory / "ca.pem")
    serial = (service.directory / "index.txt").read_text().split("\t")[3]
    service.signer("revoke", "--issuer", "alone", serial, "--reason", "superseded")
    with service.signing():
        deadline = time.monotonic() + 30
        manifest = service.directory / "objects/crl/alone/manifest.json"
        while not manifest.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    found = set()
    with service.serving():
        for index in range(2):
            crl = x509.load_der_x509_crl(fetch(f"{service.url}/crl/alone/0-{index}.crl"))
            assert crl.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
            found |= {entry.serial_number for entry in crl}
        request = ocsp.OCSPRequestBuilder().add_certificate(authority, authority, hashes.SHA1()).build()
        assert fetch(service.url, request.public_bytes(Encoding.DER)) == bytes.fromhex("30030a0106")
    assert int(serial, 16) in found
    assert "without the store" not in (service.directory / "serve.log").read_text()
    assert not (service.directory / ".ocspeed/store").exists()
    assert service.signer_json("status")["store"] is None


@pytest.mark.conformance("P-02")
def test_nothing_is_signed_for_it(service: Service) -> None:
    assert "has no OCSP" in service.signer("sign", "--issuer", "alone", expect=2).stderr
    assert service.signer("sign").stdout == ""
