"""G3: a responder certificate that must not sign stops the start, and nothing is signed; whatever is wrong with it."""

import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from signer.commands.certificates import import_file
from signer.commands.signing import sign
from signer.run import Runner
from store.embedded import EmbeddedStore
from store.errors import ConfigError
from tests.signer.test_keys_responder_certificate import CA, DEFECTS, KEY, make_ca, responder
from tests.signer.works import plain_config

pytestmark = pytest.mark.invariant("G3")

NOW, DAY = int(time.time()), 86_400
BEGIN, END = NOW - DAY, NOW + 30 * DAY
SIGNER = Path(sys.executable).with_name("ocsp-signer")
UNFIT: dict[str, tuple[x509.Certificate, str]] = {
    **{name: (responder(changes, begin=BEGIN, end=END), row) for name, (changes, row) in DEFECTS.items()},
    "another-key-of-the-ca": (responder(ca=make_ca("CA"), begin=BEGIN, end=END), "D-01"),
    "another-ca": (responder(name="other", begin=BEGIN, end=END), "D-01"),
    "ended": (responder(begin=NOW - 60 * DAY, end=NOW - 1), "D-08"),
    "not-begun": (responder(begin=NOW + DAY, end=END), "D-08"),
}


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, server: EmbeddedStore) -> Path:
    """A CA with everything but a responder certificate, and one certificate to sign for."""
    directory = tmp_path_factory.mktemp("ca")
    (directory / "ca.pem").write_bytes(CA.issuer.certificate.public_bytes(Encoding.PEM))
    write_key(directory / "ca.key", CA.key)
    write_key(directory / "responder.key", KEY)
    file = directory / "ocsp.toml"
    file.write_text(
        f'[store]\nurl = "{server.url}"\n[signer]\nadmin = ""\nworkers = 1\n{plain_config("demo")}'
    )
    index = directory / "index.txt"
    index.write_text("V\t20301231235959Z\t\t0102030405060708\tunknown\t/CN=x\n")
    options = {"dry_run": False, "keep_going": False, "as_json": False, "quiet": True}
    assert import_file(file, index, issuer="demo", format="openssl-index", **options) == 0  # type: ignore[arg-type]
    return directory


@pytest.fixture
def place(made: Path, tmp_path: Path, store_url: str) -> Path:
    """The configuration of a copy of it."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / "ocsp.toml"


def install(place: Path, certificate: x509.Certificate) -> None:
    (place.parent / "responder.pem").write_bytes(certificate.public_bytes(Encoding.PEM))


def run(place: Path) -> None:
    stop = threading.Event()
    stop.set()  # should it start, it is to end at once
    Runner(place).run(stop)


def sign_all(place: Path) -> None:
    sign(place, everything=True, issuer=None, workers=1, as_json=False, quiet=True)


def refusals(place: Path, store_url: str) -> list[str]:
    """What both ways to sign say; neither leaves anything in the store."""
    said = []
    for start in (run, sign_all):
        with pytest.raises(ConfigError) as caught:
            start(place)
        assert caught.value.remedy
        said.append(caught.value.message)
    with redis.Redis.from_url(store_url) as client:
        assert client.keys("*") == []
    return said


@pytest.mark.conformance("D-01", "D-02", "D-03", "D-04", "D-05", "D-06", "D-08")
@pytest.mark.invariant("G3")
@pytest.mark.parametrize(("certificate", "row"), UNFIT.values(), ids=UNFIT)
def test_each_defect_stops_the_start(
    place: Path, store_url: str, certificate: x509.Certificate, row: str
) -> None:
    install(place, certificate)
    for message in refusals(place, store_url):
        assert "responder.pem: unfit as a responder certificate: " in message and message.endswith(f"({row})")


@pytest.mark.conformance("D-08")
def test_the_key_of_another_certificate_stops_the_start(place: Path, store_url: str) -> None:
    install(place, responder(begin=BEGIN, end=END))
    write_key(place.parent / "responder.key", ec.generate_private_key(ec.SECP256R1()))
    for message in refusals(place, store_url):
        assert "responder.key: issuer demo: not the key of" in message


@pytest.mark.invariant("G3")
def test_a_ca_that_may_not_sign_responses_stops_the_start(place: Path, store_url: str) -> None:
    """It is named as its own responder."""
    ca = make_ca("CA", digital_signature=False)
    (place.parent / "ca.pem").write_bytes(ca.issuer.certificate.public_bytes(Encoding.PEM))
    write_key(place.parent / "ca.key", ca.key)
    text = place.read_text().replace('key = "responder.key", certificate = "responder.pem"', 'key = "ca.key"')
    place.write_text(text)
    with pytest.raises(ConfigError, match=r"lacks digitalSignature \(D-09\)"):
        run(place)


@pytest.mark.slow
def test_as_processes(place: Path) -> None:
    """What an operator sees; and a fit one signs."""
    install(place, UNFIT["no-nocheck"][0])
    for command in ("run", "sign"):
        done = subprocess.run(
            [SIGNER, command, "--config", place], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 2 and "id-pkix-ocsp-nocheck must be there" in done.stderr
        assert "Traceback" not in done.stderr
    install(place, responder(begin=BEGIN, end=END))
    done = subprocess.run([SIGNER, "sign", "--config", place], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "2 responses signed" in done.stdout, done.stderr
