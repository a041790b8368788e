"""A CA with everything that is its: ledger, signer, CRLs, stores, a responder with its floor, and a client that asks."""

import json
import random
import shutil
from collections.abc import Iterable
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from _fastpath.page import hash32
from responder.config import load_settings
from responder.counters import Counters
from responder.floor_keeper import FloorKeeper, FloorSources
from signer.audit.patience import Patience
from signer.audit.whole import Request
from signer.commands import signing
from signer.commands.audit import audit
from signer.commands.restore import Sources, restore
from signer.commands.resume import resume
from signer.commands.revoke import RevokeRequest, revoke
from signer.crl.job import ShardStatus
from signer.ledger.backup import backup
from signer.ledger.values import REASON_NAMES, CertificateRow
from signer.restored import check_audited
from signer.witness import clock_to_record_by
from store.errors import OcspeedError
from store.model import load_certificate
from store.text import rfc3339
from tests.invariants.machine_client import Client
from tests.invariants.machine_stores import Stores
from tests.invariants.model import Revocation, Said
from tests.responder.conftest import FakeClock, serving
from tests.signer.ledgers import NOW
from tests.signer.simulation import DoomedLedger, Killed, LivingSigner, SharedClock
from tests.signer.test_rollover import issue, with_directory
from tests.signer.works import DAY, OffsetClock, Works

__all__ = ["PAGE_BITS", "SHARDS", "Town", "found"]

PAGE_BITS, SHARDS = 2, 2
NOBODY = "redis://127.0.0.1:1"
HINDRANCES = ("clock:", "issuer demo: ocsp:", "issuer demo: pages:", "it is away")
SECTION = "[responder]\nlookup_timeout_ms = 5000\n"


def found(directory: Path) -> None:
    """The files of a CA that has not begun, for any number of towns to begin with."""
    works = Works(directory, NOBODY, SharedClock(directory / "clock"), page_bits=PAGE_BITS, shards=SHARDS)
    with_directory(works)
    issue(works, "a", NOW - 60, NOW + 60 * DAY)
    works.file.write_text(works.file.read_text() + SECTION)
    (directory / "objects").mkdir()
    assert works.issuer
    works.context.close()


