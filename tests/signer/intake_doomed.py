"""An intake that is killed on its way: `python -m tests.signer.intake_doomed DIRECTORY NOW SEED MODULE FUNCTION EVENT`.

It issues and revokes through the intake API's own code, and signs each deed as `run` does. Each that was acknowledged
is printed. Instead of the third call of FUNCTION (EVENT `call`), or after it (`return`), it kills itself (SIGKILL).
"""

import importlib
import json
import os
import random
import signal
import sys
from functools import reduce
from pathlib import Path
from typing import Any

from signer.intake.api import Answer, Intake, IntakeIssuer
from signer.intake.commits import Committer
from signer.intake.scope import Shards
from signer.ocsp.tail import Tail
from signer.steady import RecordingClock, SteadyClock
from store.text import rfc3339
from tests.signer.works import DAY, FakeClock, Works

DEEDS = 8
LAST = 3  # of the calls


def die_at(module: str, name: str, event: str) -> None:
    """`name` is a function's, or `Class.method`."""
    *classes, function = name.split(".")
    owner = reduce(getattr, classes, importlib.import_module(module))
    before, left = getattr(owner, function), [LAST]

    def doomed(*arguments: Any, **more: Any) -> Any:
        left[0] -= 1
        found = before(*arguments, **more) if left[0] or event == "return" else None
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    setattr(owner, function, doomed)


class Frontend:
    """The CA's side of the API, in one process with the signer."""

    def __init__(self, works: Works, committer: Committer, recording: RecordingClock, seed: int) -> None:
        issuer = works.issuer
        shards = Shards("demo", works.ledger.series(issuer.id))
        known = {"demo": IntakeIssuer(issuer.id, works.context.issuer("demo"), shards, None)}
        self._intake = Intake(works.ledger, committer, recording, known)
        self._chooser = random.Random(seed)
        self._end = rfc3339(works.clock.now() + 9 * DAY)

    def issue_and_revoke(self) -> None:
        serial = f"5a{self._chooser.getrandbits(112):028x}"
        self._send("certificates", serial=serial, not_after=self._end)
        self._send("revocations", serial=serial, reason="superseded")

    def _send(self, verb: str, **body: str) -> None:
        work = self._intake.work(self._intake.issuer("demo"), verb, "application/json", "ca")
        done = work.submit(work.read([json.dumps(body).encode()]))
        assert done.done is not None
        (answer,) = done.answers(done.done.result(60))
        assert isinstance(answer, Answer), answer
        sys.stdout.write(f"{verb} {body['serial']}\n")
        sys.stdout.flush()


def main(directory: str, now: str, seed: str, module: str, function: str, event: str) -> None:
    works = Works.over(Path(directory), FakeClock(int(now)))
    steady = SteadyClock(works.clock)
    with works.context:
        tail = Tail(works.ledger, works.signer())
        die_at(module, function, event)
        with Committer(works.ledger, RecordingClock(steady)) as committer:
            frontend = Frontend(works, committer, RecordingClock(steady), int(seed))
            for _ in range(DEEDS):
                frontend.issue_and_revoke()
                tail.step()


if __name__ == "__main__":
    main(*sys.argv[1:])
