"""A second opinion: the same paths asked for by h2load, a load generator that others wrote (package nghttp2-client)."""

import re
import resource
import shutil
import subprocess
import tempfile
import time

from bench.serve.generator import Load, Outcome, Schedule
from bench.serve.servers import MissingPeer

__all__ = ["find_h2load", "outcome_of", "run_h2load"]

COUNTS = re.compile(
    r"^requests: \d+ total, \d+ started, (?P<done>\d+) done, (?P<succeeded>\d+) succeeded, (?P<failed>\d+) failed",
    re.MULTILINE,
)
PATIENCE = 10.0  # seconds beyond those of the schedule


def find_h2load() -> str:
    """Raises MissingPeer."""
    program = shutil.which("h2load")
    if program is None:
        raise MissingPeer("h2load is not installed (apt-get install nghttp2-client)")
    return program


def run_h2load(load: Load, port: int, schedule: Schedule) -> Outcome:
    """As generator.run, in whole seconds; h2load has header fields of its own, and tells counts, not answers."""
    seconds = max(1, round(schedule.seconds or 1))
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as paths:
        paths.writelines(
            f"http://127.0.0.1:{port}{request.octets.split(b' ', 2)[1].decode()}\n" for request in load.flat()
        )
        paths.flush()
        connections = str(len(load.connections))
        command = [find_h2load(), "--h1", "-t1", "-c", connections, "-D", str(seconds), "-i", paths.name]
        begin, used = time.monotonic(), _cpu_of_children()
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + PATIENCE)
        return outcome_of(done.stdout, time.monotonic() - begin, _cpu_of_children() - used)


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def outcome_of(text: str, wall: float, cpu: float) -> Outcome:
    """What h2load counted. Raises RuntimeError."""
    found = COUNTS.search(text)
    if found is None:
        raise RuntimeError(f"h2load said nothing of requests:\n{text}")
    done, succeeded, failed = (int(found[name]) for name in ("done", "succeeded", "failed"))
    return Outcome(
        answers=done,
        not_200=done - succeeded,
        reconnects=0,
        failures=failed,
        wall=wall,
        cpu=cpu,
        octets=0,
        statuses={0: succeeded},
        kept=[],
        latencies=(),
        kinds=(),
    )
