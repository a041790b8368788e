"""A publisher as a process of its own: `python -m tests.signer.crl_racer CONFIG STARTED MODE`.

It builds the first shard of issuer `demo` over and over, and prints a JSON line for each attempt. MODE `stops` makes
it stop itself (SIGSTOP) between signing and publishing in every other attempt; `unguarded-stops` as well, with the
compare-and-set removed. Its clock runs a thousand times as fast as others, so that thisUpdate can grow.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import obstore

from signer.context import Context
from signer.crl import publish as publishing
from signer.crl.targets import Targets
from store.objects import ObjectStore
from tests.signer.ledgers import NOW

SPEED = 1000


class FastClock:
    """Shared by all that know when the first one started."""

    def __init__(self, started: float) -> None:
        self._started = started

    def now(self) -> int:
        return int(self.wall())

    def wall(self) -> float:
        return NOW + (time.time() - self._started) * SPEED

    def monotonic(self) -> float:
        return time.monotonic()


def stop_before_publishing() -> None:
    """In every other attempt; whoever started this process lets it go on."""
    publish, attempts = Targets.publish, iter(range(1_000_000))

    def stopping(targets: Targets, path: str, data: bytes) -> None:
        if next(attempts) % 2:
            os.kill(os.getpid(), signal.SIGSTOP)
        publish(targets, path, data)

    Targets.publish = stopping  # type: ignore[method-assign, assignment]


def remove_guard() -> None:
    """Nothing is compared any more, neither here nor in the object store."""
    replace, put = publishing.replace_object, obstore.put

    def unchecked(store: ObjectStore, path: str, data: bytes, content_type: str, check: Any) -> None:
        replace(store, path, data, content_type, lambda live: None)

    def overwriting(*arguments: Any, mode: Any, **named: Any) -> Any:
        return put(*arguments, **named)

    publishing.replace_object = unchecked
    obstore.put = overwriting  # type: ignore[assignment]


def main(file: Path, started: float, mode: str) -> None:
    if mode.startswith("unguarded"):
        remove_guard()
    if mode.endswith("stops"):
        stop_before_publishing()
    with Context.open(file, FastClock(started)) as context:
        job = context.crl_job("demo")
        while True:
            for outcome in job.build(job.shards()[:1], lambda done: None):
                line = {"status": outcome.status, "number": outcome.crl_number, "message": outcome.message}
                print(json.dumps(line), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3])
