"""D7: CRLs of every size are read and verified by the others, around each point where a length takes another octet."""

from pathlib import Path

import pytest

from tests.clients.commands import run
from tests.clients.crl_sizes import CASES, Case, Made, make, sizes

pytestmark = [pytest.mark.slow, pytest.mark.conformance("C-01", "C-14", "P-09")]


@pytest.fixture(scope="module", params=CASES, ids=str)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    case: Case = request.param
    built = make(case, tmp_path_factory.mktemp("size"))
    assert sizes(built.data)[case.part] == case.size
    return built


def test_openssl_crl(made: Made) -> None:
    """D7."""
    code, output = run(
        "openssl", "crl", "-inform", "DER", "-in", made.der, "-CAfile", made.ca, "-noout", "-verify"
    )
    assert (code, "verify OK" in output) == (0, True), output


def test_openssl_verify(made: Made) -> None:
    """D7: also an entry is found."""
    command = ("openssl", "verify", "-crl_check", "-CAfile", made.ca, "-CRLfile", made.pem)
    code, output = run(*command, made.good)
    assert (code, ": OK" in output) == (0, True), output
    if made.revoked is not None:
        code, output = run(*command, made.revoked)
        assert "error 23 at 0 depth lookup: certificate revoked" in output


def test_gnutls(made: Made) -> None:
    """D7."""
    code, output = run("certtool", "--verify-crl", "--infile", made.pem, "--load-ca-certificate", made.ca)
    assert (code, "Verification output: Verified" in output) == (0, True), output


def expected(made: Made) -> str:
    return f"verified, {len(made.entries)} entries, highest {made.highest:x}\n"


def test_java(made: Made, java_classes: Path) -> None:
    """D7: CertificateFactory and X509CRL.verify."""
    assert run("java", "-cp", java_classes, "ReadCrl", made.ca, made.der) == (0, expected(made))


def test_go(made: Made, go_program: Path) -> None:
    """D7: x509.ParseRevocationList and CheckSignatureFrom."""
    assert run(go_program, "list", made.ca, made.der) == (0, expected(made))


def test_one_changed_octet_is_seen_by_all(java_classes: Path, go_program: Path, tmp_path: Path) -> None:
    """D7: none of them is content with the form alone."""
    made = make(Case("whole", 1_000_000, shard=True), tmp_path)
    middle = made.data.index(made.entries[len(made.entries) // 2][0]) + 1
    damaged = tmp_path / "damaged.crl"
    damaged.write_bytes(made.data[:middle] + bytes([made.data[middle] ^ 1]) + made.data[middle + 1 :])
    pem = tmp_path / "damaged.pem"
    run("openssl", "crl", "-inform", "DER", "-in", damaged, "-out", pem, check=True)
    assert "verify failure" in run("openssl", "crl", "-in", pem, "-CAfile", made.ca, "-noout")[1]
    assert (
        ": OK"
        not in run("openssl", "verify", "-crl_check", "-CAfile", made.ca, "-CRLfile", pem, made.good)[1]
    )
    gnutls = run("certtool", "--verify-crl", "--infile", pem, "--load-ca-certificate", made.ca)[1]
    assert "Not verified" in gnutls
    assert "SignatureException" in run("java", "-cp", java_classes, "ReadCrl", made.ca, damaged)[1]
    assert "ECDSA verification failure" in run(go_program, "list", made.ca, damaged)[1]
