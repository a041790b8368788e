"""Group commit: what requests want of the ledger while one commit is synced to disk goes into the next one together."""

import queue
import threading
from concurrent.futures import Future
from types import TracebackType
from typing import NamedTuple, Self

import structlog

from signer.ledger.deeds import Deed, Result, Revoke
from signer.ledger.errors import LedgerError
from signer.ledger.ledger import Ledger
from store.clock import Clock

__all__ = ["Committer"]

GROUP = 1_000  # items a commit: about 50 ms at most

log = structlog.get_logger()


class _Waiting(NamedTuple):
    deed: Deed
    done: "Future[list[Result]]"


class Committer:
    """One thread that writes. Use as a context manager: leaving it carries out what was submitted before."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.put(None)
        self._thread.join()

    def submit(self, deed: Deed) -> "Future[list[Result]]":
        """Results come once they are durable, or LedgerError. Cancelled in time nothing is done."""
        done: Future[list[Result]] = Future()
        self._queue.put(_Waiting(deed, done))
        return done

    def _run(self) -> None:
        going = True
        while going:
            group, going = self._take()
            wanted = [one for one in group if one.done.set_running_or_notify_cancel()]
            if wanted:
                self._commit(wanted)

    def _take(self) -> tuple[list[_Waiting], bool]:
        """What waits, up to a group; and whether more may come."""
        group: list[_Waiting] = []
        one = self._queue.get()
        size = 0
        while one is not None:
            group.append(one)
            size += len(one.deed.items)
            if size >= GROUP:
                return group, True
            try:
                one = self._queue.get_nowait()
            except queue.Empty:
                return group, True
        return group, False

    def _commit(self, group: list[_Waiting]) -> None:
        try:
            deeds = [one.deed for one in group]
            results = self._ledger.carry_out(deeds, max(self._clock.now(), *map(_newest, deeds)))
        except Exception as error:
            if not isinstance(error, LedgerError):
                log.exception("intake failed")
            for one in group:
                one.done.set_exception(error)
            return
        for one, result in zip(group, results, strict=True):
            one.done.set_result(result)


def _newest(deed: Deed) -> int:
    """The newest time that it says: a clock set back since it was read is no reason to refuse it."""
    return max((one.revocation_time for one in deed.items), default=0) if isinstance(deed, Revoke) else 0
