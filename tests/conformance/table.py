"""Makes docs/conformance.md: which tests show which row of rows.toml, and how they went in a run of pytest.

In one go, `make conformance`:

    pytest -m "slow or not slow" --junitxml=build/conformance.xml
    python -m tests.conformance.table build/conformance.xml

In pieces, as far as the machine allows; of a test that ran several times the last run counts:

    pytest -m "not slow" --junitxml=build/conformance/fast.xml
    for part in clients conformance fastpath integration property proxies responder signer store; do
        pytest -m slow tests/$part --junitxml=build/conformance/slow-$part.xml
    done
    pytest -m "slow or not slow" tests/conformance/test_objects.py --junitxml=build/conformance/again.xml
    python -m tests.conformance.table build/conformance/*.xml

The marks are read from the sources, so that the table is the same whichever tests a run selected. When tests and
marks were added since, only those need to run: the last line alone makes the document fresh.
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.marks import ROOT, Shown, link, marked_tests
from tests.runs import Results, describe, read_results, worst

__all__ = ["DOCUMENT", "GROUPS", "Row", "cells", "load_rows", "table_lines"]

ROWS = Path(__file__).with_name("rows.toml")
DOCUMENT = ROOT / "docs" / "conformance.md"
GROUPS = {
    "Q": "OCSP requests",
    "R": "OCSP responses",
    "H": "HTTP",
    "D": "Delegated responder certificates",
    "A": "Signature algorithms",
    "C": "CRL content",
    "U": "CRL publication",
    "P": "Root programs",
    "K": "Clients",
}
STRENGTHS = {"M": "must", "S": "should", "O": "optional", "P": "project"}
HEADING = """\
# Conformance

Every rule that the service is held to, and the tests that show it. Made by `make conformance` out of
`tests/conformance/rows.toml`, of the marks `@pytest.mark.conformance(...)` in the tests, and of the run that
the last column tells of; not written by hand. A row without a test says why.

*must* and *should* are those of the source named; *optional* rows hold if the thing is built; *project* rows keep
several others true at once, or are what deployed clients need. BR: TLS Baseline Requirements 2.2.6; MRSP: Mozilla
Root Store Policy 3.1; CCADB: CCADB Policy 2.1; MS: Microsoft Trusted Root Program; Apple and Chrome: their root
program policies. *proxy* marks rows of which a part is up to what stands in front of the service.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One rule. `reason` is given when no test shows it, `note` when its tests leave something out."""

    id: str
    strength: str
    title: str
    source: str
    reason: str = ""
    note: str = ""
    proxy: bool = False


def load_rows(path: Path = ROWS) -> list[Row]:
    """All rows in their order."""
    return [Row(id=name, **fields) for name, fields in tomllib.loads(path.read_text()).items()]


# The document


def table_lines(rows: Iterable[Row], marks: Iterable[Shown], results: Results) -> Iterator[str]:
    """A line of the table for every row."""
    shown: dict[str, list[Shown]] = {}
    for mark in marks:
        shown.setdefault(mark.row, []).append(mark)
    for row in rows:
        tests = shown.get(row.id, [])
        strength = STRENGTHS[row.strength] + (", proxy" if row.proxy else "")
        what = [row.title, f"<br>{row.source}", f"<br>*{row.note}*" if row.note else ""]
        proof = "<br>".join(link(test) for test in tests) or row.reason
        yield f"| {row.id} | {strength} | {''.join(what)} | {proof} | {worst(tests, results) or '—'} |"


def cells(document: str) -> list[list[str]]:
    """The table of a document without the results."""
    lines = re.findall(r"^\| [A-Z]-\d\d \|.*$", document, re.MULTILINE)
    return [line.split(" | ")[:-1] for line in lines]


def render(rows: list[Row], marks: list[Shown], results: Results, run: str) -> str:
    """The whole document."""
    tested = {mark.row for mark in marks}
    parts = [
        HEADING,
        f"{len(rows)} rows: {len(tested)} with tests, {len(rows) - len(tested)} with a reason. {run}\n",
    ]
    for letter, title in GROUPS.items():
        group = [row for row in rows if row.id.startswith(letter)]
        parts.append(
            f"## {title}\n\n| id | strength | what | tests | result |\n| --- | --- | --- | --- | --- |"
        )
        parts.append("\n".join(table_lines(group, marks, results)) + "\n")
    return "\n".join(parts)


def main(paths: list[Path]) -> None:
    """Write the document from the runs in these files."""
    DOCUMENT.write_text(
        render(load_rows(), marked_tests("conformance"), read_results(paths), describe(paths, DOCUMENT))
    )


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