class Town:
    """Nothing here decides what is right."""

    def __init__(self, origin: Path, directory: Path) -> None:
        shutil.copytree(origin, directory)
        self._directory = directory
        self._stack = ExitStack()
        self.stores = self._stack.enter_context(Stores(directory))
        self._clock = SharedClock(directory / "clock")
        file = directory / "ocsp.toml"
        file.write_text(file.read_text().replace(NOBODY, f"redis://127.0.0.1:{self.stores.port}"))
        self.works = Works.over(directory, self._clock)
        self.signer = LivingSigner(self.works, self._clock)
        self._ca = load_certificate(directory / "ca.pem")
        key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._ca_key = key
        self._chooser = random.Random(0)
        self.responder_clock = FakeClock()
        self.responder_wrong = 0
        settings = load_settings(file)
        self._settings = settings
        settings.state_directory.mkdir(exist_ok=True)
        self._floor = FloorKeeper(
            settings.state_directory,
            lambda: FloorSources(settings.ocsp_issuers, settings.objects),
            self.responder_clock,
            60,
        )
        self._serving = ExitStack()
        self._responders = 1
        self.pass_time(1)

    def __enter__(self) -> Self:
        self.signer.start()
        self.signer.rest()
        self.start_responder()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._serving.close()
        self._floor.stop()
        self.signer.stop()
        self.works.context.close()
        self._stack.close()
        shutil.rmtree(self._directory)

    # Time

    @property
    def now(self) -> int:
        """The true time."""
        return self.signer.now

    def pass_time(self, seconds: int) -> None:
        self.signer.pass_time(seconds)
        self.responder_clock.seconds = self.now + self.responder_wrong

    # The CA

    def new_serial(self) -> bytes:
        return b"\x02" + self._chooser.randbytes(15)

    def issue(self, serial: bytes, not_after: int) -> None:
        """By its fields, or as an import while the signer is away."""
        if self.signer.runs:
            body = {"serial": serial.hex(), "not_after": rfc3339(not_after)}
            self.signer.submit("certificates", json.dumps(body).encode())
        else:
            self.record([(serial, not_after)])

    def record(self, certificates: Iterable[tuple[bytes, int]]) -> None:
        """Out of the CA's records."""
        rows = [CertificateRow(hash32(serial), serial, end, None, 0) for serial, end in certificates]
        self.works.ledger.add_certificates(self.works.issuer.id, sorted(rows), self.now, says_good=False)

    def present(self, serial: bytes, not_after: int, *, poisoned: bool) -> None:
        """A certificate itself, or its precertificate."""
        builder = x509.CertificateBuilder(
            self._ca.subject,
            x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, serial.hex())]),
            self._ca_key.public_key(),
            int.from_bytes(serial),
            datetime.fromtimestamp(min(self.now, not_after - 1), UTC),
            datetime.fromtimestamp(not_after, UTC),
        )
        if poisoned:
            builder = builder.add_extension(x509.PrecertPoison(), critical=True)
        data = builder.sign(self._ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
        self.signer.submit("certificates", data, media_type="application/pkix-cert")

    def recorded_now(self) -> int:
        """The time that is recorded for what happens now."""
        tables = self.works.context.settings.root.issuer
        return self.signer.recorded_now() if self.signer.runs else clock_to_record_by(self.works.ledger, tables, self._clock).now()  # fmt: skip

    def revoke(self, serials: list[bytes], time: int, reason: int) -> None:
        """Through the API, or by the command while the signer is away."""
        name, date = REASON_NAMES[reason], rfc3339(time)
        if self.signer.runs:
            bodies = [{"serial": serial.hex(), "reason": name, "date": date} for serial in serials]
            self.signer.submit("revocations", *(json.dumps(body).encode() for body in bodies))
            return
        request = RevokeRequest(tuple(serial.hex() for serial in serials), reason=name, date=date)
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            assert revoke(self.works.file, request, issuer="demo", dry_run=False, as_json=True, clock=self._clock) == 0  # fmt: skip

    def recorded(self, serial: bytes) -> Revocation | None:
        """What the ledger has of a certificate."""
        found = self.works.ledger.find(self.works.issuer.id, serial)
        assert found is not None
        return None if found.revocation_time is None else (found.revocation_time, found.reason)

    # The signer

    def well(self) -> bool:
        """Whether the signer says that it signs what it is told."""
        return not any(words.startswith(HINDRANCES) for words in self.signer.troubles())

    def confirm_clock(self) -> None:
        """Somebody looks at the machine's clock, which is right."""
        assert self.signer.wrong == 0
        with redirect_stdout(StringIO()):
            resume(self.works.file, accept_clock=True, as_json=True, clock=self._clock)

    def sign_all(self, offset: int) -> None:
        """A pass of `sign --all` beside the signer, on a machine whose clock is off."""
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            try:
                signing.sign(
                    self.works.file, everything=True, issuer=None, workers=1, as_json=True, quiet=True,
                    clock=OffsetClock(self._clock, offset),
                )  # fmt: skip
            except OcspeedError:
                """It tells why, and has signed nothing or not everything."""

    def begin_layout(self) -> None:
        """Twice as many pages, as `store repage` wants them; `run` does it."""
        ledger, issuer = self.works.ledger, self.works.issuer
        if ledger.other_layout(issuer.id) is None and issuer.page_bits < PAGE_BITS + 2:
            ledger.begin_layout(issuer.id, issuer.page_bits + 1)

    def roll(self) -> None:
        """Another responder key with its certificate."""
        self._responders += 1
        issue(self.works, f"r{self._responders}", self.now - 60, self.now + 60 * DAY + self._responders)

    # CRLs

    def publish(self, *, everything: bool, calls: int | None = None) -> list[str]:
        """What is due, or all CRLs; what was refused. `calls`: killed when it has asked the ledger so often."""
        refused: list[str] = []
        if not self.signer.runs or self.signer.steady.doubt is not None:
            return refused
        with self.works.open(self.signer.steady) as context:
            if calls is not None:
                setattr(context, "_ledger", DoomedLedger(context.ledger, calls))  # noqa: B010
            try:
                if everything:
                    job = context.crl_job("demo")
                    done = job.build(job.shards(), lambda outcome: None)
                    refused += [str(one.message) for one in done if one.status is ShardStatus.REFUSED]
                else:
                    context.crl_service("demo").step(lambda outcome: None)
            except Killed:
                """As it was to be."""
        return refused

    def crl(self, index: int) -> tuple[str, bytes | None]:
        """Where a CRL is, and what is there."""
        path = f"crl/demo/0-{index}.crl"
        file = self._directory / "objects" / path
        return path, file.read_bytes() if file.exists() else None

    # The ledger

    @property
    def has_backup(self) -> bool:
        return (self._directory / "copy.db").exists()

    def back_up(self) -> None:
        (self._directory / "copy.db").unlink(missing_ok=True)
        backup(self._directory / "ledger.db", self._directory / "copy.db", lambda done, total: None)

    def restore(self) -> None:
        """The ledger is lost; its backup, CRLs and store give one that an audit finds to lack nothing."""
        self.signer.stop()
        self.works.context.close()
        for file in self._directory.glob("ledger.db*"):
            file.unlink()
        copy = self._directory / "copy.db"
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            restore(self.works.file, copy, Sources(), as_json=True, quiet=True, clock=self._clock)
            request = Request(sample=2, chooser=self._chooser)
            audit(
                self.works.file, request, issuer=None, report=None, as_json=True, quiet=True,
                clock=self._clock, patience=Patience(lambda seconds: None),
            )  # fmt: skip
        self.works.context = self.works.open()
        check_audited(self.works.ledger)

    # The responder

    def start_responder(self) -> None:
        """Again, if one runs: with nothing in its cache."""
        self._serving.close()
        port = self._serving.enter_context(serving(self._settings, Counters.private(), self.responder_clock))
        self._client = Client(port, self._ca)
        self._serving.callback(self._client.close)

    def ask(self, serial: bytes) -> Said:
        return self._client.ask(serial)

    def fetch(self, path: str) -> bytes | None:
        return self._client.crl(path)

    def renew_floor(self) -> None:
        """A round of the host's floor, which the responder takes up within a moment."""
        self._floor.round()
