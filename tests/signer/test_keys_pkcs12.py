"""Keys in PKCS #12 files, made with `openssl pkcs12` and with cryptography."""

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    load_pem_private_key,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from signer.context import Context
from signer.keys.file import EcKey, RsaKey
from signer.keys.pkcs12 import load_key_and_certificate
from store.errors import ConfigError
from tests.signer.works import DAY, Works

SECRET = b"correct horse"
DATA = b"to be signed"


def certificate(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, serial: int = 5) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    moment = datetime(2026, 11, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), serial)
    return builder.not_valid_before(moment).not_valid_after(moment + timedelta(60)).sign(key, hashes.SHA256())


def p12(
    directory: Path,
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None,
    own: x509.Certificate | None,
    others: tuple[x509.Certificate, ...] = (),
    password: bytes | None = SECRET,
) -> tuple[Path, Path]:
    """The file, and one with its password."""
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    path, secret = directory / "responder.p12", directory / "password"
    path.write_bytes(serialize_key_and_certificates(b"x", key, own, others, encryption))
    secret.write_bytes((password or b"") + b"\n")
    return path, secret


def refusal(path: Path, secret: Path | None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_key_and_certificate(path, secret)
    assert caught.value.remedy
    assert SECRET.decode() not in str(caught.value)
    return str(caught.value)


def test_a_key_with_its_certificate_and_the_chain(tmp_path: Path) -> None:
    private, other = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP256R1())
    own = certificate(private)
    key, found = load_key_and_certificate(*p12(tmp_path, private, own, (certificate(other),)))
    assert found == own
    assert isinstance(key, EcKey) and key.public_key == private.public_key()
    private.public_key().verify(key.sign_der(DATA), DATA, ec.ECDSA(hashes.SHA384()))


def test_rsa(tmp_path: Path) -> None:
    private = rsa.generate_private_key(65537, 2048)
    key, _ = load_key_and_certificate(*p12(tmp_path, private, certificate(private)))
    assert isinstance(key, RsaKey)


