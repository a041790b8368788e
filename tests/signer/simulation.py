"""Days of `ocsp-signer run` in minutes: a real ledger, real pages in a real store, and a clock that is set."""

import json
import mmap
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from signer.commands.revoke import RevokeRequest, revoke
from signer.intake.api import Answer, Intake, IntakeIssuer
from signer.intake.commits import Committer
from signer.intake.scope import Shards
from signer.ocsp.batch import Pool
from signer.steady import RecordingClock, SteadyClock
from signer.witness import witness
from store.embedded import EmbeddedStore
from store.text import rfc3339
from tests.signer.ledgers import NOW
from tests.signer.loops import Loop
from tests.signer.served import Checker, Subject
from tests.signer.works import DAY, Works, row_in_page

__all__ = ["HOUR", "PAGE_BITS", "DoomedLedger", "Killed", "LivingSigner", "SharedClock", "Simulation"]

log = structlog.get_logger()

HOUR = 3600
PAGE_BITS = 3
TIMES = struct.Struct("dd")
STEPS = (60, 600, 1800, HOUR, HOUR)  # seconds between two looks at everything
LIVES = (20 * HOUR, 2 * DAY, 5 * DAY, 20 * DAY, 90 * DAY)
IMPORT = 40  # certificates
WORKED_AROUND = ("pages", "responder certificate")  # troubles that keep nobody from issuing


class Killed(BaseException):
    """The signer, in the middle of something."""


class DoomedLedger:
    """A ledger whose user is killed at one of its calls."""

    def __init__(self, ledger: object, calls: int) -> None:
        self._ledger = ledger
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        self._calls -= 1
        if self._calls < 0:
            raise Killed
        return getattr(self._ledger, name)


