from collections.abc import Callable, Sequence
from typing import Any, final

from _fastpath.lookup import Command
from _fastpath.tally import Tally

class Surprise(Exception):
    """The server sent what no command asked for."""

@final
class ReplyQueue:
    """The commands of one connection that have no reply yet, in the order they were sent. Times are loop times.

    `invalidated` is told the keys of an invalidation, None for all; `refused` an error of the server; `slot` and
    `bounds` are those of the histogram that waits for replies are counted in.
    """

    def __init__(
        self,
        *,
        invalidated: Callable[[list[bytes] | None], None],
        refused: Callable[[str], None],
        tally: Tally,
        slot: int,
        bounds: Sequence[float],
    ) -> None: ...
    def __len__(self) -> int: ...
    @property
    def oldest(self) -> float | None:
        """When the oldest command without a reply was queued."""

    def put(self, command: Command) -> None:
        """The command that was sent last."""

    def feed(self, data: bytes, now: float) -> None:
        """Hand out the replies in what was read at `now`. Raises Surprise, after which the queue is of no use."""

    def overdue(self, now: float) -> float | None:
        """Fail those whose deadline has come; they stay queued, so that replies keep their places.

        Returns the next deadline, or None.
        """

    def close(self, cause: Any) -> None:
        """Fail everybody who waits with this cause; no reply is handed out any more."""
