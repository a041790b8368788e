"""What `ocsp-signer status` exits with 1 for, so that monitoring needs nothing but its exit code."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from signer.commands.status import status
from tests.signer.intakes import Ca
from tests.signer.ledgers import NOW
from tests.signer.works import FakeClock, Works


class Watch:
    """Somebody who looks at a ledger with an issuer."""

    def __init__(self, works: Works, capsys: pytest.CaptureFixture[str]) -> None:
        self.works = works
        self._capsys = capsys
        assert works.issuer

    def look(self, *, code: int) -> Any:
        assert status(self.works.file, as_json=True, clock=self.works.clock) == code
        return json.loads(self._capsys.readouterr().out)

    def remarks(self) -> str:
        status(self.works.file, as_json=False, clock=self.works.clock)
        return self._capsys.readouterr().err


@pytest.fixture
def watch(works: Works, capsys: pytest.CaptureFixture[str]) -> Watch:
    return Watch(works, capsys)


def test_all_is_well(watch: Watch) -> None:
    found = watch.look(code=0)
    assert found["store"]["up"] and found["issuers"][0]["fault"] is None
    assert watch.remarks() == ""


def test_the_store_is_down(tmp_path: Path, clock: FakeClock, capsys: pytest.CaptureFixture[str]) -> None:
    works = Works(tmp_path, "unix:///nowhere/store.sock", clock)
    with works.context:
        watch = Watch(works, capsys)
        assert watch.look(code=1)["store"]["up"] is False
        assert "the store is down: unix:///nowhere/store.sock" in watch.remarks()


def replace_certificate(works: Works, certificate: x509.Certificate) -> None:
    (works.directory / "ca.pem").write_bytes(certificate.public_bytes(Encoding.PEM))


def test_the_configured_ca_is_another_than_the_ledgers(watch: Watch) -> None:
    replace_certificate(watch.works, Ca.make("another").certificate)
    (issuer,) = watch.look(code=1)["issuers"]
    assert issuer["fault"].startswith("issuer demo: its CA certificate has another name or key")
    assert issuer["fault"] in watch.remarks()


def test_the_certificate_of_the_configured_ca_cannot_be_read(watch: Watch) -> None:
    (watch.works.directory / "ca.pem").unlink()
    (issuer,) = watch.look(code=1)["issuers"]
    assert "issuer[0].certificate" in issuer["fault"]


def test_a_renewed_ca_certificate_is_no_fault(watch: Watch) -> None:
    here = watch.works.directory
    before = x509.load_pem_x509_certificate((here / "ca.pem").read_bytes())
    key: Any = load_pem_private_key((here / "ca.key").read_bytes(), None)
    begin, end = datetime.fromtimestamp(NOW, UTC), datetime.fromtimestamp(NOW + 86_400, UTC)
    builder = x509.CertificateBuilder(before.subject, before.subject, before.public_key(), 4711, begin, end)
    builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
    replace_certificate(watch.works, builder.sign(key, hashes.SHA256()))
    assert watch.look(code=0)["issuers"][0]["fault"] is None
