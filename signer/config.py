"""The signer's sections of ocsp.toml."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

import msgspec

from _fastpath.certid import SHA1, SHA256
from signer.ledger.values import CrlPlan, SeriesSpec
from store.config import (
    Document,
    Duration,
    IssuerSection,
    ObjectsSection,
    Section,
    Size,
    StateSection,
    StoreSection,
    check_unique_names,
    convert,
    load_document,
)
from store.errors import ConfigError
from store.listening import Address, check_address
from store.model import Issuer, load_issuer

__all__ = [
    "CrlTable",
    "IntakeSection",
    "IssuerTable",
    "KeyTable",
    "OcspTable",
    "Root",
    "SeriesTable",
    "Settings",
    "SignerTable",
    "load_settings",
]

ALGORITHMS = {"sha1": SHA1, "sha256": SHA256}
KEY_FIELDS = {
    "file": ("key", "passphrase_file"),
    "pkcs12": ("file", "password_file"),
    "pkcs11": ("module", "token", "pin_file", "label", "id"),
}
KEY_FIELDS_NEEDED = {"file": ("key",), "pkcs12": ("file",), "pkcs11": ("module", "token", "pin_file")}
HOUR = 3600
DAY = 86_400


class KeyTable(Section, frozen=True):
    """Where a private key is."""

    kind: Literal["file", "pkcs12", "pkcs11"] = "file"
    key: Path | None = None  # of "file": PEM
    passphrase_file: Path | None = None
    file: Path | None = None  # of "pkcs12"
    password_file: Path | None = None
    module: Path | None = None  # of "pkcs11": the library that came with the token
    token: str | None = None  # its label
    pin_file: Path | None = None
    label: str | None = None  # of the key in the token
    id: str | None = None  # the key's CKA_ID in hexadecimal, beside the label or instead of it

    def __post_init__(self) -> None:
        own, others = KEY_FIELDS[self.kind], {name for names in KEY_FIELDS.values() for name in names}
        for name in sorted(others - {*own}):
            if getattr(self, name) is not None:
                raise ValueError(
                    f'`{name}` does not go with kind = "{self.kind}", which has {", ".join(own)}'
                )
        self._check_key_named()

    def _check_key_named(self) -> None:
        for name in KEY_FIELDS_NEEDED[self.kind]:
            if not getattr(self, name):
                raise ValueError(f'`{name}` is missing: it names the key of kind = "{self.kind}"')
        if self.kind == "pkcs11" and not self.label and not self.id:
            raise ValueError('`label` or `id` is missing: it names the key of kind = "pkcs11"')
        if self.id is not None and not re.fullmatch(r"([0-9A-Fa-f]{2}:?)*[0-9A-Fa-f]{2}", self.id):
            raise ValueError("`id` must be octets in hexadecimal, such as 01a2")


class SignerTable(KeyTable, frozen=True):
    """The key that signs an issuer's OCSP responses, with its delegated certificate or as the CA itself."""

    certificate: Path | None = None  # absent: the one in `file`; without that the key is the CA's
    directory: Path | None = None  # instead: NAME.pem with NAME.key, or with the key NAME in the token
    renew_command: tuple[str, ...] | None = None  # program and arguments that bring a new certificate there
    renew_before: Duration = Duration(14 * DAY)  # the end of the one that signs
    renew_every: Duration = Duration(HOUR)  # at most
    renew_timeout: Duration = Duration(60)

    def _check_key_named(self) -> None:
        if self.renew_command is not None:
            self._check_renewal()
        if self.directory is None:
            super()._check_key_named()
            return
        if self.kind == "pkcs12":
            raise ValueError('`directory` goes with kind = "file" and kind = "pkcs11"')
        for name in ("key", "label", "id", "certificate"):
            if getattr(self, name) is not None:
                raise ValueError(f"`{name}` does not go with `directory`, where the names of files say it")
        for name in KEY_FIELDS_NEEDED["pkcs11"] if self.kind == "pkcs11" else ():
            if not getattr(self, name):
                raise ValueError(f'`{name}` is missing: it is where the keys of kind = "pkcs11" are')

    def _check_renewal(self) -> None:
        if not self.renew_command or not self.renew_command[0]:
            raise ValueError('`renew_command` must be a program and its arguments, such as ["renew", "ocsp"]')
        if self.directory is None:
            raise ValueError("`renew_command` goes with `directory`, where it puts what is new")
        if not 60 <= self.renew_every <= DAY:
            raise ValueError("`renew_every` must be 1 m to 24 h")
        if not 1 <= self.renew_timeout <= HOUR:
            raise ValueError("`renew_timeout` must be 1 s to 1 h")


