"""Makes docs/conformance.md: which tests show which row of rows.toml, and how they went in a run of pytest.

In one go, `make conformance`:

    pytest -m "slow or not slow" --junitxml=build/conformance.xml
    python -m tests.conformance.table build/conformance.xml

In pieces, as far as the machine allows; of a test that ran several times the last run counts:

    pytest -m "not slow" --junitxml=build/conformance/fast.xml
    for part in clients conformance fastpath integration property proxies responder signer store; do
        pytest -m slow tests/$part --junitxml=build/conformance/slow-$part.xml
    done
    pytest -m "slow or not slow" tests/conformance/test_objects.py --junitxml=build/conformance/again.xml
    python -m tests.conformance.table build/conformance/*.xml

The marks are read from the sources, so that the table is the same whichever tests a run selected. When tests and
marks were added since, only those need to run: the last line alone makes the document fresh.
"""

import ast
import re
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["Row", "Shown", "cells", "load_rows", "marked_tests", "table_lines"]

ROOT = Path(__file__).parents[2]
ROWS = Path(__file__).with_name("rows.toml")
DOCUMENT = ROOT / "docs" / "conformance.md"
GROUPS = {
    "Q": "OCSP requests",
    "R": "OCSP responses",
    "H": "HTTP",
    "D": "Delegated responder certificates",
    "A": "Signature algorithms",
    "C": "CRL content",
    "U": "CRL publication",
    "P": "Root programs",
    "K": "Clients",
}
STRENGTHS = {"M": "must", "S": "should", "O": "optional", "P": "project"}
HEADING = """\
# Conformance

Every rule that the service is held to, and the tests that show it. Made by `make conformance` out of
`tests/conformance/rows.toml`, of the marks `@pytest.mark.conformance(...)` in the tests, and of the run that
the last column tells of; not written by hand. A row without a test says why.

*must* and *should* are those of the source named; *optional* rows hold if the thing is built; *project* rows keep
several others true at once, or are what deployed clients need. BR: TLS Baseline Requirements 2.2.6; MRSP: Mozilla
Root Store Policy 3.1; CCADB: CCADB Policy 2.1; MS: Microsoft Trusted Root Program; Apple and Chrome: their root
program policies. *proxy* marks rows of which a part is up to what stands in front of the service.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One rule. `reason` is given when no test shows it, `note` when its tests leave something out."""

    id: str
    strength: str
    title: str
    source: str
    reason: str = ""
    note: str = ""
    proxy: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Shown:
    """One mark: a test function (or class) of a file below the root, and the row it shows."""

    row: str
    file: str
    test: str
    slow: bool


def load_rows(path: Path = ROWS) -> list[Row]:
    """All rows in their order."""
    return [Row(id=name, **fields) for name, fields in tomllib.loads(path.read_text()).items()]


# The marks


def marked_tests(root: Path = ROOT) -> list[Shown]:
    """Every mark below `tests`, sorted. Raises ValueError for one that stands where it marks no test."""
    paths = sorted((root / "tests").rglob("test_*.py"))
    return sorted({shown for path in paths for shown in _marks_of(path, str(path.relative_to(root)))})


def _marks_of(path: Path, name: str) -> Iterator[Shown]:
    module = ast.parse(path.read_text(), name)
    constants = _constants(module)
    everywhere = [constants["pytestmark"]] if "pytestmark" in constants else []
    seen = len(_rows_in(everywhere, constants))
    for test, marks in _tests_in(module):
        seen += len(_rows_in(marks, constants))
        slow = any(_is_mark(node, "slow") for node in _walk([*everywhere, *marks]))
        for row in _rows_in([*everywhere, *marks], constants):
            yield Shown(row, name, test, slow)
    if seen != len(_rows_in([module], constants)):
        raise ValueError(f"{name}: a conformance mark stands where it marks no test")


def _tests_in(module: ast.Module) -> Iterator[tuple[str, list[ast.AST]]]:
    """Names of test functions and classes, with what can hold their marks."""
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            yield node.name, [*node.decorator_list]
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield node.name, [node]


