"""New responder certificates by a command of the operator's, run when the present one nears its end (D-08)."""

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from signer.context import Context
from signer.errors import TokenUnavailable
from store.errors import ConfigError, OcspeedError
from store.text import printable, rfc3339

__all__ = ["Renewal", "renew_for_ever"]

log = structlog.get_logger()

LOOK = 60.0  # seconds between looks at the certificates
OUTPUT = 4_096  # octets that are kept of what the command says, the last ones
GRACE = 5.0  # seconds to end in when it is told to
# All that it gets of this process's environment: there may be passwords, or the names of their files, in the rest.
INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR")


@dataclass(frozen=True, slots=True)
class _Ended:
    """How a command ended. `code` is None if it was not let end by itself."""

    code: int | None
    output: str


class Renewal:
    """One issuer's. For one thread."""

    def __init__(self, context: Context, issuer: str) -> None:
        self.issuer = issuer
        self._context = context
        self._table = context.settings.ocsp_signer(issuer)
        self._ran = context.settings.state_directory / f"renewal-{issuer}"  # its time is when it ran

    def step(self, stop: threading.Event) -> str | None:
        """Run the command if it is time to. What is wrong now, or None.

        Raises OcspeedError when that cannot be found out, as while a token is away.
        """
        table, now = self._table, self._context.clock.now()
        end = self._end()
        if end is not None and end - now >= table.renew_before:
            return None
        if not self._may_run(now):
            return _late(end)
        command = table.renew_command
        assert command is not None
        log.info("renewing the responder certificate", issuer=self.issuer, not_after=rfc3339(end))
        try:
            ended = _run(command, self._environment(end), self._cwd, table.renew_timeout, stop)
        except (OSError, ValueError) as error:
            return f"{printable(command[0])}: cannot be started: {error}"
        if stop.is_set():
            return None  # it was perhaps not let end
        return self._judge(ended, end)

    def _judge(self, ended: _Ended, before: int | None) -> str | None:
        said = f": {ended.output}" if ended.output else ""
        if ended.code is None:
            return f"the command was ended after {self._table.renew_timeout} s{said}"
        if ended.code:
            return f"the command ended with {ended.code}{said}"
        end = self._end()
        if end is None or (before is not None and end <= before):
            return f"the command ended well, but left no certificate that is fit and ends later{said}"
        log.info("responder certificate renewed", issuer=self.issuer, not_after=rfc3339(end))
        return None

    def _end(self) -> int | None:
        """notAfter of the certificate that signs; None: there is none."""
        try:
            with Context(self._context.settings, self._context.clock) as context:
                return context.ocsp_signer(self.issuer).not_after
        except ConfigError:
            return None

    def _may_run(self, now: int) -> bool:
        """Not as often as it could, also over restarts: each may cost an order, or wake somebody."""
        self._ran.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            if 0 <= now - int(self._ran.stat().st_mtime) < self._table.renew_every:
                return False
        self._ran.touch()
        os.utime(self._ran, (now, now))
        return True

    @property
    def _cwd(self) -> Path:
        return self._context.settings.document.directory

    def _environment(self, end: int | None) -> dict[str, str]:
        own = {
            "OCSP_ISSUER": self.issuer,
            "OCSP_DIRECTORY": str(self._table.directory),
            "OCSP_NOT_AFTER": rfc3339(end) or "",
        }
        return {name: os.environ[name] for name in INHERITED if name in os.environ} | own


def renew_for_ever(context: Context, stop: threading.Event, told: Callable[[str, str | None], None]) -> None:
    """Until `stop` is set. `told` what is wrong with each issuer's, if anything."""
    tables = context.settings.root.issuer
    names = [
        table.name for table in tables if table.ocsp.enabled and table.signer and table.signer.renew_command
    ]
    renewals = [Renewal(context, name) for name in names]
    while renewals and not stop.wait(LOOK):
        for renewal in renewals:
            try:
                told(renewal.issuer, renewal.step(stop))
            except TokenUnavailable:
                continue  # who signs tells of it
            except (OcspeedError, OSError) as error:
                told(renewal.issuer, str(error))


def _late(end: int | None) -> str:
    if end is None:
        return "there is no fit responder certificate; the command is run again later"
    return f"the responder certificate ends at {rfc3339(end)}; the command is run again later"


def _run(
    command: Sequence[str], environment: Mapping[str, str], cwd: Path, timeout: float, stop: threading.Event
) -> _Ended:
    """Without a shell, in a session of its own, which ends with it. Raises OSError, ValueError."""
    deadline = time.monotonic() + timeout
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        output = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while process.poll() is None and time.monotonic() < deadline and not stop.is_set():
                if selector.select(0.1) and not _take(process.stdout.fileno(), output):
                    time.sleep(0.05)  # it has closed its output, and goes on
        code = process.poll()
        if code is None:
            _end(process)
        _take(process.stdout.fileno(), output)
    return _Ended(code, printable(output.decode(errors="replace").strip()))


def _take(descriptor: int, output: bytearray) -> bool:
    """Keep the last of what there is; False at its end."""
    try:
        piece = os.read(descriptor, 1 << 16)
    except BlockingIOError:
        return True
    output += piece
    del output[:-OUTPUT]
    return bool(piece)


def _end(process: subprocess.Popen[bytes]) -> None:
    """With all that it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
