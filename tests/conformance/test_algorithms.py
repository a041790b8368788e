"""Group A: which signatures there may be, and that none is stored or published without having been looked at."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from structlog.testing import capture_logs

from _fastpath.template import Template
from signer.context import Context
from signer.crl.job import ShardOutcome, ShardStatus
from signer.errors import SigningFault
from signer.keys.file import SigningKey
from signer.ocsp.schedule import PageRange
from store.clock import SystemClock
from tests.conformance.corpus import make_issuer
from tests.conformance.signatures import ALLOWED
from tests.signer.processes import wait_until
from tests.signer.test_run import running
from tests.signer.works import DAY, FakeClock, Works, row_in_page

SHA1 = ("300d06092a864886f70d0101050500", "300906072a8648ce3d0401")
SIZES = {"secp256r1": 64, "secp384r1": 96, "secp521r1": 132, "rsa": 256}
ALL = PageRange(0, 3)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def template(algorithm: str, size: int) -> Template:
    return Template(
        signature_algorithm=bytes.fromhex(algorithm),
        signature_size=size,
        responder_key_hash=bytes(20),
        certificates=b"",
        validity=4 * DAY - 1,
    )


@pytest.mark.conformance("A-01")
@pytest.mark.parametrize("kind", ALLOWED)
def test_an_algorithm_goes_with_its_own_size_of_signature(kind: str) -> None:
    """The curve fixes the hash: the AlgorithmIdentifier of another curve is refused."""
    for other, algorithms in ALLOWED.items():
        for algorithm in algorithms:
            if other == kind:
                assert template(algorithm, SIZES[kind]).signature_algorithm.hex() == algorithm
            elif kind != "rsa" and other != "rsa":
                with pytest.raises(ValueError, match="a raw"):
                    template(algorithm, SIZES[kind])


@pytest.mark.conformance("A-02")
@pytest.mark.invariant("G2")
@pytest.mark.parametrize("algorithm", SHA1)
@pytest.mark.parametrize("size", [64, 256])
def test_no_response_can_be_signed_with_sha1(algorithm: str, size: int) -> None:
    with pytest.raises(ValueError, match="AlgorithmIdentifier"):
        template(algorithm, size)


class Faulty:
    """A token of which some signatures are of other octets than it was given."""

    def __init__(self, key: SigningKey, good: int) -> None:
        self._key = key
        self._left = good
        self.signature_algorithm = key.signature_algorithm
        self.signature_size = key.signature_size

    @property
    def public_key(self) -> PublicKeyTypes:
        return self._key.public_key

    def sign_der(self, data: bytes) -> bytes:
        self._left -= 1
        return self._key.sign_der(data if self._left >= 0 else data + b"!")

    def sign_each(self, data: Sequence[bytes]) -> list[bytes]:
        return [self.sign_der(octets) for octets in data]

    def verify(self, data: bytes, signature: bytes) -> bool:
        return self._key.verify(data, signature)


def spoil(monkeypatch: pytest.MonkeyPatch, method: str, good: int = 0) -> None:
    """What this method of a Context gives for `demo` signs wrongly from now on, after `good` right signatures."""
    original: Callable[[Context, str], Any] = getattr(Context, method)

    def spoilt(context: Context, name: str) -> Any:
        signer = original(context, name)
        return replace(signer, key=Faulty(signer.key, good)) if name == "demo" else signer

    monkeypatch.setattr(Context, method, spoilt)


@pytest.mark.conformance("A-05")
@pytest.mark.invariant("G4")
@pytest.mark.parametrize("good", [0, 1, 25])
def test_nothing_of_a_key_that_signs_wrongly_is_stored(
    works: Works, monkeypatch: pytest.MonkeyPatch, good: int
) -> None:
    """Not even the right signatures that it made before, in the same stretch of pages."""
    works.add(row_in_page(page, number) for page in range(4) for number in range(5))
    spoil(monkeypatch, "ocsp_signer", good)
    with pytest.raises(SigningFault, match="bad signature"):
        works.signer().sign_range(ALL)
    assert [works.stored(page) for page in range(4)] == [None] * 4


@pytest.mark.invariant("G4")
@pytest.mark.conformance("A-05")
def test_no_crl_of_a_key_that_signs_wrongly_is_published(
    works: Works, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every CRL is looked at; the live one stays."""
    works.add([row_in_page(0, 1)])
    job = works.context.crl_job("demo")
    assert {outcome.status for outcome in job.build(job.shards(), ignore)} == {ShardStatus.PUBLISHED}
    directory = Path(works.context.settings.objects_target) / "crl" / "demo"
    before = {path.name: path.read_bytes() for path in directory.glob("*.crl")}
    works.revoke(row_in_page(0, 1).serial)
    clock.pass_time(60)
    spoil(monkeypatch, "crl_signer")
    job = works.context.crl_job("demo")
    outcomes = job.build(job.shards(), ignore)
    assert {outcome.status for outcome in outcomes} == {ShardStatus.REFUSED}
    assert all("signature" in (outcome.message or "") for outcome in outcomes)
    assert {path.name: path.read_bytes() for path in directory.glob("*.crl")} == before


def ignore(outcome: ShardOutcome) -> None:
    """Progress that nobody looks at."""


@pytest.fixture
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Works]:
    """`demo` and a second issuer, `p384`, on the machine's clock."""
    works = Works(tmp_path_factory.mktemp("s"), None, SystemClock())
    other = make_issuer("p384", works.directory / "p384", "crl.example")
    works.file.write_text(works.file.read_text() + other.table + "ocsp = { page_bits = 2 }\n")
    works.context.close()
    with Context.open(works.file, create_ledger=True) as context:
        works.context = context
        yield works


@pytest.mark.invariant("G4")
@pytest.mark.conformance("A-05")
def test_a_key_that_signs_wrongly_stops_its_issuer_alone(two: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    """`run` says so once, signs nothing more with it, not a revocation either, and keeps the other one going."""
    late = two.clock.now() + 50 * DAY
    rows = [row_in_page(page, 1, not_after=late) for page in range(4)]
    two.add(rows)
    other = two.context.ledger_issuer("p384")
    two.ledger.add_certificates(other.id, sorted(rows), two.clock.now())
    spoil(monkeypatch, "ocsp_signer")
    with capture_logs() as logs, running(two):
        wait_until(lambda: any(entry["event"] == "issuer stopped" for entry in logs))
        wait_until(lambda: not two.reader.incomplete_pages("p384", other.page_epoch, range(4)))
        two.revoke(rows[0].serial)
        version = other.generation
        two.ledger.add_certificates(other.id, [row_in_page(0, 2, not_after=late)], two.clock.now())
        wait_until(lambda: two.context.ledger.tail_position(other.id) > version)
        assert two.reader.incomplete_pages("demo", two.issuer.page_epoch, range(4)) == [0, 1, 2, 3]
    stopped = [entry for entry in logs if entry["event"] == "issuer stopped"]
    assert [(entry["issuer"], entry["log_level"]) for entry in stopped] == [("demo", "critical")]
    assert "bad signature made" in stopped[0]["reason"]
