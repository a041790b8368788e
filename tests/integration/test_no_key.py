"""G1: what somebody has who takes a responder: no key, no PIN, no token of the intake API, and nothing to reach one with.

The same search finds all of it in the signer, which has the same configuration and serves the same answers.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from _fastpath.certid import SHA1
from signer.audit.client import encode_request
from store.asking import Asker
from store.clock import SystemClock
from tests.integration.memory import forms_of, found_in, mapped_files
from tests.integration.service import Service
from tests.ports import free_port
from tests.signer.processes import children_of, wait_until
from tests.signer.softhsm import PIN, SoftHsm
from tests.signer.test_intake_api import TOKEN, at_work
from tests.signer.test_run import fill, has_socket, is_whole
from tests.signer.test_run_token import moved
from tests.signer.works import Works

pytestmark = [pytest.mark.slow, pytest.mark.invariant("G1")]


def key_of(path: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


@contextmanager
def answering(works: Works) -> Iterator["subprocess.Popen[bytes]"]:
    """`ocsp-responder serve` by the signer's own configuration; it has answered by every way it has."""
    service = Service(works.directory, free_port())
    section = f'[responder]\nlisten = "127.0.0.1:{service.port}"\nadmin = "127.0.0.1:{service.admin_port}"\nworkers = 2\n'
    works.file.write_text(works.file.read_text() + section)
    row = works.ledger.snapshot(works.issuer.id, 0, 2**32 - 1).rows[0]
    request = encode_request(works.context.issuer("demo").id, SHA1, row.serial)
    with service.serving() as process, Asker(service.url, 60) as asker:
        for _ in range(20):
            assert len(asker.get(request).body) > 300 < len(asker.post(request).body)
        assert asker.get_path("/crl/demo/0-0.crl").status in (200, 404, 503)
        yield process


def family(process: "subprocess.Popen[bytes]") -> set[int]:
    """It and all that it started: workers, a store."""
    return {process.pid, *children_of(process.pid)}


@pytest.mark.invariant("G1")
def test_no_key_and_no_credential_in_its_memory(tmp_path: Path) -> None:
    with at_work(tmp_path) as signer:
        works = signer.works
        wanted: dict[str, bytes] = {"token of the intake API": TOKEN.encode()}
        for name in ("responder", "ca"):
            path = works.directory / f"{name}.key"
            wanted |= {f"{name}: {form}": octets for form, octets in forms_of(path, key_of(path)).items()}
        assert signer.issue("0101").status_code == 200
        wait_until(lambda: works.response(bytes.fromhex("0101")) is not None, 60)
        with answering(works) as responder:
            searched = family(responder)
            assert len(searched) >= 3
            assert {pid: found_in(pid, wanted) for pid in searched} == {pid: set() for pid in searched}
            assert signer.process is not None
            held = set().union(*(found_in(pid, wanted) for pid in family(signer.process)))
        # The search does find what is there.
        assert {"token of the intake API", "responder: little-endian", "ca: little-endian"} <= held


@pytest.mark.invariant("G1")
def test_no_way_to_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No PKCS #11 library is mapped, and the PIN is not there, though the configuration names both."""
    (tmp_path / "hsm").mkdir()
    token = SoftHsm(tmp_path / "hsm", monkeypatch).token()
    with moved(Works(tmp_path, None, SystemClock()), token) as works:
        fill(works)
        service = Service(tmp_path, free_port())
        with service.signing() as signer:
            wait_until(lambda: has_socket(works) and is_whole(works), 60)
            with answering(works) as responder:
                for pid in family(responder):
                    assert [path for path in mapped_files(pid) if is_for_tokens(path)] == []
                    assert found_in(pid, {"PIN": PIN.encode()}) == set()
                assert any(is_for_tokens(path) for path in mapped_files(signer.pid))
                assert str(token.hsm.module.resolve()) in mapped_files(signer.pid)


def is_for_tokens(path: str) -> bool:
    return any(word in path.lower() for word in ("pkcs11", "softhsm", "p11-kit", "cryptoki"))
