"""A re-paging that is killed on its way: `python -m tests.signer.repage_doomed CONFIG BITS LINE`.

It kills itself (SIGKILL) before the LINEth line of everything that a re-paging is made of, and prints how many lines
there were if it comes to its end.
"""

import itertools
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from signer import context
from signer.commands import repage as command
from signer.ledger import layouts
from signer.ocsp import repage

WATCHED = {module.__file__ for module in (command, context, layouts, repage)}


def die_before_line(number: int) -> "itertools.count[int]":
    """Counts them from 0."""
    lines = itertools.count()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename not in WATCHED:
            return None
        if event == "line" and next(lines) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    return lines


if __name__ == "__main__":
    config, bits, line = sys.argv[1:]
    repage.FOLLOW, repage.COMPARED, repage.COPIED = 0.0, 8, 8
    command.PIECE = 0.0
    lines = die_before_line(int(line))
    command.repage(Path(config), issuer="demo", bits=int(bits), dry_run=False, as_json=True, quiet=True)
    sys.settrace(None)
    sys.stdout.write(f"{next(lines)}\n")
