"""A re-paging that is killed on its way: `python -m tests.signer.repage_doomed CONFIG (command|run) BITS LINE`.

By `store repage` or by `run`, it kills itself (SIGKILL) before the LINEth line of everything that a re-paging is made
of. If it comes to its end, it prints how many lines there were.
"""

import itertools
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from signer.commands import repage as command
from signer.context import Context
from signer.ledger import layouts
from signer.ocsp import repage, repager
from signer.run import Runner

WATCHED = {module.__file__ for module in (command, layouts, repage, repager)}


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


def run(config: Path, bits: int) -> None:
    """Until one layout is left."""
    stop = threading.Event()
    with Context.open(config, starts_store=False) as context:
        issuer = context.ledger.issuer("demo")
        if context.ledger.other_layout(issuer.id) is None and issuer.page_bits < bits:
            context.ledger.begin_layout(issuer.id, bits)

    def watch() -> None:
        with Context.open(config, starts_store=False) as context:
            while context.ledger.other_layout(issuer.id) is not None:
                time.sleep(0.05)
        stop.set()

    threading.Thread(target=watch, daemon=True).start()
    Runner(config).run(stop)


def main(config: Path, way: str, bits: int, line: int) -> None:
    repage.FOLLOW, repage.PAUSE, repage.COMPARED, repage.COPIED = 0.0, 0.0, 8, 8
    command.PIECE = repager.LOOK = 0.0
    lines = die_before_line(line)
    if way == "run":
        run(config, bits)
    else:
        command.repage(config, issuer="demo", bits=bits, dry_run=False, as_json=True, quiet=True)
    sys.settrace(None)
    sys.stdout.write(f"{next(lines)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
