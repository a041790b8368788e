"""An issuer's signing key from wherever its configuration says it is."""

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from signer.config import SignerTable
from signer.keys.file import SigningKey, load_key
from signer.keys.pkcs12 import load_key_and_certificate

__all__ = ["OpenedKey", "open_key"]


@dataclass(frozen=True, slots=True)
class OpenedKey:
    """A key, the file it came from and the certificate that was with it."""

    key: SigningKey
    path: Path
    certificate: x509.Certificate | None


def open_key(table: SignerTable) -> OpenedKey:
    """Raises ConfigError naming the file and what is wrong with it."""
    if table.file is not None:
        key, certificate = load_key_and_certificate(table.file, table.password_file)
        return OpenedKey(key, table.file, certificate)
    assert table.key is not None  # SignerTable sees to it
    return OpenedKey(load_key(table.key, table.passphrase_file), table.key, None)
