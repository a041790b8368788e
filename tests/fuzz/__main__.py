"""`python -m tests.fuzz`: every target for some time; a table, and as the last line one JSON object.

The targets run in a copy of the tree that was built with sanitizers and counts coverage (tests/fuzz.sh makes it). What
a target finds new is kept and is where the next run begins; an input that fails a check is kept too, and the command to
see it fail again is printed.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import PIPE, STDOUT
from tempfile import TemporaryDirectory
from typing import Annotated, Any
from zlib import crc32

import atheris
import typer

from bench.command import check_rows, clean_up_on_sigterm, show, table
from bench.command import save as keep
from bench.environment import environment
from store.embedded import EmbeddedStore
from tests.fuzz.connection import CONNECTION
from tests.fuzz.targets import TARGETS

NAMES = (*TARGETS, CONNECTION)
RUNTIME = Path(atheris.__file__).parents[1] / "asan_with_fuzzer.so"
TOLD = 40  # lines of a failure
LONGEST_NAME = 40
SLOWEST = 10  # seconds that one input may take
COLUMNS = ("target", "inputs", "inputs/s", "edges", "corpus", "seconds", "found")
WORDS = ("target", "found")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True, slots=True)
class Run:
    """One target: what libFuzzer said at the end."""

    target: str
    inputs: int
    edges: int
    corpus: int
    seconds: int
    failed: bool
    crash: str = ""  # the input, if there is one: a hang or the end of memory may have none
    said: str = ""

    @property
    def found(self) -> str:
        return (self.crash or "FAILED") if self.failed else "nothing"


def surroundings(store_url: str) -> dict[str, str]:
    """CPython's own allocator would hide a small over-read, and its memory at exit is no leak of ours (F6)."""
    return {
        "LD_PRELOAD": str(RUNTIME),
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "OCSPEED_FUZZ_STORE": store_url,
    }


def fuzz(name: str, seconds: int, build: Path, directory: Path, store_url: str, scratch: str) -> Run:
    short = name if len(name) < LONGEST_NAME else f"{name[:LONGEST_NAME]}-{crc32(name.encode()):08x}"
    corpus, crashes = directory / "corpus" / short, directory / "crashes"
    corpus.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(exist_ok=True)
    command = [
        sys.executable, "-m", "tests.fuzz.child", name, str(corpus), f"-max_total_time={seconds}",
        f"-artifact_prefix={crashes}/{short}-", f"-timeout={SLOWEST}", "-rss_limit_mb=4096", "-print_final_stats=1",
    ]  # fmt: skip
    environment = os.environ | surroundings(store_url) | {"TMPDIR": scratch}
    done = subprocess.run(
        command, cwd=build, env=environment, stdout=PIPE, stderr=STDOUT, text=True, errors="replace"
    )
    return _read(name, done.stdout, done.returncode, seconds, len(list(corpus.iterdir())))


def _read(name: str, output: str, code: int, seconds: int, corpus: int) -> Run:
    inputs = re.findall(r"stat::number_of_executed_units:\s+(\d+)|^Done (\d+) runs", output, re.MULTILINE)
    edges = re.findall(r"cov: (\d+)", output)
    crash = re.search(r"Test unit written to (\S+)", output)
    return Run(
        target=name,
        inputs=max((int(one or other) for one, other in inputs), default=0),
        edges=int(edges[-1]) if edges else 0,
        corpus=corpus,
        seconds=seconds,
        failed=code != 0,
        crash=crash[1] if crash else "",
        said=_failure(output) if code else "",
    )


def _failure(output: str) -> str:
    """From where a check, or a sanitizer, begins to tell."""
    found = re.search(r"^ === Uncaught Python exception|^=+\d+=+ ?ERROR|runtime error:", output, re.MULTILINE)
    lines = output[found.start() :].splitlines()[:TOLD] if found else output.splitlines()[-TOLD:]
    return "\n".join(lines)


def _cells(run: Run) -> Iterator[str]:
    yield run.target
    yield f"{run.inputs:,}"
    yield f"{run.inputs / run.seconds:,.0f}"
    yield f"{run.edges:,}"
    yield f"{run.corpus:,}"
    yield f"{run.seconds:,}"
    yield run.found


def as_json(runs: list[Run]) -> dict[str, Any]:
    told = [{key: value for key, value in asdict(run).items() if key != "said"} for run in runs]
    return {
        "failed": [run.target for run in runs if run.failed],
        "inputs": sum(run.inputs for run in runs),
        "fuzzed_s": sum(run.seconds for run in runs),
        **environment(),
        "targets": told,
    }


def _remarks(runs: list[Run], build: Path) -> Iterator[str]:
    for run in (run for run in runs if run.failed):
        yield f"FAILED {run.target}:\n{run.said}"
        if run.crash:
            variables = " ".join(
                f"{key}={shlex.quote(value)}" for key, value in surroundings("unix:…").items()
            )
            yield f"again, in {build}: {variables} {sys.executable} -m tests.fuzz.child {run.target} {run.crash}"


@app.command()
def main(
    seconds: Annotated[int, typer.Option(min=1, help="Of all targets together.")] = 600,
    target: Annotated[list[str] | None, typer.Option(help=f"Only these: {', '.join(NAMES)}.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes at a time.")] = os.cpu_count() or 1,
    build: Annotated[Path, typer.Option(help="The copy with sanitizers.")] = Path("build/fuzz"),
    directory: Annotated[Path, typer.Option(help="Where corpus and failures are kept.")] = Path(
        "build/fuzzed"
    ),
    together: Annotated[
        bool, typer.Option("--together", help="As many processes as jobs: less start-up, for a short run.")
    ] = False,
    save: Annotated[bool, typer.Option("--save", help="Also write bench/results/fuzz-DATE.json.")] = False,
) -> None:
    """Feed made-up octets to every reader of outside octets, under sanitizers, beside other readers (F6)."""
    check_rows(target, NAMES)
    clean_up_on_sigterm()
    chosen = tuple(target or NAMES)
    names = tuple("+".join(chosen[at::jobs]) for at in range(min(jobs, len(chosen)))) if together else chosen
    each = max(1, seconds * jobs // len(names))
    with (
        TemporaryDirectory(prefix="fz") as state,
        EmbeddedStore(Path(state)) as store,
        ThreadPoolExecutor(jobs) as pool,
    ):
        kept = directory.absolute()
        runs = list(pool.map(lambda name: fuzz(name, each, build, kept, store.url, state), names))
    show(table("Fuzzing", COLUMNS, WORDS, map(_cells, runs)), _remarks(runs, build))
    result = as_json(runs)
    if save:
        keep("fuzz", result)
    typer.echo(json.dumps(result))
    raise typer.Exit(1 if result["failed"] else 0)


if __name__ == "__main__":
    app()
