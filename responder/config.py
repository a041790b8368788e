"""The responder's sections of ocsp.toml, and what they come to once paths and certificates are read."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from store.config import (
    Document,
    Duration,
    IssuerSection,
    ObjectsSection,
    ObjectTarget,
    Section,
    Size,
    StateSection,
    StoreSection,
    check_unique_names,
    convert,
    load_document,
)
from store.connection import EMBEDDED, Endpoint
from store.errors import ConfigError
from store.listening import check_address
from store.model import Issuer, load_issuer

__all__ = ["IssuerTable", "ResponderSection", "Root", "Settings", "load_settings", "read_settings"]

MAX_UNVERIFIED = 7 * 86400  # seconds; no answer is valid for longer
MIN_CACHE = 1 << 20  # octets


class ResponderSection(Section, frozen=True):
    """How requests are taken and answered."""

    listen: str = "127.0.0.1:2560"  # public, plain HTTP (H-17)
    admin: str = "127.0.0.1:9560"  # /metrics, /livez, /readyz: never public
    workers: int = 1
    prefix: str = ""  # mount prefix such as "/ocsp", the path of the AIA URL (H-14)
    max_age_cap: Duration = Duration(3600)  # H-04
    strict_base64: bool = False  # True: refuse what H-15 tolerates
    body_limit: Size = Size(16384)
    target_limit: Size = Size(8192)
    header_limit: Size = Size(32768)  # all header fields of a request (F1)
    header_timeout: Duration = Duration(10)  # from the first octet of a request to the end of its header (F3)
    body_timeout: Duration = Duration(10)  # from there to the end of its body (F3)
    write_timeout: Duration = Duration(30)  # for a client that does not read its answers (F3)
    lookup_timeout_ms: int = 40  # one request's wait for the store, then tryLater
    cache: Size = Size(64 << 20)  # of each worker's answers (F2)
    max_unverified: Duration = Duration(300)  # for which cached answers go on without the store
    waiting_room: int = 10_000  # lookups under way per worker, then tryLater (F5)
    keep_alive: Duration = Duration(75)
    floor_interval: Duration = Duration(60)  # between two looks for new CRLs, for the floor (A2)
    verify: Literal["sample", "all"] = "sample"  # signatures of what comes out of the store (C2)
    access_log: bool = False
    limit_concurrency: int = 4096  # connections per worker, then 503 (H-20)

    def __post_init__(self) -> None:
        check_address("listen", self.listen)
        check_address("admin", self.admin)
        if self.prefix and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", self.prefix):
            raise ValueError(f'`prefix` {self.prefix!r} must be empty or a path such as "/ocsp"')
        if not 1 <= self.workers <= 256:
            raise ValueError(f"`workers` is {self.workers}, not 1 to 256")
        if not 1 <= self.lookup_timeout_ms <= 10_000:
            # H-18: an answer within 10 s, and trustd waits 3 s.
            raise ValueError(f"`lookup_timeout_ms` is {self.lookup_timeout_ms}, not 1 to 10000")
        if self.cache < MIN_CACHE:
            raise ValueError(f"`cache` is {self.cache} octets; it must be at least 1MiB")
        if self.max_unverified > MAX_UNVERIFIED:
            raise ValueError("`max_unverified` must be at most 7d: revocations may be seen that late")
        if not 1 <= self.floor_interval <= 3600:
            raise ValueError("`floor_interval` must be 1s to 1h")
        if self.waiting_room < 1:
            raise ValueError("`waiting_room` must be at least 1")
        if self.limit_concurrency < 1:
            raise ValueError("`limit_concurrency` must be at least 1")


class IssuerTable(IssuerSection, frozen=True):
    """An issuer that is answered for; how it signs is the signer's business."""

    signer: Any = None
    ocsp: Any = None
    crl: Any = None
    watch: Any = None

    @property
    def has_ocsp(self) -> bool:
        """False for a CA with CRLs alone (P-02)."""
        return not (isinstance(self.ocsp, dict) and self.ocsp.get("enabled") is False)


class Root(Section, frozen=True):
    """What the responder reads of ocsp.toml."""

    store: StoreSection = StoreSection()
    objects: ObjectsSection = ObjectsSection()
    state: StateSection = StateSection()
    responder: ResponderSection = ResponderSection()
    issuer: tuple[IssuerTable, ...] = ()
    signer: Any = None
    ledger: Any = None
    intake: Any = None
    profile: Any = None

    def __post_init__(self) -> None:
        check_unique_names(self.issuer)
        if not self.issuer:
            raise ValueError(
                "there is no [[issuer]]: name at least one CA whose certificates are answered for"
            )


@dataclass(frozen=True, slots=True)
class Settings:
    """A checked configuration with everything it names read."""

    file: Path
    root: Root
    state_directory: Path
    issuers: tuple[Issuer, ...]
    store: Endpoint
    objects: ObjectTarget

    @property
    def responder(self) -> ResponderSection:
        return self.root.responder

    @property
    def ocsp_issuers(self) -> tuple[Issuer, ...]:
        """Those whose certificates are answered for; the others have CRLs alone."""
        tables = zip(self.root.issuer, self.issuers, strict=True)
        return tuple(issuer for table, issuer in tables if table.has_ocsp)

    @property
    def embedded(self) -> bool:
        """Whether the store is a server of our own; CRLs alone need none (P-02)."""
        return self.root.store.url == EMBEDDED and bool(self.ocsp_issuers)


def load_settings(path: Path) -> Settings:
    """Read a file and all it names; this is the whole of `check-config`. Raises ConfigError."""
    return read_settings(load_document(path))


def read_settings(document: Document) -> Settings:
    """The same from a document at hand."""
    root = convert(document, Root)
    directory = root.state.resolve(document)
    issuers = tuple(_load(document, index, table) for index, table in enumerate(root.issuer))
    _check_distinct(document, issuers)
    return Settings(
        document.path,
        root,
        directory,
        issuers,
        Endpoint.of(root.store, directory),
        root.objects.place(document),
    )


def _load(document: Document, index: int, table: IssuerTable) -> Issuer:
    with document.naming(["issuer", index, "certificate"]):
        return load_issuer(table.name, table.certificate)


def _check_distinct(document: Document, issuers: tuple[Issuer, ...]) -> None:
    """Q-04: a CertID must lead to one issuer."""
    names: dict[bytes, str] = {}
    for issuer in issuers:
        other = names.setdefault(issuer.id.fingerprint, issuer.name)
        if other != issuer.name:
            raise ConfigError(
                f"{document.path}: issuers {other!r} and {issuer.name!r} have the same name and key",
                remedy="keep one [[issuer]] for each CA name and key",
            )
