"""A restore that is killed on its way: `python -m tests.signer.restore_doomed CONFIG BACKUP NOW FUNCTION LINE`.

It kills itself (SIGKILL) before the LINEth line of FUNCTION, or with `any` of everything that a restore is made of.
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from signer import recovery
from signer.commands import restore as command
from signer.ledger import backup, restore
from tests.signer.works import FakeClock

WATCHED = {module.__file__ for module in (backup, command, recovery, restore)}


def die_before_line(function: str, number: int) -> None:
    left = iter(range(number, -1, -1))

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        if code.co_filename not in WATCHED or function not in ("any", code.co_name):
            return None
        if event == "line" and next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


if __name__ == "__main__":
    config, copy, now, function, line = sys.argv[1:]
    die_before_line(function, int(line))
    clock = FakeClock(int(now))
    command.restore(Path(config), Path(copy), command.Sources(), as_json=True, quiet=True, clock=clock)
