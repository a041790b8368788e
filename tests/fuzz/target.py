"""What a fuzz target is, and what several of them need: files with made-up octets, and signatures put right."""

import atexit
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from _fastpath import der
from _fastpath.errors import FastpathError

__all__ = ["Target", "by_first_octet", "scratch", "signed", "written"]

ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
SEQUENCE, BIT_STRING = 0x30, 0x03


@dataclass(frozen=True, slots=True)
class Target:
    """`seeds` are read by the reader that `check` is about, or refused by it for a reason worth keeping.

    A check raises for a disagreement with another reader, and for any exception that the reader does not promise.
    """

    seeds: Callable[[], list[bytes]]
    check: Callable[[bytes], Any]


def by_first_octet(*checks: Callable[[bytes], Any]) -> Callable[[bytes], None]:
    """One check of several: the first octet says which."""

    def check(data: bytes) -> None:
        if data:
            checks[data[0] % len(checks)](data[1:])

    return check


@cache
def scratch() -> Path:
    """A directory for the life of this process."""
    directory = Path(tempfile.mkdtemp(prefix="fz"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def written(data: bytes, name: str = "input") -> Path:
    """A file with these octets that nobody else may read, in the place of the one before of its name."""
    path = scratch() / name
    path.touch(0o600)
    path.write_bytes(data)
    return path


def signed(key: ec.EllipticCurvePrivateKey, content: bytes, more: bytes = b"") -> bytes:
    """SEQUENCE of what is signed, its AlgorithmIdentifier and its signature, so that what comes behind is reached."""
    signature = key.sign(content, ec.ECDSA(hashes.SHA256()))
    return der.encode(SEQUENCE, content + ECDSA_SHA256 + der.encode(BIT_STRING, b"\0" + signature) + more)


def is_one_value(data: bytes) -> bool:
    """Whether anybody would sign it."""
    try:
        return not der.read(data)[2]
    except FastpathError:
        return False
