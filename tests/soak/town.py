"""A CA's processes, all real: a store, a signer with its pool, two responders; and how each of them is ended."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import redis

from signer.audit.whole import Request
from signer.commands.audit import audit
from signer.context import Context
from store.errors import OcspeedError
from store.writer import install_functions
from tests.faults.servers import Server
from tests.ports import free_port
from tests.signer.processes import wait_until, workers_of
from tests.signer.works import Works, row_in_page
from tests.soak.clock import LEAP, LeapingClock

__all__ = ["PAGE_BITS", "PATIENCE", "TOKEN", "Town"]

ROOT = Path(__file__).parents[2]
TOKEN = "soak-0123456789abcdef0123456789abcdef"
PAGE_BITS = 6
MAX_UNVERIFIED = 5  # seconds that responders go on without the store
PATIENCE = 120.0  # seconds: the machine may be busy
OCSP = 'page_bits = 6, validity = "18h", cycle = "1h"'
CRL = 'validity = "6h", interval = "30m"'
INTAKE = '[intake]\ntokens = "intake.tokens"\n'


class Process:
    """A role of `python -m tests.soak`, which may end and begin again. What it logs is kept, of all its lives."""

    def __init__(self, role: str, file: Path, clock: tuple[int, float], log: Path) -> None:
        self._command = [sys.executable, "-m", "tests.soak", role, str(file), *map(str, clock)]
        self.log = log
        self.starts = 0
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, stdout=output, stderr=output, cwd=ROOT, start_new_session=True
            )
        self.starts += 1

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """With all that it started: as when a machine loses power."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def end(self) -> None:
        """As an operator does."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)


class Town:
    """`troubled` says since when, or until when, something that revocations pass through was away."""

    def __init__(self, directory: Path) -> None:
        start, origin = int(time.time()), time.monotonic()
        self.clock = LeapingClock(start, origin, both=True)
        self.store = Server(directory / "store")
        self._install()
        self.ports = [free_port(), free_port()]
        self.admin = free_port()
        self.works = Works(
            directory, f"redis://127.0.0.1:{self.store.port}", self.clock, page_bits=PAGE_BITS, workers=2
        )
        self._configure(directory)
        end = start + LEAP
        self.works.add(row_in_page(page, 1, page_bits=PAGE_BITS, not_after=end) for page in range(4))
        times = (start, origin)
        self.signer = Process("signer", self.works.file, times, directory / "signer.log")
        files = (self.works.file, directory / "second.toml")
        self.responders = [
            Process("responder", file, times, directory / f"{file.stem}.log") for file in files
        ]
        self.kills: dict[str, int] = {}
        self._trouble: float | None = None  # began then, and lasts
        self._quiet = time.monotonic()  # the last trouble was over then
        self._lock = threading.Lock()

    def _configure(self, directory: Path) -> None:
        (directory / "objects").mkdir()
        (directory / "intake.tokens").write_text(f"ra {TOKEN}\n")
        (directory / "intake.tokens").chmod(0o600)
        text = self.works.file.read_text()
        text = text.replace('admin = "127.0.0.1:0"', f'admin = "127.0.0.1:{self.admin}"')
        text = text.replace(f"page_bits = {PAGE_BITS}", OCSP).replace("shards = 3", f"shards = 3, {CRL}")
        assert OCSP in text and CRL in text
        for port, name, state in zip(self.ports, ("ocsp.toml", "second.toml"), ("", "second"), strict=True):
            section = (
                f'[responder]\nlisten = "127.0.0.1:{port}"\nadmin = "127.0.0.1:{free_port()}"\nworkers = 2\n'
                f'max_unverified = "{MAX_UNVERIFIED}s"\nfloor_interval = "5s"\nlookup_timeout_ms = 1000\n'
            )
            state = f'[state]\ndirectory = "{state}"\n' if state else ""
            (directory / name).write_text(state + INTAKE + section + text)
        self.works.context.close()
        self.works.context = Context.open(self.works.file, self.clock, create_ledger=True)

    def close(self) -> None:
        for process in (self.signer, *self.responders):
            process.kill()
        self.store.kill()
        self.works.context.close()

    def _install(self) -> None:
        with self.store.client() as client:
            install_functions(client, "soak")

    # Who is there

    def roles(self) -> dict[str, list[int]]:
        """Processes of each role."""
        found = {"signer": [self.signer.pid], "pool": sorted(workers_of(self.signer.pid))}
        for name, responder in zip(("first", "second"), self.responders, strict=True):
            found[f"{name} supervisor"] = [responder.pid]
            found[f"{name} worker"] = sorted(workers_of(responder.pid))
        found["store"] = [self.store.pid]
        return found

    def quiet_since(self) -> float | None:
        """Since when revocations have been on their way unhindered; None: they are not."""
        with self._lock:
            return None if self._trouble is not None else self._quiet

    def settled(self) -> bool:
        """Whether responders use the store, and what was recorded before this call is in it."""
        works, issuer = self.works, self.works.issuer
        try:
            recorded = works.ledger.generation(issuer.id)
            known = works.reader.issuer("demo")
            if (
                known is None
                or known.head is None
                or known.head.replication_id != works.reader.replication_id()
            ):
                return False
            deadline = time.monotonic() + 2.0
            while works.ledger.tail_position(issuer.id) < recorded:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.05)
        except (OcspeedError, redis.RedisError):
            return False
        return True

    # What befalls it

    def befall(self, name: str) -> None:
        """Do one of the deeds below, and wait until it is overcome."""
        self.kills[name] = self.kills.get(name, 0) + 1
        deed: Callable[[], float] = getattr(self, name)
        with self._lock:
            self._trouble = time.monotonic()
        lasts = deed()
        wait_until(self.settled, PATIENCE)
        with self._lock:
            self._trouble, self._quiet = None, time.monotonic() + lasts

    def signer_killed(self) -> float:
        self.signer.kill()
        self.signer.start()
        return 0.0

    def signer_ended(self) -> float:
        self.signer.end()
        self.signer.start()
        return 0.0

    def pool_process_killed(self) -> float:
        return self._kill_one_of(self.signer)

    def store_emptied(self) -> float:
        """It is killed, and there is nothing when it comes back."""
        self.store.kill()
        (self.store.directory / "dump.rdb").unlink(missing_ok=True)
        self.store.start()
        self._install()
        return MAX_UNVERIFIED

    def store_put_back(self) -> float:
        """It is killed, and comes back as it was some seconds ago."""
        with self.store.client() as client:
            client.save()
        time.sleep(5.0)  # in which certificates are revoked that it will not know of
        self.store.kill()
        self.store.start()
        return MAX_UNVERIFIED

    def worker_killed(self) -> float:
        """The supervisor starts another one. Revocations do not wait for that."""
        return self._kill_one_of(self.responders[0])

    def first_responder_killed(self) -> float:
        return self._again(self.responders[0], self.responders[0].kill)

    def first_responder_ended(self) -> float:
        return self._again(self.responders[0], self.responders[0].end)

    def second_responder_killed(self) -> float:
        return self._again(self.responders[1], self.responders[1].kill)

    def _kill_one_of(self, process: Process) -> float:
        """One that it started; it may be just starting some."""
        wait_until(lambda: bool(workers_of(process.pid)), PATIENCE)
        with contextlib.suppress(ProcessLookupError):
            os.kill(min(workers_of(process.pid) or {process.pid}), signal.SIGKILL)
        return 0.0

    def _again(self, responder: Process, end: Callable[[], None]) -> float:
        end()
        responder.start()
        return 0.0

    # At the end

    def audit(self) -> int:
        """0: clean. Everything, and every signature."""
        urls = [f"http://127.0.0.1:{port}" for port in self.ports]
        request = Request(sample=2_000, full=True, urls=urls)
        return audit(
            self.works.file,
            request,
            issuer=None,
            report=self.works.directory / "audit.json",
            as_json=True,
            quiet=True,
            clock=self.clock,
        )