class OcspTable(Section, frozen=True):
    """How long responses live. A duration counts both ends: nextUpdate = thisUpdate + validity - 1 s (B2)."""

    enabled: bool = True  # false: CRLs only (P-02)
    responses: Literal["signed", "imported"] = (
        "signed"  # imported: signed elsewhere, brought by `import-signed`
    )
    validity: Duration = Duration(96 * HOUR)
    cycle: Duration = Duration(24 * HOUR)
    certid_hashes: tuple[Literal["sha1", "sha256"], ...] = ("sha1", "sha256")
    page_bits: int | None = None  # absent: chosen at the first import, for about 64 certificates a page
    repage_above: int = 256  # mean certificates a page from which `run` makes more pages; 0: never
    url: str | None = None  # as in the certificates; the intake API tells it with a reservation

    def __post_init__(self) -> None:
        # 8 h to 7 d allowed; below 16 h other deadlines hold, which this project does not offer.
        if not 16 * HOUR < self.validity <= 7 * DAY:
            raise ValueError("`validity` must be more than 16 h and at most 7 d (BR 4.9.9; MS 3.2.2)")
        # A response that is renewed 16 h before its end, or earlier, can be the last one of a certificate.
        deadline = min(self.validity // 2, 4 * DAY, self.validity - 16 * HOUR)
        if not HOUR <= self.cycle < deadline:
            raise ValueError(
                f"`cycle` must be at least 1 h and less than {deadline / HOUR:.1f} h: half of `validity`, "
                "and 16 h less than it (R-16, R-18)"
            )
        if not self.certid_hashes or len(set(self.certid_hashes)) != len(self.certid_hashes):
            raise ValueError("`certid_hashes` must name sha1, sha256 or both, each once")
        if self.page_bits is not None and not 0 <= self.page_bits <= 28:
            raise ValueError("`page_bits` must be 0 to 28")
        if self.repage_above < 0 or 0 < self.repage_above < 128:
            raise ValueError("`repage_above` must be 0, or 128 and more: pages are made for 64")
        if self.url is not None:
            _check_url("url", self.url)

    @property
    def algorithms(self) -> tuple[int, ...]:
        """certid.SHA1, certid.SHA256."""
        return tuple(sorted(ALGORITHMS[name] for name in self.certid_hashes))


class SeriesTable(Section, frozen=True):
    """One more set of shards, for certificates issued from `from` on."""

    url: str  # as `crl.url`
    opens: datetime = msgspec.field(name="from")
    shards: int = 1

    def __post_init__(self) -> None:
        if self.opens.tzinfo is None:
            raise ValueError("`from` must be a time with its zone, such as 2027-01-01T00:00:00Z")
        _check_shards(self.url, self.shards)

    @property
    def opens_at(self) -> int:
        """Seconds since 1970."""
        return int(self.opens.timestamp())


class CrlTable(Section, frozen=True):
    """An issuer's CRLs; they are always signed with the CA's own key (C-02)."""

    url: str | None = (
        None  # pattern with {issuer}, {series}, {index}: the URL in the certificates, to the character
    )
    key: Path | None = None  # absent: signer.key, when that is the CA's
    passphrase_file: Path | None = None
    signer: KeyTable | None = None  # instead of `key`: a key that is not in a PEM file
    offline: bool = False  # signed elsewhere and brought by `import-signed`
    shards: int = 1
    series: tuple[SeriesTable, ...] = ()  # after the one of `url` and `shards`, which is number 0
    full_url: str | None = None  # a CRL of everything, beside the shards or instead of them
    ca_url: str | None = None  # the CRL of the CA certificates that this CA issued
    validity: Duration = Duration(7 * DAY)
    interval: Duration = Duration(4 * HOUR)
    revoked_within: Duration = Duration(HOUR)  # of a revocation's record, also when millions come at once

    def __post_init__(self) -> None:
        if not HOUR <= self.validity <= 10 * DAY:
            raise ValueError("`validity` must be 1 h to 10 d (BR 7.2)")
        if not 60 <= self.interval <= min(24 * HOUR, self.validity // 2):
            raise ValueError("`interval` must be at least 1 m, at most 24 h and half of validity (BR 4.9.7)")
        if not 60 <= self.revoked_within <= 24 * HOUR:
            raise ValueError("`revoked_within` must be 1 m to 24 h (BR 4.9.7)")
        if self.offline and (self.key or self.passphrase_file or self.signer):
            raise ValueError("`key` and `signer` do not go with `offline`: such CRLs are signed elsewhere")
        if self.signer is not None and (self.key or self.passphrase_file or self.signer.kind == "file"):
            raise ValueError(
                "a key in a PEM file is named by `key`, one that is not by `signer`: use one of them"
            )
        self._check_urls()

    def _check_urls(self) -> None:
        if self.url is not None:
            _check_shards(self.url, self.shards)
        elif self.full_url is None:
            raise ValueError(
                "`url` is missing: the pattern of CRL URLs in certificates (or `full_url`, for one CRL)"
            )
        elif self.shards != 1 or self.series:
            raise ValueError("`shards` and `series` go with `url`")
        for name, url in (("full_url", self.full_url), ("ca_url", self.ca_url)):
            if url is not None:
                _check_url(name, url)
        times = [series.opens for series in self.series]
        if sorted(set(times)) != times:
            raise ValueError("`series` must each have a later `from` than the one before")

    @property
    def plan(self) -> CrlPlan:
        """The same in the ledger's words."""
        first = () if self.url is None else (SeriesSpec(self.url, self.shards),)
        later = tuple(SeriesSpec(one.url, one.shards, one.opens_at) for one in self.series)
        return CrlPlan(first + later, self.full_url, self.ca_url)


def _check_shards(url: str, shards: int) -> None:
    if not 1 <= shards <= 65_536:
        raise ValueError("`shards` must be 1 to 65536")
    _check_url("url", url)
    if shards > 1 and "{index}" not in url:
        raise ValueError("`url` must contain {index} when there are several shards")


def _check_url(name: str, url: str) -> None:
    if not re.fullmatch(r"http://[!-~]+", url):
        raise ValueError(f"`{name}` must begin with http:// and be printable ASCII (BR 7.1.2.11.2)")


class IssuerTable(IssuerSection, frozen=True):
    """One CA: who it is, who signs for it, and how."""

    crl: CrlTable
    signer: SignerTable | None = None  # only a CA without OCSP has none
    ocsp: OcspTable = OcspTable()
    watch: Path | None = None  # an index.txt that `run` follows

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.signer is None and self.signs_responses:
            raise ValueError(
                "`signer` is missing: it signs OCSP responses; without OCSP write ocsp.enabled = false"
            )
        if self.signer is not None and self.imports_responses:
            raise ValueError(
                '`signer` does not go with ocsp.responses = "imported": they are signed elsewhere'
            )
        renewed = self.signer is not None and self.signer.renew_command is not None
        if self.signer is not None and renewed and self.signer.renew_before <= self.ocsp.validity:
            raise ValueError("`signer.renew_before` must be more than `ocsp.validity` (R-17, D-08)")
        of_ca = self.signer is not None and self.signer.directory is None
        if not (of_ca or self.crl.key or self.crl.signer or self.crl.offline):
            raise ValueError("`crl.key` is missing: CRLs are signed with the CA's key")
        if self.crl.offline and self.signs_responses:
            raise ValueError(
                '`crl.offline` goes with ocsp.enabled = false, or with ocsp.responses = "imported": '
                "what is not here cannot sign responses"
            )

    @property
    def signs_responses(self) -> bool:
        return self.ocsp.enabled and self.ocsp.responses == "signed"

    @property
    def imports_responses(self) -> bool:
        """Whether they are signed elsewhere and only served here."""
        return self.ocsp.enabled and self.ocsp.responses == "imported"


class SignerSection(Section, frozen=True):
    """The process that signs."""

    workers: int | None = None  # absent: one for each core
    admin: str = "127.0.0.1:9561"  # /metrics, /livez, /healthz and the intake API: never public; "" for none

    def __post_init__(self) -> None:
        if self.workers is not None and not 1 <= self.workers <= 256:
            raise ValueError("`workers` must be 1 to 256")
        if self.admin:
            check_address("admin", self.admin)

    @property
    def worker_count(self) -> int:
        return self.workers or len(os.sched_getaffinity(0))


class IntakeSection(Section, frozen=True):
    """The API by which a CA records, reserves and revokes. Off without `tokens` and `client_ca`."""

    tokens: Path | None = None  # lines of NAME TOKEN
    client_ca: Path | None = None  # PEM: who has a certificate of it may call
    certificate: Path | None = None  # of the listener, for TLS; PEM with its chain
    key: Path | None = None
    body_limit: Size = Size(64 << 20)  # of a batch; one certificate has 64 KiB, as has each line
    line_limit: int = 10_000  # lines of a batch
    limit_concurrency: int = 64  # requests under way, then 503
    timeout: Duration = Duration(10)  # for each piece of a body to come in, and for the ledger to have it

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("`certificate` and `key` go together")
        if self.client_ca is not None and self.certificate is None:
            raise ValueError("`client_ca` needs `certificate` and `key`: client certificates come by TLS")
        for name in ("body_limit", "line_limit", "limit_concurrency", "timeout"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1")

    @property
    def enabled(self) -> bool:
        return self.tokens is not None or self.client_ca is not None


class LedgerSection(Section, frozen=True):
    """The durable record."""

    url: str = "sqlite:///ledger.db"  # relative to the file

    def __post_init__(self) -> None:
        if not self.url.startswith("sqlite:///"):
            raise ValueError("`url` must be sqlite:///PATH in this release")


class Root(Section, frozen=True):
    """What the signer reads of ocsp.toml."""

    store: StoreSection = StoreSection()
    objects: ObjectsSection = ObjectsSection()
    state: StateSection = StateSection()
    signer: SignerSection = SignerSection()
    ledger: LedgerSection = LedgerSection()
    intake: IntakeSection = IntakeSection()
    issuer: tuple[IssuerTable, ...] = ()
    responder: Any = None
    profile: Literal["public-tls", "private"] = "public-tls"  # private: Ed25519 keys too

    def __post_init__(self) -> None:
        check_unique_names(self.issuer)
        if not self.issuer:
            raise ValueError("there is no [[issuer]]: name at least one CA")
        if self.intake.enabled and not self.signer.admin:
            raise ValueError("`intake` is served on `signer.admin`, which is empty")
        if self.intake.tokens is not None and self.intake.certificate is None:
            _check_loopback(self.signer.admin)


def _check_loopback(admin: str) -> None:
    host = Address.parse(admin).host
    if host != "localhost" and not (re.fullmatch(r"[0-9A-Fa-f:.]+", host) and ip_address(host).is_loopback):
        raise ValueError(
            f"`signer.admin` {admin!r} is not loopback: tokens go there only with `intake.certificate`, by TLS"
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """A checked configuration."""

    document: Document
    root: Root

    @property
    def file(self) -> Path:
        return self.document.path

    @property
    def state_directory(self) -> Path:
        return self.root.state.resolve(self.document)

    @property
    def ledger_path(self) -> Path:
        """The ledger's file, absolute."""
        return self.document.directory / self.root.ledger.url.removeprefix("sqlite:///")

    @property
    def ledger_url(self) -> str:
        return f"sqlite:///{self.ledger_path}"

    @property
    def objects_target(self) -> str:
        return self.root.objects.resolve(self.document)

    def issuer(self, name: str) -> IssuerTable:
        """Raises ConfigError that names the issuers there are."""
        for table in self.root.issuer:
            if table.name == name:
                return table
        known = ", ".join(table.name for table in self.root.issuer)
        raise ConfigError(f"{self.file}: no [[issuer]] is named {name!r}", remedy=f"known issuers: {known}")

    def load_issuer(self, name: str) -> Issuer:
        """Its CA certificate read. Raises ConfigError."""
        table = self.issuer(name)
        with self.document.naming(["issuer", self.root.issuer.index(table), "certificate"]):
            return load_issuer(name, table.certificate)

    def with_ocsp(self, name: str) -> IssuerTable:
        """Raises ConfigError for an issuer that has no responses."""
        table = self.issuer(name)
        if not table.ocsp.enabled:
            raise ConfigError(
                f"{self.file}: issuer {name} has no OCSP: ocsp.enabled is false",
                remedy="its CRLs are built by `ocsp-signer crl build` and `ocsp-signer run`",
            )
        return table

    def ocsp_signer(self, name: str) -> SignerTable:
        """Raises ConfigError for an issuer whose responses are not signed here."""
        table = self.with_ocsp(name)
        if table.signer is None:
            raise ConfigError(
                f'{self.file}: issuer {name} signs no responses here: ocsp.responses is "imported"',
                remedy=f"bring them with `ocsp-signer import-signed --issuer {name} FILE`",
            )
        return table.signer


def load_settings(path: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the file and the environment over it. Raises ConfigError."""
    document = load_document(path, environ)
    return Settings(document, convert(document, Root))
