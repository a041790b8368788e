"""kill -9 of the signer, a process of its pool and its store at random moments, while the CA issues and revokes (A1, A4, B3)."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from signer.audit.patience import Patience
from signer.audit.report import Findings
from signer.audit.whole import Request, audit_issuer
from store.clock import SystemClock
from store.connection import socket_path
from store.errors import OcspeedError
from store.progress import bar
from store.schema import page_key
from tests.kept import keep
from tests.signer.processes import workers_of
from tests.signer.test_intake_api import TOKEN, Signer
from tests.signer.works import Works

SIGNER = Path(sys.executable).with_name("ocsp-signer")
PAGE_BITS = 4
CATCH_UP = 180.0  # seconds: the machine may be busy


class Life:
    """A signer that dies again and again, and what its intake acknowledged."""

    def __init__(self, signer: Signer, seed: int) -> None:
        self.signer = signer
        self.works = signer.works
        self.seed = seed
        self.began = time.monotonic()
        self.chooser = random.Random(seed)
        self.issued: list[str] = []
        self.revoked: set[str] = set()
        self.kills = 0
        self.checks = 0

    def deed(self) -> None:
        """Issue one, or revoke one that was issued. Who gets no answer knows nothing of it."""
        try:
            if self.issued and self.chooser.random() < 0.4:
                victim = self.chooser.choice(self.issued)
                if self.signer.revoke(victim).status_code == 200:
                    self.revoked.add(victim)
                return
            serial = f"5a{self.chooser.getrandbits(120):030x}"
            if self.signer.issue(serial).status_code == 200:
                self.issued.append(serial)
        except httpx.HTTPError:
            time.sleep(0.02)

    def point(self, kill: Callable[[], None]) -> None:
        """Deeds until a random moment at which something is killed; the signer is there again afterwards."""
        timer = threading.Timer(self.chooser.uniform(0.0, 0.5), kill)
        timer.start()
        while timer.is_alive():
            self.deed()
        timer.join()
        process = self.signer.process
        assert process is not None
        if self.dying(process):
            self.signer.client.close()
            process.wait(30)
            if self.chooser.random() < 0.3:
                self.die_while_starting()
            self.signer.run()

    def dying(self, process: "subprocess.Popen[bytes]") -> bool:
        return process.poll() is not None

    def die_while_starting(self) -> None:
        command = [str(SIGNER), "run", "--config", str(self.works.file)]
        with (self.works.directory / "early.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        time.sleep(self.chooser.uniform(0.0, 2.5))
        process.kill()
        process.wait(30)
        self.kills += 1

    def kill_signer(self) -> None:
        """While its pool starts, or works, or has nothing to do."""
        assert self.signer.process is not None
        if self.chooser.random() < 0.5:
            self.lose_pages()
            time.sleep(self.chooser.uniform(0.0, 3.0))
        self.signer.process.kill()
        self.signer.process.wait(30)
        self.kills += 1

    def kill_worker(self) -> None:
        """While the pool has work."""
        assert self.signer.process is not None
        deadline = time.monotonic() + 30
        self.lose_pages()
        while not (workers := sorted(workers_of(self.signer.process.pid))):
            assert time.monotonic() < deadline, "no pool"
            time.sleep(0.02)
        time.sleep(self.chooser.uniform(0.0, 0.5))
        self._kill(self.chooser.choice(workers))

    def lose_pages(self) -> None:
        """All that the store has, which the signer finds within a second or two."""
        with redis.Redis(unix_socket_path=str(socket_path(self.state))) as client:
            client.delete(*(page_key("demo", 1, page) for page in range(1 << PAGE_BITS)))

    def kill_store(self) -> None:
        """It comes back empty."""
        try:
            with redis.Redis(unix_socket_path=str(socket_path(self.state))) as client:
                self._kill(client.info("server")["process_id"])
        except redis.RedisError:
            pass  # it is just coming back

    def _kill(self, pid: int) -> None:
        try:
            os.kill(pid, signal.SIGKILL)
            self.kills += 1
        except ProcessLookupError:
            pass

    @property
    def state(self) -> Path:
        return self.works.context.settings.state_directory

    def findings(self) -> list[dict[str, Any]]:
        """Of a full audit."""
        findings = Findings()
        with self.works.open() as context:
            request = Request(full=True, chooser=self.chooser)
            audit_issuer(context, "demo", request, findings, partial(bar, quiet=True), Patience())
        return findings.described()

    def clean(self) -> bool:
        try:
            return not self.findings()
        except OcspeedError:
            return False  # the store is just coming back

    def check(self) -> None:
        """Everything caught up, nothing signed outside its window, and nothing acknowledged is lost."""
        deadline = time.monotonic() + CATCH_UP
        while not self.clean():
            assert time.monotonic() < deadline, self.findings()
            time.sleep(0.2)
        assert self.issued
        ledger, issuer = self.works.ledger, self.works.issuer
        for serial in self.issued:
            found = ledger.find(issuer.id, bytes.fromhex(serial))
            assert found is not None, serial
            assert found.revocation_time is not None or serial not in self.revoked, serial
        assert ledger.verify_journal() > 0
        self.checks += 1

    def described(self) -> dict[str, Any]:
        """For whoever keeps it."""
        return {
            "seed": self.seed,
            "kills": self.kills,
            "clean_audits": self.checks,
            "issued": len(self.issued),
            "revoked": len(self.revoked),
            "seconds": round(time.monotonic() - self.began, 1),
        }


@pytest.fixture
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """Its seed is printed, and OCSPEED_SEED sets it."""
    seed = int(os.environ.get("OCSPEED_SEED") or random.SystemRandom().getrandbits(32))
    sys.stderr.write(f"seed {seed}: OCSPEED_SEED={seed} does the same again\n")
    works = Works(tmp_path_factory.mktemp("s"), None, SystemClock(), page_bits=PAGE_BITS, workers=2)
    assert works.issuer  # the ledger is there
    signer = Signer(works)
    signer.write_tokens(f"ra {TOKEN}\n")
    works.file.write_text('[intake]\ntokens = "intake.tokens"\n' + works.file.read_text())
    signer.run()
    try:
        yield Life(signer, seed)
    finally:
        signer.end()
        works.context.close()


KINDS = ("signer", "worker", "store")


def kills_of(life: Life, kind: str) -> Callable[[], None]:
    return {"signer": life.kill_signer, "worker": life.kill_worker, "store": life.kill_store}[kind]


@pytest.mark.invariant("A1", "A4", "B3")
@pytest.mark.conformance("R-09", "R-20")
def test_one_of_each(life: Life) -> None:
    for kind in KINDS:
        life.point(kills_of(life, kind))
    assert life.kills >= len(KINDS)
    life.check()


@pytest.mark.invariant("A1", "A4", "B3")
@pytest.mark.slow
@pytest.mark.conformance("R-09", "R-16", "R-20")
@pytest.mark.parametrize("kind", KINDS)
def test_fifty_of_a_kind(life: Life, kind: str) -> None:
    while life.kills < 50:
        life.point(kills_of(life, kind))
        if life.kills % 10 == 0:
            life.check()
    life.check()
    keep("kills", kind, life.described())
