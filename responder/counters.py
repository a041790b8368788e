"""What the workers count: fixed slots of shared memory, one row per worker, so that counting costs next to nothing.

A file of `ROWS` rows is mapped by the supervisor, which reads, and by every worker, which adds to its own row. A
worker owns a row by a lock on one octet of the file, which the kernel gives back when it dies; what it counted
stays, so that sums never fall.
"""

import fcntl
import mmap
import os
import zlib
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import get_args

from _fastpath.tally import Tally
from responder.errors import CountersChanged, TryLaterCause, UnauthorizedCause

__all__ = [
    "COUNTERS",
    "GAUGES",
    "HISTOGRAMS",
    "CounterFile",
    "Counters",
    "Family",
    "Totals",
    "bounds_of",
    "slot_of",
]

METHODS = ("GET", "HEAD", "POST")
STATUSES = (
    "good",
    "revoked",
    "malformed_request",
    "internal_error",
    "try_later",
    "unauthorized",
)
TOLERATED = ("space", "line_break", "padding", "url_alphabet", "double_encoding")
SLOT = 8  # octets, unsigned, machine order: the file never leaves the host
SUM_UNITS = 1_000_000  # histogram sums are kept in millionths of the base unit


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its labels with all their values, and for a histogram the upper bounds of its buckets."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    values: tuple[tuple[str, ...], ...] = ()
    buckets: tuple[float, ...] = ()

    def combinations(self) -> Iterator[tuple[str, ...]]:
        """Every set of label values."""
        return product(*self.values)

    @property
    def width(self) -> int:
        """Slots for one set of label values: a number, or one per bucket, one above them and the sum."""
        return len(self.buckets) + 2 if self.buckets else 1


COUNTERS = (
    Family(
        "ocsp_responses_total",
        "OCSP answers by what they say",
        ("status", "method"),
        (STATUSES, METHODS),
    ),
    Family("ocsp_not_modified_total", "Conditional requests answered with 304"),
    Family(
        "ocsp_unauthorized_total", "Why unauthorized was answered", ("cause",), (get_args(UnauthorizedCause),)
    ),
    Family("ocsp_try_later_total", "Why tryLater was answered", ("cause",), (get_args(TryLaterCause),)),
    Family("ocsp_tolerated_total", "GET paths that needed leniency, by kind", ("kind",), (TOLERATED,)),
    Family(
        "http_refusals_total",
        "Requests refused before OCSP, by HTTP status code",
        ("code",),
        (("400", "404", "405", "408", "413", "414", "415", "431", "503"),),
    ),
    Family(
        "ocsp_cache_lookups_total",
        "Answers sought in a cache; stale ones may not be sent any more",
        ("tier", "result"),
        (("worker",), ("hit", "miss", "stale")),
    ),
    Family(
        "ocsp_cache_removals_total",
        "Answers that left a worker's cache: to make room, or because the store told of a change",
        ("cause",),
        (("evicted", "invalidated"),),
    ),
    Family("http_slow_requests_total", "Requests that went the slow path, through the HTTP library and ASGI"),
    Family("http_disconnects_total", "Connections that ended while an answer was due"),
    Family("ocsp_request_bytes_total", "Octets of OCSP requests, decoded"),
    Family("ocsp_signature_checks_total", "Sampled signatures", ("result",), (("ok", "failed"),)),
    Family("ocsp_issuer_reloads_total", "Times an issuer's record and templates were read"),
    Family(
        "crl_responses_total",
        "CRL answers by HTTP status code",
        ("code",),
        (("200", "206", "304", "404", "416", "503"),),
    ),
    Family("ocsp_floor_refusals_total", "Good records in the store for serials on a published CRL"),
    Family("crl_versions_refused_total", "CRLs in the object store that may not be served"),
    Family("store_connections_total", "Connections made to the store"),
    Family("store_invalidations_total", "Invalidation messages of the store"),
)
GAUGES = (
    Family("store_up", "1 while the lookup connection works"),
    Family("store_unreconciled", "1 while the store answers, but the signer has not reconciled it yet"),
    Family("ocsp_cache_bytes", "Octets reckoned for the workers' caches"),
    Family("ocsp_cache_entries", "Answers in the workers' caches"),
)
HISTOGRAMS = (
    Family(
        "ocsp_request_seconds",
        "Time from a whole request to its answer; 0 for one that was at hand",
        buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0),
    ),
    Family(
        "ocsp_response_age_seconds",
        "Age of the answers sent, from thisUpdate",
        buckets=(60.0, 900.0, 3600.0, 14400.0, 43200.0, 86400.0, 172800.0, 345600.0, 604800.0),
    ),
    Family(
        "store_seconds",
        "Time from a lookup to its reply",
        ("op",),
        (("lookup",),),
        (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1.0),
    ),
)
FAMILIES = (*COUNTERS, *GAUGES, *HISTOGRAMS)


