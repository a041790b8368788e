"""A CA with a thousand certificates and more, `ocsp-signer run` and `ocsp-responder serve` as processes, and who asks them."""

import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx

from store.clock import SystemClock
from tests.faults.asking import Asker, Judge, Outcome, spread
from tests.integration.service import running
from tests.ports import free_port
from tests.signer.ledgers import certificate_rows
from tests.signer.processes import wait_until
from tests.signer.test_intake_api import TOKEN, Signer
from tests.signer.works import DAY, Works

__all__ = ["Responder", "Town", "built"]

PAGE_BITS = 5
WORKERS = 2
CONNECTIONS = 2  # to each worker
PATIENCE = 180.0  # seconds: the machine may be busy


class Responder:
    """One with several workers. `askers` are connections to all of them."""

    def __init__(self, port: int, admin: int, judge: Judge, log: Path) -> None:
        self.port, self.admin, self.log = port, admin, log
        self._judge = judge
        self.askers: list[Asker] = []

    def connections(self) -> list[Asker]:
        """New ones."""
        return spread(self.port, self._judge, WORKERS, CONNECTIONS)

    def answers(self) -> bool:
        """Whether it is there at all."""
        asker = Asker(self.port, self._judge)
        head, _ = asker.post(b"")
        asker.close()
        return head != b""

    def is_ready(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{self.admin}/readyz", timeout=5).status_code == 200
        return False

    def metric(self, beginning: str) -> float:
        text = httpx.get(f"http://127.0.0.1:{self.admin}/metrics", timeout=10).text
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(beginning))

    def says(self, serials: Sequence[bytes], asker: Asker) -> Counter[Outcome]:
        """About all of them, over one connection."""
        return Counter(asker.ask(serial).outcome for serial in serials)

    def says_everywhere(self, serials: Sequence[bytes]) -> Counter[Outcome]:
        """Over all connections."""
        return sum((self.says(serials, asker) for asker in self.askers), Counter())

    def says_only(self, outcome: Outcome, serials: Sequence[bytes]) -> bool:
        """Of everything, everywhere."""
        return self.says_everywhere(serials).keys() == {outcome}


class Town:
    """Of its certificates the first ones are doomed to be revoked."""

    def __init__(
        self, directory: Path, store_url: str, doomed: int, others: int, *, floor: bool = True
    ) -> None:
        self.directory = directory
        self.works = Works(directory, store_url, SystemClock(), page_bits=PAGE_BITS)
        end = self.works.clock.now() + 50 * DAY
        self.works.add(
            type(row)(row.hash32, row.serial, end, None, 0) for row in certificate_rows(doomed + others, 7)
        )
        rows = self.works.ledger.snapshot(self.works.issuer.id, 0, 2**32 - 1).rows
        self.serials = [row.serial for row in rows]
        random.Random(7).shuffle(self.serials)
        self.doomed, self.others = self.serials[:doomed], self.serials[doomed:]
        self.judge = Judge(directory / "ca.pem")
        self.signer = Signer(self.works)
        self.signer.write_tokens(f"ra {TOKEN}\n")
        self.works.file.write_text('[intake]\ntokens = "intake.tokens"\n' + self.works.file.read_text())
        self._floor = floor
        self._responders = 0

    def command(self, *words: str) -> None:
        """`ocsp-signer`, to its end."""
        with running(
            self.directory / "command.log", "ocsp-signer", *words, "--config", str(self.works.file)
        ) as done:
            assert done.wait(PATIENCE) == 0, (self.directory / "command.log").read_text()

    @contextlib.contextmanager
    def responder(self, section: str = "") -> Iterator[Responder]:
        """One with a state directory of its own, as on another host; not waited for."""
        self._responders += 1
        name, port, admin = f"r{self._responders}", free_port(), free_port()
        objects = "objects" if self._floor else f"{name}/none"
        (self.directory / name / "none").mkdir(parents=True)
        (self.directory / "objects").mkdir(exist_ok=True)
        file = self.directory / f"{name}.toml"
        store = self.works.file.read_text().split("[store]\n")[1].partition("\n")[0]
        file.write_text(
            f'[store]\n{store}\n[objects]\ntarget = "{objects}"\n[state]\ndirectory = "{name}"\n'
            f'[responder]\nlisten = "127.0.0.1:{port}"\nadmin = "127.0.0.1:{admin}"\nworkers = {WORKERS}\n'
            f'floor_interval = "1s"\n{section}\n[[issuer]]\nname = "demo"\ncertificate = "ca.pem"\n'
        )
        log = self.directory / f"{name}.log"
        made = Responder(port, admin, self.judge, log)
        with running(log, "ocsp-responder", "serve", "--config", str(file)):
            wait_until(made.answers, PATIENCE)
            try:
                made.askers = made.connections()
                yield made
            finally:
                for asker in made.askers:
                    asker.close()
        assert "Traceback" not in log.read_text()

    def revoke(self, serials: Sequence[bytes]) -> float:
        """By one batch of the intake; the monotonic time at which all were acknowledged."""
        lines = [json.dumps({"serial": serial.hex(), "reason": "keyCompromise"}) for serial in serials]
        _, counts = self.signer.batch("revocations", lines, len(lines))
        assert counts["outcomes"] == {"revoked": len(serials)}, counts
        return time.monotonic()

    def store_is_whole(self) -> bool:
        try:
            self.works.check_store()
        except Exception:  # whatever a store that is away or half written makes of it
            return False
        return True


@contextlib.contextmanager
def built(
    directory: Path, store_url: str, doomed: int, others: int = 200, *, floor: bool = True
) -> Iterator[Town]:
    """With the signer at work and everything signed."""
    directory.mkdir()
    town = Town(directory, store_url, doomed, others, floor=floor)
    town.command("store", "init")
    town.signer.run()
    try:
        wait_until(town.store_is_whole, PATIENCE)
        yield town
    finally:
        town.signer.end()
        town.works.context.close()
    assert "Traceback" not in town.signer.log.read_text()
