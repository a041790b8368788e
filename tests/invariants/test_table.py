"""docs/invariants.md is what rows.toml, the marks in the tests and the table of guards make of it."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.invariants.guard import Edit, Guard, load_guards, selected
from tests.invariants.kept import Kept, keep, load_kept
from tests.invariants.removal import Found
from tests.invariants.table import (
    DOCUMENT,
    GROUPS,
    Row,
    State,
    lasting,
    lines_of_tests,
    load_rows,
    overview_lines,
    render,
)
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


def test_every_row_has_a_test_or_a_reason() -> None:
    tested = {mark.row for mark in MARKS}
    assert [row.id for row in ROWS if row.id not in tested and not row.reason] == []


@pytest.mark.parametrize("name", GUARDS)
def test_a_guard_is_in_the_tree_once_and_its_tests_are_there(name: str) -> None:
    guard = GUARDS[name]
    assert {*guard.invariants} <= {row.id for row in ROWS}
    for edit in guard.edits:
        assert (ROOT / edit.file).read_text().count(edit.old) == 1, edit.file
        assert edit.new != edit.old
    marked = {(mark.file, mark.test) for mark in MARKS if mark.row in guard.invariants}
    assert guard.functions <= marked, "its tests carry no mark of its invariants"


def test_the_document_is_fresh() -> None:
    """Results of tests are those of the run that it names; everything else must be as it is now (`make invariants`)."""
    state = State(MARKS, list(GUARDS.values()), load_kept())
    assert lasting(DOCUMENT.read_text()) == lasting(render(ROWS, state, ""))


# What is made of them

ROW = Row("A1", "no later good")
ONE = ("tests/a/test_x.py", "test_one")
MARK = Shown("A1", *ONE, slow=False)
GUARD = Guard(
    "A1-an-older-page", ("A1",), (Edit("store/functions.lua", "x", "y"),), ("tests/a/test_x.py::test_one[2]",)
)
CAUGHT = Kept(GUARD.digest, "abc1234", "2026-11-22", {GUARD.tests[0]: "failed"})


def line(state: State, row: Row = ROW) -> str:
    (only,) = overview_lines([row], state)
    return only


def test_a_row_without_anything_says_so() -> None:
    assert line(State([], [])) == "| [A1](#a1) | no later good | **none** | 0 of 0 | — |"
    assert list(lines_of_tests(ROW, State([], []))) == []


def test_a_row_that_is_not_met_says_why() -> None:
    row = replace(ROW, reason="nothing purges caches", note="by clock alone")
    assert line(State([], []), row) == "| [A1](#a1) | no later good (**not met**) | **none** | 0 of 0 | — |"
    document = render([row], State([], []), "")
    assert "### A1\n\nno later good.\n\n**Not met:** nothing purges caches.\n\n*by clock alone*\n" in document


@pytest.mark.parametrize(
    ("kept", "caught", "said"),
    [
        (CAUGHT, 1, ""),
        (None, 0, ": **not removed yet**"),
        (replace(CAUGHT, digest="0"), 0, ": **not removed yet**"),
        (replace(CAUGHT, outcomes={GUARD.tests[0]: "passed"}), 0, ": **not caught**"),
    ],
    ids=["caught", "never", "another entry", "not caught"],
)
def test_what_is_said_of_a_guard(kept: Kept | None, caught: int, said: str) -> None:
    state = State([MARK], [GUARD], {GUARD.name: kept} if kept else {}, {ONE: {"passed"}})
    assert line(state) == f"| [A1](#a1) | no later good | 1 | {caught} of 1 | passed |"
    (test,) = lines_of_tests(ROW, state)
    assert test == (
        f"| [a/test_x.py::test_one](../tests/a/test_x.py) | passed | an older page (`store/functions.lua`){said} |"
    )


def test_a_test_without_a_guard_says_so() -> None:
    (test,) = lines_of_tests(ROW, State([MARK], [replace(GUARD, invariants=("A2",))]))
    assert test.endswith(" | not run | **never seen to fail** |")


def test_what_lasts_of_a_document_is_all_but_the_run() -> None:
    row, state = replace(ROW, reason="of this"), State([MARK], [GUARD], {}, {ONE: {"passed"}})
    document = render([row], state, "Results: of today")
    assert lasting(document) == lasting(render([row], replace(state, results={}), "Results: of tomorrow"))
    assert lasting(document) != lasting(render([ROW], state, ""))
    assert lasting(document) != lasting(render([row], replace(state, guards=[]), ""))


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
