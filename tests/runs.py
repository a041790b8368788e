"""Runs of pytest as JUnit XML tells of them: how each test went, and what runs these were."""

import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from tests.marks import ROOT, Shown

__all__ = ["Results", "commit", "describe", "read_results", "worst"]

Results = Mapping[tuple[str, str], set[str]]


def read_results(paths: Iterable[Path]) -> dict[tuple[str, str], set[str]]:
    """Outcomes by (file, test function or class), out of JUnit XML as pytest writes it: the last of every case."""
    cases: dict[tuple[str, str, str], str] = {}
    for suite in _suites_of(paths):
        cases |= {_name_of(case): _outcome(case) for case in suite.iter("testcase")}
    results: dict[tuple[str, str], set[str]] = {}
    for (file, test, _), outcome in cases.items():
        results.setdefault((file, test), set()).add(outcome)
    return results


def _suites_of(paths: Iterable[Path]) -> list[ElementTree.Element]:
    """The runs in these files by the time at which they began."""
    suites = [suite for path in paths for suite in ElementTree.parse(path).iter("testsuite")]
    return sorted(suites, key=lambda suite: datetime.fromisoformat(suite.attrib["timestamp"]))


def _name_of(case: ElementTree.Element) -> tuple[str, str, str]:
    """File, test function or class, and what tells its cases apart."""
    *folders, last = case.attrib["classname"].split(".")
    file, test, which = "/".join([*folders, last]), *case.attrib["name"].partition("[")[::2]
    if last.startswith("Test"):
        file, test, which = "/".join(folders), last, case.attrib["name"]
    return file + ".py", test, which


def _outcome(case: ElementTree.Element) -> str:
    tags = {child.tag for child in case}
    return "failed" if tags & {"failure", "error"} else "skipped" if "skipped" in tags else "passed"


def worst(shown: Iterable[Shown], results: Results) -> str:
    """The worst that can be said of a row's tests; nothing where there are none."""
    said: set[str] = set()
    for test in shown:
        said |= results.get((test.file, test.test), {"slow tier" if test.slow else "not run"})
    order = ("failed", "not run", "skipped", "passed", "slow tier")
    return next((word for word in order if word in said), "")


def describe(paths: Iterable[Path], *made: Path) -> str:
    """When these runs were and what they ran; `made` are files that are made by this."""
    began = [datetime.fromisoformat(suite.attrib["timestamp"]).astimezone(UTC) for suite in _suites_of(paths)]
    times = " to ".join(dict.fromkeys(f"{when:%Y-%m-%d %H:%M}" for when in (began[0], began[-1])))
    functions = len(read_results(paths))
    return f"Results: runs begun {times} UTC, {functions} test functions; made at commit {commit(*made)}."


def commit(*besides: Path) -> str:
    """What is checked out, and whether anything but these files differs from it."""
    left_out = [f":!{path.relative_to(ROOT)}" for path in besides]
    changes = _git("diff", "--name-only", "HEAD", "--", ".", *left_out)
    return _git("rev-parse", "--short", "HEAD") + ("-dirty" if changes else "")


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
