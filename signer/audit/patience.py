"""Looking again at what differs: what others change meanwhile is no finding."""

import time
from collections.abc import Callable, Iterable

from signer.audit.report import Finding

__all__ = ["Patience"]

PAUSES = (0.0, 0.2, 1.0)  # seconds before each further look
MOST = 20.0  # seconds of pauses in all: where everything differs, nobody waits for each


class Patience:
    """What is left of it. `pause` waits for some seconds."""

    def __init__(self, pause: Callable[[float], None] = time.sleep) -> None:
        self._pause = pause
        self._left = MOST

    def settled(self, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
        """What is found at the last look, at the first one that finds nothing, or when patience is at its end."""
        found = list(look())
        for seconds in PAUSES:
            if not found:
                break
            if seconds and self._left > 0:
                self._left -= seconds
                self._pause(seconds)
            found = list(look())
        return found
