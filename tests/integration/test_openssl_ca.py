"""A CA kept with `openssl ca`, imported from its index.txt: every answer equals what openssl says of the same file.

Mapping where the two differ on purpose:
- an expired certificate (row E, or row V past its end): openssl answers nothing or good, we answer unauthorized;
- a reason that no CRL of a public CA may carry (BR 7.2.2): revoked with the same time, the reason left out.
"""

import base64
import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.x509 import ocsp

from tests.integration.openssl_ca import REVOCATIONS, Certificate, OpensslCa, openssl
from tests.integration.service import Service
from tests.ports import free_port

ISSUERS = {
    "ec": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "rsa": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
}
CERTIFICATES, REVOKED, EXPIRED = 150, 20, 12  # an issuer
NOT_FOR_CRLS = {"cACompromise", "certificateHold", "removeFromCRL"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("ca"), free_port())
    yield service


@pytest.fixture(scope="module")
def authorities(service: Service) -> dict[str, OpensslCa]:
    host = f"127.0.0.1:{service.port}"
    made = {}
    for seed, (name, key) in enumerate(ISSUERS.items()):
        made[name] = OpensslCa.create(name, service.directory / name, key, 4, host)
        made[name].populate(CERTIFICATES, REVOKED, EXPIRED, seed)
    return made


def issuer_table(ca: OpensslCa) -> str:
    where = ca.directory.name
    return f"""
[[issuer]]
name = "{ca.name}"
certificate = "{where}/ca.pem"
signer = {{ key = "{where}/responder.key", certificate = "{where}/responder.pem" }}
crl = {{ key = "{where}/ca.key", shards = {ca.shard_count}, url = "http://{ca.host}/crl/{{issuer}}/{{series}}-{{index}}.crl" }}
"""


@pytest.fixture(scope="module")
def imported(service: Service, authorities: dict[str, OpensslCa]) -> Iterator[Service]:
    """Imported, signed, published, served."""
    service.write_config("".join(issuer_table(ca) for ca in authorities.values()))
    for name, ca in authorities.items():
        report = service.signer_json(
            "import", "--issuer", name, "--format", "openssl-index", str(ca.directory / "index.txt")
        )
        # The responder certificate is a row too.
        assert report["rows"] == CERTIFICATES + 1
        assert report["revoked"] == REVOKED
        assert report["expired"] == EXPIRED
        assert report["rejected"] == 0
        assert report["rows"] == report["good"] + report["revoked"] + report["expired"]
    service.signer("sign", "--all")
    service.signer("crl", "build")
    with service.serving():
        yield service


def every_certificate(authorities: dict[str, OpensslCa]) -> Iterator[tuple[OpensslCa, Certificate]]:
    for ca in authorities.values():
        for certificate in ca.certificates:
            yield ca, certificate


def ask(ca: OpensslCa, certificate: Certificate, url: str, digest: str) -> str:
    """openssl's verdict over HTTP POST, in the form of `OpensslCa.reference`."""
    text = openssl("ocsp", "-issuer", ca.directory / "ca.pem", f"-{digest}", "-cert", certificate.path, "-url", url,
                   "-CAfile", ca.directory / "ca.pem", check=False)  # fmt: skip
    if "Responder Error: unauthorized (6)" in text:
        return "unauthorized"
    assert "Response verify OK" in text, text
    assert "WARNING: no nonce in response" in text
    verdict = text[text.index(f"{certificate.path}: ") :]
    return comparable(verdict.removeprefix(f"{certificate.path}: "))


def comparable(verdict: str) -> str:
    """Status, revocation time and reason: the update times differ of course."""
    kept = [line.strip() for line in verdict.splitlines() if not re.match(r"\s*(This|Next) Update", line)]
    return "\n".join(line for line in kept if line and not line.startswith(("WARNING", "Response")))


def expected(certificate: Certificate, reference: str) -> str:
    """What we must say, given what openssl says: the mapping at the head of this file."""
    if certificate.expired and certificate.revoked_with is None:
        return "unauthorized"
    lines = comparable(reference).splitlines()
    return "\n".join(
        line for line in lines if line.removeprefix("Reason: ") not in NOT_FOR_CRLS | {"unspecified"}
    )


