"""Each guard of the table is taken out of a copy of the tree: the tests that are named for it fail there, and only so."""

from pathlib import Path

import pytest

from tests.invariants.guard import load_guards
from tests.invariants.removal import copy_tree, run_tests, try_without

pytestmark = pytest.mark.slow

GUARDS = load_guards()


@pytest.mark.parametrize("name", GUARDS)
def test_without_its_guard_a_test_fails(name: str, tmp_path: Path) -> None:
    found = try_without(GUARDS[name], tmp_path)
    assert found.all_are("failed"), f"{found.outcomes}\n{found.output}"


def test_in_a_copy_with_all_guards_they_pass(tmp_path: Path) -> None:
    """Else a test could fail without its guard for being run in a copy."""
    copy_tree(tmp_path)
    tests = sorted({test for guard in GUARDS.values() for test in guard.tests})
    found = run_tests(tests, tmp_path, limit=3600)
    assert found.all_are("passed"), f"{found.outcomes}\n{found.output}"