def _assign() -> tuple[dict[tuple[str, ...], int], int]:
    slots: dict[tuple[str, ...], int] = {}
    following = 1  # slot 0 of a row is not used: the file begins with the digest of the layout
    for family in FAMILIES:
        for combination in family.combinations():
            slots[family.name, *combination] = following
            following += family.width
    return slots, following


SLOTS, ROW_SLOTS = _assign()
LAYOUT = zlib.crc32(repr((FAMILIES, ROW_SLOTS)).encode())
BUCKETS = {family.name: family.buckets for family in HISTOGRAMS}


def slot_of(name: str, *labels: str) -> int:
    """The slot of a metric with these label values, of a histogram its first."""
    return SLOTS[name, *labels]


def bounds_of(name: str) -> tuple[float, ...]:
    """Upper bounds of a histogram's buckets."""
    return BUCKETS[name]


class Counters:
    """The row of one worker."""

    def __init__(self, cells: memoryview, file: "CounterFile | None" = None) -> None:
        self._cells = cells
        self.tally = Tally(cells)  # the same for compiled code
        self._file = file  # kept open: it holds the lock on the row

    def add(self, name: str, *labels: str) -> None:
        """Count one."""
        self._cells[SLOTS[name, *labels]] += 1

    def add_amount(self, name: str, amount: int) -> None:
        """Count several."""
        self._cells[SLOTS[(name,)]] += amount

    def set(self, name: str, value: int, *labels: str) -> None:
        """Set a gauge, or a counter that is kept elsewhere."""
        self._cells[SLOTS[name, *labels]] = value

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Count a measurement in its bucket."""
        first = SLOTS[name, *labels]
        buckets = BUCKETS[name]
        self._cells[first + bisect_left(buckets, value)] += 1
        self._cells[first + len(buckets) + 1] += max(0, int(value * SUM_UNITS))

    def release(self) -> None:
        """Give the row back."""
        if self._file is not None:
            self._file.close()

    @classmethod
    def private(cls) -> "Counters":
        """A row of nobody's file, for one process alone."""
        return cls(memoryview(bytearray(ROW_SLOTS * SLOT)).cast("Q"))

    def value(self, name: str, *labels: str) -> int:
        """What was counted, or how often observed."""
        first = SLOTS[name, *labels]
        width = len(BUCKETS[name]) + 1 if name in BUCKETS else 1
        return sum(self._cells[first : first + width])


@dataclass(frozen=True, slots=True)
class Totals:
    """All rows added up, and the rows of living workers."""

    cells: list[int]
    live: list[memoryview]

    def cell(self, name: str, *labels: str, offset: int = 0) -> int:
        """The sum of one slot over all rows."""
        return self.cells[SLOTS[name, *labels] + offset]


class CounterFile:
    """The mapped file. A process opens it once: closing any descriptor of it would give its lock back."""

    def __init__(self, path: Path, rows: int | None = None) -> None:
        """Create the file with so many rows, or open the one that is there. Raises CountersChanged."""
        self.path = path
        if rows is not None:
            path.write_bytes(LAYOUT.to_bytes(SLOT, "little") + bytes(rows * ROW_SLOTS * SLOT - SLOT))
        self._file = path.open("r+b")
        size = os.fstat(self._file.fileno()).st_size
        self._map = mmap.mmap(self._file.fileno(), size)
        if int.from_bytes(self._map[:SLOT], "little") != LAYOUT:
            self.close()
            raise CountersChanged(
                f"{path}: made by another release", remedy="restart the service instead of reloading it"
            )
        self._rows = size // (ROW_SLOTS * SLOT)

    def close(self) -> None:
        """Give the lock back; rows that are still held stay readable."""
        self._file.close()

    def _row(self, number: int) -> memoryview:
        cells = memoryview(self._map).cast("Q")
        return cells[number * ROW_SLOTS : (number + 1) * ROW_SLOTS]

    def _lock(self, number: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except BlockingIOError:
            return False
        return True

    def claim(self) -> Counters:
        """A row that no living worker has. Raises CountersChanged when there is none."""
        for number in range(self._rows):
            if self._lock(number):
                return Counters(self._row(number), self)
        raise CountersChanged(
            f"{self.path}: no row is free for another worker",
            remedy="restart the service instead of reloading it",
        )

    def totals(self) -> Totals:
        """For the process that claims no row: everything counted so far."""
        cells = [0] * ROW_SLOTS
        live = []
        for number in range(self._rows):
            row = self._row(number)
            cells = [total + value for total, value in zip(cells, row, strict=True)]
            if self._lock(number):
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number)
            else:
                live.append(row)
        return Totals(cells, live)
