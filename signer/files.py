"""What the standard library leaves to its callers: names made durable, and a file that one process holds at a time."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from store.errors import OcspeedError

__all__ = ["held", "sync_directory"]


def sync_directory(path: Path) -> None:
    """Make the names in it durable: so that a rename survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def held(path: Path, taken: Callable[[str], None], *, shared: bool = False) -> Iterator[None]:
    """Hold the lock file `path`, which says who does. If another process has it `taken` is called with that one's id,
    and may raise; else it is waited for. `shared` ones hold it together, and do not say so.

    Raises OcspeedError where the file cannot be written.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("a+")
    except OSError as error:
        raise OcspeedError(
            f"{path}: cannot be written: {error.strerror}",
            remedy="correct `state.directory` or its permissions",
        ) from None
    with lock:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            taken(lock.read().strip() or "unknown")
            fcntl.flock(lock, kind)
        if not shared:
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
        yield
