"""A small file system that can be full."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

__all__ = ["Disk", "mounted"]

BLOCK = 4096


class Disk:
    """Where it is mounted, and what fills it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """To the last octet."""
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(BLOCK))

    def clear(self) -> None:
        self._ballast.unlink()


@contextlib.contextmanager
def mounted(path: Path, octets: int) -> Iterator[Disk]:
    """Needs the right to mount: a test that cannot have it says so."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={octets}", "tmpfs", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"a full disk cannot be had here, run this as root: {done.stderr.strip()}")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