@pytest.mark.conformance("K-01", "R-21")
@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_every_answer_by_post_is_openssls(
    imported: Service, authorities: dict[str, OpensslCa], digest: str
) -> None:
    references = {name: ca.reference() for name, ca in authorities.items()}
    verdicts = []
    for ca, certificate in every_certificate(authorities):
        verdict = ask(ca, certificate, imported.url, digest)
        assert verdict == expected(certificate, references[ca.name].get(certificate.path, "")), certificate
        verdicts.append(verdict.splitlines()[0])
    assert len(verdicts) == 2 * CERTIFICATES
    assert verdicts.count("revoked") == 2 * REVOKED
    assert verdicts.count("unauthorized") == 2 * EXPIRED
    assert verdicts.count("good") == 2 * (CERTIFICATES - REVOKED - EXPIRED)


def test_every_way_to_revoke_was_there(authorities: dict[str, OpensslCa]) -> None:
    used = {certificate.revoked_with for _, certificate in every_certificate(authorities)} - {None}
    assert used == set(REVOCATIONS)
    serials = [certificate.serial for _, certificate in every_certificate(authorities)]
    assert {len(serial) for serial in serials} == {1, *range(8, 21)}
    assert sum(serial[0] >= 0x80 for serial in serials) > 100


def request_of(ca: OpensslCa, certificate: Certificate, digest: str, path: Path) -> bytes:
    openssl("ocsp", "-issuer", ca.directory / "ca.pem", f"-{digest}", "-cert", certificate.path, "-no_nonce",
            "-reqout", path)  # fmt: skip
    return path.read_bytes()


@pytest.mark.conformance("Q-01", "H-14")
@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_get_answers_what_post_answers(
    imported: Service, authorities: dict[str, OpensslCa], digest: str, tmp_path: Path
) -> None:
    for ca, certificate in every_certificate(authorities):
        der = request_of(ca, certificate, digest, tmp_path / "request.der")
        post = urllib.request.Request(imported.url, der, {"Content-Type": "application/ocsp-request"})
        with urllib.request.urlopen(post) as answer:
            by_post = answer.read()
        with urllib.request.urlopen(f"{imported.url}/{quote(base64.b64encode(der), safe='')}") as answer:
            assert answer.read() == by_post
        with urllib.request.urlopen(f"{imported.url}/{base64.b64encode(der).decode()}") as answer:
            assert answer.read() == by_post
        response = ocsp.load_der_ocsp_response(by_post)
        if response.response_status is ocsp.OCSPResponseStatus.SUCCESSFUL:
            assert response.serial_number == int.from_bytes(certificate.serial)


def published(service: Service, ca: OpensslCa, index: int) -> bytes:
    with urllib.request.urlopen(f"{service.url}/crl/{ca.name}/0-{index}.crl") as answer:
        return bytes(answer.read())


def crl_check(ca: OpensslCa, crl: Path, certificate: Certificate) -> str:
    return openssl("verify", "-crl_check", "-no_check_time", "-CAfile", ca.directory / "ca.pem", "-CRLfile", crl,
                   certificate.path, check=False)  # fmt: skip


def shard_file(service: Service, ca: OpensslCa, index: int, directory: Path) -> Path:
    path = directory / f"{ca.name}-{index}.pem"
    (directory / "shard.der").write_bytes(published(service, ca, index))
    openssl("crl", "-inform", "DER", "-in", directory / "shard.der", "-out", path)
    return path


def index_of(ca: OpensslCa, certificate: Certificate) -> int:
    return int(ca.shard_url(certificate.serial).rpartition("-")[2].removesuffix(".crl"))


@pytest.mark.conformance("C-09", "P-06", "P-09", "U-01")
def test_every_shard_passes_openssls_crl_check(
    imported: Service, authorities: dict[str, OpensslCa], tmp_path: Path
) -> None:
    for ca in authorities.values():
        shards = [shard_file(imported, ca, index, tmp_path) for index in range(ca.shard_count)]
        for certificate in ca.certificates:
            verdict = crl_check(ca, shards[index_of(ca, certificate)], certificate)
            if certificate.revoked_with is None:
                assert f"{certificate.path}: OK" in verdict
            else:
                assert "error 23" in verdict, verdict  # certificate revoked
        other = next(c for c in ca.certificates if index_of(ca, c) == 0)
        assert "error 44" in crl_check(ca, shards[1], other)  # another distribution point


