import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from signer.keys.file import load_key
from store.errors import ConfigError

DATA = b"to be signed"


def write(
    directory: Path,
    key: PrivateKeyTypes,
    form: PrivateFormat = PrivateFormat.PKCS8,
    encryption: KeySerializationEncryption | None = None,
) -> Path:
    path = directory / "key.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, form, encryption or NoEncryption()))
    return path


@pytest.mark.conformance("A-01")
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize(
    ("curve", "identifier", "size", "hash_algorithm"),
    [
        (ec.SECP256R1(), "300a06082a8648ce3d040302", 64, hashes.SHA256()),
        (ec.SECP384R1(), "300a06082a8648ce3d040303", 96, hashes.SHA384()),
        (ec.SECP521R1(), "300a06082a8648ce3d040304", 132, hashes.SHA512()),
    ],
    ids=["p256", "p384", "p521"],
)
def test_the_curve_fixes_the_hash(
    tmp_path: Path,
    form: PrivateFormat,
    curve: ec.EllipticCurve,
    identifier: str,
    size: int,
    hash_algorithm: hashes.HashAlgorithm,
) -> None:
    private = ec.generate_private_key(curve)
    key = load_key(write(tmp_path, private, form))
    assert (key.signature_algorithm.hex(), key.signature_size) == (identifier, size)
    signature = key.sign_der(DATA)
    private.public_key().verify(signature, DATA, ec.ECDSA(hash_algorithm))
    assert key.verify(DATA, signature)
    assert not key.verify(DATA + b"!", signature)
    assert key.public_key == private.public_key()


@pytest.mark.conformance("A-01")
@pytest.mark.parametrize("bits", [2048, 3072])
def test_rsa_signs_with_sha256(tmp_path: Path, bits: int) -> None:
    private = rsa.generate_private_key(65537, bits)
    key = load_key(write(tmp_path, private))
    assert (key.signature_algorithm.hex(), key.signature_size) == (
        "300d06092a864886f70d01010b0500",
        bits // 8,
    )
    signature = key.sign_der(DATA)
    private.public_key().verify(signature, DATA, padding.PKCS1v15(), hashes.SHA256())
    assert key.verify(DATA, signature)
    assert not key.verify(DATA, bytes(bits // 8))


@pytest.mark.conformance("A-01")
@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256K1()),
        ec.generate_private_key(ec.SECP224R1()),
        ed448.Ed448PrivateKey.generate(),
        dsa.generate_private_key(1024),
        rsa.generate_private_key(65537, 1024),
    ],
    ids=["secp256k1", "p224", "ed448", "dsa", "rsa1024"],
)
def test_other_keys_are_refused(tmp_path: Path, key: PrivateKeyTypes) -> None:
    path = write(tmp_path, key)
    with pytest.raises(ConfigError, match="not a key that may sign here") as caught:
        load_key(path)
    assert caught.value.message.startswith(str(path))


def test_a_passphrase_comes_from_a_file(tmp_path: Path) -> None:
    path = write(
        tmp_path, ec.generate_private_key(ec.SECP256R1()), encryption=BestAvailableEncryption(b"s3cret")
    )
    passphrase, wrong = tmp_path / "passphrase", tmp_path / "wrong"
    passphrase.write_text("s3cret\n")
    wrong.write_text("wr0ng\n")
    assert load_key(path, passphrase).sign_der(DATA)
    with pytest.raises(ConfigError, match="the key is encrypted") as caught:
        load_key(path)
    assert caught.value.remedy == "name its passphrase_file"
    with pytest.raises(ConfigError, match="not a PEM private key that can be read") as caught:
        load_key(path, wrong)
    assert "wr0ng" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"absent: cannot be read: .*") as caught:
        load_key(path, tmp_path / "absent")
    assert caught.value.remedy is not None and "passphrase_file" in caught.value.remedy


def test_a_passphrase_without_encryption_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("s3cret")
    with pytest.raises(ConfigError, match="the key is not encrypted"):
        load_key(path, passphrase)


@pytest.mark.parametrize(
    "content", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", b"\x30\x00"]
)
def test_what_is_no_key_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="not a PEM private key that can be read"):
        load_key(path)


def test_an_unreadable_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file") as caught:
        load_key(tmp_path / "absent.key")
    assert caught.value.remedy is not None and "`key`" in caught.value.remedy
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_key(tmp_path)
    path = write(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    path.chmod(0)
    if os.geteuid() != 0:
        with pytest.raises(ConfigError, match="Permission denied"):
            load_key(path)
