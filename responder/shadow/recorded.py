"""Recorded OCSP requests: lines of base64, of paths or of access logs, and directories of DER files."""

import base64
import binascii
import gzip
import os
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from _fastpath.certid import CertID
from _fastpath.errors import MalformedRequest
from _fastpath.http import decode_get_path
from _fastpath.request import parse_request
from store.errors import UsageError

__all__ = ["Corpus", "Recorded"]

LONGEST = 65_536  # octets of a line or a file
SUFFIXES = (".der", ".orq", ".req")  # RFC 6960 appendix C.1 has .orq
LOGGED = re.compile(r'(?:^|[\s"])([A-Z]+) (\S+) HTTP/\d')
NAMED = 3  # of what cannot be read
STDIN = "-"


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request: the path of a GET as it came, or DER, or both. `cert_ids` is empty for what is no OCSPRequest."""

    path: str | None
    octets: bytes | None
    cert_ids: tuple[CertID, ...]


@dataclass(slots=True)
class Corpus:
    """What is replayed, read as it is asked for. Counts what is not."""

    sources: tuple[Path, ...]
    prefix: str = ""  # of recorded paths: where the responder that they were sent to was mounted
    odd: bool = False  # replay paths that are no OCSPRequest, too
    passed_over: int = 0  # POST lines of access logs, paths that are no OCSPRequest
    rejected: int = 0
    first_rejected: list[str] = field(default_factory=list)

    def size(self) -> int | None:
        """How many lines or files there are; None where that takes as long as reading them."""
        if any(str(path) == STDIN or path.suffix == ".gz" or path.is_fifo() for path in self.sources):
            return None
        return sum(map(_entries, self.sources))

    def check(self) -> None:
        """Raises UsageError for what cannot be opened: not in the middle of the night."""
        for path in self.sources:
            if str(path) != STDIN and not path.is_dir():
                with _opened(path):
                    pass

    def __iter__(self) -> Iterator[Recorded | None]:
        """One item for each line or file; None where it has nothing to replay."""
        for path in self.sources:
            yield from self._files(path) if path.is_dir() else self._lines(path)

    def _files(self, directory: Path) -> Iterator[Recorded | None]:
        for entry in _files_of(directory):
            with open(entry, "rb") as file:
                octets = file.read(LONGEST + 1)
            found = _of_octets(octets)
            if found is None:
                self._reject(entry.path, "not an OCSPRequest")
            yield found

    def _lines(self, path: Path) -> Iterator[Recorded | None]:
        with _opened(path) as file:
            for number, line in enumerate(_bounded(file), 1):
                try:
                    yield self._of_line(line.decode("ascii").strip())
                except ValueError as error:
                    self._reject(f"{path}:{number}", _why(error))
                    yield None

    def _of_line(self, line: str) -> Recorded | None:
        """None for nothing to replay. Raises ValueError for what is not understood."""
        if not line or line.startswith("#"):
            return None
        if line.startswith("/"):
            return self._of_path(line)
        if logged := LOGGED.search(line):
            method, target = logged.groups()
            if method in ("GET", "HEAD"):
                return self._of_path(target)
            self.passed_over += 1  # nothing of a body is in a log
            return None
        found = _of_octets(base64.b64decode(line, validate=True)) if line.startswith("M") else None
        if found is None:
            raise ValueError("neither a path, a line of an access log nor the base64 of an OCSPRequest")
        return found

    def _of_path(self, target: str) -> Recorded | None:
        if not target.startswith("/"):  # absolute form (RFC 9112 section 3.2.2)
            target = "/" + target.partition("://")[2].partition("/")[2]
        path = target.removeprefix(self.prefix)
        if not path.startswith("/"):
            path = "/" + path
        try:
            octets, _ = decode_get_path(path.partition("?")[0].encode())
            return Recorded(path, octets, parse_request(octets).cert_ids)
        except MalformedRequest:
            if self.odd:
                return Recorded(path, None, ())
        self.passed_over += 1
        return None

    def _reject(self, where: str, why: str) -> None:
        self.rejected += 1
        if len(self.first_rejected) < NAMED:
            self.first_rejected.append(f"{where}: {why}")


def _of_octets(octets: bytes) -> Recorded | None:
    try:
        return Recorded(None, octets, parse_request(octets).cert_ids)
    except MalformedRequest:
        return None


def _why(error: ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "not ASCII"
    return f"not base64: {error}" if isinstance(error, binascii.Error) else str(error)


def _entries(path: Path) -> int:
    if path.is_dir():
        return sum(1 for _ in _files_of(path))
    with _opened(path) as file:
        return sum(1 for _ in _bounded(file))


def _files_of(directory: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(directory) as entries:
        yield from (entry for entry in entries if entry.name.endswith(SUFFIXES) and entry.is_file())


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if str(path) == STDIN:
        yield sys.stdin.buffer
        return
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        file = cast(BinaryIO, opener(path, "rb"))
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read: {error.strerror}", remedy="name a file of requests, a directory, or -"
        ) from None
    with file:
        try:
            yield file
        except (OSError, EOFError, zlib.error) as error:
            raise UsageError(f"{path}: cannot be read on: {error}", remedy="check the file") from None


def _bounded(file: BinaryIO) -> Iterable[bytes]:
    """Lines, each cut off where it is longer than any request."""
    while line := file.readline(LONGEST):
        rest = line
        while not rest.endswith(b"\n") and (rest := file.readline(LONGEST)):
            pass
        yield line
