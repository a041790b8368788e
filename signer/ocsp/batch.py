"""Many pages over a pool of processes, each with its own key, ledger reader and store connection."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    BrokenExecutor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
)
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Self

from signer.context import Context
from signer.errors import ResponderChanged, WorkersLost
from signer.ledger.values import Layout
from signer.ocsp.pages import Pages, Tally
from signer.ocsp.schedule import PageRange
from signer.steady import FollowingClock, SteadyClock
from store.clock import Clock

__all__ = ["CHUNK_PAGES", "Pool", "Terms", "chunks_of"]

CHUNK_PAGES = 16  # about 2,000 signatures: a tenth of a second, and far from the 255 s a record allows


@dataclass(frozen=True, slots=True)
class Terms:
    """How an issuer's pages are signed: as its responders were told, and for the primary that they are told by."""

    issuer: str
    slot: int  # of the template
    layout: Layout
    primary: bytes  # its replication id
    keeps: bool = True  # last responses as they are stored, unless the store lost some


def chunks_of(ranges: Iterable[PageRange], workers: int) -> Iterator[PageRange]:
    """All of `ranges` in chunks of at most CHUNK_PAGES, smaller ones last: so all workers end at about the same time."""
    whole = list(ranges)
    left = sum(map(len, whole))
    for pages in whole:
        first = pages.first
        while first <= pages.last:
            size = max(1, min(CHUNK_PAGES, left // workers, pages.last - first + 1))
            yield PageRange(first, first + size - 1)
            first += size
            left -= size


class _Worker:
    """What one process or thread signs with, opened at its first chunk."""

    def __init__(self, config_file: Path, clock: Clock | None = None) -> None:
        self._config_file = config_file
        self._clock = clock
        self._context: Context | None = None
        self._signers: dict[str, Pages] = {}

    def sign(self, terms: Terms, pages: PageRange) -> Tally:
        """Raises ResponderChanged where template or layout would be others, StoreError where the primary would."""
        context = self._opened()
        context.require_primary(terms.primary)
        signer = self._signers.get(terms.issuer)
        if signer is None or not _agrees(signer, terms):
            signer = self._signers[terms.issuer] = context.pages(terms.issuer)
        if not _agrees(signer, terms):
            raise ResponderChanged(terms.issuer)
        began = context.clock.monotonic()
        tally = signer.sign_range(pages, keeps=terms.keeps)
        tally.seconds.append(context.clock.monotonic() - began)
        return tally

    def _opened(self) -> Context:
        if self._context is None:
            # The pool's owner sees to the embedded store: here, nobody would notice that it has to be started again.
            self._context = Context.open(self._config_file, self._clock, starts_store=False)
        return self._context

    def close(self) -> None:
        if self._context is not None:
            self._context.close()


def _agrees(signer: Pages, terms: Terms) -> bool:
    return (signer.slot, signer.issuer.layout) == (terms.slot, terms.layout)


_worker: _Worker | None = None  # of a process of the pool
_clock: FollowingClock | None = None  # that it goes by


def _start_worker(config_file: Path, clock: Clock | None, held: Connection) -> None:
    """Ctrl-C reaches every process of a terminal: only the parent acts on it, and ends these.

    SIGTERM ends a worker: so the executor clears away what is left of a pool of which one process was killed.
    """
    global _worker, _clock
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])  # blocked by `_interrupts_held`
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_leave_when_let_go, args=(held,), daemon=True).start()
    _clock = FollowingClock(clock)
    _worker = _Worker(config_file, _clock)


def _leave_when_let_go(held: Connection) -> None:
    """The parent let go of the pool, or was killed."""
    wait([held])
    os._exit(1)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """A process started meanwhile has SIGINT blocked, so that none ends it before it can ignore them.

    The resource tracker of multiprocessing, which comes with the first process, would lift the block.
    """
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _sign(trusted: float | None, terms: Terms, pages: PageRange) -> Tally:
    assert _worker is not None and _clock is not None
    _clock.trusted = trusted
    return _worker.sign(terms, pages)


class _Processes:
    """An executor whose processes leave when it is closed, whatever has become of it.

    A process that the executor starts in the moment in which it finds another one dead is not ended by it, but waited
    for. So each watches a pipe of which this process has the other end.
    """

    def __init__(self, config_file: Path, workers: int, clock: Clock | None) -> None:
        self._steady = clock if isinstance(clock, SteadyClock) else None
        machine = self._steady.machine if self._steady is not None else clock
        self._watched, self._held = multiprocessing.Pipe(duplex=False)
        # Spawned, not forked: a forked child would share key handles and connections (invariant G4).
        self._executor = ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(config_file, machine, self._watched),
        )

    def submit(self, terms: Terms, pages: PageRange) -> Future[Tally]:
        trusted = self._steady.trusted if self._steady is not None else None
        with _interrupts_held():  # the executor starts its processes here, as it needs them
            return self._executor.submit(_sign, trusted, terms, pages)

    def close(self) -> None:
        """What is under way ends as in a crash: its pages are signed another time."""
        self._held.close()
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._watched.close()


class _Thread:
    """The same on one thread of this process, which finishes what it is at."""

    def __init__(self, config_file: Path, clock: Clock | None) -> None:
        self._worker = _Worker(config_file, clock)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="sign")

    def submit(self, terms: Terms, pages: PageRange) -> Future[Tally]:
        return self._executor.submit(self._worker.sign, terms, pages)

    def close(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._worker.close()


class Pool:
    """Signs page ranges of any issuer. With one worker it stays in this process, on a thread of its own.

    Without `clock` it goes by the machine's. That of a SteadyClock goes to the processes, which look for jumps too.
    """

    def __init__(self, config_file: Path, workers: int, clock: Clock | None = None) -> None:
        self._config_file = config_file
        self._workers = workers
        self._clock = clock
        self._signers = self._start()

    def _start(self) -> _Processes | _Thread:
        if self._workers == 1:
            return _Thread(self._config_file, self._clock)
        return _Processes(self._config_file, self._workers, self._clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._signers.close()

    @property
    def places(self) -> int:
        """Chunks of one issuer to be with the pool at once: enough to keep it busy, and no more wait for each other."""
        return max(4, 2 * self._workers)

    def submit(self, terms: Terms, pages: PageRange) -> Future[Tally]:
        """Sign `pages` of an issuer.

        Its result raises BrokenExecutor when a process of the pool was killed; the next call starts new ones.

        Raises WorkersLost if those are killed as well, ClockStopped.
        """
        try:
            return self._signers.submit(terms, pages)
        except BrokenExecutor:
            self._signers.close()
            self._signers = self._start()
        try:
            return self._signers.submit(terms, pages)
        except BrokenExecutor:
            raise WorkersLost from None

    def sign(self, terms: Terms, ranges: Iterable[PageRange], progress: Callable[[int], None]) -> Tally:
        """Sign all of `ranges`; `progress` is told how many pages each finished chunk had. Raises WorkersLost."""
        chunks = chunks_of(ranges, self._workers)
        futures = {self.submit(terms, chunk): len(chunk) for chunk in chunks}
        total = Tally()
        for future in as_completed(futures):
            try:
                total.add(future.result())
            except BrokenExecutor:
                raise WorkersLost from None
            progress(futures[future])
        return total
