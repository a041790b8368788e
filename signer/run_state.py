"""What `ocsp-signer run` is at, left in a file every few seconds for `status`, which is another process."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec

from store.errors import OcspeedError

__all__ = ["SILENT", "IssuerState", "RunState", "read", "remove", "write"]

SILENT = 60  # seconds after which whoever wrote it does not work any more, or hangs
MAX_SIZE = 1 << 20  # octets

Number = Annotated[int, msgspec.Meta(ge=-(1 << 62), le=1 << 62)]
Moment = Annotated[int, msgspec.Meta(ge=-62_135_596_800, le=253_402_300_799)]  # of the years 1 to 9999


class IssuerState(msgspec.Struct, frozen=True):
    """Of one issuer with OCSP. What is not known yet is None."""

    issuer: str
    queue: Number  # pages that wait to be signed
    faulty_pages: Number
    oldest_response_age: Number | None  # seconds
    late_responses: Number
    stale_responses: Number


class RunState(msgspec.Struct, frozen=True):
    """Of the whole process."""

    process: Number
    at: Moment  # by the machine's wall clock, right or wrong
    clock_trusted: bool
    troubles: list[str]
    issuers: list[IssuerState]

    def of(self, issuer: str) -> IssuerState | None:
        return next((one for one in self.issuers if one.issuer == issuer), None)


def _path(directory: Path) -> Path:
    return directory / "run.json"


def write(directory: Path, state: RunState) -> None:
    """For anybody to read who may; that it cannot be written is no reason to stop."""
    path = _path(directory)
    made = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(OSError):
        made.write_bytes(msgspec.json.encode(state))
        made.replace(path)


def read(directory: Path) -> RunState | None:
    """None if there is none: no `run` is at work, or it came to its end. Raises OcspeedError for a damaged one."""
    path = _path(directory)
    try:
        return msgspec.json.decode(_content(path), type=RunState)
    except FileNotFoundError:
        return None
    except OSError as error:
        why = "not a regular file" if error.errno in {errno.ELOOP, errno.ENXIO} else error.strerror
    except RecursionError:
        why = "nested too deep"
    except ValueError as error:  # msgspec's own, and what is not UTF-8
        why = str(error)
    raise OcspeedError(f"{path} cannot be read: {why}", remedy="remove it; `ocsp-signer run` writes it anew")


def _content(path: Path) -> bytes:
    """Without waiting for anybody, and bounded. Raises OSError and ValueError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(MAX_SIZE + 1)
    finally:
        os.close(descriptor)
    if len(content) > MAX_SIZE:
        raise ValueError(f"longer than {MAX_SIZE:,} octets")
    return content


def remove(directory: Path) -> None:
    with suppress(OSError):
        _path(directory).unlink(missing_ok=True)
