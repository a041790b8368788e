"""Marks are found in the sources, wherever they may stand, and refused where they mark no test."""

from pathlib import Path

import pytest

from tests.marks import marked_tests

SOURCE = """\
import pytest
pytestmark = [pytest.mark.conformance("H-01")]
BOTH = ("Q-01", "Q-02")
@pytest.mark.slow
@pytest.mark.invariant("A1")
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
    found = {(mark.row, mark.test, mark.slow) for mark in marked_tests("conformance", tree)}
    assert found == {
        ("H-01", "test_one", True),
        ("Q-01", "test_one", True),
        ("Q-02", "test_one", True),
        ("H-01", "test_two", False),
        ("Q-03", "test_two", False),
        ("H-01", "TestThree", False),
        ("Q-04", "TestThree", False),
    }
    (other,) = marked_tests("invariant", tree)
    assert (other.row, other.test, other.slow) == ("A1", "test_one", True)


@pytest.mark.parametrize(
    "lost",
    ['CASES = [pytest.mark.conformance("Q-01")]', '@pytest.mark.conformance("Q-01")\ndef helper(): ...'],
)
def test_a_mark_that_marks_no_test_is_refused(tree: Path, lost: str) -> None:
    (tree / "tests" / "test_x.py").write_text(f"import pytest\n{lost}\n")
    with pytest.raises(ValueError, match=r"tests/test_x\.py: a mark `conformance` stands where"):
        marked_tests("conformance", tree)
