"""The responder certificate is exchanged while clients ask: not one answer is missing or bad, keys in a token or not."""

import hashlib
import random
import threading
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import ocsp

import signer.ocsp.turns
from store.clock import SystemClock
from store.model import load_certificate
from tests.integration.service import Service
from tests.ports import free_port
from tests.signer.processes import wait_until
from tests.signer.softhsm import PrivateKey, SoftHsm, Token
from tests.signer.test_rollover import certify, issue, with_directory
from tests.signer.test_run import has_socket, is_whole, running
from tests.signer.works import DAY, Works, row_in_page

CLIENTS = 3


@dataclass
class Asking:
    """Clients that ask for any of `serials` until `stop`, and look at each answer as a strict client does."""

    url: str
    ca: x509.Certificate
    serials: list[int]
    stop: threading.Event = field(default_factory=threading.Event)
    bad: list[str] = field(default_factory=list)
    seen: Counter[int] = field(default_factory=Counter)  # answers by the serial number of their signer

    def work(self, seed: int) -> None:
        chooser = random.Random(seed)
        while not self.stop.is_set():
            try:
                self.seen[self.ask(chooser.choice(self.serials))] += 1
            except Exception as error:
                self.bad.append(repr(error))

    def ask(self, serial: int) -> int:
        """Whose certificate signed the answer."""
        name = hashlib.sha1(self.ca.subject.public_bytes()).digest()
        key = x509.SubjectKeyIdentifier.from_public_key(self.ca.public_key()).digest
        builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(name, key, serial, hashes.SHA1())
        request = urllib.request.Request(self.url, builder.build().public_bytes(Encoding.DER))
        with urllib.request.urlopen(request, timeout=10) as answer:
            response = ocsp.load_der_ocsp_response(answer.read())
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise AssertionError(response.response_status.name)
        self._check(response, serial)
        return response.certificates[0].serial_number

    def _check(self, response: ocsp.OCSPResponse, serial: int) -> None:
        (certificate,) = response.certificates
        certificate.verify_directly_issued_by(self.ca)
        key, end = certificate.public_key(), response.next_update_utc
        assert end is not None
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(response.signature, response.tbs_response_bytes, padding.PKCS1v15(), hashes.SHA256())
        else:
            assert isinstance(key, ec.EllipticCurvePublicKey)
            key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(hashes.SHA256()))
        identifier = x509.SubjectKeyIdentifier.from_public_key(key).digest
        assert (response.serial_number, response.responder_key_hash) == (serial, identifier)
        now = time.time()
        assert certificate.not_valid_before_utc.timestamp() <= now < end.timestamp()
        assert end <= certificate.not_valid_after_utc  # B5


def with_token(works: Works, monkeypatch: pytest.MonkeyPatch) -> Token:
    """The key of the first certificate is in a token and nowhere else."""
    (works.directory / "hsm").mkdir()
    token = SoftHsm(works.directory / "hsm", monkeypatch).token()
    path = works.directory / "responders" / "a.key"
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, PrivateKey)
    token.put(key, "a", "01")
    path.unlink()
    table = token.table("x").replace('label = "x"', 'directory = "responders"')
    works.file.write_text(works.file.read_text().replace('{ directory = "responders" }', table))
    return token


@pytest.mark.slow
@pytest.mark.conformance("D-01", "R-04", "R-17")
@pytest.mark.parametrize("place", ["file", "token"])
def test_no_answer_is_bad_while_the_responder_certificate_is_exchanged(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B5. In a token the new key is of another kind, too: from P-256 to RSA."""
    monkeypatch.setattr(signer.ocsp.turns, "RESPONDERS", 0.2)
    works = Works(tmp_path, None, SystemClock())
    with_directory(works)
    token = with_token(works, monkeypatch) if place == "token" else None
    service = Service(tmp_path, free_port())
    admin = f'listen = "127.0.0.1:{service.port}"\nadmin = "127.0.0.1:{service.admin_port}"\nworkers = 2\n'
    works.file.write_text(f"{works.file.read_text()}[responder]\nlookup_timeout_ms = 2000\n{admin}")
    late = works.clock.now() + 50 * DAY
    with works.configured("", ""):
        rows = works.add(  # makes the ledger, which `run` does not
            row_in_page(page, number, not_after=late) for page in range(4) for number in range(15)
        )
        with running(works):
            wait_until(lambda: has_socket(works) and is_whole(works), 60)
            asking = Asking(
                service.url,
                load_certificate(tmp_path / "ca.pem"),
                [int.from_bytes(row.serial) for row in rows],
            )
            with service.serving():
                clients = [threading.Thread(target=asking.work, args=(seed,)) for seed in range(CLIENTS)]
                for client in clients:
                    client.start()
                try:
                    exchange(works, service, asking, token)
                finally:
                    asking.stop.set()
                    for client in clients:
                        client.join(30)
    assert asking.bad == []
    assert len(asking.seen) == 2 and min(asking.seen.values()) > 100, asking.seen


def exchange(works: Works, service: Service, asking: Asking, token: Token | None) -> None:
    """A new certificate; changes of every page, one by one; the old one's files removed; then all pages."""
    wait_until(lambda: sum(asking.seen.values()) > 200, 60)
    now = works.clock.now()
    if token is None:
        issue(works, "b", now - 60, now + 80 * DAY)
    else:
        key = rsa.generate_private_key(65537, 2048)
        token.put(key, "b", "02")
        certify(works, "b", key, now - 60, now + 80 * DAY)
    new = load_certificate(works.directory / "responders" / "b.pem").serial_number
    for serial in asking.serials[::6]:
        works.revoke(serial.to_bytes((serial.bit_length() + 7) // 8))
        time.sleep(0.1)
    wait_until(lambda: asking.seen[new] > 100, 60)
    for suffix in (".pem", ".key"):
        (works.directory / "responders" / f"a{suffix}").unlink(missing_ok=True)
    service.signer("sign", "--all", "--quiet")
    wait_until(lambda: all(asking.ask(serial) == new for serial in asking.serials), 60)
    wait_until(lambda: asking.seen[new] > 500, 60)