def _constants(module: ast.Module) -> dict[str, ast.AST]:
    return {
        target.id: node.value
        for node in module.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _walk(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    for node in nodes:
        yield from ast.walk(node)


def _is_mark(node: ast.AST, name: str) -> bool:
    """Whether a node is `pytest.mark.<name>`."""
    return isinstance(node, ast.Attribute) and node.attr == name and ast.unparse(node.value) == "pytest.mark"


def _rows_in(nodes: Iterable[ast.AST], constants: Mapping[str, ast.AST]) -> list[str]:
    """The rows that marks within these nodes name: as strings, or as `*NAME` of a tuple of the module."""
    calls = [
        node for node in _walk(nodes) if isinstance(node, ast.Call) and _is_mark(node.func, "conformance")
    ]
    rows: list[str] = []
    for argument in (argument for call in calls for argument in call.args):
        if isinstance(argument, ast.Starred):
            rows += ast.literal_eval(constants[ast.unparse(argument.value)])
        else:
            rows.append(ast.literal_eval(argument))
    return rows


# The run


Results = Mapping[tuple[str, str], set[str]]


def read_results(paths: Iterable[Path]) -> dict[tuple[str, str], set[str]]:
    """Outcomes by (file, test function or class), out of JUnit XML as pytest writes it: the last of every case."""
    cases: dict[tuple[str, str, str], str] = {}
    for suite in suites_of(paths):
        cases |= {_name_of(case): _outcome(case) for case in suite.iter("testcase")}
    results: dict[tuple[str, str], set[str]] = {}
    for (file, test, _), outcome in cases.items():
        results.setdefault((file, test), set()).add(outcome)
    return results


def suites_of(paths: Iterable[Path]) -> list[ElementTree.Element]:
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


def _result(shown: Iterable[Shown], results: Results) -> str:
    """The worst that can be said of a row's tests."""
    said: set[str] = set()
    for test in shown:
        said |= results.get((test.file, test.test), {"slow tier" if test.slow else "not run"})
    order = ("failed", "not run", "skipped", "passed", "slow tier")
    return next((word for word in order if word in said), "")


# The document


def table_lines(rows: Iterable[Row], marks: Iterable[Shown], results: Results) -> Iterator[str]:
    """A line of the table for every row."""
    shown: dict[str, list[Shown]] = {}
    for mark in marks:
        shown.setdefault(mark.row, []).append(mark)
    for row in rows:
        tests = shown.get(row.id, [])
        strength = STRENGTHS[row.strength] + (", proxy" if row.proxy else "")
        what = [row.title, f"<br>{row.source}", f"<br>*{row.note}*" if row.note else ""]
        proof = "<br>".join(_link(test) for test in tests) or row.reason
        yield f"| {row.id} | {strength} | {''.join(what)} | {proof} | {_result(tests, results) or '—'} |"


def _link(test: Shown) -> str:
    file = test.file.removeprefix("tests/")
    return f"[{file}::{test.test}](../{test.file})" + (" (slow)" if test.slow else "")


def cells(document: str) -> list[list[str]]:
    """The table of a document without the results."""
    lines = re.findall(r"^\| [A-Z]-\d\d \|.*$", document, re.MULTILINE)
    return [line.split(" | ")[:-1] for line in lines]


def render(rows: list[Row], marks: list[Shown], results: Results, run: str) -> str:
    """The whole document."""
    tested = {mark.row for mark in marks}
    parts = [
        HEADING,
        f"{len(rows)} rows: {len(tested)} with tests, {len(rows) - len(tested)} with a reason. {run}\n",
    ]
    for letter, title in GROUPS.items():
        group = [row for row in rows if row.id.startswith(letter)]
        parts.append(
            f"## {title}\n\n| id | strength | what | tests | result |\n| --- | --- | --- | --- | --- |"
        )
        parts.append("\n".join(table_lines(group, marks, results)) + "\n")
    return "\n".join(parts)


def describe(paths: Iterable[Path]) -> str:
    """When these runs were and what they ran."""
    began = [datetime.fromisoformat(suite.attrib["timestamp"]).astimezone(UTC) for suite in suites_of(paths)]
    times = " to ".join(dict.fromkeys(f"{when:%Y-%m-%d %H:%M}" for when in (began[0], began[-1])))
    functions = len(read_results(paths))
    return f"Results: runs begun {times} UTC, {functions} test functions; made at commit {_commit()}."


def _commit() -> str:
    """What is checked out, and whether anything but the document differs from it."""
    changes = _git("diff", "--name-only", "HEAD", "--", ".", f":!{DOCUMENT.relative_to(ROOT)}")
    return _git("rev-parse", "--short", "HEAD") + ("-dirty" if changes else "")


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def main(paths: list[Path]) -> None:
    """Write the document from the runs in these files."""
    DOCUMENT.write_text(render(load_rows(), marked_tests(), read_results(paths), describe(paths)))


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