class SharedClock:
    """Both clocks, the same for all processes that have its file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.exists():
            path.write_bytes(TIMES.pack(NOW, 0.0))
        with path.open("r+b") as file:
            self._times = mmap.mmap(file.fileno(), TIMES.size)

    def __reduce__(self) -> tuple[Any, ...]:
        return SharedClock, (self._path,)

    def now(self) -> int:
        return int(self.wall())

    def wall(self) -> float:
        return float(TIMES.unpack(self._times)[0])

    def monotonic(self) -> float:
        return float(TIMES.unpack(self._times)[1])

    def set(self, wall: float, monotonic: float) -> None:
        self._times[:] = TIMES.pack(wall, monotonic)


class LivingSigner:
    """`ocsp-signer run` of a CA, on a machine whose wall clock may be wrong; it can be stopped, killed and started."""

    def __init__(self, works: Works, clock: SharedClock, *, workers: int = 1) -> None:
        self.works = works
        self.now = clock.now()  # the true time
        self.wrong = 0  # seconds that the machine's wall clock is ahead
        self.told: set[str] = set()  # every kind of trouble that was told
        self._clock = clock
        self._workers = workers
        self._pool: Pool | None = None

    @property
    def runs(self) -> bool:
        return self._pool is not None

    def start(self) -> None:
        if self._pool is not None:
            return
        works = self.works
        self.steady = SteadyClock(self._clock, witness(works.ledger, works.context.settings.root.issuer))
        self._recording = RecordingClock(self.steady)
        self._pool = Pool(works.file, self._workers, self.steady).__enter__()
        self._loop = Loop(works, self._pool, self.steady)
        self._committer = Committer(works.ledger, self._recording).__enter__()
        shards = Shards("demo", works.ledger.series(works.issuer.id))
        issuer = IntakeIssuer(works.issuer.id, works.context.issuer("demo"), shards, None)
        self._intake = Intake(works.ledger, self._committer, self._recording, {"demo": issuer})

    def stop(self) -> None:
        if self._pool is not None:
            self._committer.__exit__(None, None, None)
            self._pool.__exit__(None, None, None)
            self._loop.context.close()
            self._pool = None

    def doom(self, calls: int) -> None:
        """The signer is started again, and killed when it has asked the ledger so often."""
        self.stop()
        self.start()
        context = self._loop.context
        setattr(context, "_ledger", DoomedLedger(context.ledger, calls))  # noqa: B010

    def rest(self) -> None:
        """Everything is done that can be done now."""
        if self._pool is None:
            return
        try:
            self._loop.rest()
        except Killed:
            self.stop()

    def troubles(self) -> list[str]:
        """As /healthz has them."""
        if self._pool is None:
            return ["it is away"]
        found = self._loop.reports.troubles()
        found += [words for _, words in self._loop.reports.lateness.alarms(self._recording.now())]
        self.told.update(found)
        return found

    def recorded_now(self) -> int:
        """The time that is recorded for what happens now."""
        return self._recording.now()

    def pass_time(self, seconds: int) -> None:
        self.now += seconds
        self._clock.set(self.now + self.wrong, self._clock.monotonic() + seconds)

    def submit(self, verb: str, *bodies: bytes, media_type: str = "application/json") -> list[Answer]:
        """One request of the intake API."""
        issuer = self._intake.issuer("demo")
        work = self._intake.work(issuer, verb, media_type, "ca")
        done = work.submit(work.read(bodies))
        answers = done.answers(done.done.result(60) if done.done else [])
        return [_taken(answer) for answer in answers]


def _taken(answer: object) -> Answer:
    assert isinstance(answer, Answer), answer
    return answer


class Simulation(LivingSigner):
    """A CA that issues and revokes, its signer, and what befalls them. Every violation is in `found`.

    What a store answers is checked before and after whatever changes it, so that it holds for every second between.
    """

    def __init__(
        self,
        works: Works,
        clock: SharedClock,
        store: EmbeddedStore,
        seed: int,
        *,
        workers: int = 1,
        steps: tuple[int, ...] = STEPS,
        attention: int = 1200,
    ) -> None:
        """`attention`: seconds after something befell in which everything is looked at once a minute."""
        super().__init__(works, clock, workers=workers)
        self.store = store
        self.chooser = random.Random(seed)
        self.found: list[str] = []
        self.checker = Checker(works)
        self._steps, self._attention = steps, attention
        self._attentive = NOW
        self._number = 0
        self._ends: list[tuple[int, Callable[[], None]]] = []
        self.start()

    def rest(self) -> None:
        """Killed on its way, it is there again a minute later."""
        running = self.runs
        super().rest()
        if running and not self.runs:
            self.later(60, self.start)

    # Time

    def run(self, until: int, failures: list[tuple[int, Callable[["Simulation"], None]]]) -> None:
        """`failures` by the second of their begin."""
        waiting = sorted(failures, key=lambda one: one[0])
        while self.now < NOW + until:
            step = self.chooser.choice(self._steps)
            self.pass_time(61 if self.now < self._attentive else step)
            self._check()
            for end in [end for end in self._ends if self.now >= end[0]]:
                self._ends.remove(end)
                self._attentive = self.now + self._attention
                end[1]()
            self.rest()
            self._work()
            self.rest()
            self._check()
            while waiting and self.now >= NOW + waiting[0][0]:
                self._attentive = self.now + self._attention
                waiting.pop(0)[1](self)
        self.stop()

    def later(self, seconds: int, end: Callable[[], None]) -> None:
        self._ends.append((self.now + seconds, end))

    def _check(self) -> None:
        found = self.checker.violations(self.now)
        self.found += found
        for words in found:
            log.error("violation", words=words)

    # The CA, on a machine of its own with a clock that is right

    def _work(self) -> None:
        chooser = self.chooser
        kind, lives, of_these = chooser.random(), chooser.choice(LIVES), chooser.random()
        healthy = all(any(words in one for words in WORKED_AROUND) for one in self.troubles())
        if kind < 0.35 or len(self.checker.subjects) < 2 << PAGE_BITS:
            if healthy:  # before it publishes a certificate it asks /healthz
                self._issue(lives)
        elif kind < 0.5:
            self._revoke(of_these, dated=chooser.random() < 0.3)
        elif kind < 0.505 and healthy:
            self._import()

    def _issue(self, lives: int) -> None:
        self._number += 1
        row = row_in_page(
            self._number % (1 << PAGE_BITS), self._number, page_bits=PAGE_BITS, not_after=self.now + lives
        )
        self._submit("certificates", {"serial": row.serial.hex(), "not_after": rfc3339(row.not_after)})
        self.checker.subjects[row.serial] = Subject(row, self.now)

    def _import(self) -> None:
        """Of certificates that were not published before."""
        rows = []
        for _ in range(IMPORT):
            self._number += 1
            place = self._number % (1 << PAGE_BITS)
            rows.append(row_in_page(place, self._number, page_bits=PAGE_BITS, not_after=self.now + 20 * DAY))
        self.works.ledger.add_certificates(self.works.issuer.id, sorted(rows), self._recording.now())
        self.checker.subjects.update((row.serial, Subject(row, self.now)) for row in rows)

    def _revoke(self, of_these: float, *, dated: bool) -> None:
        living = [one for one in self.checker.subjects.values() if one.row.not_after > self.now]
        good = [one for one in living if one.revoked_at is None and not one.known_bad]
        if len(good) < 8:
            return
        subject = good[int(of_these * len(good))]
        subject.revoked_at = self.now
        serial = subject.row.serial.hex()
        if self.runs:
            body = {"serial": serial, "reason": "superseded"}
            self._submit("revocations", body | ({"date": rfc3339(self.now)} if dated else {}))
            return
        # The API is away with the signer.
        request = RevokeRequest((serial,), reason="superseded")
        assert revoke(self.works.file, request, issuer="demo", dry_run=False, as_json=True, clock=self._clock) == 0  # fmt: skip

    def _submit(self, verb: str, body: dict[str, str]) -> None:
        self.submit(verb, json.dumps(body).encode())
