"""`demo`: show all of it on one machine."""

import secrets
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from signer.commands.output import remark
from signer.demo.play import Demo
from signer.run import Runner
from store.logs import configure
from store.progress import bar

__all__ = ["demo"]


def demo(directory: Path, certificates: int, *, check: bool, seed: int | None) -> None:
    """Play it; with `check` end after the checks, else stay until Ctrl-C with `run` at work."""
    signal.signal(signal.SIGTERM, _interrupt)
    play = Demo(directory.absolute(), certificates, say=_say, bar=bar)
    with play.play(secrets.randbits(32) if seed is None else seed) as context:
        if check:
            return
        for line in _what_next(play):
            remark(line)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda received, frame: stop.set())
        configure(-1)
        Runner(play.file).run(stop, context)
        remark("stopped")


def _interrupt(received: int, frame: FrameType | None) -> None:
    """SIGTERM unwinds like Ctrl-C, so that responder and store end too."""
    raise KeyboardInterrupt


def _say(text: str) -> None:
    remark(f"  {text}")


def _what_next(play: Demo) -> list[str]:
    config, program = play.file, Path(sys.executable).with_name("ocsp-signer")
    return [
        "",
        "Open     " + f"{play.url}/crl/demo/0-0.crl",
        "         " + f"http://127.0.0.1:{play.admin_port}/metrics and /readyz",
        "Type     " + f"cd {play.directory}",
        "         " + f"openssl ocsp -issuer ca.pem -cert good.pem -CAfile ca.pem -url {play.url}",
        "         " + f"{program} revoke --config {config} --issuer demo --reason superseded \\",
        "             $(openssl x509 -in good.pem -noout -serial | cut -d= -f2)",
        "         and ask openssl again: revoked, without a restart",
        "         " + f"{program} status --config {config}",
        "Ctrl-C ends it.",
        "",
    ]
