"""`watch`: an index.txt that `openssl ca` keeps changing is followed until told to stop."""

import signal
import threading
from pathlib import Path
from typing import Any

import msgspec

from signer.commands.output import print_json, print_text, remark
from signer.context import Context
from signer.watch import IndexWatch, WatchReport, follow
from signer.witness import clock_to_record_by
from store.errors import OcspeedError

__all__ = ["watch"]

REJECTED = 3  # done, but for some lines


def watch(file: Path, path: Path, *, issuer: str, once: bool, as_json: bool) -> int:
    """Until SIGTERM or SIGINT, or until the file as it is has been recorded; returns the exit code: 3 for bad lines."""
    stop = threading.Event()
    bad = 0

    def told(report: WatchReport) -> None:
        nonlocal bad
        bad = report.bad
        _print(report, as_json)
        if once:
            stop.set()

    def troubled(name: str, error: OcspeedError) -> None:
        remark(f"{name}: {error}")

    with Context.open(file, create_ledger=True) as context:
        context.settings.issuer(issuer)
        context.clock = clock_to_record_by(context.ledger, context.settings.root.issuer, context.clock)
        watched = IndexWatch(context, issuer, path)
        if (report := watched.step()) is not None:  # raises for a file that is not there
            told(report)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda received, frame: stop.set())
        follow([watched], stop, told, troubled)
    return REJECTED if once and bad else 0


def _print(report: WatchReport, as_json: bool) -> None:
    """What was recorded, and on stderr every line that was not and had not been told before."""
    for line in report.found_bad:
        remark(line)
    if as_json:
        print_json(report)
        return
    found: dict[str, Any] = msgspec.structs.asdict(report)
    kinds = ("new", "newly_revoked", "updated", "kept_revoked", "bad", "fewer")
    counts = ", ".join(f"{found[kind]} {kind.replace('_', ' ')}" for kind in kinds if found[kind])
    print_text(f"{report.issuer}: {report.read} of {report.lines} lines read: {counts or 'nothing new'}")
