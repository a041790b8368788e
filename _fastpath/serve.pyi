from collections.abc import Callable, Sequence
from typing import Protocol, final

from _fastpath.cache import Cache
from _fastpath.lookup import StatusSource
from _fastpath.tally import Tally

class _Slot(Protocol):
    def __call__(self, name: str, /, *labels: str) -> int: ...

class Counts:
    """Where the fast path counts.

    `slot` finds the slot of a metric with label values, `bounds` a histogram's; `causes` are those of tryLater.
    """

    def __init__(
        self, tally: Tally, slot: _Slot, bounds: Callable[[str], Sequence[float]], causes: Sequence[str]
    ) -> None: ...

@final
class FastPath:
    """One worker's fast path. Limits are in octets; the prefix is that of the path."""

    def __init__(
        self,
        source: StatusSource,
        counts: Counts,
        *,
        failed: Callable[[], None],
        prefix: bytes,
        head_limit: int,
        body_limit: int,
    ) -> None: ...
    @property
    def failed(self) -> Callable[[], None]:
        """Called while an exception is handled that nobody foresaw; the request goes the slow path."""

    @property
    def cache(self) -> Cache: ...
    @property
    def answered(self) -> int:
        """Requests, so far."""
