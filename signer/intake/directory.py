"""All certificates below a directory. Symbolic links are followed; names that begin with a dot are passed over."""

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import Struct
from types import TracebackType
from typing import IO, Self

from signer.intake.pem import Found
from signer.intake.rows import ImportRow, RowError, printable
from store.errors import UsageError

__all__ = ["DirectoryReader"]

_PLACE = Struct(">QH")  # line, 0 for none; length of the name that follows


class _Places:
    """Where rows were read, in a file: there may be more of them than fit in memory."""

    def __init__(self, scratch: Path | None) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=scratch)
        self._end = 0

    def add(self, path: str, line: int | None) -> int:
        where, name = self._end, os.fsencode(path)
        self._end += self._file.write(_PLACE.pack(line or 0, len(name)) + name)
        return where

    def get(self, where: int) -> tuple[str, int | None]:
        self._file.seek(where)
        line, size = _PLACE.unpack(self._file.read(_PLACE.size))
        name = os.fsdecode(self._file.read(size))
        self._file.seek(self._end)
        return printable(name), line or None

    def close(self) -> None:
        self._file.close()


class DirectoryReader:
    """Rows of the certificates below a directory; a file without one, or that cannot be read, is a bad row.

    `find` reads the certificates of an open file. Use as a context manager.
    """

    says_good = False  # a certificate does not say whether it is revoked

    def __init__(
        self,
        root: Path,
        find: Callable[[IO[bytes]], Found],
        parse: Callable[[bytes], ImportRow],
        scratch: Path | None,
    ) -> None:
        if not os.path.isdir(root):  # unlike Path.is_dir it raises for no name, however odd
            raise UsageError(
                f"{printable(str(root))}: not a directory", remedy="name the one that holds the certificates"
            )
        self._root = root
        self._find = find
        self._parse = parse
        self._places = _Places(scratch)
        self.octets = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._places.close()

    def locate(self, where: int) -> tuple[str, int | None]:
        return self._places.get(where)

    def read(self) -> Iterator[tuple[int, ImportRow | RowError]]:
        """Raises UsageError if there is no file at all."""
        empty = True
        for path, problem in _files(str(self._root)):
            empty = False
            for line, found in self._certificates(path) if problem is None else [(None, problem)]:
                yield self._places.add(path, line), self._row(found)
        if empty:
            raise UsageError(
                f"{printable(str(self._root))}: there is no file below it",
                remedy="name the directory that holds the certificates",
            )

    def _certificates(self, path: str) -> Found:
        empty = True
        try:
            with _open(path) as file:
                for found in self._find(file):
                    empty = False
                    yield found
                self.octets += os.fstat(file.fileno()).st_size
        except OSError as error:
            yield None, RowError("file", f"cannot be read: {error.strerror}")
        except RowError as error:
            yield None, error
        else:
            if empty:
                yield None, RowError("file", "no certificate in it")

    def _row(self, found: bytes | RowError) -> ImportRow | RowError:
        if isinstance(found, RowError):
            return found
        try:
            return self._parse(found)
        except RowError as error:
            return error


def _files(root: str) -> Iterator[tuple[str, RowError | None]]:
    """Everything below a directory that is none itself, each directory once however many links lead there."""
    waiting = [root]
    seen: set[tuple[int, int]] = set()
    while waiting:
        directory = waiting.pop()
        try:
            found = os.stat(directory)
            if (found.st_dev, found.st_ino) in seen:
                continue
            seen.add((found.st_dev, found.st_ino))
            with os.scandir(directory) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if _is_directory(entry):
                        waiting.append(entry.path)
                    else:
                        yield entry.path, None
        except OSError as error:
            yield directory, RowError("directory", f"cannot be read: {error.strerror}")


def _is_directory(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link to itself: opening it says so


def _open(path: str) -> IO[bytes]:
    """Never waits, as for the other end of a pipe. Raises OSError, or RowError for what is no file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RowError("file", "not a regular file")
    return os.fdopen(descriptor, "rb")
