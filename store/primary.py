"""Which primary a server is, and whether a head is about it (A2)."""

from typing import Any

import redis

from store.schema import Head

__all__ = ["INFO", "names", "primary_id", "replication_id"]

INFO = (b"INFO", b"replication")


def primary_id(info: bytes) -> bytes | None:
    """The replication id of a primary, out of its INFO replication; None of a server that is none."""
    fields = dict(line.split(b":", 1) for line in info.splitlines() if b":" in line)
    return fields.get(b"master_replid") if fields.get(b"role") == b"master" else None


def replication_id(client: redis.Redis) -> bytes:
    """The same of the server that a client writes to, whatever it is. Raises RedisError."""
    info: dict[str, Any] = client.info("replication")
    return str(info["master_replid"]).encode()


def names(head: bytes | None, replication_id: bytes) -> bool:
    """Whether a stored head is that of the primary with this replication id.

    `master_replid2`, the id that a promoted replica had before, does not count: acknowledged writes may be missing.
    """
    try:
        return head is not None and Head.decode(head).replication_id == replication_id
    except ValueError:
        return False
