"""Files of one certificate a line, and lines of any file within bounds."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from _fastpath.intake import Lines
from signer.intake.errors import UnreadableFile
from signer.intake.rows import ImportRow, RowError, printable
from store.errors import UsageError

__all__ = ["BYTE_ORDER_MARK", "MAX_LINE", "LineReader", "bounded_lines"]

MAX_LINE = 65_536  # octets, with what ends it
BLOCK = 1 << 18  # octets read at a time: some thousand lines
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def bounded_lines(file: IO[bytes]) -> Iterator[bytes | RowError]:
    """Each line with its end; a longer one is passed over."""
    while line := file.readline(MAX_LINE + 1):
        if len(line) <= MAX_LINE:
            yield line
            continue
        while not line.endswith(b"\n") and (line := file.readline(MAX_LINE)):
            pass
        yield _too_long()


def none_plain(block: bytes, first: int, longest: int) -> Lines:
    """Nothing read, every line left."""
    lines = block.replace(b"\r\n", b"\n").split(b"\n")
    if not lines[-1]:
        lines.pop()
    return Lines(b"", 0, 0, False, len(lines), list(enumerate(lines)))


class LineReader:
    """Rows of a file by the numbers of their lines. Empty lines, and those that begin with `remark`, say nothing.

    `parse` raises RowError for a line that is no row; `plain` is offered whole blocks before, with the number of their
    first line and the length from which a line is too long; `header`, if given, gets the first line. Use as a context
    manager.
    """

    says_good = True

    def __init__(
        self,
        path: Path,
        parse: Callable[[bytes], ImportRow],
        *,
        plain: Callable[[bytes, int, int], Lines] = none_plain,
        header: Callable[[bytes], None] | None = None,
        remark: bytes | None = None,
    ) -> None:
        self._path = path
        self._parse = parse
        self._plain = plain
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

    def read(self) -> Iterator[tuple[int, ImportRow | RowError | Lines]]:
        """Raises UnreadableFile for a bad header, UsageError when the file cannot be read on."""
        number = 1
        header = self._header
        for block in self._blocks():
            if header is not None:
                line, _, block = block.partition(b"\n")
                self._begin(header, line.removesuffix(b"\r"))
                header, number = None, 2
            found = self._plain(block, number, MAX_LINE)
            if found.rows:
                yield number, found
            yield from self._left(found.left, number)
            number += found.lines
        if header is not None:
            self._begin(header, b"")

    def _left(self, left: list[tuple[int, bytes]], first: int) -> Iterator[tuple[int, ImportRow | RowError]]:
        for at, line in left:
            try:
                text = _content(line)
                if text and not (self._remark and text.startswith(self._remark)):
                    yield first + at, self._parse(text)
            except RowError as error:
                yield first + at, error

    def _blocks(self) -> Iterator[bytes]:
        """Whole lines; of one that is too long only the beginning."""
        try:
            while block := self._file.read(BLOCK):
                if not block.endswith(b"\n"):
                    block += self._file.readline(MAX_LINE)
                size = len(block)
                if not self.octets:
                    block = block.removeprefix(BYTE_ORDER_MARK)
                self.octets += size
                if not block.endswith(b"\n") and len(block) - block.rfind(b"\n") > MAX_LINE:
                    self._pass_over()
                yield block
        except OSError as error:
            raise _unreadable(self._path, error) from None

    def _pass_over(self) -> None:
        """The rest of a line."""
        ended = False
        while not ended and (rest := self._file.readline(MAX_LINE)):
            self.octets += len(rest)
            ended = rest.endswith(b"\n")

    def _begin(self, header: Callable[[bytes], None], line: bytes) -> None:
        try:
            header(_content(line))
        except RowError as error:
            raise UnreadableFile(
                f"{self.locate(1)[0]}:1: {error}",
                remedy="nothing was written; see `ocsp-signer import --help` for the columns",
            ) from None


def _content(line: bytes) -> bytes:
    if len(line) >= MAX_LINE:
        raise _too_long()
    return line.rstrip(b"\r")


def _too_long() -> RowError:
    return RowError("line", f"longer than {MAX_LINE} octets")


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
