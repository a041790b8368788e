"""What is compared of two answers: each field's name, and whether answers that differ in it disagree."""

from collections.abc import Iterable
from dataclasses import dataclass

from store.errors import UsageError

__all__ = ["FIELDS", "TIMES", "Choice", "Value"]

Value = str | int | None  # times are seconds since 1970

# What a client can go wrong by. Answers that differ here disagree, unless told otherwise.
VERDICT = (
    "transport",  # connection refused, no answer in time
    "http_status",
    "content_type",
    "response_status",
    "cert_id",  # all four parts; a fault where it is not one that was asked for
    "cert_status",
    "revocation_time",
    "reason",
    "in_force",  # now is within thisUpdate and nextUpdate
    "signature",  # with --ca alone; a fault where it is not valid
)
# What two responders may well do differently. Told, and no more.
TOLD = (
    "this_update",
    "next_update",
    "produced_at",
    "responder_id",
    "signature_algorithm",
    "certificates",
    "extensions",
    "single_responses",
    "cache_control",
    "max_age",
    "validators",
)
FIELDS = VERDICT + TOLD
TIMES = frozenset({"revocation_time", "this_update", "next_update", "produced_at", "max_age"})


@dataclass(frozen=True, slots=True)
class Choice:
    """Which fields disagree when they differ, and from how many seconds on those in `TIMES` do."""

    verdict: frozenset[str]
    tolerance: int = 0

    @classmethod
    def of(cls, ignore: Iterable[str], require: Iterable[str], tolerance: int) -> "Choice":
        """Raises UsageError for what is no field."""
        for name in (*ignore, *require):
            if name not in FIELDS:
                raise UsageError(f"{name}: not a field", remedy="one of " + ", ".join(FIELDS))
        return cls(frozenset(VERDICT) - frozenset(ignore) | frozenset(require), tolerance)

    def differ(self, name: str, left: Value, right: Value) -> bool:
        if name in TIMES and isinstance(left, int) and isinstance(right, int):
            return abs(right - left) > self.tolerance
        return left != right
