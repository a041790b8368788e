"""docs/conformance.md is what rows.toml and the marks in the tests make of it."""

import re
from pathlib import Path

import pytest

from tests.conformance.table import (
    DOCUMENT,
    GROUPS,
    cells,
    describe,
    load_rows,
    marked_tests,
    read_results,
    table_lines,
)

SIZES = {"Q": 12, "R": 30, "H": 20, "D": 10, "A": 5, "C": 22, "U": 12, "P": 11, "K": 12}
ROWS = load_rows()
MARKS = marked_tests()


def test_every_row_is_there_once_and_in_order() -> None:
    expected = [f"{group}-{number:02}" for group in GROUPS for number in range(1, SIZES[group] + 1)]
    assert [row.id for row in ROWS] == expected
    assert all(row.title and len(row.title) < 90 and row.source for row in ROWS)
    assert not [row.id for row in ROWS if re.search(r"[|\n]", row.title + row.source + row.reason + row.note)]


def test_every_mark_names_a_row() -> None:
    known = {row.id for row in ROWS}
    assert [mark for mark in MARKS if mark.row not in known] == []


def test_every_row_has_a_test_or_a_reason_and_not_both() -> None:
    tested = {mark.row for mark in MARKS}
    assert [row.id for row in ROWS if row.id not in tested and not row.reason] == []
    assert [row.id for row in ROWS if row.id in tested and row.reason] == []


def test_the_document_is_fresh() -> None:
    """Results are those of the run that it names; everything else must be as it is now (`make conformance`)."""
    expected = cells("\n".join(table_lines(ROWS, MARKS, {})))
    assert cells(DOCUMENT.read_text()) == expected


@pytest.mark.parametrize("name", ["server-behavior.md", "threat-model.md"])
def test_what_a_document_calls_a_test_is_one(name: str) -> None:
    named = re.findall(r"`(\w+/test_\w+\.py)::(\w+)`", (DOCUMENT.parent / name).read_text())
    assert len(named) > 20
    for file, test in named:
        assert f"def {test}(" in (DOCUMENT.parents[1] / "tests" / file).read_text(), f"{file}::{test}"


SOURCE = """\
import pytest
pytestmark = [pytest.mark.conformance("H-01")]
BOTH = ("Q-01", "Q-02")
@pytest.mark.slow
@pytest.mark.conformance(*BOTH)
def test_one(): ...
@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.conformance("Q-03"))])
async def test_two(x): ...
@pytest.mark.conformance("Q-04")
class TestThree:
    def test_inner(self): ...
def helper(): ...
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tests").mkdir()
    return tmp_path


def test_marks_of_functions_parameters_classes_and_modules(tree: Path) -> None:
    (tree / "tests" / "test_x.py").write_text(SOURCE)
    found = {(mark.row, mark.test, mark.slow) for mark in marked_tests(tree)}
    assert found == {
        ("H-01", "test_one", True),
        ("Q-01", "test_one", True),
        ("Q-02", "test_one", True),
        ("H-01", "test_two", False),
        ("Q-03", "test_two", False),
        ("H-01", "TestThree", False),
        ("Q-04", "TestThree", False),
    }


@pytest.mark.parametrize(
    "lost",
    ['CASES = [pytest.mark.conformance("Q-01")]', '@pytest.mark.conformance("Q-01")\ndef helper(): ...'],
)
def test_a_mark_that_marks_no_test_is_refused(tree: Path, lost: str) -> None:
    (tree / "tests" / "test_x.py").write_text(f"import pytest\n{lost}\n")
    with pytest.raises(ValueError, match=r"tests/test_x\.py: a conformance mark stands where"):
        marked_tests(tree)


JUNIT = """\
<testsuites><testsuite timestamp="2026-11-21T16:30:00.5+00:00">
<testcase classname="tests.a.test_x" name="test_one[1]"/>
<testcase classname="tests.a.test_x" name="test_one[2.b]"><failure/></testcase>
<testcase classname="tests.a.test_x.TestThree" name="test_inner"><skipped/></testcase>
</testsuite></testsuites>
"""


def test_results_are_read_by_file_and_function(tmp_path: Path) -> None:
    file = tmp_path / "run.xml"
    file.write_text(JUNIT)
    assert read_results([file]) == {
        ("tests/a/test_x.py", "test_one"): {"passed", "failed"},
        ("tests/a/test_x.py", "TestThree"): {"skipped"},
    }


AGAIN = """\
<testsuites><testsuite timestamp="2026-11-21T18:40:00+02:00">
<testcase classname="tests.a.test_x" name="test_one[2.b]"/>
<testcase classname="tests.a.test_x.TestThree" name="test_other"/>
</testsuite></testsuites>
"""


def test_of_several_runs_the_last_counts_case_by_case(tmp_path: Path) -> None:
    files = [tmp_path / "again.xml", tmp_path / "run.xml"]
    for file, text in zip(files, (AGAIN, JUNIT), strict=True):
        file.write_text(text)
    assert read_results(files) == {
        ("tests/a/test_x.py", "test_one"): {"passed"},
        ("tests/a/test_x.py", "TestThree"): {"skipped", "passed"},
    }
    assert describe(files).startswith(
        "Results: runs begun 2026-11-21 16:30 to 2026-11-21 16:40 UTC, 2 test functions; made at commit "
    )


def test_a_failure_is_what_is_said_of_a_row(tree: Path) -> None:
    (tree / "tests" / "test_x.py").write_text(SOURCE)
    marks = marked_tests(tree)
    rows = [row for row in ROWS if row.id in ("H-01", "Q-01", "Q-03", "Q-12")]
    results = {("tests/test_x.py", "test_two"): {"passed"}, ("tests/test_x.py", "TestThree"): {"failed"}}
    said = {line.split(" | ")[0]: line.split(" | ")[-1] for line in table_lines(rows, marks, results)}
    assert said == {"| Q-01": "slow tier |", "| Q-03": "passed |", "| Q-12": "— |", "| H-01": "failed |"}
