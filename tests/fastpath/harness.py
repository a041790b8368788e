"""Headers in C, tried by themselves: a few lines around them, compiled as they are in the product."""

import ctypes
import subprocess
from pathlib import Path

__all__ = ["compiled"]


def compiled(folder: Path, source: str) -> ctypes.CDLL:
    """The functions of C code; those of a header begin to work with `init`, which is called."""
    file, library = folder / "harness.c", folder / "harness.so"
    file.write_text(source)
    subprocess.run(
        ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, file], check=True
    )
    loaded = ctypes.CDLL(str(library))
    loaded.init()
    return loaded
