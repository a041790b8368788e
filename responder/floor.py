"""A worker's view of the floor: mapped from the file of its host, and looked for anew every second (A2, C3)."""

import asyncio
import os
from pathlib import Path

import structlog

from _fastpath.lookup import StatusSource
from responder.floor_file import DamagedFloor, FileVersion, map_floor, version_of

__all__ = ["FloorWatch"]

log = structlog.get_logger()

WATCH_INTERVAL = 1.0  # seconds
BATCH = 64  # pages of the cache that are looked through at a time: some milliseconds


class FloorWatch:
    """Gives a worker's lookups the newest floor, and takes out of its cache what is on it."""

    def __init__(self, path: Path, source: StatusSource) -> None:
        self._path = path
        self._source = source
        self._version: FileVersion | None = None
        self._refused: FileVersion | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Before the first answer; then watch."""
        self._take_up()
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Watch no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_INTERVAL)
            if self._take_up():
                await self._clean()

    def _take_up(self) -> bool:
        """Whether there is another floor than before. One that went away stays; one that is refused is tried again."""
        try:
            version = version_of(os.stat(self._path))
        except OSError:
            return False
        if version == self._version:
            return False
        try:
            self._source.floor = map_floor(self._path)
        except (DamagedFloor, OSError) as error:
            if version != self._refused:
                log.error("floor cannot be used", path=str(self._path), reason=str(error))
            self._refused = version
            return False
        self._version, self._refused = version, None
        return True

    async def _clean(self) -> None:
        """What is read from now on is held against the floor; what is cached was before."""
        pages = self._source.pages()
        for start in range(0, len(pages), BATCH):
            self._source.drop_below_floor(pages[start : start + BATCH])
            await asyncio.sleep(0)
