"""Everything that is measured, each in a temporary directory."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial

from bench.revoke.latency import Latencies, time_revocations
from bench.revoke.mass import Mass, revoke_many
from bench.revoke.place import Place, made
from bench.revoke.work import Work, cycling, idle, importing

__all__ = ["MASS", "NAMES", "USUAL", "Measured", "Plan", "measure"]

MASS = "mass"
USUAL = ("idle", "batch", "import")
NAMES = (*USUAL, MASS)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    certificates: int = 500_000  # signed in one cycle, each for two CertIDs
    revocations: int = 1_000  # of each row
    workers: int = 2  # that answer
    imported: int = 1_000_000  # rows of an import
    mass: int = 0  # revoked at once
    rows: tuple[str, ...] = USUAL

    @property
    def page_bits(self) -> int:
        """For pages of eight to begin with: imports fill them."""
        return (self.certificates // 8).bit_length()


@dataclass(slots=True)
class Measured:
    """What came of a plan."""

    plan: Plan
    latencies: list[Latencies] = field(default_factory=list)
    mass: Mass | None = None


def measure(plan: Plan, say: Say) -> Measured:
    """Carry out the plan. Nothing is left behind. Raises Failed."""
    measured = Measured(plan)
    rows = [row for row in plan.rows if row != MASS]
    if rows:
        measured.latencies += _latencies(plan, rows, say)
    if MASS in plan.rows:
        say(f"{plan.mass:,} certificates: imported and signed, then all of them revoked")
        measured.mass = revoke_many(plan.mass, say)
    return measured


def _latencies(plan: Plan, rows: list[str], say: Say) -> Iterator[Latencies]:
    say(f"{plan.certificates:,} certificates: import, signing")
    wanted = plan.revocations * len(rows)
    with made(plan.certificates, min(2 * wanted, plan.certificates), plan.page_bits) as place:
        good = [one.serial for one in place.drawn if not one.revoked][:wanted]
        with place.signer(), place.workers(plan.workers) as workers:
            for number, row in enumerate(rows):
                say(f"{row}: {plan.revocations:,} revocations")
                serials = good[number * plan.revocations : (number + 1) * plan.revocations]
                with _works(plan)[row](place) as ready:
                    yield time_revocations(row, place, workers, serials, ready)


def _works(plan: Plan) -> dict[str, Callable[[Place], AbstractContextManager[Work]]]:
    """By row."""
    return {"idle": idle, "batch": cycling, "import": partial(importing, rows=plan.imported)}
