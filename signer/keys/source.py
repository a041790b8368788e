"""Issuers' signing keys from wherever the configuration says they are."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from signer.config import KeyTable
from signer.keys.file import SigningKey, load_key
from signer.keys.pkcs12 import load_key_and_certificate
from signer.keys.place import KeyPlace
from store.clock import Clock
from store.errors import ConfigError

if TYPE_CHECKING:
    from signer.keys.token import TokenKey

__all__ = ["KeySource", "OpenedKey"]


@dataclass(frozen=True, slots=True)
class OpenedKey:
    """A key, the file it came from and the certificate that was with it."""

    key: SigningKey
    path: Path
    certificate: x509.Certificate | None = None


class KeySource:
    """Opens keys. One in a token is opened once, and has a session there until `close`. For one thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._of_tokens: dict[tuple[KeyPlace, x509.Certificate], TokenKey] = {}

    def open(self, table: KeyTable, certificate: x509.Certificate) -> OpenedKey:
        """`certificate` is what a key in a token has to be of; of others it is the caller who looks.

        Raises ConfigError naming the file or token and what is wrong with it, TokenUnavailable.
        """
        if table.file is not None:
            key, own = load_key_and_certificate(table.file, table.password_file)
            return OpenedKey(key, table.file, own)
        if table.module is not None:
            return OpenedKey(self._of_token(_place(table), certificate), table.module)
        assert table.key is not None  # KeyTable sees to it
        return OpenedKey(load_key(table.key, table.passphrase_file), table.key)

    def _of_token(self, place: KeyPlace, certificate: x509.Certificate) -> "TokenKey":
        key = self._of_tokens.get((place, certificate))
        if key is None:
            try:
                from signer.keys.token import TokenKey
            except ImportError as error:
                raise ConfigError(
                    f'kind = "pkcs11": {error}', remedy='install what it needs: pip install "ocspeed[pkcs11]"'
                ) from None
            key = self._of_tokens[place, certificate] = TokenKey(place, certificate, self._clock)
        return key

    def close(self) -> None:
        for key in self._of_tokens.values():
            key.close()
        self._of_tokens.clear()


def _place(table: KeyTable) -> KeyPlace:
    assert table.module and table.token and table.pin_file
    key_id = bytes.fromhex(table.id.replace(":", "")) if table.id else None
    return KeyPlace(table.module, table.token, table.pin_file, table.label, key_id)
