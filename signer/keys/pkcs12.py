"""Signing keys in PKCS #12 files (RFC 7292), with the certificate that they usually bring along."""

from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12KeyAndCertificates, load_pkcs12

from signer.keys.file import SigningKey, fit_key, read_file, read_secret
from signer.keys.responder_certificate import key_matches
from store.errors import ConfigError

__all__ = ["load_key_and_certificate"]


def load_key_and_certificate(
    path: Path, password_file: Path | None = None
) -> tuple[SigningKey, x509.Certificate | None]:
    """The key, and the certificate of that key if there is one. Raises ConfigError, which never shows the password."""
    data = read_file(path, "file")
    password = read_secret(password_file, "password_file") if password_file else None
    content = _decrypt(path, data, password, password_file)
    if content.key is None:
        raise ConfigError(
            f"{path}: holds no private key",
            remedy="write it anew with `openssl pkcs12 -export -inkey KEY -in CERTIFICATE -out FILE`",
        )
    key = fit_key(path, content.key)
    return key, _own_certificate(path, key, content)


def _decrypt(
    path: Path, data: bytes, password: bytes | None, password_file: Path | None
) -> PKCS12KeyAndCertificates:
    if password is not None and not _is_utf8(password):
        raise ConfigError(
            f"{password_file}: the password is not UTF-8",
            remedy="PKCS #12 knows text alone: write it as UTF-8",
        )
    try:
        return load_pkcs12(data, password)
    except UnsupportedAlgorithm:
        raise ConfigError(
            f"{path}: encrypted in a way that is not supported",
            remedy="write it anew: `openssl pkcs12 -legacy -in OLD -nodes | openssl pkcs12 -export -out NEW`",
        ) from None
    except (ValueError, TypeError) as error:
        raise _unreadable(path, password_file, wrong_password="password" in str(error)) from None


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _unreadable(path: Path, password_file: Path | None, *, wrong_password: bool) -> ConfigError:
    if not wrong_password:
        remedy = '`openssl pkcs12 -info -noout -in FILE` must read it; a PEM key has kind = "file"'
        return ConfigError(f"{path}: not a PKCS #12 file that can be read", remedy=remedy)
    if password_file is None:
        return ConfigError(f"{path}: needs a password", remedy="name its `password_file`")
    return ConfigError(
        f"{path}: the password in {password_file} does not open it, or it is damaged",
        remedy="`openssl pkcs12 -info -noout -in FILE -passin file:PASSWORD_FILE` must read it",
    )


def _own_certificate(
    path: Path, key: SigningKey, content: PKCS12KeyAndCertificates
) -> x509.Certificate | None:
    """Of all that is in the file: others are the CA's and its superiors'."""
    there = [content.cert, *content.additional_certs] if content.cert else content.additional_certs
    own = {one.certificate for one in there if key_matches(key, one.certificate)}
    if len(own) > 1:
        raise ConfigError(
            f"{path}: holds {len(own)} certificates of its key",
            remedy="name the one to sign under as `signer.certificate`, or leave one in the file",
        )
    if there and not own:
        raise ConfigError(
            f"{path}: holds {len(there)} certificates, none of its key",
            remedy="write it anew with the key's own certificate",
        )
    return own.pop() if own else None
