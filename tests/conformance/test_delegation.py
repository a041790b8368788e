"""Group D: the responder certificate that docs/operations.md tells how to make, and what becomes of one near its end."""

import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtensionOID

from _fastpath.answer import assemble
from _fastpath.certid import SHA1, IssuerID, serial_from_int
from _fastpath.crl_reader import Crl
from _fastpath.page import hash32
from signer.demo.authority import create_authority
from signer.errors import SignerExpiring
from signer.keys.responder_certificate import check_responder_certificate
from signer.ledger.values import CertificateRow
from signer.ocsp.schedule import PageRange
from store.model import Issuer, load_certificate, public_key_bits, subject_name
from tests.conformance.conftest import World
from tests.responder.conftest import GOOD
from tests.signer.works import DAY, FakeClock, Works, row_in_page

ROOT = Path(__file__).parents[2]
HOUR = 3600
LIFE = 60 * DAY  # of the responder certificate of `works`


@pytest.fixture
def clock() -> FakeClock:
    """The signer's; `works` is made at its start."""
    return FakeClock()


def issuer_of(path: Path) -> Issuer:
    certificate = load_certificate(path)
    return Issuer("r1", certificate, IssuerID(subject_name(certificate), public_key_bits(certificate)))


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with ca.pem and the responder.pem that the commands of docs/operations.md make."""
    directory = tmp_path_factory.mktemp("documented")
    create_authority(
        directory, 2, int(time.time()), "http://o.example", lambda serial: "http://c.example/0.crl", 1
    )
    run_recipe(directory)
    return directory


def run_recipe(directory: Path) -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    (recipe,) = re.findall(r"```\n(cat > responder\.ext.*?)```", text, re.DOTALL)
    subprocess.run(["sh", "-euc", recipe], cwd=directory, check=True, capture_output=True, timeout=60)


def value_of(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> tuple[str, bool]:
    extension = certificate.extensions.get_extension_for_oid(oid)
    return extension.value.public_bytes().hex(), extension.critical


@pytest.mark.conformance("D-01", "D-02", "D-03", "D-04", "D-05", "D-06")
def test_the_documented_responder_certificate_octet_for_octet(documented: Path) -> None:
    certificate = load_certificate(documented / "responder.pem")
    ca = load_certificate(documented / "ca.pem")
    check_responder_certificate(documented, certificate, issuer_of(documented / "ca.pem"), int(time.time()))
    identifier = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert {extension.oid: value_of(certificate, extension.oid) for extension in certificate.extensions} == {
        ExtensionOID.BASIC_CONSTRAINTS: ("3000", True),
        ExtensionOID.KEY_USAGE: ("03020780", True),
        ExtensionOID.EXTENDED_KEY_USAGE: ("300a06082b06010505070309", False),
        ExtensionOID.OCSP_NO_CHECK: ("0500", False),
        ExtensionOID.SUBJECT_KEY_IDENTIFIER: value_of(certificate, ExtensionOID.SUBJECT_KEY_IDENTIFIER),
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER: (f"30168014{identifier.hex()}", False),
    }
    assert certificate.issuer.public_bytes() == ca.subject.public_bytes()


@pytest.mark.conformance("D-02", "D-03", "D-04", "D-05", "D-06")
def test_pkilint_finds_nothing_in_it(documented: Path) -> None:
    tool = Path(sys.executable).with_name("lint_cabf_serverauth_cert")
    command = [str(tool), "lint", "-t", "OCSP-RESPONDER", "-s", "WARNING", str(documented / "responder.pem")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stdout + done.stderr


@pytest.mark.conformance("D-07")
def test_its_dates_and_serial(documented: Path) -> None:
    serials = set()
    for _ in range(3):
        run_recipe(documented)
        certificate = load_certificate(documented / "responder.pem")
        age = datetime.now(UTC) - certificate.not_valid_before_utc
        assert timedelta(0) <= age < timedelta(days=1)
        assert certificate.not_valid_after_utc - certificate.not_valid_before_utc <= timedelta(days=90)
        assert 2**64 < certificate.serial_number < 2**159
        serials.add(certificate.serial_number)
    assert len(serials) == 3
    assert len({serial % 2**64 for serial in serials}) == len({serial >> 60 for serial in serials}) == 3


@pytest.mark.conformance("D-01", "R-29")
def test_it_alone_is_embedded_in_every_answer(world: World) -> None:
    embedded = world.ca.responder_certificate.public_bytes(Encoding.DER)
    response = ocsp.load_der_ocsp_response(world.web.ask(world.ca.request(GOOD)))
    assert [one.public_bytes(Encoding.DER) for one in response.certificates] == [embedded]


@pytest.mark.conformance("D-08", "R-17")
@pytest.mark.invariant("B5")
def test_answers_end_with_the_signer_and_then_there_are_none(works: Works, clock: FakeClock) -> None:
    """Sixty days at a step of six hours: from 16 h before the end on nothing is signed, and nothing outlives it."""
    row = works.add([row_in_page(0, 1, not_after=clock.now() + 2 * LIFE)])[0]
    end = int(load_certificate(works.directory / "responder.pem").not_valid_after_utc.timestamp())
    signer = works.signer()
    clock.pass_time(LIFE - 6 * DAY)
    while clock.now() <= end - 16 * HOUR:
        assert signer.sign_range(PageRange(0, 0)).faults == []
        response = works.response(row.serial)
        assert response is not None and response.next_update_utc is not None
        assert int(response.next_update_utc.timestamp()) == min(clock.now() + 4 * DAY - 1, end)
        clock.pass_time(6 * HOUR)
    before = works.stored(0)
    with pytest.raises(SignerExpiring):
        signer.sign_range(PageRange(0, 0))
    assert works.stored(0) == before


@pytest.mark.slow
@pytest.mark.conformance("D-09")
@pytest.mark.parametrize("form", ["delegated", "ca"])
def test_gnutls_verifies_both_forms(tmp_path: Path, store_url: str, form: str) -> None:
    """A CA that signs itself embeds its certificate, without which GnuTLS finds no signer."""
    now = int(time.time())
    works = Works(tmp_path, store_url, FakeClock(now))
    if form == "ca":
        text = works.file.read_text()
        delegated = 'key = "responder.key", certificate = "responder.pem"'
        assert delegated in text
        works.file.write_text(text.replace(delegated, 'key = "ca.key"'))
    with works.context, works.open() as context:
        row = works.add([row_in_page(0, 1, not_after=now + LIFE)])[0]
        signer = context.response_signer("demo")
        answer = assemble(
            signer.template,
            1,
            signer.issuer.id,
            SHA1,
            row.serial,
            signer.record(row, now - 1, now - 1),
            0,
            1 << 40,
        )
    assert answer is not None
    (tmp_path / "answer.der").write_bytes(answer.body)
    command = "ocsptool --verify-response --load-response answer.der --load-trust ca.pem"
    done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Verifying OCSP Response: Success" in done.stdout


@pytest.mark.conformance("D-10")
def test_a_revoked_responder_certificate_is_in_exactly_one_shard(works: Works, clock: FakeClock) -> None:
    certificate = load_certificate(works.directory / "responder.pem")
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints)
    serial = serial_from_int(certificate.serial_number)
    end = int(certificate.not_valid_after_utc.timestamp())
    works.add([CertificateRow(hash32(serial), serial, end, None, 0)])
    works.revoke(serial, reason=4)
    job = works.context.crl_job("demo")
    job.build(job.shards(), lambda outcome: None)
    published = Path(works.context.settings.objects_target) / "crl" / "demo"
    crls = [Crl(path.read_bytes()) for path in sorted(published.glob("*.crl"))]
    assert [serial in {entry[0] for entry in crl} for crl in crls].count(True) == 1 < len(crls)
