from collections.abc import Callable, Sequence
from typing import Literal, Protocol, final

from _fastpath.cache import Cache
from _fastpath.lookup import StatusSource
from _fastpath.tally import Tally

class _Slot(Protocol):
    def __call__(self, name: str, /, *labels: str) -> int: ...

class _Waiting(Protocol):
    def settled(self, exchange: Exchange, answer: bytes | None) -> None: ...

class Counts:
    """Where the fast path counts.

    `slot` finds the slot of a metric with label values, `bounds` a histogram's; `causes` are those of tryLater.
    """

    def __init__(
        self, tally: Tally, slot: _Slot, bounds: Callable[[str], Sequence[float]], causes: Sequence[str]
    ) -> None: ...

@final
class Exchange:
    """A request whose answer waits for the store."""

    closes: bool  # whether the connection ends with the answer
    left: bool  # set when the client left: nobody is told then
    @property
    def size(self) -> int:
        """Octets of the request."""

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
    def size(self) -> int:
        """Octets of the request last answered or begun, or of the POST that has to be awaited."""

    @property
    def closes(self) -> bool:
        """Whether the connection ends with the answer last given."""

    @property
    def answered(self) -> int:
        """Requests, so far."""

    def respond(self, protocol: _Waiting, data: bytes, start: int) -> bytes | Exchange | Literal[False] | None:
        """Answer the request that begins at `start`.

        The HTTP answer; or an Exchange, of which `protocol` will be told; or False for a POST of which `size` octets
        are to be awaited first; or None for what the slow path must have. Nothing is kept of what is not answered.
        """
