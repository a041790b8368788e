"""Running other people's programs: found or named as missing, bounded in time, ended by process."""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["background", "listens", "run", "version", "wait_until"]

# Servers are not on the path of everyone.
ENVIRONMENT = os.environ | {
    "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin",
    "LC_ALL": "C",
    "GO111MODULE": "off",
    "GOPATH": "/usr/share/gocode",  # where Debian keeps the sources of golang.org/x/crypto
}
TIMEOUT = 60
VERSIONS = {
    "openssl": ("openssl", "version"),
    "GnuTLS": ("gnutls-cli", "--version"),
    "Java": ("java", "-version"),
    "NSS": ("dpkg-query", "-W", "libnss3-tools"),
    "Go": ("go", "version"),
    "x/crypto": ("dpkg-query", "-W", "golang-golang-x-crypto-dev"),
    "curl": ("curl", "--version"),
    "nginx": ("nginx", "-v"),
    "Apache": ("apache2", "-v"),
    "HAProxy": ("haproxy", "-v"),
}


def program(name: str) -> str:
    """Where a program is. A missing one is a failure that says what to do."""
    found = shutil.which(name, path=ENVIRONMENT["PATH"])
    assert found, f"{name} is missing; `sh tests/tools.sh` installs it"
    return found


def run(*command: str | Path, cwd: Path | None = None, check: bool = False) -> tuple[int, str]:
    """Exit status, and standard output and error together."""
    name, *arguments = map(str, command)
    done = subprocess.run(
        [program(name), *arguments],
        cwd=cwd,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=TIMEOUT,
    )
    output = done.stdout.decode(errors="replace")
    assert not check or done.returncode == 0, f"{command}: {output}"
    return done.returncode, output


def version(tool: str) -> str:
    """The version of one of `VERSIONS` as it tells it."""
    _, output = run(*VERSIONS[tool], check=True)
    found = re.search(r"\d+(\.\d+)+", output)
    assert found, output
    return found[0]


@contextmanager
def background(log: Path, *command: str | Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A server while it is needed; its output goes to `log`."""
    name, *arguments = map(str, command)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program(name), *arguments],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Poll until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.05)
