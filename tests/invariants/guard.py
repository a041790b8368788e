"""The table of guards: pieces of the product, what they become when they are removed, and tests that must fail then.

A file of `guards` has those of one group of invariants. An entry is named by its invariant and what it stands against:

    [A1-an-older-page-is-refused]
    file = "store/functions.lua"
    old = "if not is_newer(stamp, present) then"   # octet for octet, once in the file
    new = "if false then"
    tests = ["tests/store/test_functions.py::test_order_of_pages_and_records"]

and where they are needed:

    also = ["C3"]                # other invariants of which these tests show the same
    raises = ["RecordDamaged"]   # what tests may fail by, if it is not an assertion
    modules = ["page"]           # to be built, if the file is a .pxd or .h; a .pyx always is
    hangs = true                 # the tests do not end without it

A guard in several places has a table `[[NAME.edits]]` with file, old and new for each. Of a test that is named without
`[...]` one case has to fail.
"""

import hashlib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Edit", "Guard", "load_guards", "selected"]

TABLE = Path(__file__).with_name("guards")


@dataclass(frozen=True, slots=True)
class Edit:
    """A file below the root, a text that is in it once, and what it becomes."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Guard:
    """An entry of the table."""

    name: str
    invariants: tuple[str, ...]
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]
    raises: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    hangs: bool = False

    @property
    def title(self) -> str:
        """Its name in words, without the invariant."""
        return self.name.partition("-")[2].replace("-", " ")

    @property
    def functions(self) -> set[tuple[str, str]]:
        """File and function (or class) of each of its tests."""
        return {_function(test) for test in self.tests}

    @property
    def digest(self) -> str:
        """Of what is removed and what fails then: a result is of one digest."""
        return hashlib.sha256(repr((self.edits, self.tests)).encode()).hexdigest()[:16]


def load_guards(table: Path = TABLE) -> dict[str, Guard]:
    """All guards by name, group by group. Raises ValueError for a name that comes twice."""
    guards: dict[str, Guard] = {}
    for path in sorted(table.glob("*.toml")):
        for name, fields in tomllib.loads(path.read_text()).items():
            if name in guards:
                raise ValueError(f"{path.name}: there are two guards {name}")
            guards[name] = _guard(name, fields)
    return guards


def selected(guards: Iterable[Guard], words: Iterable[str]) -> Iterator[Guard]:
    """Those of a group (`A`), of an invariant (`A1`) or of a name; all for no words."""
    wanted = {*words}
    for guard in guards:
        names = {guard.name, *guard.invariants, *(invariant[0] for invariant in guard.invariants)}
        if not wanted or names & wanted:
            yield guard


def _guard(name: str, fields: Mapping[str, Any]) -> Guard:
    edits = fields.get("edits") or [{key: fields[key] for key in ("file", "old", "new")}]
    return Guard(
        name,
        (name.partition("-")[0], *fields.get("also", ())),
        tuple(Edit(**edit) for edit in edits),
        tuple(fields["tests"]),
        tuple(fields.get("raises", ())),
        tuple(fields.get("modules", ())),
        fields.get("hangs", False),
    )


def _function(test: str) -> tuple[str, str]:
    file, name, *_ = test.partition("[")[0].split("::")
    return file, name
