"""Everything a signing process works with, opened from one ocsp.toml: ledger, store, keys, clock."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from _fastpath.template import Template
from signer.config import IssuerTable, Settings, load_settings
from signer.crl.build import CrlSigner
from signer.crl.catalogue import Catalogue
from signer.crl.job import CrlJob
from signer.crl.service import CrlService
from signer.crl.targets import Target, Targets
from signer.keys.responder_certificate import OcspSigner
from signer.keys.source import KeySource
from signer.ledger.errors import LedgerError
from signer.ledger.ledger import Ledger
from signer.ledger.values import LedgerIssuer, StoredTemplate
from signer.ocsp.ages import Ages, slots_of
from signer.ocsp.imported import ImportedPages
from signer.ocsp.pages import Pages, PageSigner
from signer.ocsp.responses import ResponseSigner
from signer.signers import Signers
from store.clock import Clock, SystemClock
from store.connection import EMBEDDED, Endpoint
from store.embedded import EmbeddedStore
from store.errors import ConfigError, StoreFormatError
from store.model import Issuer, subject_name
from store.objects import open_object_store
from store.primary import OnePrimary
from store.reader import StoreReader
from store.schema import IssuerRecord
from store.writer import PageWriter, check_functions

__all__ = ["Context", "page_bits_for"]

CERTIFICATES_A_PAGE = 64
MINIMUM_PAGE_BITS = 6
UNPLANNED_PAGE_BITS = 10
FEW_PAGE_BITS = 0  # an offline CA issued a handful of certificates: one page


def page_bits_for(certificates: int) -> int:
    """Bits for about 64 certificates a page; 0 certificates are an unknown number."""
    if certificates == 0:
        return UNPLANNED_PAGE_BITS
    return max(MINIMUM_PAGE_BITS, (certificates // CERTIFICATES_A_PAGE).bit_length())


class Context:
    """Opens things when they are first needed and closes what it opened. For one thread."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None = None,
        *,
        create_ledger: bool = False,
        starts_store: bool = True,
    ) -> None:
        self._create_ledger = create_ledger
        self._starts_store = starts_store
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self.endpoint = Endpoint.of(settings.root.store, settings.state_directory)
        self._ledger: Ledger | None = None
        self._embedded: EmbeddedStore | None = None
        self._client: redis.Redis | None = None
        self._primary = OnePrimary()
        self._closing = ExitStack()
        self._signers = Signers(settings, KeySource(self.clock))
        self._closing.callback(self._signers.close)

    @classmethod
    def open(
        cls,
        file: Path,
        clock: Clock | None = None,
        *,
        create_ledger: bool = False,
        starts_store: bool = True,
    ) -> Self:
        """`create_ledger` makes a missing ledger, or upgrades its schema: where certificates come in.

        `starts_store` is for who stays: whoever starts the embedded store owns it, and starts it again.
        """
        return cls(load_settings(file), clock, create_ledger=create_ledger, starts_store=starts_store)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._closing.close()

    @property
    def has_ledger(self) -> bool:
        """Whether there is one already."""
        return Path(self.settings.ledger_url.removeprefix("sqlite:///")).is_file()

    @property
    def ledger(self) -> Ledger:
        if self._ledger is None:
            self._ledger = Ledger.open(self.settings.ledger_url, create=self._create_ledger)
            self._closing.callback(self._ledger.close)
        return self._ledger

    @property
    def client(self) -> redis.Redis:
        """The store, with this release's functions loaded. An embedded one is started if nobody has."""
        if self._client is None:
            self.ensure_store()
            client = self.endpoint.client(self._primary)
            self._closing.callback(client.close)
            check_functions(client, self.endpoint.url)
            self._client = client
        return self._client

    def accept_primary(self) -> None:
        """Take whichever is there, until one is required."""
        self._primary.release()

    def require_primary(self, replication_id: bytes) -> None:
        """Whatever leads to another server raises StoreError from now on: for who writes on behalf of another process."""
        self._primary.require(self.client, replication_id)

    def disconnect(self) -> None:
        """Connect to the store anew when it is needed next."""
        if self._client is not None:
            self._client.connection_pool.disconnect()

    def ensure_store(self) -> None:
        """Start the embedded server unless it runs; nothing for any other store, or where somebody else sees to it."""
        if self.settings.root.store.url != EMBEDDED or not self._starts_store:
            return
        if self._embedded is None:
            self._embedded = self._closing.enter_context(EmbeddedStore(self.settings.state_directory))
        else:
            self._embedded.ensure_running()

    @property
    def writer(self) -> PageWriter:
        return PageWriter(self.client, self.endpoint.url)

    def issuer(self, name: str) -> Issuer:
        return self.settings.load_issuer(name)

    def ledger_issuer(self, name: str, certificates: int = 0) -> LedgerIssuer:
        """The issuer's row, added at its first use; `certificates` is how many it is about to get."""
        table = self.settings.issuer(name)
        bits = table.ocsp.page_bits
        if bits is None:
            bits = FEW_PAGE_BITS if table.imports_responses else page_bits_for(certificates)
        return self.ledger.ensure_issuer(self.issuer(name), bits, table.crl.plan, self.clock.now())

    def ocsp_signer(self, name: str) -> OcspSigner:
        """The key and certificate an issuer's responses are signed with. Raises ConfigError if unfit (G3)."""
        return self.responder(name)[0]

    def responder(self, name: str) -> tuple[OcspSigner, list[ConfigError]]:
        """The same, and what is wrong with certificates in its directory that would have come first."""
        return self._signers.responder(name, self.clock.now())

    def crl_signer(self, name: str) -> CrlSigner:
        """The CA's key for CRLs. Raises ConfigError when config names none that is the CA's."""
        return self._signers.crl_signer(name)

    def response_signer(self, name: str) -> ResponseSigner:
        """Signs single responses of one issuer. Its template is numbered in the ledger."""
        table, signer = self.settings.issuer(name), self.ocsp_signer(name)
        stored = self.ledger.add_template(self.ledger_issuer(name).id, _template(table, signer).encode())
        algorithms = table.ocsp.algorithms
        return ResponseSigner(
            self.issuer(name), stored, signer.key, algorithms, signer.not_after, table.ocsp.cycle
        )

    def pages(self, name: str) -> Pages:
        """Writes pages of one issuer."""
        if self.settings.issuer(name).imports_responses:
            issuer = self.issuer(name)
            return ImportedPages(issuer, self.ledger, self.ledger_issuer(name), self.writer, self.clock)
        return self.page_signer(name)

    def page_signer(self, name: str) -> PageSigner:
        """Signs pages of one issuer."""
        responses = self.response_signer(name)
        reader = StoreReader(self.client, self.endpoint.url)
        return PageSigner(self.ledger, self.ledger_issuer(name), responses, reader, self.writer, self.clock)

    def ages(self, name: str) -> Ages:
        """How old one issuer's responses are; none is read yet."""
        found = self.ledger_issuer(name)
        return Ages(
            StoreReader(self.client, self.endpoint.url),
            name,
            found.page_epoch,
            1 << found.page_bits,
            slots_of(self.ledger, found.id, self.issuer(name)),
            self.settings.issuer(name).ocsp.cycle,
        )

    def crl_job(self, name: str) -> CrlJob:
        """Builds and publishes one issuer's CRLs."""
        validity = self.settings.issuer(name).crl.validity
        return CrlJob(self.crl_catalogue(name), self.crl_signer(name), self.clock, validity)

    def crl_service(self, name: str) -> CrlService:
        """Keeps one issuer's CRLs for ever."""
        table = self.settings.issuer(name).crl
        return CrlService(self.crl_job(name), self.clock, table.interval, table.revoked_within)

    def crl_catalogue(self, name: str) -> Catalogue:
        """All CRLs of one issuer, whoever signs them."""
        places = self.settings.root.objects.targets(self.settings.document)
        targets = [
            Target(place.location, open_object_store(place, create=True), self.clock) for place in places
        ]
        ca_name = subject_name(self.issuer(name).certificate)
        return Catalogue(
            self.ledger,
            self.ledger_issuer(name),
            Targets(name, targets, ca_name),
            self.clock,
            offline=self.settings.issuer(name).crl.offline,
        )

    def announce(self, name: str) -> IssuerRecord:
        """Write templates, then the issuer record that names them, to the store; returns the record.

        Raises LedgerError if the store has a layout of pages that the ledger is too old to know.
        """
        found = self.ledger_issuer(name)
        readable = self._check_layout(found)
        templates: dict[int, StoredTemplate] = self.ledger.templates(found.id)
        for stored in templates.values():
            self.writer.write_template(stored.number, stored.content)
        record = IssuerRecord(
            fingerprint=self.issuer(name).id.fingerprint,
            page_epoch=found.page_epoch,
            page_bits=found.page_bits,
            certid_algorithms=self.settings.issuer(name).ocsp.algorithms,
            templates={slot: stored.number for slot, stored in templates.items()},
        )
        self.writer.write_issuer(name, record, anew=not readable)
        return record

    def _check_layout(self, found: LedgerIssuer) -> bool:
        """The ledger has a layout first: one that only the store has is of a ledger newer than this.

        Returns whether what the store has can be read.
        """
        try:
            stored = StoreReader(self.client, self.endpoint.url).issuer(found.name)
        except StoreFormatError:
            return False
        if stored is not None and stored.page_epoch > found.page_epoch:
            raise LedgerError(
                f"issuer {found.name}: its pages in the store are of page epoch {stored.page_epoch}, the ledger "
                f"has {found.page_epoch}: an older ledger was put back, or the store is another ledger's",
                remedy="bring back what the store knows: `ocsp-signer ledger restore` with the newest backup",
            )
        return True


def _template(table: IssuerTable, signer: OcspSigner) -> Template:
    return Template(
        signature_algorithm=signer.key.signature_algorithm,
        signature_size=signer.key.signature_size,
        responder_key_hash=signer.key_hash,
        certificates=signer.embedded,
        validity=table.ocsp.validity - 1,  # a duration counts both ends (B2)
    )
