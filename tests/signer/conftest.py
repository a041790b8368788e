"""An issuer and a ledger that knows it."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from obstore.store import MemoryStore

from _fastpath.certid import IssuerID
from signer.ledger.ledger import Ledger
from signer.ledger.values import CrlPlan, LedgerIssuer, SeriesSpec
from signer.ocsp.batch import Pool
from signer.ocsp.service import IssuerService, open_service
from store.embedded import EmbeddedStore
from store.model import Issuer, public_key_bits, subject_name
from store.objects import ObjectStore, open_object_store
from tests.signer.audits import Settled
from tests.signer.ledgers import NOW
from tests.signer.works import FakeClock, Works
from tests.store.s3_server import S3Server, running_s3_server

URL_PATTERN = "http://crl.example/{issuer}/{series}-{index}.crl"


def make_issuer(name: str, key: ec.EllipticCurvePrivateKey | None = None, days: int = 3650) -> Issuer:
    """A CA with the common name `name`, with a new key unless there is one."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    moment = datetime.datetime.fromtimestamp(NOW, datetime.UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(moment).not_valid_after(moment + datetime.timedelta(days))
    certificate = builder.sign(key, hashes.SHA256())
    return Issuer(name, certificate, IssuerID(subject_name(certificate), public_key_bits(certificate)))


@pytest.fixture
def issuer() -> Issuer:
    return make_issuer("r1")


@pytest.fixture
def ledger_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    opened = Ledger.open(ledger_url, create=True)
    yield opened
    opened.close()


@pytest.fixture
def r1(ledger: Ledger, issuer: Issuer) -> LedgerIssuer:
    """The issuer in the ledger: 16 pages, four CRL shards."""
    return ledger.ensure_issuer(issuer, 4, CrlPlan((SeriesSpec(URL_PATTERN, 4),)), NOW)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running_s3_server(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(params=["directory", "memory", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """An empty one of each kind."""
    if request.param == "memory":
        return MemoryStore()
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        return open_object_store(server.target("objects", prefix=tmp_path.name))
    return open_object_store(str(tmp_path / "objects"), create=True)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(tmp_path_factory.mktemp("s")) as store:
        yield store


@pytest.fixture
def store_url(server: EmbeddedStore) -> str:
    """The store, empty but for its functions."""
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    return server.url


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def settled(server: EmbeddedStore, tmp_path_factory: pytest.TempPathFactory) -> Settled:
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    return Settled(tmp_path_factory.mktemp("settled"), server.url)


@pytest.fixture
def works(tmp_path: Path, store_url: str, clock: FakeClock) -> Iterator[Works]:
    made = Works(tmp_path, store_url, clock)
    with made.context:
        yield made


@pytest.fixture
def pool(works: Works, clock: FakeClock) -> Iterator[Pool]:
    with Pool(works.file, 1, clock) as pool:
        yield pool


@pytest.fixture
def service(works: Works, pool: Pool) -> IssuerService:
    return open_service(works.context, "demo", pool)
