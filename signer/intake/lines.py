"""Files of one certificate a line, and lines of any file within bounds."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from signer.intake.errors import UnreadableFile
from signer.intake.rows import ImportRow, RowError, printable
from store.errors import UsageError

__all__ = ["MAX_LINE", "LineReader", "bounded_lines"]

MAX_LINE = 65_536  # octets, with what ends it
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def bounded_lines(file: IO[bytes], told: Callable[[int], None]) -> Iterator[tuple[int, bytes | RowError]]:
    """Number, from 1, and octets of each line; a longer one is passed over. `told` hears how many were read."""
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        told(len(line))
        if len(line) <= MAX_LINE:
            yield number, line
            continue
        while not line.endswith(b"\n") and (line := file.readline(MAX_LINE)):
            told(len(line))
        yield number, RowError("line", f"longer than {MAX_LINE} octets")


class LineReader:
    """Rows of a file by the numbers of their lines. Empty lines, and those that begin with `remark`, say nothing.

    `parse` raises RowError for a line that is no row; `header`, if given, gets the first line. Use as a context manager.
    """

    says_good = True

    def __init__(
        self,
        path: Path,
        parse: Callable[[bytes], ImportRow],
        *,
        header: Callable[[bytes], None] | None = None,
        remark: bytes | None = None,
    ) -> None:
        self._path = path
        self._parse = parse
        self._header = header
        self._remark = remark
        self._file = _open(path)
        self.octets = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def locate(self, where: int) -> tuple[str, int | None]:
        return printable(str(self._path)), where

    def read(self) -> Iterator[tuple[int, ImportRow | RowError]]:
        """Raises UnreadableFile for a bad header, UsageError when the file cannot be read on."""
        lines = bounded_lines(self._file, self._count)
        try:
            if self._header is not None:
                self._begin(next(lines, (1, b""))[1])
            for number, line in lines:
                text = line.rstrip(b"\r\n") if isinstance(line, bytes) else line
                if number == 1 and isinstance(text, bytes):
                    text = text.removeprefix(BYTE_ORDER_MARK)
                if text and not (self._remark and isinstance(text, bytes) and text.startswith(self._remark)):
                    yield number, self._row(text)
        except OSError as error:
            raise _unreadable(self._path, error) from None

    def _count(self, octets: int) -> None:
        self.octets += octets

    def _row(self, text: bytes | RowError) -> ImportRow | RowError:
        if isinstance(text, RowError):
            return text
        try:
            return self._parse(text)
        except RowError as error:
            return error

    def _begin(self, line: bytes | RowError) -> None:
        assert self._header is not None
        try:
            if isinstance(line, RowError):
                raise line
            self._header(line.removeprefix(BYTE_ORDER_MARK).rstrip(b"\r\n"))
        except RowError as error:
            raise UnreadableFile(
                f"{self.locate(1)[0]}:1: {error}",
                remedy="nothing was written; see `ocsp-signer import --help` for the columns",
            ) from None


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("rb", buffering=1 << 20)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError | ValueError) -> UsageError:
    """ValueError: a path that no file can have, with a NUL in it."""
    reason = error.strerror if isinstance(error, OSError) else error
    return UsageError(
        f"{printable(str(path))}: cannot be read: {reason}", remedy="check the path and its permissions"
    )
