"""Running the two commands as an operator does: ocsp.toml in a directory, real processes, loopback ports."""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.ports import free_port

__all__ = ["Service", "running"]

BIN = Path(sys.executable).parent
READY_TIMEOUT = 20.0


class Service:
    """One ocsp.toml and what is started from it."""

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory
        self.port = port
        self.admin_port = free_port()
        self.config = directory / "ocsp.toml"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def section(self) -> str:
        """What the responder reads of ocsp.toml."""
        return f'[responder]\nlisten = "127.0.0.1:{self.port}"\nadmin = "127.0.0.1:{self.admin_port}"\n'

    def write_config(self, issuers: str) -> None:
        self.config.write_text(f'[signer]\nadmin = "127.0.0.1:0"\n{self.section}{issuers}')

    def signer(self, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        """Run `ocsp-signer` to its end."""
        return self._run("ocsp-signer", arguments, expect)

    def signer_json(self, *arguments: str) -> Any:
        """The one JSON object that a command with --json prints."""
        return json.loads(self.signer(*arguments, "--json").stdout)

    def responder(self, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        return self._run("ocsp-responder", arguments, expect)

    def _run(self, program: str, arguments: tuple[str, ...], expect: int) -> subprocess.CompletedProcess[str]:
        command = [str(BIN / program), *arguments, "--config", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == expect, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    @contextmanager
    def serving(self) -> Iterator["subprocess.Popen[bytes]"]:
        """`ocsp-responder serve`, ready."""
        with running(
            self.directory / "serve.log", "ocsp-responder", "serve", "--config", str(self.config)
        ) as process:
            self._wait_until_ready(process)
            yield process

    @contextmanager
    def signing(self) -> Iterator["subprocess.Popen[bytes]"]:
        """`ocsp-signer run`."""
        with running(
            self.directory / "run.log", "ocsp-signer", "run", "--config", str(self.config)
        ) as process:
            yield process

    def _wait_until_ready(self, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + READY_TIMEOUT
        while time.monotonic() < deadline and process.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/readyz", timeout=2).close()
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise AssertionError(f"not ready: {(self.directory / 'serve.log').read_text()}")


@contextmanager
def running(log: Path, program: str, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A command in the background; it must leave by itself when asked to."""
    with ExitStack() as stack:
        output = stack.enter_context(log.open("wb"))
        process = stack.enter_context(
            subprocess.Popen(
                [BIN / program, *arguments], stdout=output, stderr=output, start_new_session=True
            )
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
