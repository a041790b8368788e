"""Many commands in one write, and their replies: redis-py's own pipeline writes each by itself, for three times the CPU."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import hiredis
import redis

from store.connection import translated

__all__ = ["WRONG_TYPE", "replies"]


WRONG_TYPE = "WRONGTYPE"  # begins an error about a key that is no hash, or whatever it should be


def replies(
    client: redis.Redis,
    url: str,
    commands: Iterable[tuple[Any, ...]],
    size: int,
    *,
    none_for_others: bool = False,
) -> Iterator[Any]:
    """In the order of `commands`, `size` of which go to the server at once. Raises StoreError, StoreUnavailable.

    `none_for_others`: a key of another type counts as none, and is no error.
    """
    iterator = iter(commands)
    while batch := [hiredis.pack_command(command) for command in itertools.islice(iterator, size)]:
        with translated(url):
            yield from _exchange(client, b"".join(batch), len(batch), none_for_others)


def _exchange(client: redis.Redis, octets: bytes, count: int, none_for_others: bool) -> list[Any]:
    """One write and what comes back for it."""
    pool: Any = client.connection_pool
    connection = pool.get_connection()

    def once() -> list[Any]:
        connection.send_packed_command([octets])
        return [_reply(connection) for _ in range(count)]

    try:
        found: list[Any] = connection.retry.call_with_retry(once, lambda error: connection.disconnect())
    except BaseException:
        connection.disconnect()  # what is still to come is nobody's
        raise
    finally:
        pool.release(connection)
    for number, reply in enumerate(found):
        if isinstance(reply, redis.ResponseError):
            if not (none_for_others and str(reply).startswith(WRONG_TYPE)):
                raise reply
            found[number] = None
    return found


def _reply(connection: Any) -> Any:
    """The next reply, also if it is an error: those after it have to be read too."""
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error
