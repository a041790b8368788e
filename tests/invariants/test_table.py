"""docs/invariants.md is what rows.toml, the marks in the tests and the table of guards make of it."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.invariants.guard import Edit, Guard, load_guards, selected
from tests.invariants.kept import Kept, keep, load_kept
from tests.invariants.removal import Found
from tests.invariants.table import GROUPS, Row, State, load_rows, table_lines
from tests.marks import ROOT, Shown, marked_tests

SIZES = {"A": 8, "B": 6, "C": 6, "D": 11, "E": 6, "F": 6, "G": 7}
ROWS = load_rows()
MARKS = marked_tests("invariant")
GUARDS = load_guards()


def test_every_row_is_there_once_and_in_order() -> None:
    expected = [f"{group}{number}" for group in GROUPS for number in range(1, SIZES[group] + 1)]
    assert [row.id for row in ROWS] == expected
    assert len(ROWS) == 50
    assert all(row.what and len(row.what) < 120 for row in ROWS)
    assert not [row.id for row in ROWS if re.search(r"[|\n]", row.what + row.reason + row.note)]


def test_every_mark_names_a_row() -> None:
    known = {row.id for row in ROWS}
    assert [mark for mark in MARKS if mark.row not in known] == []


@pytest.mark.parametrize("name", GUARDS)
def test_a_guard_is_in_the_tree_once_and_its_tests_are_there(name: str) -> None:
    guard = GUARDS[name]
    assert {*guard.invariants} <= {row.id for row in ROWS}
    for edit in guard.edits:
        assert (ROOT / edit.file).read_text().count(edit.old) == 1, edit.file
        assert edit.new != edit.old
    marked = {(mark.file, mark.test) for mark in MARKS if mark.row in guard.invariants}
    assert guard.functions <= marked, "its tests carry no mark of its invariants"


# What is made of them

ROW = Row("A1", "no later good")
ONE = ("tests/a/test_x.py", "test_one")
MARK = Shown("A1", *ONE, slow=False)
GUARD = Guard(
    "A1-an-older-page", ("A1",), (Edit("store/functions.lua", "x", "y"),), ("tests/a/test_x.py::test_one[2]",)
)
CAUGHT = Kept(GUARD.digest, "abc1234", "2026-11-22", {GUARD.tests[0]: "failed"})


def line(state: State, row: Row = ROW) -> str:
    (only,) = table_lines([row], state)
    return only


def test_a_row_without_anything_says_so() -> None:
    assert line(State([], [])) == "| A1 | no later good | **none** | **none** | — | — |"


def test_a_row_that_is_not_met_says_why() -> None:
    row = replace(ROW, reason="nothing purges caches", note="by clock alone")
    assert "no later good<br>**Not met:** nothing purges caches<br>*by clock alone* |" in line(
        State([], []), row
    )


@pytest.mark.parametrize(
    ("kept", "test", "said"),
    [
        (CAUGHT, "", "caught"),
        (None, " **never seen to fail**", "**not removed yet**"),
        (replace(CAUGHT, digest="0"), " **never seen to fail**", "**not removed yet**"),
        (replace(CAUGHT, outcomes={GUARD.tests[0]: "passed"}), " **never seen to fail**", "**not caught**"),
    ],
    ids=["caught", "never", "another entry", "not caught"],
)
def test_what_is_said_of_a_guard(kept: Kept | None, test: str, said: str) -> None:
    state = State([MARK], [GUARD], {GUARD.name: kept} if kept else {}, {ONE: {"passed"}})
    assert line(state) == (
        f"| A1 | no later good | [a/test_x.py::test_one](../tests/a/test_x.py){test} "
        f"| an older page (`store/functions.lua`) | {said} | passed |"
    )


def test_results_are_kept_by_guard(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    keep(GUARD, Found({GUARD.tests[0]: "passed"}, ""), path)
    keep(replace(GUARD, name="A1-other"), Found({GUARD.tests[0]: "failed"}, ""), path)
    keep(GUARD, Found({GUARD.tests[0]: "failed"}, ""), path)
    kept = load_kept(path)
    assert sorted(kept) == ["A1-an-older-page", "A1-other"]
    assert all(each.caught and each.digest == GUARD.digest for each in kept.values())


TABLE = """\
[A1-one]
file = "store/functions.lua"
old = "x"
new = "y"
tests = ["tests/a/test_x.py::test_one[2]"]
[B2-two]
also = ["A1"]
raises = ["KeyError"]
tests = ["tests/a/test_x.py::TestTwo::test_inner"]
[[B2-two.edits]]
file = "a.py"
old = '''
x
'''
new = ""
[[B2-two.edits]]
file = "b.py"
old = "y"
new = "z"
"""


def test_a_table_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(TABLE)
    guards = load_guards(tmp_path)
    two = guards["B2-two"]
    assert two.invariants == ("B2", "A1")
    assert two.edits == (Edit("a.py", "x\n", ""), Edit("b.py", "y", "z"))
    assert two.functions == {("tests/a/test_x.py", "TestTwo")}
    for words, names in ([], ["A1-one", "B2-two"]), (["A"], ["A1-one", "B2-two"]), (["B2"], ["B2-two"]):
        assert [guard.name for guard in selected(guards.values(), words)] == names
    (tmp_path / "b.toml").write_text(TABLE)
    with pytest.raises(ValueError, match=r"b\.toml: there are two guards A1-one"):
        load_guards(tmp_path)