def test_a_key_alone(tmp_path: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    assert load_key_and_certificate(*p12(tmp_path, private, None))[1] is None


def test_no_password_at_all(tmp_path: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    path, _ = p12(tmp_path, private, certificate(private), password=None)
    assert load_key_and_certificate(path)[1] is not None


@pytest.mark.parametrize(
    "options", [(), ("-legacy",), ("-certpbe", "NONE")], ids=["modern", "legacy", "plain"]
)
def test_what_openssl_writes(tmp_path: Path, options: tuple[str, ...]) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    own = certificate(private)
    (tmp_path / "key.p12").write_bytes(serialize_key_and_certificates(b"", private, own, (), NoEncryption()))
    secret = tmp_path / "password"
    secret.write_bytes(SECRET)
    first = ["openssl", "pkcs12", "-in", "key.p12", "-passin", "pass:", "-nodes", "-out", "key.pem"]
    second = ["openssl", "pkcs12", "-export", "-in", "key.pem", "-passout", "file:password", "-out", "o.p12"]
    subprocess.run(first, cwd=tmp_path, check=True, capture_output=True)
    subprocess.run([*second, *options], cwd=tmp_path, check=True, capture_output=True)
    key, found = load_key_and_certificate(tmp_path / "o.p12", secret)
    assert found == own and key.public_key == private.public_key()


def test_a_wrong_password(tmp_path: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    path, secret = p12(tmp_path, private, certificate(private))
    assert "needs a password" in refusal(path, None)
    secret.write_bytes(b"wr0ng\n")
    text = refusal(path, secret)
    assert f"the password in {secret} does not open it" in text and "wr0ng" not in text
    secret.write_bytes(b"\xff\xfe")
    assert "is not UTF-8" in refusal(path, secret)


def test_no_key(tmp_path: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    assert "holds no private key" in refusal(*p12(tmp_path, None, None, (certificate(private),)))


def test_several_certificates(tmp_path: Path) -> None:
    private, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    both = p12(tmp_path, private, certificate(private), (certificate(private, 6),))
    assert "holds 2 certificates of its key" in refusal(*both)
    strange = p12(tmp_path, private, None, (certificate(other),))
    assert "holds 1 certificates, none of its key" in refusal(*strange)


def test_a_key_that_may_not_sign(tmp_path: Path) -> None:
    private = ec.generate_private_key(ec.SECP256K1())
    assert "not a key that may sign here" in refusal(*p12(tmp_path, private, certificate(private)))


@pytest.mark.parametrize(
    "content", [b"", b"garbage\0", b"\x30\x00", b"-----BEGIN PRIVATE KEY-----\n", bytes(1000)]
)
def test_what_is_no_pkcs12_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.p12"
    path.write_bytes(content)
    assert "not a PKCS #12 file that can be read" in refusal(path, None)


def test_a_damaged_file(tmp_path: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    path, secret = p12(tmp_path, private, certificate(private))
    data = path.read_bytes()
    for at in range(0, len(data), 37):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        try:
            load_key_and_certificate(path, secret)
        except ConfigError as error:
            assert str(path) in error.message
    path.write_bytes(data[:-5])
    refusal(path, secret)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    path, secret = p12(tmp_path, private, certificate(private))
    assert "`file`" in refusal(tmp_path / "absent.p12", secret)
    assert "`password_file`" in refusal(path, tmp_path / "absent")
    assert "Is a directory" in refusal(tmp_path, None)
    path.chmod(0)
    if os.geteuid() != 0:
        assert "Permission denied" in refusal(path, secret)


# With an issuer


def with_p12(works: Works, extra: str = "") -> Context:
    text = works.file.read_text()
    old = 'key = "responder.key", certificate = "responder.pem"'
    assert old in text
    new = f'kind = "pkcs12", file = "responder.p12", password_file = "password"{extra}'
    works.file.write_text(text.replace(old, new))
    return works.open()


def key_and_certificate(works: Works, name: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = load_pem_private_key((works.directory / f"{name}.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key, x509.load_pem_x509_certificate((works.directory / f"{name}.pem").read_bytes())


def test_the_certificate_inside_signs(works: Works) -> None:
    key, own = key_and_certificate(works, "responder")
    _, ca = key_and_certificate(works, "ca")
    p12(works.directory, key, own, (ca,))
    with with_p12(works) as context:
        signer = context.ocsp_signer("demo")
        assert signer.certificate == own and signer.embedded == own.public_bytes(Encoding.DER)
        assert signer.key.public_key == key.public_key()
        context.crl_signer("demo")


def test_the_certificate_of_the_configuration_goes_before(works: Works) -> None:
    key, own = key_and_certificate(works, "responder")
    p12(works.directory, key, certificate(key), (certificate(key, 6),))
    with pytest.raises(ConfigError, match="holds 2 certificates"), with_p12(works) as context:
        context.ocsp_signer("demo")
    p12(works.directory, key, certificate(key))
    with (
        works.open() as context,
        pytest.raises(ConfigError, match="unfit as a responder certificate") as caught,
    ):
        context.ocsp_signer("demo")
    assert "responder.p12" in caught.value.message
    text = works.file.read_text()
    works.file.write_text(text.replace('"password"', '"password", certificate = "responder.pem"'))
    with works.open() as context:
        assert context.ocsp_signer("demo").certificate == own


def test_an_expired_certificate_inside_is_refused(works: Works) -> None:
    key, own = key_and_certificate(works, "responder")
    p12(works.directory, key, own)
    with with_p12(works) as context:
        works.clock.pass_time(61 * DAY)  # type: ignore[attr-defined]
        with pytest.raises(ConfigError, match=r"responder\.p12: unfit .* expired"):
            context.ocsp_signer("demo")


@pytest.mark.parametrize("with_certificate", [True, False])
def test_the_ca_itself(works: Works, with_certificate: bool) -> None:
    key, ca = key_and_certificate(works, "ca")
    p12(works.directory, key, ca if with_certificate else None)
    with with_p12(works) as context:
        assert context.ocsp_signer("demo").certificate == ca
    text = works.file.read_text()
    works.file.write_text(text.replace('key = "ca.key", ', ""))
    with works.open() as context:
        assert context.crl_signer("demo").certificate == ca


def test_a_responders_key_without_its_certificate_is_told(works: Works) -> None:
    key, _ = key_and_certificate(works, "responder")
    p12(works.directory, key, None)
    with with_p12(works) as context:
        with pytest.raises(
            ConfigError, match=r"responder\.p12: issuer demo: not the key of .*ca\.pem"
        ) as caught:
            context.ocsp_signer("demo")
        assert caught.value.remedy is not None and "`signer.file`" in caught.value.remedy
