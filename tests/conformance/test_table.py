"""docs/conformance.md is what rows.toml and the marks in the tests make of it."""

import re

from tests.conformance.table import DOCUMENT, GROUPS, cells, load_rows, table_lines
from tests.marks import Shown, marked_tests

SIZES = {"Q": 12, "R": 30, "H": 20, "D": 10, "A": 5, "C": 22, "U": 12, "P": 11, "K": 12}
ROWS = load_rows()
MARKS = marked_tests("conformance")


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


def test_a_failure_is_what_is_said_of_a_row() -> None:
    two, three = ("tests/test_x.py", "test_two"), ("tests/test_x.py", "TestThree")
    marks = [
        Shown("H-01", *two, slow=False),
        Shown("H-01", *three, slow=False),
        Shown("Q-01", "tests/test_x.py", "test_one", slow=True),
        Shown("Q-03", *two, slow=False),
    ]
    rows = [row for row in ROWS if row.id in ("H-01", "Q-01", "Q-03", "Q-12")]
    lines = table_lines(rows, marks, {two: {"passed"}, three: {"failed"}})
    said = {line.split(" | ")[0]: line.split(" | ")[-1] for line in lines}
    assert said == {"| Q-01": "slow tier |", "| Q-03": "passed |", "| Q-12": "— |", "| H-01": "failed |"}
