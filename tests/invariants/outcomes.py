"""A plugin of pytest: how each test went and by which kinds of exceptions it failed, as lines of JSON in a file."""

import json
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

__all__ = ["ASSERTION", "VARIABLE"]

VARIABLE = "OCSPEED_OUTCOMES"  # names the file
ASSERTION = "assertion"  # of all kinds the one that says what a test expected


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" or not report.passed:
        kinds = sorted(set(_kinds(call.excinfo.value))) if call.excinfo and report.failed else []
        line = {"test": item.nodeid, "when": report.when, "outcome": report.outcome, "kinds": kinds}
        with Path(os.environ[VARIABLE]).open("a") as file:
            file.write(json.dumps(line) + "\n")
    return report


def _kinds(error: BaseException) -> Iterator[str]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _kinds(each)
    elif isinstance(error, AssertionError | pytest.fail.Exception):
        yield ASSERTION
    else:
        yield type(error).__name__
