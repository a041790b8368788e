"""Whether an answer may be sent now: the last check, made when it is sent and not before."""

from _fastpath.page import Answer
from responder.errors import TryLater

__all__ = ["MARGIN", "check_times"]

MARGIN = 60  # seconds: nothing is sent that close to nextUpdate (R-11, B1)


def check_times(answer: Answer, now: int) -> None:
    """Raise TryLater unless the answer is valid at `now`, seconds since 1970.

    No allowance is made for a signer's clock ahead of ours (R-06): what is not yet valid is not yet sent.
    """
    if now >= answer.next_update - MARGIN:
        raise TryLater("expired")
    if answer.this_update > now or answer.produced_at > now:
        raise TryLater("not_yet_valid")
