"""A CA that is signed for: its keys and ocsp.toml in a directory, a clock to set, and a look at what is stored."""

import random
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509 import ocsp

from _fastpath.answer import assemble
from _fastpath.certid import SHA1, SHA256
from _fastpath.page import PageHeader, hash32, page_number
from _fastpath.template import Template
from signer.context import Context
from signer.demo.authority import create_authority
from signer.ledger.ledger import Ledger
from signer.ledger.values import CertificateRow, Change, LedgerIssuer, Revocation
from signer.ocsp.pages import PageSigner
from store.clock import Clock
from store.model import load_certificate
from store.reader import StoreReader
from store.writer import PageWriter
from tests.signer.ledgers import NOW, certificate_rows, revoke

__all__ = ["FakeClock", "OffsetClock", "Works", "plain_config", "quietly", "row_in_page"]

DAY = 86_400
URL_PATTERN = "http://crl.example/{issuer}/{series}-{index}.crl"

CONFIG = """\
{store}
[signer]
workers = {workers}
admin = "127.0.0.1:0"
[[issuer]]
name = "demo"
certificate = "ca.pem"
signer = {{ key = "responder.key", certificate = "responder.pem" }}
ocsp = {{ page_bits = {page_bits} }}
crl = {{ key = "ca.key", shards = {shards}, url = "http://crl.example/{{issuer}}/{{series}}-{{index}}.crl" }}
"""


def quietly(count: int) -> None:
    """Progress that nobody looks at."""


def plain_config(name: str) -> str:
    """ocsp.toml of one issuer with everything as it is by default."""
    return f"""\
[[issuer]]
name = "{name}"
certificate = "ca.pem"
signer = {{ key = "responder.key", certificate = "responder.pem" }}
crl = {{ key = "ca.key", url = "http://c.example/{{series}}-{{index}}.crl" }}
"""


class FakeClock:
    """Both clocks as tests set them."""

    def __init__(self, seconds: int = NOW) -> None:
        self.seconds = seconds
        self.elapsed = 0.0

    def now(self) -> int:
        return self.seconds

    def wall(self) -> float:
        return self.now()

    def monotonic(self) -> float:
        return self.elapsed

    def pass_time(self, seconds: int) -> None:
        self.seconds += seconds
        self.elapsed += seconds


class OffsetClock:
    """Another clock that is wrong by some seconds."""

    def __init__(self, clock: Clock, offset: int) -> None:
        self._clock = clock
        self._offset = offset

    def now(self) -> int:
        return self._clock.now() + self._offset

    def wall(self) -> float:
        return self.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()


def row_in_page(
    page: int, number: int, *, page_bits: int = 2, revoked: int | None = None, not_after: int = NOW + 60 * DAY
) -> CertificateRow:
    """The `number`th made-up certificate of a page."""
    chooser = random.Random(page * 100_000 + number)
    while True:
        serial = b"\x02" + chooser.randbytes(15)
        if page_number(serial, page_bits) == page:
            return CertificateRow(hash32(serial), serial, not_after, revoked, 0)


