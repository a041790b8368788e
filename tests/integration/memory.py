"""The memory of a running process, searched as somebody would who took it, and what is mapped into it."""

import base64
import os
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

__all__ = ["forms_of", "found_in", "mapped_files"]

PART = 1 << 20  # octets read at a time


def forms_of(path: Path, key: ec.EllipticCurvePrivateKey) -> dict[str, bytes]:
    """Octets that betray a key kept in a PEM file: its scalar as DER, OpenSSL and people write it, and lines of the file."""
    scalar = key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8)
    lines = path.read_text().split("-----")[2].split()
    return {
        "big-endian": scalar,
        "little-endian": scalar[::-1],
        "hexadecimal": scalar.hex().encode(),
        "HEXADECIMAL": scalar.hex().upper().encode(),
        "base64": base64.b64encode(scalar)[:40],
        **{f"line {number} of PEM": line.encode() for number, line in enumerate(lines)},
    }


def found_in(pid: int, wanted: dict[str, bytes]) -> set[str]:
    """Which of these are anywhere in what a process may read; all of it is looked at, files that it maps too."""
    found: set[str] = set()
    longest = max(map(len, wanted.values()))
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for start, end in _readable(pid):
            rest = b""
            for part in _parts(memory.fileno(), start, end):
                data = rest + part
                found |= {name for name, octets in wanted.items() if octets in data}
                rest = data[-longest:]
    return found


def mapped_files(pid: int) -> set[str]:
    """Paths of the files that a process has mapped, its libraries among them."""
    return {fields[5] for fields in _maps(pid) if len(fields) == 6 and fields[5].startswith("/")}


def _maps(pid: int) -> list[list[str]]:
    return [line.split(maxsplit=5) for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]


def _readable(pid: int) -> Iterator[tuple[int, int]]:
    for fields in _maps(pid):
        if fields[1].startswith("r"):
            start, _, end = fields[0].partition("-")
            yield int(start, 16), int(end, 16)


def _parts(descriptor: int, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        try:
            part = os.pread(descriptor, min(PART, end - start), start)
        except (OSError, OverflowError):  # the kernel's own pages, and what a mapped file is too short for
            return
        if not part:
            return
        yield part
        start += len(part)
