"""Makes docs/invariants.md: which tests show which row of rows.toml, how they went, and which fail without which guard.

    pytest -m invariant --junitxml=build/invariants.xml
    python -m tests.invariants                  # takes out one guard after the other: results.json
    python -m tests.invariants.table build/invariants.xml

`make invariants` does all three. Any files of JUnit XML do, such as those of tests/conformance/table.py: of a test that
ran several times the last run counts. A guard has to be removed anew when its entry changed.
"""

import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.invariants.guard import Guard, load_guards
from tests.invariants.kept import RESULTS, Kept, load_kept
from tests.marks import ROOT, Shown, link, marked_tests
from tests.runs import Results, describe, read_results, worst

__all__ = [
    "DOCUMENT",
    "GROUPS",
    "Row",
    "State",
    "lasting",
    "load_rows",
    "overview_lines",
    "render",
    "lines_of_tests",
]

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
removed from a copy of the tree, which is built where it has to be, and the tests that are named for it must fail there,
in an assertion. Made by `make invariants` out of `tests/invariants/rows.toml`, of the marks
`@pytest.mark.invariant(...)` in the tests, of the run that the results are of, and of `tests/invariants/guards`; not
written by hand.

An invariant that is not met as it is written, or has no test, says why. A test that did not fail without a guard says so.
"""
OVERVIEW = "| | never | tests | guards caught | last run |\n| --- | --- | --- | --- | --- |"
TESTS = "| test | last run | fails without |\n| --- | --- | --- |"


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

    def removal(self, guard: Guard) -> Kept | None:
        """The last one, if it was of the entry as it is now."""
        kept = self.kept.get(guard.name)
        return kept if kept is not None and kept.digest == guard.digest else None

    def caught(self, guards: Iterable[Guard]) -> int:
        return sum(removal.caught for guard in guards if (removal := self.removal(guard)))


def load_rows(path: Path = ROWS) -> list[Row]:
    """All rows in their order."""
    return [Row(id=name, **fields) for name, fields in tomllib.loads(path.read_text()).items()]


def overview_lines(rows: Iterable[Row], state: State) -> Iterator[str]:
    """A line for every row."""
    for row in rows:
        tests, guards = state.tests_of(row.id), state.guards_of(row.id)
        what = row.what + (" (**not met**)" if row.reason else "")
        caught = f"{state.caught(guards)} of {len(guards)}"
        result = worst(tests, state.results) or "—"
        yield f"| [{row.id}](#{row.id.lower()}) | {what} | {len(tests) or '**none**'} | {caught} | {result} |"


def lines_of_tests(row: Row, state: State) -> Iterator[str]:
    """A line for every test of a row."""
    guards = state.guards_of(row.id)
    for test in state.tests_of(row.id):
        said = [_said(test, guard, state) for guard in guards if (test.file, test.test) in guard.functions]
        without = "<br>".join(said) or "**never seen to fail**"
        yield f"| {link(test)} | {worst([test], state.results)} | {without} |"


def _said(test: Shown, guard: Guard, state: State) -> str:
    files = ", ".join(dict.fromkeys(f"`{edit.file}`" for edit in guard.edits))
    name = f"{guard.title} ({files})"
    removal = state.removal(guard)
    if removal is None:
        return f"{name}: **not removed yet**"
    failed = all(
        outcome == "failed"
        for node, outcome in removal.outcomes.items()
        if node.partition("[")[0] == f"{test.file}::{test.test}"
    )
    return name if failed else f"{name}: **not caught**"


def lasting(document: str) -> list[str]:
    """The lines of both kinds without the results of the run, and what there is said of rows."""
    lines = []
    for line in document.splitlines():
        if line.startswith("| [") and "](#" in line:
            lines.append(line.rpartition(" | ")[0])
        elif line.startswith("| ["):
            test, _, without = line.split(" | ", 2)
            lines.append(f"{test} | {without}")
        elif line.startswith(("### ", "**Not met:**", "*")):
            lines.append(line)
    return lines


def render(rows: Sequence[Row], state: State, run: str) -> str:
    """The whole document."""
    parts = [HEADING, f"{_summary(rows, state)} {run}\n", OVERVIEW]
    parts += [*overview_lines(rows, state), ""]
    for letter, title in GROUPS.items():
        parts.append(f"## {title}\n")
        for row in rows:
            if row.id.startswith(letter):
                parts += _section(row, state)
    return "\n".join(parts)


def _section(row: Row, state: State) -> Iterator[str]:
    yield f"### {row.id}\n\n{row.what}.\n"
    if row.reason:
        yield f"**Not met:** {row.reason}.\n"
    if row.note:
        yield f"*{row.note}*\n"
    lines = list(lines_of_tests(row, state))
    if lines:
        yield "\n".join([TESTS, *lines, ""])


def _summary(rows: Sequence[Row], state: State) -> str:
    removed = [removal for guard in state.guards if (removal := state.removal(guard))]
    dates = ", ".join(sorted({removal.date for removal in removed}))
    tests = {(mark.file, mark.test) for mark in state.marks}
    failed = {function for guard in state.guards if state.caught([guard]) for function in guard.functions}
    return (
        f"{len(rows)} invariants: {sum(bool(state.tests_of(row.id)) for row in rows)} with tests, "
        f"{sum(bool(state.guards_of(row.id)) for row in rows)} with guards that can be removed, "
        f"{sum(bool(row.reason) for row in rows)} not met as written. "
        f"{len(state.guards)} guards: {len(removed)} removed ({dates}), {state.caught(state.guards)} of them caught. "
        f"{len(tests)} test functions: {len(tests & failed)} seen to fail."
    )


def main(paths: list[Path]) -> None:
    """Write the document from the runs in these files."""
    guards = list(load_guards().values())
    state = State(marked_tests("invariant"), guards, load_kept(), read_results(paths))
    DOCUMENT.write_text(render(load_rows(), state, describe(paths, DOCUMENT, RESULTS)))


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
