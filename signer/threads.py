"""Work beside the main loop of `ocsp-signer run`."""

import threading
from collections.abc import Callable

__all__ = ["Beside"]


class Beside(threading.Thread):
    """A thread. If its work fails, everything stops: half a signer would go unnoticed for days."""

    def __init__(self, name: str, work: Callable[[], None], stop: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self._stop_all = stop
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self.failure = error
            self._stop_all.set()

    def check(self) -> None:
        """Raises what it failed with."""
        if self.failure is not None:
            raise self.failure
