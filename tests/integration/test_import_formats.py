"""Issuers that are easily mistaken for each other, each imported from another format, signed, served and asked about.

Two have one name and two keys, two have one key and two names; all have certificates with the same serials.
"""

import json
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.integration.openssl_ca import openssl
from tests.integration.service import Service
from tests.ports import free_port

BORN = datetime.now(UTC).replace(microsecond=0)
END = BORN + timedelta(60)
SHARED, LONELY, PRECERTIFICATE = 0x1234, 0x77, 0x8899
PASSWORD = b"opens the responder"


@dataclass
class Ca:
    """An issuer as files in a directory of its own."""

    name: str
    common_name: str
    key: ec.EllipticCurvePrivateKey
    directory: Path
    url: str  # of its CRLs
    signer: str = ""  # of ocsp.toml
    certificate: x509.Certificate = field(init=False)

    def __post_init__(self) -> None:
        self.directory.mkdir()
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        self.certificate = self._sign(
            self.common_name, self.key, 1, [(x509.BasicConstraints(True, 0), True), (usage, True)], own=True
        )
        write(self.directory / "ca.pem", self.certificate.public_bytes(Encoding.PEM))
        write(self.directory / "ca.key", key_pem(self.key))

    def _sign(
        self,
        common_name: str,
        key: ec.EllipticCurvePrivateKey,
        serial: int,
        extensions: Sequence[tuple[x509.ExtensionType, bool]],
        *,
        own: bool = False,
    ) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        issuer = subject if own else self.certificate.subject
        builder = x509.CertificateBuilder(issuer, subject, key.public_key(), serial)
        builder = builder.not_valid_before(BORN - timedelta(1)).not_valid_after(END)
        identifiers = (
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
        )
        for extension, critical in (*extensions, *((one, False) for one in identifiers)):
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self.key, hashes.SHA256())

    def responder(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING])
        extensions = [(usage, True), (purpose, False), (x509.OCSPNoCheck(), False)]
        return key, self._sign(f"{self.name} responder", key, 2, extensions)

    def leaf(self, serial: int, *, poison: bool = False) -> Path:
        points = [x509.DistributionPoint([x509.UniformResourceIdentifier(self.url)], None, None, None)]
        extensions: list[tuple[x509.ExtensionType, bool]] = [(x509.CRLDistributionPoints(points), False)]
        if poison:
            extensions.append((x509.PrecertPoison(), True))
        certificate = self._sign(f"{serial:x}.example", self.key, serial, extensions)
        path = self.directory / "issued" / f"{serial:x}.pem"
        path.parent.mkdir(exist_ok=True)
        write(path, certificate.public_bytes(Encoding.PEM))
        return path

    @property
    def table(self) -> str:
        where = self.directory.name
        return f"""
[[issuer]]
name = "{self.name}"
certificate = "{where}/ca.pem"
signer = {{ {self.signer} }}
crl = {{ key = "{where}/ca.key", url = "{self.url}" }}
ocsp = {{ page_bits = 0 }}
"""


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def p12(ca: Ca, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> str:
    """Write a PKCS #12 file and its password; what ocsp.toml says of it."""
    data = serialize_key_and_certificates(
        b"ocsp", key, certificate, [ca.certificate], BestAvailableEncryption(PASSWORD)
    )
    write(ca.directory / "signer.p12", data)
    write(ca.directory / "password", PASSWORD + b"\n")
    where = ca.directory.name
    return f'kind = "pkcs12", file = "{where}/signer.p12", password_file = "{where}/password"'


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    return Service(tmp_path_factory.mktemp("twins"), free_port())


@pytest.fixture(scope="module")
def cas(service: Service) -> dict[str, Ca]:
    """`second` has the name of `first`, `third` its key."""
    first_key, second_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    made = {}
    for name, common_name, key in (
        ("first", "A common name", first_key),
        ("second", "A common name", second_key),
        ("third", "Another name", first_key),
    ):
        url = f"http://127.0.0.1:{service.port}/crl/{name}/0-0.crl"
        made[name] = Ca(name, common_name, key, service.directory / name, url)
    first, second, third = made.values()
    responder_key, responder = first.responder()
    write(first.directory / "responder.key", key_pem(responder_key))
    write(first.directory / "responder.pem", responder.public_bytes(Encoding.PEM))
    first.signer = 'key = "first/responder.key", certificate = "first/responder.pem"'
    second.signer = p12(second, *second.responder())
    third.signer = p12(third, third.key, third.certificate)
    for ca in made.values():
        ca.leaf(SHARED)
    first.leaf(LONELY)
    third.leaf(PRECERTIFICATE, poison=True)
    return made


@pytest.fixture(scope="module")
def served(service: Service, cas: dict[str, Ca]) -> Iterator[Service]:
    """`first` from csv, `second` from ndjson, `third` from PEM files and, revoked, from an index.txt."""
    service.write_config("".join(ca.table for ca in cas.values()))
    end, born = f"{END:%Y-%m-%dT%H:%M:%SZ}", f"{BORN:%Y-%m-%dT%H:%M:%SZ}"
    rows = "".join(f"{serial:x},{end},good\n" for serial in (SHARED, LONELY))
    write(service.directory / "first.csv", f"serial,not_after,status\n{rows}".encode())
    revoked = {"serial": f"{SHARED:X}", "not_after": end, "revoked_at": born, "reason": "keyCompromise"}
    write(service.directory / "second.json", json.dumps(revoked).encode())
    index = f"R\t{END:%y%m%d%H%M%SZ}\t{BORN:%y%m%d%H%M%SZ},superseded\t{SHARED:X}\tunknown\t/CN=x\n"
    write(service.directory / "third.txt", index.encode())
    for name, format, path in (
        ("first", "csv", "first.csv"),
        ("second", "ndjson", "second.json"),
        ("third", "pem-dir", "third/issued"),
        ("third", "openssl-index", "third.txt"),
    ):
        arguments = ("import", "--issuer", name, "--format", format, str(service.directory / path))
        result = service.signer_json(*arguments)
        assert result["rejected"] == 0 and result["written"]
    shown = service.signer("sign", "--all").stderr + service.signer("crl", "build").stderr
    assert PASSWORD.decode() not in shown
    with service.serving():
        yield service


def ask(ca: Ca, service: Service, digest: str, *what: str | Path) -> str:
    """openssl's verdict: status, and the reason if there is one."""
    text = openssl("ocsp", "-issuer", ca.directory / "ca.pem", f"-{digest}", *what, "-url", service.url,
                   "-CAfile", ca.directory / "ca.pem", "-no_nonce", check=False)  # fmt: skip
    if "unauthorized (6)" in text:
        return "unauthorized"
    assert "Response verify OK" in text, text
    status = next(line for line in text.splitlines() if line.startswith(f"{what[-1]}: "))
    reason = next((line.strip() for line in text.splitlines() if "Reason:" in line), "")
    return f"{status.partition(': ')[2]} {reason}".strip()


@pytest.mark.conformance("Q-04")
@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_issuers_that_share_name_or_key_are_answered_for_separately(
    served: Service, cas: dict[str, Ca], digest: str
) -> None:
    expected = {
        "first": "good",
        "second": "revoked Reason: keyCompromise",
        "third": "revoked Reason: superseded",
    }
    for name, verdict in expected.items():
        leaf = cas[name].directory / "issued" / f"{SHARED:x}.pem"
        assert ask(cas[name], served, digest, "-cert", leaf) == verdict
    for name, verdict in (("first", "good"), ("second", "unauthorized"), ("third", "unauthorized")):
        assert ask(cas[name], served, digest, "-serial", f"0x{LONELY:x}") == verdict


@pytest.mark.conformance("Q-04", "C-02")
def test_each_issuer_has_its_own_crl(served: Service, cas: dict[str, Ca], tmp_path: Path) -> None:
    for name, revoked in (("first", False), ("second", True), ("third", True)):
        ca = cas[name]
        with urllib.request.urlopen(ca.url) as answer:
            crl = x509.load_der_x509_crl(answer.read())
        assert crl.is_signature_valid(ca.key.public_key())
        write(tmp_path / "crl.pem", crl.public_bytes(Encoding.PEM))
        leaf = ca.directory / "issued" / f"{SHARED:x}.pem"
        verdict = openssl("verify", "-crl_check", "-CAfile", ca.directory / "ca.pem",
                          "-CRLfile", tmp_path / "crl.pem", leaf, check=False)  # fmt: skip
        assert ("error 23" in verdict) is revoked and (f"{leaf}: OK" in verdict) is not revoked


@pytest.mark.slow
@pytest.mark.conformance("R-09")
def test_a_precertificate_is_answered_for_and_can_be_revoked(served: Service, cas: dict[str, Ca]) -> None:
    ca, serial = cas["third"], f"0x{PRECERTIFICATE:x}"
    assert ask(ca, served, "sha256", "-serial", serial) == "good"
    served.signer("revoke", "--issuer", "third", serial, "--reason", "keyCompromise")
    served.signer("sign", "--issuer", "third")
    deadline = time.monotonic() + 10
    while (verdict := ask(ca, served, "sha256", "-serial", serial)) == "good":
        assert time.monotonic() < deadline
    assert verdict == "revoked Reason: keyCompromise"
    time.sleep(1.1)  # two CRLs of a shard are a second apart at least (U-09)
    served.signer("crl", "build", "--issuer", "third")
    # A worker looks once a second whether there is a newer version.
    while PRECERTIFICATE not in entries(ca):
        assert time.monotonic() < deadline + 10
        time.sleep(0.1)


def entries(ca: Ca) -> set[int]:
    with urllib.request.urlopen(ca.url) as answer:
        return {entry.serial_number for entry in x509.load_der_x509_crl(answer.read())}


@pytest.mark.slow
def test_a_wrong_password_is_told_in_words(served: Service, cas: dict[str, Ca]) -> None:
    secret = cas["second"].directory / "password"
    write(secret, b"not this one\n")
    try:
        done = served.signer("sign", "--issuer", "second", expect=2)
    finally:
        write(secret, PASSWORD + b"\n")
    assert f"second/signer.p12: the password in {secret} does not open it" in done.stderr
    assert "not this one" not in done.stderr + done.stdout
