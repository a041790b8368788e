"""A CA with two responder keys, P-256 and RSA-2048, and an issuer of the configuration for each."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from signer.demo.authority import create_authority

__all__ = ["P256", "RSA2048", "Corpus", "create_corpus", "page_bits_for"]

P256, RSA2048 = "p256", "rsa2048"
CERTIFICATES_A_PAGE = 64  # as many as the signer plans for
DAY = 86_400
REVOKED_EVERY = 100

ISSUER = """\
[[issuer]]
name = "{name}"
certificate = "ca.pem"
signer = {{ key = "{signer}.key", certificate = "{signer}.pem" }}
ocsp = {{ page_bits = {page_bits} }}
crl = {{ key = "ca.key", url = "http://127.0.0.1/crl/{{issuer}}/{{series}}-{{index}}.crl" }}
"""


@dataclass(frozen=True, slots=True)
class Corpus:
    """A CA on disk with an ocsp.toml; 16-octet serials, one in a hundred revoked."""

    directory: Path
    certificates: dict[str, int]  # by issuer

    @property
    def config(self) -> Path:
        return self.directory / "ocsp.toml"

    def key(self, issuer: str) -> Path:
        """Which the issuer's responses are signed with."""
        return self.directory / _signer_files(issuer)

    def responses(self, issuer: str) -> int:
        """That a pass signs: one for each of two CertID algorithms."""
        return 2 * self.certificates[issuer]


def _signer_files(issuer: str) -> str:
    return "responder.key" if issuer == P256 else f"{issuer}.key"


def page_bits_for(certificates: int) -> int:
    """So that a page has about 64, also of a CA that is smaller than the signer plans for."""
    return (certificates // CERTIFICATES_A_PAGE).bit_length()


def create_corpus(directory: Path, certificates: dict[str, int]) -> Corpus:
    """The CA, with the certificates of each issuer in the ledger. Nothing is signed yet."""
    now = int(time.time())
    create_authority(directory, 2, now, "http://127.0.0.1/", lambda serial: "http://127.0.0.1/0.crl", 1)
    _add_rsa_responder(directory)
    (directory / "ocsp.toml").write_text(
        "".join(
            ISSUER.format(name=name, signer=Path(_signer_files(name)).stem, page_bits=page_bits_for(count))
            for name, count in certificates.items()
        )
    )
    corpus = Corpus(directory, certificates)
    for name, count in certificates.items():
        _import(corpus, name, count, now)
    return corpus


def _add_rsa_responder(directory: Path) -> None:
    """The same responder certificate for another key."""
    ca, model = (
        x509.load_pem_x509_certificate((directory / name).read_bytes())
        for name in ("ca.pem", "responder.pem")
    )
    ca_key = load_pem_private_key((directory / "ca.key").read_bytes(), None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    builder = x509.CertificateBuilder(ca.subject, model.subject, key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(model.not_valid_before_utc).not_valid_after(model.not_valid_after_utc)
    for extension in model.extensions:
        value = extension.value
        if isinstance(value, x509.SubjectKeyIdentifier):
            value = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(value, extension.critical)
    certificate = builder.sign(ca_key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / f"{RSA2048}.key").write_bytes(private)
    (directory / f"{RSA2048}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))


def _import(corpus: Corpus, issuer: str, count: int, now: int) -> None:
    """As an operator would."""
    index = corpus.directory / f"{issuer}.txt"
    with index.open("w") as file:
        file.writelines(_rows(count, now))
    command = [str(Path(sys.executable).with_name("ocsp-signer")), "import", "--config", str(corpus.config)]
    command += ["--issuer", issuer, "--format", "openssl-index", str(index), "-q"]
    done = subprocess.run(command, cwd=corpus.directory, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")


def _rows(count: int, now: int) -> Iterator[str]:
    chooser = random.Random(count)
    for number in range(count):
        status, revoked = "V", ""
        if number % REVOKED_EVERY == 0:
            status, revoked = "R", _time(now - chooser.randrange(60, 30 * DAY)) + ",superseded"
        end = _time(now + chooser.randrange(10, 90) * DAY)
        serial = 0x40 << 120 | chooser.getrandbits(120)
        yield f"{status}\t{end}\t{revoked}\t{serial:X}\tunknown\t/CN=host-{number}\n"


def _time(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%y%m%d%H%M%SZ}"
