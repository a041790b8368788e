"""The signer's sections of ocsp.toml."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from _fastpath.certid import SHA1, SHA256
from store.config import (
    Document,
    Duration,
    IssuerSection,
    ObjectsSection,
    Section,
    StateSection,
    StoreSection,
    check_unique_names,
    convert,
    load_document,
)
from store.errors import ConfigError

__all__ = ["CrlTable", "IssuerTable", "OcspTable", "Root", "Settings", "SignerTable", "load_settings"]

ALGORITHMS = {"sha1": SHA1, "sha256": SHA256}
KEY_FIELDS = {"file": ("key", "passphrase_file"), "pkcs12": ("file", "password_file")}
HOUR = 3600
DAY = 86_400


class SignerTable(Section, frozen=True):
    """The key that signs an issuer's OCSP responses, with its delegated certificate or as the CA itself."""

    kind: Literal["file", "pkcs12"] = "file"
    key: Path | None = None  # of "file": PEM
    passphrase_file: Path | None = None
    file: Path | None = None  # of "pkcs12"
    password_file: Path | None = None
    certificate: Path | None = None  # absent: the one in `file`; without that the key is the CA's

    def __post_init__(self) -> None:
        own, others = KEY_FIELDS[self.kind], {*KEY_FIELDS["file"], *KEY_FIELDS["pkcs12"]}
        for name in sorted(others - {*own}):
            if getattr(self, name) is not None:
                raise ValueError(
                    f'`{name}` does not go with kind = "{self.kind}", which has {" and ".join(own)}'
                )
        if getattr(self, own[0]) is None:
            raise ValueError(f'`{own[0]}` is missing: it names the key of kind = "{self.kind}"')


class OcspTable(Section, frozen=True):
    """How long responses live. A duration counts both ends: nextUpdate = thisUpdate + validity - 1 s (B2)."""

    validity: Duration = Duration(96 * HOUR)
    cycle: Duration = Duration(24 * HOUR)
    certid_hashes: tuple[Literal["sha1", "sha256"], ...] = ("sha1", "sha256")
    page_bits: int | None = None  # absent: chosen at the first import, for about 64 certificates a page

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

    @property
    def algorithms(self) -> tuple[int, ...]:
        """certid.SHA1, certid.SHA256."""
        return tuple(sorted(ALGORITHMS[name] for name in self.certid_hashes))


class CrlTable(Section, frozen=True):
    """An issuer's CRLs; they are always signed with the CA's own key (C-02)."""

    url: str  # pattern with {issuer}, {series}, {index}: the URL in the certificates, character for character
    key: Path | None = None  # absent: signer.key, when that is the CA's
    passphrase_file: Path | None = None
    shards: int = 1
    validity: Duration = Duration(7 * DAY)
    interval: Duration = Duration(4 * HOUR)

    def __post_init__(self) -> None:
        if not 1 <= self.shards <= 65_536:
            raise ValueError("`shards` must be 1 to 65536")
        if not HOUR <= self.validity <= 10 * DAY:
            raise ValueError("`validity` must be 1 h to 10 d (BR 7.2)")
        if not 60 <= self.interval <= min(24 * HOUR, self.validity // 2):
            raise ValueError("`interval` must be at least 1 m, at most 24 h and half of validity (BR 4.9.7)")
        if not re.fullmatch(r"http://[!-~]+", self.url):
            raise ValueError("`url` must begin with http:// and be printable ASCII (BR 7.1.2.11.2)")
        if self.shards > 1 and "{index}" not in self.url:
            raise ValueError("`url` must contain {index} when there are several shards")


class IssuerTable(IssuerSection, frozen=True):
    """One CA: who it is, who signs for it, and how."""

    signer: SignerTable
    crl: CrlTable
    ocsp: OcspTable = OcspTable()


class SignerSection(Section, frozen=True):
    """The process that signs."""

    workers: int | None = None  # absent: one for each core

    def __post_init__(self) -> None:
        if self.workers is not None and not 1 <= self.workers <= 256:
            raise ValueError("`workers` must be 1 to 256")

    @property
    def worker_count(self) -> int:
        return self.workers or len(os.sched_getaffinity(0))


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
    issuer: tuple[IssuerTable, ...] = ()
    responder: Any = None
    profile: Literal["public-tls"] = "public-tls"

    def __post_init__(self) -> None:
        check_unique_names(self.issuer)
        if not self.issuer:
            raise ValueError("there is no [[issuer]]: name at least one CA")


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
    def ledger_url(self) -> str:
        """The ledger's URL with an absolute path."""
        path = self.document.directory / self.root.ledger.url.removeprefix("sqlite:///")
        return f"sqlite:///{path}"

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


def load_settings(path: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the file and the environment over it. Raises ConfigError."""
    document = load_document(path, environ)
    return Settings(document, convert(document, Root))
