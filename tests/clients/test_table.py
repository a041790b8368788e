"""docs/clients.md says what the clients did in this run. Last of its folder, for what it compares is made by the others.

With OCSPEED_WRITE_TABLES=1 the tables are written instead: `OCSPEED_WRITE_TABLES=1 pytest -m "" tests/clients`.
"""

import os

import pytest

from tests.clients.report import DOCUMENT, Report, committed, without_versions
from tests.clients.wire import CAPTURED, DIGESTS, FROM_SOURCE, Shape

MEASURED = ("asking", "stapling", "crls")


def add_shape(report: Report, shape: Shape, seen: str) -> None:
    """One row of the table of requests."""
    headers = "; ".join(f"`{line}`" for line in shape.headers)
    below = f", behind `{shape.path}`" if shape.path.endswith("//") else ""
    left = f", `{' '.join(shape.plain)}` unescaped" if shape.plain else ""
    report.add(
        "wire",
        shape.client,
        ", ".join(shape.rows) or "—",
        f"{shape.method}, HTTP/{shape.version}{below}{left}",
        headers,
        DIGESTS[shape.digest],
        shape.extensions,
        seen,
    )


@pytest.fixture(scope="module")
def complete(report: Report) -> Report:
    """With the rows that need no run."""
    for seen, shapes in (("captured", CAPTURED), ("source", FROM_SOURCE)):
        for shape in shapes.values():
            add_shape(report, shape, seen)
    return report


def test_requests_are_documented(complete: Report) -> None:
    if "OCSPEED_WRITE_TABLES" not in os.environ:
        assert committed(DOCUMENT.read_text(), "wire") == complete.table("wire")


@pytest.mark.slow
def test_the_document_is_of_this_run(complete: Report) -> None:
    """Outcomes, not versions. Needs the whole folder to have run."""
    assert all(complete.rows[name] for name in MEASURED), "run all of tests/clients, not this test alone"
    if "OCSPEED_WRITE_TABLES" in os.environ:
        DOCUMENT.write_text(complete.written_into(DOCUMENT.read_text()))
    document = DOCUMENT.read_text()
    for name in MEASURED:
        assert without_versions(committed(document, name)) == without_versions(complete.table(name)), name
