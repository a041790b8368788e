"""An index.txt that a real `openssl ca` keeps changing, followed by the command and by `run`."""

import json
import signal
from pathlib import Path

import pytest

from signer.ledger.ledger import Ledger
from tests.integration.openssl_ca import OpensslCa
from tests.integration.service import Service, running
from tests.ports import free_port
from tests.signer.processes import wait_until

P256 = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")


@pytest.fixture
def ca(tmp_path: Path) -> OpensslCa:
    return OpensslCa.create("demo", tmp_path / "ca", P256, 1, "crl.example")


@pytest.fixture
def service(tmp_path: Path, ca: OpensslCa) -> Service:
    made = Service(tmp_path, free_port())
    made.write_config(
        '[[issuer]]\nname = "demo"\ncertificate = "ca/ca.pem"\nwatch = "ca/index.txt"\n'
        'signer = { key = "ca/responder.key", certificate = "ca/responder.pem" }\nocsp = { page_bits = 2 }\n'
        'crl = { key = "ca/ca.key", url = "http://crl.example/crl/{issuer}/{series}-{index}.crl" }\n'
    )
    return made


def is_revoked(service: Service, serial: bytes) -> bool | None:
    """What the ledger says; None: not known."""
    ledger = Ledger.open(f"sqlite:///{service.directory / 'ledger.db'}")
    try:
        state = ledger.state(ledger.issuer("demo").id, serial)
    finally:
        ledger.close()
    return None if state is None else state.revocation_time is not None


@pytest.mark.slow
def test_the_command_follows_openssl_ca(ca: OpensslCa, service: Service) -> None:
    first = ca.issue(b"\x11\x01")
    out = service.signer("watch", "--issuer", "demo", str(ca.directory / "index.txt"), "--once", "--json")
    assert json.loads(out.stdout)["new"] == 2  # and the responder certificate
    log = service.directory / "watch.log"
    arguments = ("watch", "--issuer", "demo", str(ca.directory / "index.txt"), "--json")
    with running(log, "ocsp-signer", *arguments, "--config", str(service.config)) as process:
        second = ca.issue(b"\x11\x02")
        wait_until(lambda: is_revoked(service, second.serial) is False, 60)
        ca.revoke(first, ("-crl_reason", "superseded"))
        ca.revoke(second, ())
        wait_until(lambda: all(is_revoked(service, one.serial) for one in (first, second)), 60)
        old = ca.issue(b"\x11\x03", expired=True)
        ca.mark_expired()
        wait_until(lambda: is_revoked(service, old.serial) is False, 60)
        with (ca.directory / "index.txt").open("a") as file:
            file.write("half a line")
        third = ca.directory / "index.txt"
        wait_until(lambda: f"{third}:5: line: not 6 fields" in log.read_text(), 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert "Traceback" not in log.read_text()


@pytest.mark.slow
def test_run_follows_it_and_answers(ca: OpensslCa, service: Service) -> None:
    certificate = ca.issue(b"\x22\x01")
    service.signer("import", "--issuer", "demo", str(ca.directory / "index.txt"))
    with service.signing(), service.serving():
        wait_until(lambda: _answer(service, ca, certificate.path) == "good", 60)
        ca.revoke(certificate, ("-crl_reason", "keyCompromise"))
        wait_until(lambda: _answer(service, ca, certificate.path) == "revoked", 60)
        later = ca.issue(b"\x22\x02")
        wait_until(lambda: _answer(service, ca, later.path) == "good", 60)
    log = (service.directory / "run.log").read_text()
    assert "index recorded" in log and "Traceback" not in log


def _answer(service: Service, ca: OpensslCa, path: Path) -> str:
    """good, revoked, or something else."""
    text = ca._run("ocsp", "-issuer", "ca.pem", "-CAfile", "ca.pem", "-cert", path, "-url", service.url, "-no_nonce", check=False)  # fmt: skip
    return next((line.partition(": ")[2] for line in text.splitlines() if line.startswith(f"{path}: ")), text)
