"""Taking a guard out of a copy of the tree, building what has to be built, and running its tests there."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.invariants.guard import Edit, Guard
from tests.invariants.outcomes import ASSERTION, VARIABLE
from tests.marks import ROOT

__all__ = ["Found", "copy_tree", "run_tests", "try_without"]

LEFT_OUT = (".*", "build", "dist", "*.egg-info", "*.c")
UNUSED = (
    "cacheprovider",
    "schemathesis",
    "xdist",
    "benchmark",
    "anyio",
)  # plugins that take longer to load than most tests
LIMIT = 600.0  # seconds for all tests of a guard
LIMIT_OF_HANGING = 60.0
# Some modules alone, as fast as it gets.
BUILD = """
import sys
from Cython.Build import cythonize
from setuptools import Extension, setup
modules = [
    Extension(f"_fastpath.{name}", [f"_fastpath/{name}.pyx"], extra_compile_args=["-O0", "-w"])
    for name in sys.argv.pop(1).split(",")
]
setup(name="copy", packages=[], ext_modules=cythonize(modules, language_level=3, quiet=True))
"""


@dataclass(frozen=True, slots=True)
class Found:
    """How tests went: `passed`, `failed` by what they should, or what else there is to say of them."""

    outcomes: dict[str, str]
    output: str

    def all_are(self, outcome: str) -> bool:
        """Whether this became of each."""
        return set(self.outcomes.values()) == {outcome}


def try_without(guard: Guard, directory: Path, tests: Sequence[str] = ()) -> Found:
    """Run the tests of a guard, or others, in a copy without it.

    Raises ValueError where the table does not fit the tree, or what is left cannot be built.
    """
    copy_tree(directory)
    for edit in guard.edits:
        _apply(edit, directory)
    modules = {Path(edit.file).stem for edit in guard.edits if edit.file.endswith(".pyx")}
    if modules or guard.modules:
        _build(directory, modules | {*guard.modules})
    return run_tests(tests or guard.tests, directory, guard.raises, hangs=guard.hangs)


def copy_tree(directory: Path) -> None:
    """Everything that tests need, with the modules as they are built."""
    shutil.copytree(ROOT, directory, ignore=shutil.ignore_patterns(*LEFT_OUT), dirs_exist_ok=True)


def _apply(edit: Edit, directory: Path) -> None:
    path = directory / edit.file
    text = path.read_text()
    if text.count(edit.old) != 1:
        raise ValueError(f"{edit.file} has the text to be removed {text.count(edit.old)} times, not once")
    path.write_text(text.replace(edit.old, edit.new))


def _build(directory: Path, modules: Iterable[str]) -> None:
    command = [sys.executable, "-c", BUILD, ",".join(sorted(modules)), "--quiet", "build_ext", "--inplace"]
    built = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=LIMIT)
    if built.returncode != 0:
        raise ValueError(f"it cannot be built without the guard:\n{built.stdout}{built.stderr}")


def run_tests(
    tests: Sequence[str],
    directory: Path,
    raises: Sequence[str] = (),
    *,
    hangs: bool = False,
    limit: float | None = None,
) -> Found:
    """Run tests, and the processes that they start, out of the copy in `directory`; `limit` in seconds."""
    told = directory / "outcomes.jsonl"
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-m", "slow or not slow"]
    command += [f"-pno:{plugin}" for plugin in UNUSED] + ["-p", "tests.invariants.outcomes", *tests]
    surroundings = {**os.environ, "PYTHONPATH": str(directory), VARIABLE: str(told)}
    surroundings.pop("OCSPEED_KEEP", None)  # nothing that is found here is a result
    limit = limit or (LIMIT_OF_HANGING if hangs else LIMIT)
    output, ended = _output_of(command, directory, surroundings, limit)
    if not ended:
        return Found(dict.fromkeys(tests, "failed" if hangs else "did not end"), output)
    lines = [json.loads(line) for line in told.read_text().splitlines()] if told.exists() else []
    return Found({test: _outcome(test, lines, {ASSERTION, *raises}) for test in tests}, output)


def _output_of(
    command: Sequence[str], directory: Path, surroundings: dict[str, str], limit: float
) -> tuple[str, bool]:
    """What a command printed, and whether it ended by itself; else it is ended with all that it started."""
    with subprocess.Popen(
        command,
        cwd=directory,
        env=surroundings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            return process.communicate(timeout=limit)[0], True
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return process.communicate()[0], False


def _outcome(test: str, lines: Iterable[dict[str, Any]], allowed: set[str]) -> str:
    """Of a test, or of a function's cases together: it failed when one did, as it should."""
    cases = [line for line in lines if line["test"] == test or line["test"].startswith(f"{test}[")]
    failed = [line for line in cases if line["outcome"] == "failed"]
    if any(line["when"] == "call" and {*line["kinds"]} <= allowed for line in failed):
        return "failed"
    if failed:
        return f"failed in {failed[0]['when']} by {', '.join(failed[0]['kinds'])}"
    return cases[0]["outcome"] if cases else "did not run"
