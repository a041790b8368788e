"""Many pages over a pool of processes, each with its own key, ledger reader and store connection."""

import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from signer.ocsp.pages import PageSigner, Tally
from signer.ocsp.schedule import PageRange, split

__all__ = ["CHUNK_PAGES", "Pool"]

CHUNK_PAGES = 16  # about 2,000 signatures: a tenth of a second, and far from the 255 s a record allows


@cache
def _page_signer(config_file: Path, issuer: str) -> PageSigner:
    """One per process and issuer, opened at its first chunk."""
    from signer.context import Context

    return Context.open(config_file).page_signer(issuer)


def _sign(config_file: Path, issuer: str, pages: PageRange) -> Tally:
    return _page_signer(config_file, issuer).sign_range(pages)


class Pool:
    """Signs page ranges of any issuer. With one worker it stays in this process, on a thread of its own."""

    def __init__(self, config_file: Path, workers: int) -> None:
        self._config_file = config_file
        self._executor: Executor
        if workers == 1:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="sign")
        else:
            # Spawned, not forked: a forked child would share key handles and connections (invariant G4).
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(workers, mp_context=context)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)

    def submit(self, issuer: str, pages: PageRange) -> Future[Tally]:
        return self._executor.submit(_sign, self._config_file, issuer, pages)

    def sign(self, issuer: str, ranges: Iterable[PageRange], progress: Callable[[int], None]) -> Tally:
        """Sign all of `ranges`; `progress` is told how many pages each finished chunk had."""
        chunks = [chunk for whole in ranges for chunk in split(whole, CHUNK_PAGES)]
        futures = {self.submit(issuer, chunk): len(chunk) for chunk in chunks}
        total = Tally()
        for future in as_completed(futures):
            total.add(future.result())
            progress(futures[future])
        return total
