"""Progress of long work, on stderr: a bar with rate and time left on a terminal, else a line every five seconds."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from store.clock import Clock, SystemClock

__all__ = ["bar"]

LINE_INTERVAL = 5.0


@contextmanager
def bar(
    task: str, total: int | None, *, quiet: bool = False, clock: Clock | None = None
) -> Iterator[Callable[[int], None]]:
    """Gives a function that is told how many more steps are done; a total of None is not known beforehand."""
    if quiet:
        yield lambda count: None
    elif sys.stderr.isatty():
        yield from _on_terminal(task, total)
    else:
        yield _Lines(task, total, clock or SystemClock()).advance


def _on_terminal(task: str, total: int | None) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(show_speed=True),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        handle = progress.add_task(task, total=total)
        yield lambda count: progress.advance(handle, count)


class _Lines:
    """A line now and then, for logs."""

    def __init__(self, task: str, total: int | None, clock: Clock) -> None:
        self._task = task
        self._total = total
        self._clock = clock
        self._began = self._printed = clock.monotonic()
        self._done = 0

    def advance(self, count: int) -> None:
        self._done += count
        now = self._clock.monotonic()
        if now - self._printed >= LINE_INTERVAL:
            self._printed = now
            sys.stderr.write(f"{self._task}: {self._share()}, {now - self._began:.0f} s\n")

    def _share(self) -> str:
        if self._total is None:
            return f"{self._done:,} done"
        return f"{100 * self._done // max(self._total, 1)} %"
