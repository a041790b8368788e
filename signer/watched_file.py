"""A file of one certificate a line that others keep changing: whether it did, and which of its lines are not as they were."""

import hashlib
import os
import stat
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from signer.intake.lines import MAX_LINE
from store.errors import UsageError

__all__ = ["Changes", "WatchedFile"]

BLOCK_LINES = 512  # compared at a time: a row that changes its length moves no other into another block
REPLACED = (
    3  # different files at one path since the last one was taken: it is renamed into place, and so whole
)
UNREAD = b""  # digest of a block that is to be read whenever the file has changed

Stamp = tuple[int, ...]


@dataclass(slots=True)
class Changes:
    """What was copied out of the file: whole blocks of lines."""

    stamp: Stamp
    digests: list[bytes] = field(default_factory=list)  # of all blocks of the file
    lines: int = 0  # of the file
    blocks: list[int] = field(default_factory=list)  # that were copied, by number from 0
    starts: list[int] = field(default_factory=list)  # line of the copy with which each of them begins, from 1
    copied: int = 0  # lines

    def line_of(self, copied: int) -> int:
        """Line of the file, from 1, of a line of the copy."""
        at = bisect_right(self.starts, copied) - 1
        return self.blocks[at] * BLOCK_LINES + 1 + copied - self.starts[at]

    def forget(self, line: int) -> None:
        """Have the block of a line of the file read again with the next change."""
        self.digests[(line - 1) // BLOCK_LINES] = UNREAD


class WatchedFile:
    """What is known of it is lost at the end of the process: then all of its lines are new."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: Stamp | None = None  # at the last look
        self._inodes: set[int] = set()  # seen since it was taken
        self._taken: Stamp | None = None
        self._digests: list[bytes] = []
        self.lines = 0  # when it was last taken

    def settled(self) -> bool:
        """Whether it has changed, but not since the look before; it is not opened for that.

        What somebody is still writing may have rows whose halves are of two certificates. One that is replaced all the
        time need not settle. Raises UsageError.
        """
        before, self._seen = self._seen, None
        self._seen = stamp = _stamp(_status(self.path))
        self._inodes.add(stamp[1])
        return stamp != self._taken and (stamp == before or len(self._inodes) >= REPLACED)

    def copy_changes(self, to: IO[bytes]) -> Changes | None:
        """Write the blocks that changed. None: it did meanwhile, and nothing of that is to be used. Raises UsageError."""
        try:
            with self.path.open("rb") as file:
                before = os.fstat(file.fileno())
                changes = Changes(_stamp(before))
                for block in _blocks(file):
                    self._compare(block, changes, to)
                after = os.fstat(file.fileno())
        except OSError as error:
            raise _unreadable(self.path, error.strerror) from None
        known = changes.stamp == self._seen or len(self._inodes) >= REPLACED
        same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
        return changes if known and same else None

    def _compare(self, block: list[bytes], changes: Changes, to: IO[bytes]) -> None:
        number, content = len(changes.digests), b"".join(block)
        digest = hashlib.blake2b(content, digest_size=16).digest()
        changes.digests.append(digest)
        changes.lines += len(block)
        if number < len(self._digests) and self._digests[number] == digest:
            return
        changes.blocks.append(number)
        changes.starts.append(changes.copied + 1)
        changes.copied += len(block)
        to.write(content)

    def take(self, changes: Changes) -> None:
        """They are recorded, and not to be copied again."""
        self._taken, self._digests, self.lines = changes.stamp, changes.digests, changes.lines
        self._inodes.clear()


def _blocks(file: IO[bytes]) -> Iterator[list[bytes]]:
    block = []
    while line := file.readline(MAX_LINE + 1):
        block.append(line if line.endswith(b"\n") else _cut(file, line))
        if len(block) == BLOCK_LINES:
            yield block
            block = []
    if block:
        yield block


def _cut(file: IO[bytes], line: bytes) -> bytes:
    """The beginning of a line that is too long to be a row, so that blocks are bounded; or the last one, without an end."""
    rest = line
    while rest and not rest.endswith(b"\n"):
        rest = file.readline(MAX_LINE)
    return line + rest[-1:]


def _status(path: Path) -> os.stat_result:
    """Raises UsageError."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise _unreadable(path, error.strerror) from None
    if not stat.S_ISREG(found.st_mode):
        raise _unreadable(path, "not a regular file")
    return found


def _stamp(found: os.stat_result) -> Stamp:
    """What differs after any change; with the time of the inode's change, which nobody sets back."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _unreadable(path: Path, reason: str | None) -> UsageError:
    return UsageError(f"{path}: cannot be read: {reason}", remedy="check the path and its permissions")
