"""A steady load on a responder from a process of its own, and a row for every answer.

    python -m tests.faults.load CA PORT WORKERS EACH RATE SERIALS ROWS

It asks about what standard input says: each line, `FIRST LAST`, are lines of the file SERIALS. It ends with the input.
"""

import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.asking import Asker, Judge, Outcome, spread

__all__ = ["Load", "Row", "quantile", "under_load"]

ROW = struct.Struct("<ddHBBi")


@dataclass(frozen=True, slots=True)
class Row:
    """One answer. `sent` is monotonic time, which all processes of a machine share; the rest are seconds and indexes."""

    sent: float
    seconds: float
    index: int
    connection: int
    outcome: Outcome
    max_age: int


class Load:
    """What the test has of the process."""

    def __init__(self, process: "subprocess.Popen[bytes]", rows: Path) -> None:
        self._process = process
        self._rows = rows

    def ask(self, first: int, last: int) -> None:
        """About these indexes from now on, by every connection in turn."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"%d %d\n" % (first, last))
        self._process.stdin.flush()

    def rows(self) -> list[Row]:
        """All so far."""
        data = self._rows.read_bytes()
        whole = len(data) - len(data) % ROW.size
        return [
            Row(sent, seconds, index, connection, Outcome(outcome), max_age)
            for sent, seconds, index, connection, outcome, max_age in ROW.iter_unpack(data[:whole])
        ]

    def end(self) -> None:
        assert self._process.stdin is not None
        if not self._process.stdin.closed:
            self._process.stdin.close()
        assert self._process.wait(60) == 0


@contextmanager
def under_load(
    directory: Path,
    certificate: Path,
    port: int,
    serials: Sequence[bytes],
    workers: int,
    each: int,
    rate: int,
) -> Iterator[Load]:
    """`rate` questions a second by all connections together, of which each worker has so many."""
    listed, rows = directory / "load.serials", directory / "load.rows"
    listed.write_text("".join(f"{serial.hex()}\n" for serial in serials))
    rows.write_bytes(b"")
    arguments: list[str | Path] = [certificate, *map(str, (port, workers, each, rate)), listed, rows]
    command = [sys.executable, "-m", "tests.faults.load", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=Path(__file__).parents[2]) as process:
        load = Load(process, rows)
        try:
            yield load
            load.end()
        finally:
            process.kill()


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that so many are not above."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


class _Asking:
    """Connections at work, each at its own pace: who waits for an answer asks less."""

    def __init__(self, serials: list[bytes], connections: int, rate: int, rows: Path) -> None:
        self._serials = serials
        self._connections = connections
        self._pace = connections / rate
        self._rows = rows.open("ab", buffering=0)
        self.wanted = range(0)
        self.over = threading.Event()

    def go(self, number: int, asker: Asker) -> None:
        place, due = 0, time.monotonic()
        while not self.over.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._pace, time.monotonic())
            wanted = self.wanted
            if not wanted:
                continue
            place += 1  # and each connection is elsewhere
            index = wanted[(place + number * len(wanted) // self._connections) % len(wanted)]
            sent = time.monotonic()
            answer = asker.ask(self._serials[index])
            seconds = time.monotonic() - sent
            self._rows.write(ROW.pack(sent, seconds, index, number, answer.outcome, answer.max_age))
        asker.close()


def main() -> None:
    certificate, port, workers, each, rate, listed, rows = sys.argv[1:]
    serials = [bytes.fromhex(line) for line in Path(listed).read_text().split()]
    askers = spread(int(port), Judge(Path(certificate)), int(workers), int(each))
    asking = _Asking(serials, len(askers), int(rate), Path(rows))
    threads = [threading.Thread(target=asking.go, args=pair) for pair in enumerate(askers)]
    for thread in threads:
        thread.start()
    for line in sys.stdin:
        first, last = map(int, line.split())
        asking.wanted = range(first, last + 1)
    asking.over.set()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
