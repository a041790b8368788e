"""Ed25519 of a private CA: responses and CRLs that openssl and cryptography verify; refused to a public one."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from _fastpath.answer import assemble
from _fastpath.certid import SHA256
from _fastpath.template import Template
from signer.crl.job import ShardOutcome, ShardStatus
from signer.ocsp.schedule import PageRange
from store.errors import ConfigError
from store.model import load_certificate
from store.trust import trust_template
from tests.integration.openssl_ca import openssl
from tests.signer.works import DAY, FakeClock, Works, row_in_page

ALGORITHM = "300506032b6570"
PRIVATE = 'profile = "private"\n'


def write_key(path: Path) -> ed25519.Ed25519PrivateKey:
    key = ed25519.Ed25519PrivateKey.generate()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


def reissue(works: Works) -> None:
    """CA and responder as they are, with Ed25519 keys."""
    directory = works.directory
    ca_key, responder_key = write_key(directory / "ca.key"), write_key(directory / "responder.key")
    for name, key in (("ca", ca_key), ("responder", responder_key)):
        model = load_certificate(directory / f"{name}.pem")
        moment = datetime.fromtimestamp(works.clock.now(), UTC)
        builder = x509.CertificateBuilder(model.issuer, model.subject, key.public_key(), 1 << 100)
        builder = builder.not_valid_before(moment - timedelta(hours=1)).not_valid_after(
            moment + timedelta(60)
        )
        for extension in model.extensions:
            value = extension.value
            if isinstance(value, x509.SubjectKeyIdentifier):
                value = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
            if isinstance(value, x509.AuthorityKeyIdentifier):
                value = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
            builder = builder.add_extension(value, extension.critical)
        certificate = builder.sign(ca_key, None)
        (directory / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))


@pytest.fixture
def works(tmp_path: Path, store_url: str, clock: FakeClock) -> Iterator[Works]:
    made = Works(tmp_path, store_url, clock)
    reissue(made)
    made.file.write_text(PRIVATE + made.file.read_text())
    with made.configured("", ""):
        yield made


@pytest.mark.conformance("A-01")
def test_responses(works: Works) -> None:
    rows = works.add(row_in_page(page, 0, not_after=works.clock.now() + 50 * DAY) for page in range(4))
    assert works.signer().sign_range(PageRange(0, 3)).faults == []
    works.revoke(rows[0].serial, reason=1)
    assert works.signer().sign_range(PageRange(0, 3)).faults == []
    works.check_store()  # cryptography verifies each
    stored = works.ledger.templates(works.issuer.id)[0]
    template = Template.decode(stored.content)
    assert (template.signature_algorithm.hex(), template.signature_size) == (ALGORITHM, 64)
    body = answer(works, template, rows[1].serial)
    trusted = trust_template(works.context.issuer("demo"), 1, template)
    assert trusted.verifies(body) and not trusted.verifies(
        body.replace(b"\x30\x05\x06\x03", b"\x30\x05\x06\x04")
    )
    at = body.index(b"\x03\x41\x00") + 3  # the signature: 64 octets as they are
    assert not trusted.verifies(body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :])
    (works.directory / "answer.der").write_bytes(body)
    serial = str(int.from_bytes(rows[1].serial))
    shown = openssl(
        "ocsp", "-respin", "answer.der", "-issuer", "ca.pem", "-CAfile", "ca.pem", "-sha256", "-serial", serial,
        "-no_nonce", "-attime", str(works.clock.now() + 60), "-validity_period", str(10**9),
        cwd=works.directory, check=False,
    )  # fmt: skip
    assert "Response verify OK" in shown


def answer(works: Works, template: Template, serial: bytes) -> bytes:
    page = next(page for page in range(4) if serial in (works.stored(page) or (None, {}))[1])
    found = works.stored(page)
    assert found is not None
    issuer = works.context.issuer("demo").id
    made = assemble(template, 1, issuer, SHA256, serial, found[1][serial], 0, 1 << 40)
    assert made is not None
    return made.body


@pytest.mark.conformance("A-01")
def test_crls(works: Works) -> None:
    rows = works.add(row_in_page(page, 0) for page in range(4))
    works.revoke(rows[0].serial, reason=1)
    job = works.context.crl_job("demo")
    outcomes: list[ShardOutcome] = job.build(job.shards(), lambda outcome: None)
    assert {outcome.status for outcome in outcomes} == {ShardStatus.PUBLISHED}, outcomes
    entries = 0
    ca = load_certificate(works.directory / "ca.pem")
    key = ca.public_key()
    assert isinstance(key, ed25519.Ed25519PublicKey)
    paths = sorted((works.directory / "objects" / "crl" / "demo").glob("*.crl"))
    for path in paths:
        crl = x509.load_der_x509_crl(path.read_bytes())
        assert crl.is_signature_valid(key) and len(crl.signature) == 64
        assert path.read_bytes().count(bytes.fromhex(ALGORITHM)) == 2
        entries += len(crl)
        shown = openssl("crl", "-inform", "DER", "-in", path, "-CAfile", works.directory / "ca.pem", "-noout")
        assert "verify OK" in shown
    assert (len(paths), entries) == (3, 1)


def test_the_public_profile_refuses_it(works: Works) -> None:
    works.file.write_text(works.file.read_text().removeprefix(PRIVATE))
    with works.open() as context:
        for open_key in (context.ocsp_signer, context.crl_signer):
            with pytest.raises(
                ConfigError, match="an Ed25519 key, which public TLS does not allow"
            ) as caught:
                open_key("demo")
            assert caught.value.remedy is not None and 'profile = "private"' in caught.value.remedy