@pytest.mark.conformance("C-19", "R-21")
def test_shards_together_are_the_ledger_and_agree_with_ocsp(
    imported: Service, authorities: dict[str, OpensslCa]
) -> None:
    for ca in authorities.values():
        references = ca.reference()
        entries = {}
        for index in range(ca.shard_count):
            crl = x509.load_der_x509_crl(published(imported, ca, index))
            for entry in crl:
                assert entry.serial_number not in entries
                entries[entry.serial_number] = entry
        revoked = {int.from_bytes(c.serial): c for c in ca.certificates if c.revoked_with is not None}
        assert set(entries) == set(revoked)
        for serial, entry in entries.items():
            said = expected(revoked[serial], references[revoked[serial].path])
            assert f"{entry.revocation_date_utc:%b %e %H:%M:%S %Y GMT}" in said


@pytest.mark.conformance("R-20", "U-04")
def test_a_revocation_is_answered_without_a_restart_and_is_in_its_shard_after_the_next_build(
    imported: Service, authorities: dict[str, OpensslCa], tmp_path: Path
) -> None:
    ca = authorities["ec"]
    living = [c for c in ca.certificates if c.revoked_with is None and not c.expired]
    victim, bystander = living[3], living[4]
    with imported.signing():
        assert ask(ca, victim, imported.url, "sha256") == "good"
        report = imported.signer_json(
            "revoke", "--issuer", "ec", victim.serial_hex, "--reason", "keyCompromise"
        )
        assert report["revoked"] == 1
        verdict = wait_for_revoked(ca, victim, imported)
        assert "Reason: keyCompromise" in verdict
        assert ask(ca, victim, imported.url, "sha1") == verdict
        assert ask(ca, bystander, imported.url, "sha1") == "good"
    imported.signer("crl", "build", "--issuer", "ec")
    # A worker looks once a second whether there is a newer version of a CRL.
    time.sleep(1.5)
    shard = shard_file(imported, ca, index_of(ca, victim), tmp_path)
    assert "error 23" in crl_check(ca, shard, victim)
    entry = x509.load_pem_x509_crl(shard.read_bytes()).get_revoked_certificate_by_serial_number(
        int.from_bytes(victim.serial)
    )
    assert entry is not None
    reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    assert reason is x509.ReasonFlags.key_compromise
    assert f"{entry.revocation_date_utc:%b %e %H:%M:%S %Y GMT}" in verdict


def wait_for_revoked(ca: OpensslCa, certificate: Certificate, service: Service) -> str:
    deadline = time.monotonic() + 20  # `run` has to start first
    while time.monotonic() < deadline:
        verdict = ask(ca, certificate, service.url, "sha256")
        if verdict.startswith("revoked"):
            return verdict
    raise AssertionError("never answered as revoked")


def test_a_pass_before_the_import_says_so_and_makes_nothing(tmp_path: Path) -> None:
    service = Service(tmp_path, free_port())
    ca = OpensslCa.create("ec", tmp_path / "ec", ISSUERS["ec"], 1, "crl.example")
    service.write_config(issuer_table(ca))
    for command in (("sign",), ("crl", "build"), ("run",)):
        assert "create it with `ocsp-signer import`" in service.signer(*command, expect=1).stderr
    service.signer("import", "--issuer", "ec", str(tmp_path / "ec" / "index.txt"))
    service.write_config(issuer_table(ca).replace('name = "ec"', 'name = "other"'))
    for command in (("sign",), ("crl", "build")):
        assert "other" in service.signer(*command, expect=1).stderr
    assert not (tmp_path / "objects").exists()


def test_every_published_crl_is_on_the_floor(imported: Service, authorities: dict[str, OpensslCa]) -> None:
    """A2: the responder's own reader takes what the signer publishes."""
    url = f"http://127.0.0.1:{imported.admin_port}/metrics"
    expected = {f'crl_floor_crls{{issuer="{name}"}} {ca.shard_count}.0' for name, ca in authorities.items()}
    expected |= {f'crl_floor_entries{{issuer="{name}"}} {REVOKED}.0' for name in authorities}
    expected |= {f'crl_floor_missing{{issuer="{name}"}} 0.0' for name in authorities}
    deadline = time.monotonic() + 20
    while not expected <= (found := set(urllib.request.urlopen(url).read().decode().splitlines())):
        assert time.monotonic() < deadline, sorted(line for line in found if "floor" in line)
        time.sleep(0.1)
    log = (imported.directory / "serve.log").read_text()
    assert "no floor" not in log and "floor is not" not in log
