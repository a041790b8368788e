"""The floor on disk: the CRLs it follows and the hashes of their serials, in one file that is replaced whole.

Magic 16 | key 16 | octets of the table 8 | hashes 8 | table, JSON | hashes, ascending, 8 each | the same hashes in
the order of the table | SHA-256 over all before it. Words are this machine's: the file never leaves it.
"""

import hashlib
import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import msgspec

from _fastpath.floor import Floor, sorted_hashes

__all__ = [
    "FLOOR_FILE",
    "DamagedFloor",
    "FileVersion",
    "FloorState",
    "FollowedCrl",
    "map_floor",
    "read_floor",
    "version_of",
    "write_floor",
]

FLOOR_FILE = "floor"  # in the state directory
MAGIC = b"ocspeed floor 1\n"
BEGINNING = struct.Struct("=16s16sQQ")
WORD = 8
DIGEST = 32


FileVersion = tuple[int, int, int]  # inode, time of change, size


class DamagedFloor(Exception):
    """The file is not what was written; the message says why."""


class FollowedCrl(msgspec.Struct, frozen=True, kw_only=True):
    """The newest CRL of one scope that was verified. Times are seconds since 1970."""

    issuer: str  # fingerprint, hex
    scope: str  # SHA-256 of its issuingDistributionPoint, hex; empty for a CRL of everything
    path: str  # in the object store
    crl_number: str  # hex: it may have 20 octets
    this_update: int
    next_update: int
    sha256: str
    entries: int

    @property
    def number(self) -> int:
        return int(self.crl_number, 16)


Followed = tuple[FollowedCrl, bytes]  # and its hashes


@dataclass(slots=True)
class FloorState:
    """What the floor is made of, by issuer and scope. The key belongs to this host and to nobody else."""

    key: bytes = field(default_factory=lambda: os.urandom(16), repr=False)
    followed: dict[tuple[str, str], Followed] = field(default_factory=dict)

    @property
    def crls(self) -> Iterator[FollowedCrl]:
        return (crl for crl, _ in self.followed.values())

    @property
    def entries(self) -> int:
        return sum(crl.entries for crl in self.crls)


@dataclass(frozen=True, slots=True)
class _Mapped:
    """A file whose lengths agree."""

    key: bytes
    table: memoryview
    ascending: memoryview
    by_crl: memoryview
    whole: memoryview


def version_of(found: os.stat_result) -> FileVersion:
    """What differs once somebody wrote the file."""
    return found.st_ino, found.st_mtime_ns, found.st_size


def _mapped(path: Path) -> _Mapped:
    """Raises DamagedFloor or OSError."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < BEGINNING.size + DIGEST:
            raise DamagedFloor("it is too short")
        try:
            whole = memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ))
        except ValueError as error:
            raise DamagedFloor("it was cut off this moment") from error
    magic, key, table, count = BEGINNING.unpack_from(whole)
    if magic != MAGIC:
        raise DamagedFloor("it is of another format")
    if table % WORD or size != BEGINNING.size + table + 2 * WORD * count + DIGEST:
        raise DamagedFloor("it was cut off or lengthened")
    hashes = BEGINNING.size + table
    middle = hashes + WORD * count
    return _Mapped(key, whole[BEGINNING.size : hashes], whole[hashes:middle], whole[middle:-DIGEST], whole)


def map_floor(path: Path) -> Floor:
    """For a worker: the hashes, shared with everybody who has the file. Raises DamagedFloor or OSError."""
    mapped = _mapped(path)
    return Floor(mapped.key, mapped.ascending)


def read_floor(path: Path) -> FloorState:
    """For who writes it, every octet checked. Raises DamagedFloor or OSError."""
    mapped = _mapped(path)
    if hashlib.sha256(mapped.whole[:-DIGEST]).digest() != mapped.whole[-DIGEST:]:
        raise DamagedFloor("its octets are not those that were written")
    state = FloorState(mapped.key)
    place = 0
    for crl in _table(mapped):
        end = place + WORD * crl.entries
        # A copy: who cuts the file off later ends workers alone.
        state.followed[crl.issuer, crl.scope] = crl, bytes(mapped.by_crl[place:end])
        place = end
    return state


def _table(mapped: _Mapped) -> list[FollowedCrl]:
    """Raises DamagedFloor."""
    try:
        crls = msgspec.json.decode(mapped.table, type=list[FollowedCrl])
        sound = all(crl.entries >= 0 and crl.number >= 0 for crl in crls)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise DamagedFloor(f"its table cannot be read: {error}") from error
    entries = sum(crl.entries for crl in crls)
    scopes = {(crl.issuer, crl.scope) for crl in crls}
    if not sound or WORD * entries != len(mapped.by_crl) or len(scopes) != len(crls):
        raise DamagedFloor("its table is of other hashes")
    return crls


def write_floor(path: Path, state: FloorState) -> FileVersion:
    """Put it in the place of the one before, readable by this user alone. Raises OSError."""
    draft = path.with_suffix(".new")
    descriptor = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)  # also if a stray one was there
        _write(file, state)
        file.flush()
        os.fsync(descriptor)
        version = version_of(os.fstat(descriptor))
    draft.rename(path)
    return version


def _write(file: IO[bytes], state: FloorState) -> None:
    table = msgspec.json.encode(list(state.crls))
    table += b" " * (-len(table) % WORD)
    parts: list[bytes | memoryview] = [hashes for _, hashes in state.followed.values()]
    beginning = BEGINNING.pack(MAGIC, state.key, len(table), state.entries)
    digest = hashlib.sha256()
    for part in (beginning, table, sorted_hashes(parts), *parts):
        file.write(part)
        digest.update(part)
    file.write(digest.digest())
