"""Which primary a server is, whether a head is about it, and clients that write to no other (A2)."""

from typing import Any

import redis

from store.schema import Head

__all__ = ["INFO", "OnePrimary", "OtherPrimary", "names", "primary_id", "replication_id"]

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


class OtherPrimary(redis.RedisError):
    """A connection led to another server than the primary that is wanted."""


class OnePrimary:
    """Keeps a client's connections to one primary. For one thread, of one of several processes that must agree.

    After a failover a connection to the old primary may live on, and writes there are lost. So no connection is used
    that was not asked for its primary, once, when it was made.
    """

    def __init__(self) -> None:
        self._wanted: bytes | None = None

    def require(self, client: redis.Redis, wanted: bytes) -> None:
        """Use no other primary than the one with this replication id: connections made for another one end."""
        if wanted != self._wanted:
            self._wanted = wanted
            client.connection_pool.disconnect()

    def release(self) -> None:
        """Use whichever primary is there."""
        self._wanted = None

    def greet(self, connection: Any) -> None:
        """What redis-py calls as a connection is made. Raises OtherPrimary."""
        connection.on_connect()
        if self._wanted is None:
            return
        connection.send_command(*INFO)
        found = primary_id(_text(connection.read_response()))
        if found != self._wanted:
            raise OtherPrimary(
                f"the signer has {self._wanted.decode()}, this one is {(found or b'none').decode()}"
            )


def _text(reply: Any) -> bytes:
    return reply if isinstance(reply, bytes) else str(reply).encode()
