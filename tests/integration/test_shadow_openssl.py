"""`ocsp-responder shadow` before a migration: an `openssl ocsp` that answers now, and ocspeed over the same index.txt."""

import base64
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from tests.integration.openssl_ca import OpensslCa, openssl
from tests.integration.service import BIN, Service
from tests.integration.test_openssl_ca import issuer_table
from tests.ports import free_port
from tests.signer.processes import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.invariant("G7")]

EC = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
REASONS: tuple[tuple[str, ...], ...] = (("-crl_reason", "keyCompromise"), ("-crl_reason", "superseded"), ())
CERTIFICATES = 12


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, OpensslCa]]:
    """A CA kept with openssl, and what ocspeed made of its index."""
    service = Service(tmp_path_factory.mktemp("ca"), free_port())
    ca = OpensslCa.create("old", service.directory / "old", EC, 2, f"127.0.0.1:{service.port}")
    for number in range(CERTIFICATES):
        ca.issue(bytes([0x30 + number]) * 12)
    for certificate, how in zip(ca.certificates[:3], REASONS, strict=True):
        ca.revoke(certificate, how)
    service.write_config(issuer_table(ca))
    service.signer("import", "--issuer", ca.name, str(ca.directory / "index.txt"))
    service.signer("sign")
    with service.serving():
        yield service, ca


@contextmanager
def answering(ca: OpensslCa) -> Iterator[str]:
    """`openssl ocsp` over the index."""
    port = free_port()
    how = ["-index", "index.txt", "-CA", "ca.pem", "-rsigner", "responder.pem", "-rkey", "responder.key"]
    process = subprocess.Popen(
        ["openssl", "ocsp", "-port", str(port), *how, "-ndays", "4", "-ignore_err"],
        cwd=ca.directory,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    asking = ("-issuer", ca.directory / "ca.pem", "-CAfile", ca.directory / "ca.pem", "-no_nonce")
    serial = f"0x{ca.certificates[5].serial_hex}"
    try:
        wait_until(
            lambda: "good" in openssl("ocsp", *asking, "-serial", serial, "-url", url, check=False), 60
        )
        yield url
    finally:
        process.kill()
        process.wait()


def requests_of(ca: OpensslCa, paths: list[Path]) -> list[bytes]:
    issuer = x509.load_pem_x509_certificate((ca.directory / "ca.pem").read_bytes())
    builders = [
        ocsp.OCSPRequestBuilder().add_certificate(
            x509.load_pem_x509_certificate(path.read_bytes()), issuer, hashes.SHA1()
        )
        for path in paths
    ]
    return [builder.build().public_bytes(Encoding.DER) for builder in builders]


def access_log(path: Path, requests: list[bytes], prefix: str) -> None:
    """As nginx writes it."""
    lines = [
        f'192.0.2.{number} - - [22/Nov/2026:08:00:00 +0000] "GET {prefix}/{quote(base64.b64encode(one), safe="")} '
        f'HTTP/1.1" 200 1571 "-" "Microsoft-CryptoAPI/10.0"\n'
        for number, one in enumerate(requests)
    ]
    path.write_text("".join(lines))


def test_both_say_the_same(served: tuple[Service, OpensslCa]) -> None:
    service, ca = served
    log, ca_file = service.directory / "access.log", str(ca.directory / "ca.pem")
    access_log(log, requests_of(ca, [one.path for one in ca.certificates]), "/ocsp")
    with answering(ca) as old:
        ends = (
            "--left",
            old,
            "--right",
            service.url,
            "--ca",
            ca_file,
            "--strip",
            "/ocsp",
            "--method",
            "both",
        )
        done = _shadow(*ends, str(log), expect=0)
        assert done["compared"] == done["agree"] == 2 * CERTIFICATES
        outcomes = {one["left"]: one["count"] for one in done["outcomes"] if one["left"] == one["right"]}
        assert outcomes == {"good": 18, "revoked": 6}
        told = {one["field"] for one in done["fields"]}
        # byName against byKey, our caching; openssl sends no header fields of that kind.
        assert {"responder_id", "cache_control", "this_update"} <= told
        assert not [one for one in done["fields"] if one["disagree"]]


def test_what_the_new_one_does_not_know_is_found(served: tuple[Service, OpensslCa]) -> None:
    """Issued and revoked after the index was imported."""
    service, ca = served
    later = ca.issue(bytes([0x70]) * 12)
    revoked = ca.revoke(ca.certificates[4], ("-crl_reason", "keyCompromise"))
    asked = requests_of(ca, [later.path, revoked.path, ca.certificates[6].path])
    file, keep = service.directory / "requests", service.directory / "differ"
    file.write_bytes(b"".join(base64.b64encode(one) + b"\n" for one in asked))
    with answering(ca) as old:
        done = _shadow("--left", old, "--right", service.url, "--keep", str(keep), str(file), expect=1)
    assert {(one["left"], one["right"], one["count"]) for one in done["outcomes"]} == {
        ("good", "unauthorized", 1),
        ("revoked", "good", 1),
        ("good", "good", 1),
    }
    assert sorted(keep.read_bytes().split()) == sorted(base64.b64encode(one) for one in asked[:2])


def _shadow(*arguments: str, expect: int) -> Any:
    """`ocsp-responder shadow --json`."""
    done = subprocess.run(
        [BIN / "ocsp-responder", "shadow", "--json", "--quiet", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return json.loads(done.stdout)
