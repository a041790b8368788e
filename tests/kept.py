"""What long tests found, for those who were not there: with OCSPEED_KEEP=1 in the environment, as JSON in bench/results."""

import json
import os
from datetime import date
from pathlib import Path
from typing import Any

from bench.environment import environment

__all__ = ["keep"]

RESULTS = Path(__file__).parents[1] / "bench" / "results"


def keep(name: str, case: str, found: dict[str, Any]) -> None:
    """Into bench/results/NAME-DATE.json, beside the other cases of the day."""
    if not os.environ.get("OCSPEED_KEEP"):
        return
    path = RESULTS / f"{name}-{date.today()}.json"
    cases = json.loads(path.read_text())["cases"] if path.exists() else {}
    path.write_text(json.dumps(environment() | {"cases": cases | {case: found}}, indent=1) + "\n")
