from collections.abc import Callable, Sequence
from typing import Any, final

from _fastpath.tally import Tally

class Command:
    """A command under way. `take` gets its reply, unless `fail` told before why there will be none; after a
    deadline has passed it may get both, `fail` first."""

    request: bytes  # as it goes over the wire; not to be changed
    deadline: float  # loop time
    sent_at: float  # loop time

    def __init__(self, request: bytes, deadline: float) -> None: ...
    def take(self, reply: Any, now: float) -> None:
        """The reply was read at `now`. Raises TypeError for a reply of a type that the command cannot have."""

    def fail(self, cause: Any) -> None: ...

class Surprise(Exception):
    """The server sent what no command asked for."""

@final
class ReplyQueue:
    """The commands of one connection that have no reply yet, in the order they were sent. Times are loop times.

    `flush` is called when commands begin to gather, `arm` to have `overdue` called at a loop time; no more than `room`
    commands wait. `invalidated` is told the keys of an invalidation, None for all; `refused` an error of the server; `slot` and
    `bounds` are those of the histogram that waits for replies are counted in.
    """

    def __init__(
        self,
        *,
        flush: Callable[[], object],
        arm: Callable[[float], None],
        invalidated: Callable[[list[bytes] | None], None],
        refused: Callable[[str], None],
        room: int,
        tally: Tally,
        slot: int,
        bounds: Sequence[float],
    ) -> None: ...
    def __len__(self) -> int: ...
    @property
    def under_way(self) -> int:
        """How many commands were taken to be written and have no reply."""

    @property
    def oldest(self) -> float | None:
        """When the oldest command without a reply was queued."""

    def submit(self, command: Command, now: float) -> Any:
        """Queue a command. The cause why it cannot be, else None."""

    def put(self, command: Command, now: float) -> None:
        """The same, however many wait already."""

    def take_outgoing(self) -> bytes:
        """The commands that gathered, to be written now."""

    def feed(self, data: bytes, now: float) -> None:
        """Hand out the replies in what was read at `now`. Raises Surprise, after which the queue is of no use."""

    def overdue(self, now: float) -> None:
        """Fail those whose deadline has come; they stay queued, so that replies keep their places."""

    def close(self, cause: Any) -> None:
        """Fail everybody who waits with this cause; no reply is handed out any more."""
