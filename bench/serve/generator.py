"""The load generator: compiled from exchange.c at need, run in this process without the interpreter's lock."""

import ctypes
import hashlib
import os
import subprocess
import sysconfig
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["NOT_200", "UNANSWERED", "Load", "Mode", "Outcome", "Request", "Schedule", "Status", "run"]

SOURCE = Path(__file__).with_name("exchange.c")
BUILD = Path(__file__).parents[2] / "build" / "bench"
KEPT_LIMIT = 64 << 20  # octets of answers that are kept
NO_LIMIT = 1 << 62  # nanoseconds
NOT_200, UNANSWERED = 254, 255  # instead of an OCSPResponseStatus


class Mode(IntEnum):
    """What becomes of a connection after its answer."""

    KEEP = 0
    CLOSE = 1


class Status(IntEnum):
    """OCSPResponseStatus (RFC 6960 section 4.2.1)."""

    SUCCESSFUL = 0
    MALFORMED_REQUEST = 1
    TRY_LATER = 3
    UNAUTHORIZED = 6


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `first` octets go ahead in a write of their own; 0: all in one."""

    octets: bytes
    serial: int | None  # asked about; None where there is none to be asked about
    first: int = 0


@dataclass(frozen=True, slots=True)
class Load:
    """The requests of each connection, in their order."""

    connections: Sequence[Sequence[Request]]

    def flat(self) -> list[Request]:
        """All requests, by the numbers that kept answers have."""
        return [request for requests in self.connections for request in requests]


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long requests go on. Without `seconds`: until every connection has sent each of its requests once."""

    seconds: float | None = None
    mode: Mode = Mode.KEEP
    keep_every: int = 1000
    due: Sequence[int] = ()  # open loop: nanoseconds from the start at which each request has to be sent


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back. CPU time is that of the generator."""

    answers: int
    not_200: int
    reconnects: int
    failures: int
    wall: float
    cpu: float
    octets: int
    statuses: dict[int, int]  # OCSPResponseStatus to count, of answers with HTTP 200
    kept: list[tuple[Request, bytes]]
    latencies: Sequence[int]  # nanoseconds; open loop
    kinds: Sequence[int]  # OCSPResponseStatus, NOT_200 or UNANSWERED, of each of these

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.wall

    @property
    def busy(self) -> float:
        """Share of its core that the generator used."""
        return self.cpu / self.wall


class _Plan(ctypes.Structure):
    _fields_ = (
        ("octets", ctypes.c_char_p),
        ("requests", ctypes.c_void_p),
        ("begins", ctypes.c_void_p),
        ("connections", ctypes.c_uint32),
        ("port", ctypes.c_uint16),
        ("mode", ctypes.c_uint8),
        ("wrap", ctypes.c_uint8),
        ("nanoseconds", ctypes.c_uint64),
        ("every", ctypes.c_uint32),
        ("kept", ctypes.c_void_p),
        ("kept_limit", ctypes.c_uint64),
        ("due", ctypes.c_void_p),
        ("due_count", ctypes.c_uint64),
        ("latencies", ctypes.c_void_p),
        ("kinds", ctypes.c_void_p),
    )


class _Outcome(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_uint64) for name in ("answers", "not_200", "reconnects", "failures")),
        *((name, ctypes.c_uint64) for name in ("wall", "cpu", "kept_size", "octets")),
        ("statuses", ctypes.c_uint64 * 8),
    )


@cache
def _library() -> Any:
    """exchange.c as a shared library, compiled again when its text has changed."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    target = BUILD / f"exchange-{digest}{sysconfig.get_config_var('SHLIB_SUFFIX')}"
    if not target.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        made = target.with_suffix(f".{os.getpid()}")
        command = ["cc", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", str(made), str(SOURCE)]
        subprocess.run(command, check=True)
        made.replace(target)
    return ctypes.CDLL(str(target), use_errno=True)


def _table(load: Load, flat: list[Request]) -> tuple["array[int]", "array[int]"]:
    """(offset, size, first) of each request, and where the requests of each connection begin."""
    requests = array("I")
    offset = 0
    for request in flat:
        size = len(request.octets)
        requests.extend((offset, size, request.first))
        offset += size
    begins = array("I", [0])
    for connection in load.connections:
        begins.append(begins[-1] + len(connection))
    return requests, begins


def _kept(octets: memoryview, flat: list[Request]) -> Iterator[tuple[Request, bytes]]:
    place = 0
    while place < len(octets):
        number, size = octets[place : place + 8].cast("I")
        yield flat[number], bytes(octets[place + 8 : place + 8 + size])
        place += 8 + size


def run(load: Load, port: int, schedule: Schedule) -> Outcome:
    """Ask 127.0.0.1 until the schedule's end and every answer under way is in. Raises OSError, not connected."""
    flat = load.flat()
    requests, begins = _table(load, flat)
    due, latencies = array("Q", schedule.due), array("Q", bytes(8 * len(schedule.due)))
    kinds = array("B", [UNANSWERED]) * len(schedule.due)
    kept = bytearray(KEPT_LIMIT)
    timed = schedule.seconds is not None
    plan = _Plan(
        octets=b"".join([request.octets for request in flat]),
        requests=requests.buffer_info()[0],
        begins=begins.buffer_info()[0],
        connections=len(load.connections),
        port=port,
        mode=schedule.mode,
        wrap=timed or bool(due),
        nanoseconds=int((schedule.seconds or 0) * 1e9) if timed else NO_LIMIT,
        every=schedule.keep_every,
        kept=ctypes.addressof((ctypes.c_char * KEPT_LIMIT).from_buffer(kept)),
        kept_limit=KEPT_LIMIT,
        due=due.buffer_info()[0] if due else None,
        due_count=len(due),
        latencies=latencies.buffer_info()[0] if due else None,
        kinds=kinds.buffer_info()[0] if due else None,
    )
    result = _Outcome()
    if _library().exchange(ctypes.byref(plan), ctypes.byref(result)) != 0:
        raise OSError(ctypes.get_errno(), f"127.0.0.1:{port}: {os.strerror(ctypes.get_errno())}")
    return _outcome(result, list(_kept(memoryview(kept)[: result.kept_size], flat)), latencies, kinds)


def _outcome(
    result: _Outcome, kept: list[tuple[Request, bytes]], latencies: Sequence[int], kinds: Sequence[int]
) -> Outcome:
    return Outcome(
        answers=result.answers,
        not_200=result.not_200,
        reconnects=result.reconnects,
        failures=result.failures,
        wall=result.wall / 1e9,
        cpu=result.cpu / 1e9,
        octets=result.octets,
        statuses={status: count for status, count in enumerate(result.statuses) if count},
        kept=kept,
        latencies=latencies,
        kinds=kinds,
    )
