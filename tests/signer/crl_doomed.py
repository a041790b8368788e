"""A publisher that is killed on its way: `python -m tests.signer.crl_doomed TARGET PATH CRL (line|timer) WHEN`.

TARGET is a JSON object of ObjectTarget's fields. It publishes the file CRL at PATH as the job does and kills itself (SIGKILL)
before the WHENth line of the publishing modules, or WHEN microseconds after it began, in the middle of whatever runs.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from _fastpath.crl_reader import Crl
from signer.crl import archive as archiving
from signer.crl import publish as publishing
from signer.crl import targets as target_module
from signer.crl.targets import Target, Targets
from store.clock import SystemClock
from store.config import ObjectTarget
from store.objects import open_object_store

WATCHED = {module.__file__ for module in (archiving, publishing, target_module)}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_before_line(number: int) -> None:
    left = iter(range(number, -1, -1))

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename not in WATCHED:
            return None
        if event == "line" and next(left) == 0:
            die()
        return trace

    sys.settrace(trace)


def die_after(microseconds: int) -> None:
    def wait() -> None:
        deadline = time.perf_counter() + microseconds / 1e6
        while time.perf_counter() < deadline:
            time.sleep(0)
        die()

    threading.Thread(target=wait, daemon=True).start()


def main(target: ObjectTarget, path: str, crl: Path, way: str, when: int) -> None:
    data = crl.read_bytes()
    store = open_object_store(target)
    targets = Targets("r1", [Target("doomed", store, SystemClock())], Crl(data).issuer_name)
    targets.live(path)
    (die_before_line if way == "line" else die_after)(when)
    targets.publish(path, data)
    sys.settrace(None)
    os._exit(0)


if __name__ == "__main__":
    place = msgspec.json.decode(sys.argv[1], type=ObjectTarget, dec_hook=lambda kind, value: kind(value))
    main(place, sys.argv[2], Path(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
