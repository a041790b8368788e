"""Makes docs/invariants.md: which tests show which row of rows.toml, how they went, and which fail without which guard.

    pytest -m invariant --junitxml=build/invariants.xml
    python -m tests.invariants                  # takes out one guard after the other: results.json
    python -m tests.invariants.table build/invariants.xml

`make invariants` does all three. Any files of JUnit XML do, such as those of tests/conformance/table.py: of a test that
ran several times the last run counts. A guard has to be removed anew when its entry changed.
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.invariants.guard import Guard, load_guards
from tests.invariants.kept import RESULTS, Kept, load_kept
from tests.marks import ROOT, Shown, link, marked_tests
from tests.runs import Results, describe, read_results, worst

__all__ = ["DOCUMENT", "Row", "State", "cells", "load_rows", "table_lines"]

ROWS = Path(__file__).with_name("rows.toml")
DOCUMENT = ROOT / "docs" / "invariants.md"
GROUPS = {
    "A": "Status is true",
    "B": "Time",
    "C": "What comes out of the store",
    "D": "CRLs",
    "E": "HTTP and the edge",
    "F": "Resources",
    "G": "Keys and administration",
}
HEADING = """\
# Invariants

What must never happen, the tests that show that it does not, and the guards that stand against it. Each guard is
removed from a copy of the tree, which is built where it has to be, and named tests must fail there, in an assertion.
Made by `make invariants` out of `tests/invariants/rows.toml`, of the marks `@pytest.mark.invariant(...)` in the tests,
of the run that the column of results tells of, and of `tests/invariants/guards`; not written by hand.

A row that is not met as it is written, or that has no test, says why. A test that no removed guard made fail says so.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One invariant. `reason` is given when it is not met as it is written, `note` when its tests leave something out."""

    id: str
    what: str
    reason: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """What the document is made of besides the rows."""

    marks: Sequence[Shown]
    guards: Sequence[Guard]
    kept: Mapping[str, Kept] = field(default_factory=dict)
    results: Results = field(default_factory=dict)

    def tests_of(self, row: str) -> list[Shown]:
        return [mark for mark in self.marks if mark.row == row]

    def guards_of(self, row: str) -> list[Guard]:
        return [guard for guard in self.guards if row in guard.invariants]

    def found(self, guard: Guard) -> Kept | None:
        """The last removal, if it was of the entry as it is now."""
        kept = self.kept.get(guard.name)
        return kept if kept is not None and kept.digest == guard.digest else None

    def seen_to_fail(self) -> set[tuple[str, str]]:
        """Tests that failed when a guard was removed."""
        caught = (guard for guard in self.guards if (kept := self.found(guard)) and kept.caught)
        return {function for guard in caught for function in guard.functions}


def load_rows(path: Path = ROWS) -> list[Row]:
    """All rows in their order."""
    return [Row(id=name, **fields) for name, fields in tomllib.loads(path.read_text()).items()]


def table_lines(rows: Iterable[Row], state: State) -> Iterator[str]:
    """A line of the table for every row."""
    seen = state.seen_to_fail()
    for row in rows:
        tests = state.tests_of(row.id)
        remarks = [f"**Not met:** {row.reason}" if row.reason else "", f"*{row.note}*" if row.note else ""]
        what = "<br>".join(filter(None, [row.what, *remarks]))
        shown = "<br>".join(_test(test, seen) for test in tests) or "**none**"
        guards = "<br>".join(_guard(guard) for guard in state.guards_of(row.id)) or "**none**"
        said = "<br>".join(_said(state.found(guard)) for guard in state.guards_of(row.id)) or "—"
        yield f"| {row.id} | {what} | {shown} | {guards} | {said} | {worst(tests, state.results) or '—'} |"


def _test(test: Shown, seen: set[tuple[str, str]]) -> str:
    return link(test) + ("" if (test.file, test.test) in seen else " **never seen to fail**")


def _guard(guard: Guard) -> str:
    files = dict.fromkeys(edit.file for edit in guard.edits)
    return f"{guard.name.partition('-')[2].replace('-', ' ')} (`{'`, `'.join(files)}`)"


def _said(kept: Kept | None) -> str:
    if kept is None:
        return "**not removed yet**"
    return "caught" if kept.caught else "**not caught**"


def cells(document: str) -> list[list[str]]:
    """The table of a document without the results of tests."""
    lines = re.findall(r"^\| [A-G]\d\d? \|.*$", document, re.MULTILINE)
    return [line.split(" | ")[:-1] for line in lines]


def render(rows: Sequence[Row], state: State, run: str) -> str:
    """The whole document."""
    parts = [HEADING, f"{_summary(rows, state)} {run}\n"]
    for letter, title in GROUPS.items():
        parts.append(f"## {title}\n")
        parts.append(
            "| id | what | tests | guards | without them | result |\n| --- | --- | --- | --- | --- | --- |"
        )
        parts.append("\n".join(table_lines((row for row in rows if row.id.startswith(letter)), state)) + "\n")
    return "\n".join(parts)


def _summary(rows: Sequence[Row], state: State) -> str:
    found = {guard.name: state.found(guard) for guard in state.guards}
    removed = [kept for kept in found.values() if kept is not None]
    tests = {(mark.file, mark.test) for mark in state.marks}
    dates = sorted({f"{kept.date} at {kept.commit}" for kept in removed})
    return (
        f"{len(rows)} invariants: {sum(bool(state.tests_of(row.id)) for row in rows)} with tests, "
        f"{sum(bool(state.guards_of(row.id)) for row in rows)} with guards that were or can be removed, "
        f"{sum(bool(row.reason) for row in rows)} not met as written.\n"
        f"{len(found)} guards: {len(removed)} removed, of which {sum(kept.caught for kept in removed)} were caught "
        f"({'; '.join(dates)}).\n"
        f"{len(tests)} test functions: {len(tests & state.seen_to_fail())} seen to fail without a guard."
    )


def main(paths: list[Path]) -> None:
    """Write the document from the runs in these files."""
    state = State(marked_tests("invariant"), list(load_guards().values()), load_kept(), read_results(paths))
    DOCUMENT.write_text(render(load_rows(), state, describe(paths, DOCUMENT, RESULTS)))


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
