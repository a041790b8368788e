"""All messages in one list, by name: the breadth of llhttp's own tests, and what the HTTP Garden found others to differ in."""

from tests.http import contents, fields, lines, sequences
from tests.http.parts import Case

__all__ = ["CASES"]

CASES: dict[str, Case] = {}
for case in (*lines.CASES, *fields.CASES, *contents.CASES, *sequences.CASES):
    assert case.name not in CASES, case.name
    CASES[case.name] = case
