"""Files of one certificate a line, and lines of any file within bounds."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from signer.intake.errors import UnreadableFile
from signer.intake.rows import ImportRow, RowError, printable
from store.errors import UsageError

__all__ = ["BYTE_ORDER_MARK", "MAX_LINE", "LineReader", "bounded_lines"]

MAX_LINE = 65_536  # octets, with what ends it
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def bounded_lines(file: IO[bytes]) -> Iterator[bytes | RowError]:
    """Each line with its end; a longer one is passed over."""
    while line := file.readline(MAX_LINE + 1):
        if len(line) <= MAX_LINE:
            yield line
            continue
        while not line.endswith(b"\n") and (line := file.readline(MAX_LINE)):
            pass
        yield RowError("line", f"longer than {MAX_LINE} octets")


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
        lines = enumerate(self._lines(), start=1)
        if self._header is not None:
            self._begin(self._header, next(lines, (1, b""))[1])
        for number, line in lines:
            try:
                text = _content(line)
                if text and not (self._remark and text.startswith(self._remark)):
                    yield number, self._parse(text)
            except RowError as error:
                yield number, error

    def _lines(self) -> Iterator[bytes | RowError]:
        try:
            for number, line in enumerate(bounded_lines(self._file)):
                if isinstance(line, bytes):
                    self.octets += len(line)
                    yield line if number else line.removeprefix(BYTE_ORDER_MARK)
                else:
                    yield line
        except OSError as error:
            raise _unreadable(self._path, error) from None

    def _begin(self, header: Callable[[bytes], None], line: bytes | RowError) -> None:
        try:
            header(_content(line))
        except RowError as error:
            raise UnreadableFile(
                f"{self.locate(1)[0]}:1: {error}",
                remedy="nothing was written; see `ocsp-signer import --help` for the columns",
            ) from None


def _content(line: bytes | RowError) -> bytes:
    if isinstance(line, RowError):
        raise line
    return line.rstrip(b"\r\n")


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
