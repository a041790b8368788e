"""What the documents promise: every test that they name is there, and each row of their tables names one."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.marks import ROOT

DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")
PROMISES = (
    "threat-model.md",
    "server-behavior.md",
)  # say of themselves that they name the test of each promise


@cache
def functions_of(file: str) -> frozenset[str]:
    path = ROOT / "tests" / file
    if not path.exists():
        return frozenset()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.parse(path.read_text()).body if isinstance(node, kinds))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_test_that_is_named_is_there(document: Path) -> None:
    named = NAMED.findall(document.read_text())
    assert [f"{file}::{test}" for file, test in named if test not in functions_of(file)] == []


@pytest.mark.parametrize("name", PROMISES)
def test_the_promises_name_tests(name: str) -> None:
    assert len(NAMED.findall((ROOT / "docs" / name).read_text())) > 40


def test_each_row_of_a_table_of_threats_names_a_test() -> None:
    text = (ROOT / "docs" / "threat-model.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith(HEADS)]
    assert len(rows) > 25
    assert [row for row in rows if not NAMED.search(row)] == []


HEADS = ("| must not |", "| mistake |", "| --- |")


def test_files_are_named_that_are_there() -> None:
    """Links of one document to another, or to the tree."""
    links = (
        (document, target)
        for document in DOCUMENTS
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text())
    )
    missing = [f"{document.name}: {target}" for document, target in links if not _is_there(document, target)]
    assert missing == []


def _is_there(document: Path, target: str) -> bool:
    return "://" in target or (document.parent / target).exists()


# G6: an alarm that nobody can look up is none.

WRITTEN = "\n".join(
    path.read_text() for path in DOCUMENTS if path.name not in ("conformance.md", "invariants.md")
)
METRIC = re.compile(r'"((?:ocsp|crl|store|http|signer|intake)_[a-z_]+)"')
LOGGED = re.compile(r'log\.(?:error|critical)\(\s*"([^"]+)"')
SOURCES = [path for part in ("responder", "signer", "store") for path in sorted((ROOT / part).rglob("*.py"))]


@pytest.mark.invariant("G6")
def test_every_metric_is_written_about() -> None:
    counted = (
        ROOT / "responder" / "counters.py",
        ROOT / "responder" / "metrics.py",
        ROOT / "signer" / "admin" / "metrics.py",
    )
    names = {name for path in counted for name in METRIC.findall(path.read_text())}
    assert len(names) > 40
    assert sorted(name for name in names if f"`{name}" not in WRITTEN) == []


@pytest.mark.invariant("G6")
def test_every_error_of_the_log_is_written_about() -> None:
    events = {event for path in SOURCES for event in LOGGED.findall(path.read_text())}
    assert len(events) > 25
    assert sorted(event for event in events if event.partition(":")[0] not in WRITTEN) == []
