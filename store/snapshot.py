"""What an embedded server leaves when it ends, and whether the next one goes on from just that (A2)."""

import contextlib
from pathlib import Path
from typing import Any

import redis

from store.primary import names, replication_id
from store.schema import HEAD_FIELD, Head, issuer_key

__all__ = ["Snapshot", "carry_heads"]

NAME = "dump.rdb"
NOTE = "dump.rdb.head"
SCANNED = 10_000  # keys at a time


class Snapshot:
    """The file in the store's directory, and a note beside it by the process that saw it written.

    The note names the file by inode and time of last status change, which a copy that was put back does not have: a
    restored snapshot lacks what was revoked since, so nobody uses it until the signer has reconciled it.
    """

    name = NAME

    def __init__(self, directory: Path) -> None:
        self._file = directory / NAME
        self._note = directory / NOTE

    def vouch(self, replication_id: bytes) -> None:
        """The server with this replication id wrote the file and is gone."""
        with contextlib.suppress(OSError):
            self._note.write_text(f"{replication_id.decode()} {self._identity()}\n")

    def origin(self) -> bytes | None:
        """Replication id of the server that left the file, if it is untouched since."""
        try:
            replication_id, _, identity = self._note.read_text().strip().partition(" ")
            return replication_id.encode() if identity == self._identity() else None
        except (OSError, UnicodeDecodeError):
            return None

    def remove(self) -> None:
        """It is loaded once."""
        self._note.unlink(missing_ok=True)
        self._file.unlink(missing_ok=True)

    def _identity(self) -> str:
        status = self._file.stat()
        return f"{status.st_dev} {status.st_ino} {status.st_ctime_ns} {status.st_size}"


def carry_heads(client: redis.Redis, before: bytes) -> None:
    """What was said of the server `before` holds of this one, which has all that it had. Raises RedisError."""
    now = replication_id(client)
    for key in client.scan_iter(issuer_key("*"), count=SCANNED):
        head: Any = client.hget(key, HEAD_FIELD)
        if names(head, before):
            client.hset(key, HEAD_FIELD, Head(Head.decode(head).generation, now).encode())
