"""`python -m bench.crl.builds OCSP.TOML`: a process that builds an issuer's CRLs whenever it reads a line, and says what it took.

The whole chain: the ledger is read, CRLs are encoded and signed, pass every check and are published to a directory.
"""

import json
import resource
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, TextIO

from signer.context import Context
from signer.crl.job import CrlJob, ShardOutcome

__all__ = ["main"]

STEP = 4 * 3_600  # seconds between two CRLs of a shard: no two may have one thisUpdate (U-09)
MEBIBYTE = 1 << 20
RESET_PEAK = "5"  # proc(5), clear_refs


class SteppedClock:
    """The machine's, ahead by a step more each time."""

    monotonic = staticmethod(time.monotonic)

    def __init__(self) -> None:
        self.ahead = 0

    def now(self) -> int:
        return int(self.wall())

    def wall(self) -> float:
        return time.time() + self.ahead


def main(config: Path) -> None:
    """Builds once for nothing, so that pkilint and the like are loaded; then answers line by line."""
    clock = SteppedClock()
    answers = sys.stdout
    with (
        redirect_stdout(sys.stderr),
        Context.open(config, clock) as context,
    ):  # the log goes to standard output
        warm, job = context.crl_job("warm"), context.crl_job("bench")
        _build(warm)
        idle = _memory("VmRSS")
        _say(answers, {"idle_mib": idle / MEBIBYTE})
        for _ in sys.stdin:
            clock.ahead += STEP
            _say(answers, _measured(job, idle))


def _measured(job: CrlJob, idle: int) -> dict[str, Any]:
    Path("/proc/self/clear_refs").write_text(RESET_PEAK)
    cpu, begin = _cpu(), time.monotonic()
    outcomes = _build(job)
    return {
        "cpu": _cpu() - cpu,
        "seconds": time.monotonic() - begin,
        "peak_mib": (_memory("VmHWM") - idle) / MEBIBYTE,
        "entries": sum(outcome.entries or 0 for outcome in outcomes),
        "octets": sum(outcome.size or 0 for outcome in outcomes),
        "published": sum(outcome.status == "published" for outcome in outcomes),
        "messages": [outcome.message for outcome in outcomes if outcome.message is not None],
    }


def _build(job: CrlJob) -> list[ShardOutcome]:
    return job.build(job.shards(), lambda outcome: None)


def _cpu() -> float:
    """Seconds, user and system, of this process and those it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _memory(field: str) -> int:
    """Octets, from proc(5)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == field:
            return int(rest.split()[0]) * 1_024
    raise RuntimeError(f"/proc/self/status has no {field}")


def _say(answers: TextIO, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
