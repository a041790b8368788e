"""The rig itself: what it takes for a test that failed without a guard, and what it does not."""

import shutil
from pathlib import Path

import pytest

from tests.invariants import outcomes
from tests.invariants.guard import Edit, Guard
from tests.invariants.removal import Found, run_tests, try_without

TESTS = """\
import pytest

@pytest.fixture
def broken():
    raise OSError

@pytest.mark.parametrize("number", [1, 2])
def test_asserts(number):
    assert number == 1

def test_expects_an_error():
    with pytest.raises(KeyError):
        pass

def test_meets_an_error():
    raise KeyError

def test_several():
    raise ExceptionGroup("several", [AssertionError(), KeyError()])

def test_is_not_set_up(broken):
    assert False

def test_is_skipped():
    pytest.skip("not here")

@pytest.mark.slow
def test_passes():
    pass
"""
SETTINGS = '[tool.pytest.ini_options]\nmarkers = ["slow"]\naddopts = ["-m", "not slow"]\n'


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """As much of a tree as a run needs."""
    folder = tmp_path / "tests" / "invariants"
    folder.mkdir(parents=True)
    for name in (folder, folder.parent):
        (name / "__init__.py").touch()
    shutil.copy(outcomes.__file__, folder)
    (tmp_path / "pyproject.toml").write_text(SETTINGS)
    (tmp_path / "tests" / "test_x.py").write_text(TESTS)
    return tmp_path


EXPECTED = {
    "test_asserts": "failed",  # one of its cases
    "test_asserts[1]": "passed",
    "test_asserts[2]": "failed",
    "test_expects_an_error": "failed",
    "test_meets_an_error": "failed in call by KeyError",
    "test_several": "failed in call by KeyError, assertion",
    "test_is_not_set_up": "failed in setup by OSError",
    "test_is_skipped": "skipped",
    "test_passes": "passed",
}


def test_what_counts_as_a_failure(tree: Path) -> None:
    tests = [f"tests/test_x.py::{name}" for name in EXPECTED]
    assert run_tests(tests, tree).outcomes == dict(zip(tests, EXPECTED.values(), strict=True))


@pytest.mark.slow
def test_errors_that_are_expected_count(tree: Path) -> None:
    tests = ("tests/test_x.py::test_meets_an_error", "tests/test_x.py::test_several")
    assert run_tests(tests, tree, ["KeyError"]).all_are("failed")


@pytest.mark.slow
def test_a_test_that_is_not_there_or_cannot_be_read_did_not_run(tree: Path) -> None:
    (tree / "tests" / "test_y.py").write_text("import nothing_of_this_name\n")
    for test in ("tests/test_x.py::test_nowhere", "tests/test_y.py::test_one"):
        assert run_tests([test], tree).outcomes == {test: "did not run"}


@pytest.mark.slow
@pytest.mark.parametrize("hangs", [True, False])
def test_what_does_not_end_is_ended(tree: Path, monkeypatch: pytest.MonkeyPatch, hangs: bool) -> None:
    limit = "LIMIT_OF_HANGING" if hangs else "LIMIT"
    monkeypatch.setattr(f"tests.invariants.removal.{limit}", 2.0)
    (tree / "tests" / "test_x.py").write_text("import time\ndef test_one():\n    time.sleep(1000)\n")
    found = run_tests(["tests/test_x.py::test_one"], tree, hangs=hangs)
    assert found.all_are("failed" if hangs else "did not end")


@pytest.mark.parametrize(("old", "times"), [("nothing of this kind", 0), ("local", 2)])
def test_a_guard_has_to_be_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, times: int
) -> None:
    monkeypatch.setattr("tests.invariants.removal.copy_tree", lambda directory: None)
    (tmp_path / "a.lua").write_text("local a\nlocal b\n")
    guard = Guard("A1-x", ("A1",), (Edit("a.lua", old, ""),), ())
    with pytest.raises(ValueError, match=rf"a\.lua has the text to be removed {times} times"):
        try_without(guard, tmp_path)


def test_of_nothing_nothing_is_said() -> None:
    assert not Found({}, "").all_are("failed")