class Works:
    """One issuer, `demo`, with 4 pages and 3 CRL shards unless told otherwise."""

    def __init__(
        self,
        directory: Path,
        store_url: str | None,
        clock: Clock,
        *,
        page_bits: int = 2,
        shards: int = 3,
        workers: int = 1,
    ) -> None:
        self.directory = directory
        self.clock = clock
        self.file = directory / "ocsp.toml"
        create_authority(
            directory, 2, clock.now(), "http://o.example", lambda serial: "http://c.example/0.crl", 1
        )
        store = f'[store]\nurl = "{store_url}"' if store_url else ""
        self.file.write_text(CONFIG.format(store=store, workers=workers, page_bits=page_bits, shards=shards))
        self.context = Context.open(self.file, clock, create_ledger=True)

    @classmethod
    def over(cls, directory: Path, clock: Clock) -> Self:
        """One whose files are there already."""
        made = cls.__new__(cls)
        made.directory, made.clock, made.file = directory, clock, directory / "ocsp.toml"
        made.context = made.open()
        return made

    def open(self, clock: Clock | None = None) -> Context:
        """Another context over the same files."""
        return Context.open(self.file, clock or self.clock)

    @contextmanager
    def configured(self, before: str, after: str) -> Iterator[None]:
        """With a context over another configuration, until the end."""
        self.file.write_text(self.file.read_text().replace(before, after))
        self.context = Context.open(self.file, self.clock, create_ledger=True)
        with self.context:
            yield

    @property
    def ledger(self) -> Ledger:
        return self.context.ledger

    @property
    def issuer(self) -> LedgerIssuer:
        return self.context.ledger_issuer("demo")

    @property
    def reader(self) -> StoreReader:
        return StoreReader(self.context.client, self.context.endpoint.url)

    def signer(self, writer: PageWriter | None = None, clock: Clock | None = None) -> PageSigner:
        """A page signer over this context's ledger and store, perhaps with another writer or clock."""
        responses = self.context.response_signer("demo")
        self.context.announce("demo")
        return PageSigner(
            self.ledger,
            self.issuer,
            responses,
            self.reader,
            writer or self.context.writer,
            clock or self.clock,
        )

    def add(self, rows: Iterable[CertificateRow]) -> list[CertificateRow]:
        ordered = sorted(rows)
        self.ledger.add_certificates(self.issuer.id, ordered, self.clock.now())
        return ordered

    def add_some(self, count: int, seed: int = 1, *, revoked_every: int = 0) -> list[CertificateRow]:
        return self.add(certificate_rows(count, seed, revoked_every=revoked_every))

    def revoke(self, *serials: bytes, reason: int = 0) -> list[Change]:
        """Revoke now; the changes that this made."""
        before = self.ledger.generation(self.issuer.id)
        asked = [Revocation(serial, self.clock.now(), reason) for serial in serials]
        revoke(self.ledger, self.issuer.id, asked, self.clock.now())
        return self.ledger.changes(self.issuer.id, before, 100_000)

    def changes(self, after: int = 0) -> list[Change]:
        return self.ledger.changes(self.issuer.id, after, 100_000)

    def damage(self, serial: bytes) -> None:
        """Give a certificate a revocation time that no record can hold, as only a broken ledger would."""
        self._execute(
            "UPDATE certificate SET revocation_time = 8589934592, revoked_generation = issued_generation",
            serial,
        )

    def mend(self, serial: bytes) -> None:
        self._execute("UPDATE certificate SET revocation_time = NULL, revoked_generation = NULL", serial)

    def _execute(self, statement: str, serial: bytes) -> None:
        connection = sqlite3.connect(self.directory / "ledger.db")
        with connection:
            connection.execute(f"{statement} WHERE serial = ?", (serial,))
        connection.close()

    def stored(self, page: int) -> tuple[PageHeader, dict[bytes, bytes]] | None:
        return self.reader.page("demo", self.issuer.page_epoch, page)

    def header(self, page: int) -> PageHeader:
        found = self.reader.header("demo", self.issuer.page_epoch, page)
        assert found is not None
        return found

    def response(self, serial: bytes, algorithm: int = SHA1) -> ocsp.OCSPResponse | None:
        """What would be answered: parsed by cryptography, its signature verified. None: nothing is stored."""
        issuer = self.issuer
        found = self.stored(page_number(serial, issuer.page_bits))
        record = found[1].get(serial) if found else None
        return None if record is None else _Answers(self).response(serial, record, algorithm)

    def response_end(self, serial: bytes) -> int:
        """nextUpdate of what would be answered."""
        response = self.response(serial)
        assert response is not None and response.next_update_utc is not None
        return int(response.next_update_utc.timestamp())

    def is_revoked(self, serial: bytes) -> bool:
        response = self.response(serial)
        return response is not None and response.certificate_status is ocsp.OCSPCertStatus.REVOKED

    def check_store(self) -> None:
        """Every page of the store says exactly what the ledger says, under both CertID algorithms."""
        self.check_pages(range(1 << self.issuer.page_bits))

    def check_pages(self, pages: Iterable[int]) -> None:
        """The same of some pages."""
        issuer = self.issuer
        snapshot = self.ledger.snapshot(issuer.id, 0, 2**32 - 1)
        answers = _Answers(self)
        by_page: dict[int, list[CertificateRow]] = {}
        for row in snapshot.rows:
            by_page.setdefault(page_number(row.serial, issuer.page_bits), []).append(row)
        for page in pages:
            rows = by_page.get(page, [])
            living = [row for row in rows if row.not_after >= self.clock.now()]
            found = self.stored(page)
            assert found is not None, f"page {page} is not whole"
            header, records = found
            assert set(records) == {row.serial for row in living}
            assert header.count == len(living)
            assert header.revoked_count == sum(row.revoked for row in living)
            for row in living:
                answers.check(row, records[row.serial])


class _Answers:
    """What would be answered: parsed by cryptography, its signature verified. What records share is read once."""

    def __init__(self, works: Works) -> None:
        self._issuer = works.context.issuer("demo")
        self._ca = load_certificate(works.directory / "ca.pem")
        self._reader = works.reader
        self._stored = works.ledger.templates(works.issuer.id)
        self._templates: dict[int, Template] = {}
        self._signers: set[x509.Certificate] = set()  # that the CA issued

    def check(self, row: CertificateRow, record: bytes) -> None:
        """Under both CertID algorithms, against the ledger."""
        for algorithm in (SHA1, SHA256):
            response = self.response(row.serial, record, algorithm)
            assert response.serial_number == int.from_bytes(row.serial)
            digest = "sha1" if algorithm == SHA1 else "sha256"
            assert response.hash_algorithm.name == digest
            if row.revocation_time is None:
                assert response.certificate_status is ocsp.OCSPCertStatus.GOOD
                continue
            assert response.certificate_status is ocsp.OCSPCertStatus.REVOKED
            assert response.revocation_time_utc is not None
            assert int(response.revocation_time_utc.timestamp()) == row.revocation_time
            reason = response.revocation_reason
            assert (reason is None) == (row.reason == 0)

    def response(self, serial: bytes, record: bytes, algorithm: int) -> ocsp.OCSPResponse:
        number = self._stored[record[1]].number
        template = self._templates.get(number) or self._reader.template(number)
        assert template is not None
        self._templates[number] = template
        answer = assemble(template, number, self._issuer.id, algorithm, serial, record, 0, 1 << 40)
        assert answer is not None
        response = ocsp.load_der_ocsp_response(answer.body)
        self._verify(response)
        return response

    def _verify(self, response: ocsp.OCSPResponse) -> None:
        signer = response.certificates[0]
        if signer not in self._signers:
            signer.verify_directly_issued_by(self._ca)
            self._signers.add(signer)
        key = signer.public_key()
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(response.signature, response.tbs_response_bytes, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(response.signature, response.tbs_response_bytes)
        else:
            assert isinstance(key, ec.EllipticCurvePublicKey)
            key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(hashes.SHA256()))
