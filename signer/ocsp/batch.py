"""Many pages over a pool of processes, each with its own key, ledger reader and store connection."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
)
from pathlib import Path
from types import TracebackType
from typing import Self

from signer.context import Context
from signer.errors import WorkersLost
from signer.ocsp.pages import PageSigner, Tally
from signer.ocsp.schedule import PageRange, split
from store.clock import Clock

__all__ = ["CHUNK_PAGES", "Pool"]

CHUNK_PAGES = 16  # about 2,000 signatures: a tenth of a second, and far from the 255 s a record allows


class _Worker:
    """What one process or thread signs with, opened at its first chunk."""

    def __init__(self, config_file: Path, clock: Clock | None = None) -> None:
        self._config_file = config_file
        self._clock = clock
        self._context: Context | None = None
        self._signers: dict[str, PageSigner] = {}

    def sign(self, issuer: str, pages: PageRange) -> Tally:
        if issuer not in self._signers:
            self._signers[issuer] = self._opened().page_signer(issuer)
        return self._signers[issuer].sign_range(pages)

    def _opened(self) -> Context:
        if self._context is None:
            self._context = Context.open(self._config_file, self._clock)
        return self._context

    def close(self) -> None:
        if self._context is not None:
            self._context.close()


_worker: _Worker | None = None  # of a process of the pool


def _start_worker(config_file: Path) -> None:
    """Ctrl-C reaches every process of a terminal: only the parent acts on it, and ends these.

    SIGTERM ends a worker: so the executor clears away what is left of a pool of which one process was killed, and
    would wait for ever for one that does not go.
    """
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = _Worker(config_file)


def _end_with_parent() -> None:
    """A killed parent closes no queue that its workers would notice."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _sign(issuer: str, pages: PageRange) -> Tally:
    assert _worker is not None
    return _worker.sign(issuer, pages)


class Pool:
    """Signs page ranges of any issuer. With one worker it stays in this process, on a thread of its own.

    `clock` is for that thread; processes read the machine's.
    """

    def __init__(self, config_file: Path, workers: int, clock: Clock | None = None) -> None:
        self._thread_worker = _Worker(config_file, clock) if workers == 1 else None
        self._config_file = config_file
        self._workers = workers
        self._executor = self._start()

    def _start(self) -> Executor:
        if self._thread_worker is not None:
            return ThreadPoolExecutor(1, thread_name_prefix="sign")
        # Spawned, not forked: a forked child would share key handles and connections (invariant G4).
        return ProcessPoolExecutor(
            self._workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(self._config_file,),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)
        if self._thread_worker is not None:
            self._thread_worker.close()

    def submit(self, issuer: str, pages: PageRange) -> Future[Tally]:
        """Its result raises BrokenExecutor when a process of the pool was killed; the next call starts new ones."""
        work = _sign if self._thread_worker is None else self._thread_worker.sign
        try:
            return self._executor.submit(work, issuer, pages)
        except BrokenExecutor:
            self._executor.shutdown(wait=True)
            self._executor = self._start()
            return self._executor.submit(work, issuer, pages)

    def sign(self, issuer: str, ranges: Iterable[PageRange], progress: Callable[[int], None]) -> Tally:
        """Sign all of `ranges`; `progress` is told how many pages each finished chunk had. Raises WorkersLost."""
        chunks = [chunk for whole in ranges for chunk in split(whole, CHUNK_PAGES)]
        futures = {self.submit(issuer, chunk): len(chunk) for chunk in chunks}
        total = Tally()
        for future in as_completed(futures):
            try:
                total.add(future.result())
            except BrokenExecutor:
                raise WorkersLost from None
            progress(futures[future])
        return total
