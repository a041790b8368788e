"""What `ocsp-signer run` and `ocsp-responder serve` do, by a clock that leaps: `python -m tests.soak ROLE CONFIG START ORIGIN`."""

import signal
import sys
import threading
from pathlib import Path

import responder.config
import responder.server
from signer.context import Context
from signer.run import Runner
from store.logs import configure
from tests.soak.clock import LeapingClock


def sign(file: Path, clock: LeapingClock) -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, frame: stop.set())
    with Context.open(file, clock) as context:
        Runner(file).run(stop, context)


def main(role: str, file: str, start: str, origin: str) -> None:
    configure(0, throttled=role == "responder")
    clock = LeapingClock(int(start), float(origin), both=role == "signer")
    if role == "signer":
        sign(Path(file), clock)
    else:
        responder.server.serve(responder.config.load_settings(Path(file)), 0, clock)


if __name__ == "__main__":
    main(*sys.argv[1:])
