"""The keys that sign for an issuer as the configuration names them, each looked at for what it is to sign."""

from cryptography.hazmat.primitives.serialization import Encoding

from signer.config import Settings, SignerTable
from signer.crl.build import CrlSigner
from signer.keys.file import check_profile, load_key
from signer.keys.responder_certificate import (
    OcspSigner,
    check_ca_as_signer,
    check_responder_certificate,
    key_matches,
)
from signer.keys.responders import responder_tables
from signer.keys.source import KeySource
from store.errors import ConfigError
from store.model import load_certificate

__all__ = ["Signers"]


class Signers:
    """Of all issuers. For one thread."""

    def __init__(self, settings: Settings, keys: KeySource) -> None:
        self._settings = settings
        self._keys = keys

    def close(self) -> None:
        self._keys.close()

    def responder(self, name: str, now: int) -> tuple[OcspSigner, list[ConfigError]]:
        """With the certificate that responses are signed under, and what is wrong with those that would have come first.

        Raises ConfigError if none is fit (G3).
        """
        tables, unfit = responder_tables(self._settings.ocsp_signer(name))
        for table in tables:
            try:
                return self._fit(name, table, now), unfit
            except ConfigError as error:
                unfit.append(error)
        raise unfit[-1] if len(tables) == 1 else unfit[0]

    def _fit(self, name: str, signer: SignerTable, now: int) -> OcspSigner:
        table, issuer = self._settings.issuer(name), self._settings.load_issuer(name)
        path = signer.certificate or table.certificate
        certificate = load_certificate(path)
        opened = self._keys.open(signer, certificate)
        key = opened.key
        if signer.certificate is None and opened.certificate is not None:
            path, certificate = opened.path, opened.certificate
        if not key_matches(key, certificate):
            raise ConfigError(
                f"{opened.path}: issuer {name}: not the key of {path}",
                remedy=f"correct `signer.{'key' if signer.key else 'file'}` or `signer.certificate`",
            )
        check_profile(opened.path, key, self._settings.root.profile)
        if certificate == issuer.certificate:
            check_ca_as_signer(path, certificate, now)
        else:
            check_responder_certificate(path, certificate, issuer, now)
        # The CA signing itself embeds its certificate, or GnuTLS cannot find the signer (D-09).
        return OcspSigner(key, certificate, certificate.public_bytes(Encoding.DER))

    def crl_signer(self, name: str) -> CrlSigner:
        """The CA's key for CRLs. Raises ConfigError when config names none that is the CA's."""
        table, issuer = self._settings.issuer(name), self._settings.load_issuer(name)
        if table.crl.offline:
            raise ConfigError(
                f"issuer {name}: its CRLs are signed elsewhere: `crl.offline` is true",
                remedy=f"bring them with `ocsp-signer import-signed --issuer {name} FILE`",
            )
        if table.crl.key is not None:
            path, key = table.crl.key, load_key(table.crl.key, table.crl.passphrase_file)
        else:
            source = table.crl.signer or table.signer
            assert source is not None  # config has one of the three
            opened = self._keys.open(source, issuer.certificate)
            path, key = opened.path, opened.key
        if not key_matches(key, issuer.certificate):
            raise ConfigError(
                f"{path}: issuer {name}: not the key of {table.certificate}; CRLs are signed by the CA itself",
                remedy="name the CA's key as `crl.key`",
            )
        check_profile(path, key, self._settings.root.profile)
        return CrlSigner(issuer.certificate, key)
