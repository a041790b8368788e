"""What `ocsp-signer run` is at, left in a file every few seconds for `status`, which is another process."""

import os
from contextlib import suppress
from pathlib import Path

import msgspec

__all__ = ["SILENT", "IssuerState", "RunState", "read", "remove", "write"]

SILENT = 60  # seconds after which whoever wrote it does not work any more, or hangs


class IssuerState(msgspec.Struct, frozen=True):
    """Of one issuer with OCSP. What is not known yet is None."""

    issuer: str
    queue: int  # pages that wait to be signed
    faulty_pages: int
    oldest_response_age: int | None  # seconds
    late_responses: int
    stale_responses: int


class RunState(msgspec.Struct, frozen=True):
    """Of the whole process."""

    process: int
    at: int  # by the machine's wall clock, right or wrong
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
    """None if there is none: no `run` is at work, or it came to its end."""
    try:
        return msgspec.json.decode(_path(directory).read_bytes(), type=RunState)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def remove(directory: Path) -> None:
    with suppress(OSError):
        _path(directory).unlink(missing_ok=True)
