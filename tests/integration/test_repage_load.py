"""Pages are laid out anew while clients ask and certificates are revoked: not one answer is missing, wrong or older."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import pytest
from cryptography.x509 import ocsp

from signer.commands.repage import repage as command
from signer.ocsp import repage
from store.clock import SystemClock
from store.model import load_certificate
from tests.integration.service import Service
from tests.integration.test_rollover_load import CLIENTS, Asking
from tests.ports import free_port
from tests.signer.processes import wait_until
from tests.signer.test_run import has_socket, is_whole, running
from tests.signer.works import DAY, Works, row_in_page

BITS = 6


@dataclass
class Watching(Asking):
    """Also holds each answer against those that had come before it was asked for (R-20)."""

    newest: dict[int, float] = field(default_factory=dict)  # thisUpdate by serial
    revoked: set[int] = field(default_factory=set)  # answered so
    last: dict[int, ocsp.OCSPResponse] = field(default_factory=dict)  # by thread
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, serial: int) -> int:
        with self.lock:
            floor, was_revoked = self.newest.get(serial, 0.0), serial in self.revoked
        signer = super().ask(serial)
        found: ocsp.OCSPResponse = self.last[threading.get_ident()]
        assert found.this_update_utc is not None
        this_update, is_revoked = (
            found.this_update_utc.timestamp(),
            found.certificate_status is ocsp.OCSPCertStatus.REVOKED,
        )
        assert this_update >= floor, f"{serial:x}: thisUpdate {this_update} after {floor}"
        assert is_revoked or not was_revoked, f"{serial:x}: good after revoked"
        with self.lock:
            self.newest[serial] = max(self.newest.get(serial, 0.0), this_update)
            if is_revoked:
                self.revoked.add(serial)
        return signer

    def _check(self, response: ocsp.OCSPResponse, serial: int) -> None:
        super()._check(response, serial)
        self.last[threading.get_ident()] = response

    @contextmanager
    def asking(self) -> Iterator[None]:
        clients = [threading.Thread(target=self.work, args=(seed,)) for seed in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            yield
        finally:
            self.stop.set()
            for client in clients:
                client.join(30)


@pytest.fixture
def works(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Works]:
    works = Works(tmp_path_factory.mktemp("s"), None, SystemClock(), page_bits=BITS)
    with works.context:
        late = works.clock.now() + 50 * DAY
        works.add(
            row_in_page(page, number, page_bits=BITS, not_after=late)
            for page in range(1 << BITS)
            for number in range(8)
        )
        yield works


@contextmanager
def asked(works: Works) -> Iterator[Watching]:
    """A responder of one worker, for which R-20 can be seen without a moment's grace, and clients."""
    service = Service(works.directory, free_port())
    admin = f'listen = "127.0.0.1:{service.port}"\nadmin = "127.0.0.1:{service.admin_port}"\nworkers = 1\n'
    works.file.write_text(f"{works.file.read_text()}[responder]\nlookup_timeout_ms = 5000\n{admin}")
    rows = works.ledger.snapshot(works.issuer.id, 0, 2**32 - 1).rows
    serials = [int.from_bytes(row.serial) for row in rows]
    watching = Watching(service.url, load_certificate(works.directory / "ca.pem"), serials)
    with service.serving(), watching.asking():
        yield watching


def revoke_often(works: Works, watching: Watching, stop: threading.Event, revoked: list[int]) -> None:
    """One after the other, as soon as the one before is answered revoked."""
    for serial in watching.serials:
        if stop.is_set():
            return
        works.revoke(serial.to_bytes((serial.bit_length() + 7) // 8))
        revoked.append(serial)
        while serial not in watching.revoked:
            watching.ask(serial)


@pytest.mark.slow
@pytest.mark.conformance("R-08", "R-11", "R-20")
def test_no_answer_is_wrong_while_pages_are_laid_out_anew(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `run`, at the request of the command; three times, as an issuer grows."""
    for name, value in {"FOLLOW": 1.0, "COMPARED": 8, "COPIED": 8}.items():
        monkeypatch.setattr(repage, name, value)
    with running(works):
        wait_until(lambda: has_socket(works) and is_whole(works), 60)
        with asked(works) as watching, ExitStack() as ending:
            stop, revoked = threading.Event(), list[int]()
            revoker = threading.Thread(target=revoke_often, args=(works, watching, stop, revoked))
            ending.callback(revoker.join)
            ending.callback(stop.set)
            revoker.start()
            counts = []
            for bits in (BITS + 1, BITS + 3, BITS + 4):
                before = len(revoked)
                command(works.file, issuer="demo", bits=bits, dry_run=False, as_json=True, quiet=True)
                counts.append(len(revoked) - before)
                assert works.issuer.page_bits == bits
            answered = watching.seen.total()
            wait_until(lambda: watching.seen.total() > answered + 500, 60)
        wait_until(lambda: is_whole(works))
    assert watching.bad == []
    assert min(counts) > 5, counts  # or nothing was at stake
    assert watching.revoked >= set(revoked)
