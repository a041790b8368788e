"""What became of guards that were removed, as it is kept in results.json for docs/invariants.md."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.invariants.guard import Guard
from tests.invariants.removal import Found
from tests.runs import commit

__all__ = ["RESULTS", "Kept", "keep", "load_kept"]

RESULTS = Path(__file__).with_name("results.json")


@dataclass(frozen=True, slots=True)
class Kept:
    """One removal: of which entry of the table, where, when, and how the tests went."""

    digest: str
    commit: str
    date: str
    outcomes: dict[str, str]

    @property
    def caught(self) -> bool:
        """Whether all tests failed, as they should."""
        return set(self.outcomes.values()) == {"failed"}


def load_kept(path: Path = RESULTS) -> dict[str, Kept]:
    """All that is kept, by the name of the guard."""
    if not path.exists():
        return {}
    return {name: Kept(**fields) for name, fields in json.loads(path.read_text()).items()}


def keep(guard: Guard, found: Found, path: Path = RESULTS) -> None:
    """Put what was found in the place of what is kept of this guard."""
    kept = load_kept(path)
    kept[guard.name] = Kept(guard.digest, commit(RESULTS), f"{datetime.now(UTC):%Y-%m-%d}", found.outcomes)
    lines = {name: asdict(kept[name]) for name in sorted(kept)}
    path.write_text(json.dumps(lines, indent=1) + "\n")
