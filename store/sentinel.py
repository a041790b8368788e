"""A primary that Sentinels name: their addresses out of a URL, and clients that follow it through a failover.

redis+sentinel://one:26379,two:26379/primary        rediss+sentinel:// with TLS, valkey+sentinel:// likewise
"""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import MasterNotFoundError
from redis.asyncio.sentinel import Sentinel as _AsyncSentinel
from redis.backoff import NoBackoff
from redis.connection import parse_url as _parse_url
from redis.exceptions import ConnectionError
from redis.retry import Retry
from redis.sentinel import Sentinel as _Sentinel

__all__ = ["NO_PRIMARY", "SENTINEL_SCHEMES", "Sentinels"]

SENTINEL_SCHEMES = {
    "redis+sentinel": "redis",
    "valkey+sentinel": "redis",
    "rediss+sentinel": "rediss",
    "valkeys+sentinel": "rediss",
}
# redis-py leaves them without types.
Sentinel: Any = _Sentinel
AsyncSentinel: Any = _AsyncSentinel
parse_url: Any = _parse_url

PORT = 26379
NO_PRIMARY = "no Sentinel names a primary of that name"
TIMEOUT = 0.5  # seconds for one Sentinel: the next one is asked within what a connection may take


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Who knows the primary, and how to talk to it once its address is known."""

    addresses: tuple[tuple[str, int], ...]
    service: str  # the name that they watch the primary under
    tls: bool
    settings: dict[str, Any] = field(repr=False)  # redis-py's: database, TLS, whatever the query says

    @classmethod
    def parse(cls, parts: SplitResult) -> "Sentinels":
        """Read a URL whose scheme is one of SENTINEL_SCHEMES. Raises ValueError."""
        service, _, database = parts.path.strip("/").partition("/")
        if database and not database.isdecimal():
            raise ValueError(f"{database!r} is not the number of a database")
        if not service:
            raise ValueError(f"no name of the primary: {parts.scheme}://host:{PORT}/NAME")
        scheme = SENTINEL_SCHEMES[parts.scheme]
        addresses = tuple(_address(host) for host in parts.netloc.rpartition("@")[2].split(","))
        settings = dict(parse_url(f"{scheme}://host/{database}?{parts.query}"))
        for name in ("host", "connection_class"):
            settings.pop(name, None)
        return cls(addresses, service, scheme == "rediss", settings)

    def client(self, options: dict[str, Any]) -> redis.Redis:
        """A client of whichever server is the primary."""
        asked = Sentinel(self.addresses, sentinel_kwargs=self._asking(options, Retry(NoBackoff(), 0)))
        client: redis.Redis = asked.master_for(self.service, **self._following(options))
        return client

    def async_client(self, options: dict[str, Any]) -> redis.asyncio.Redis:
        """The same for one event loop."""
        client: redis.asyncio.Redis = self._ask(options).master_for(self.service, **self._following(options))
        return client

    async def find(self, options: dict[str, Any]) -> tuple[str, int]:
        """Where the primary is now. Raises RedisError."""
        asked = self._ask(options)
        try:
            address: tuple[str, int] = await asked.discover_master(self.service)
            return address
        except MasterNotFoundError:
            raise ConnectionError(NO_PRIMARY) from None  # redis-py's has all of its objects in it
        finally:
            for client in asked.sentinels:
                await client.aclose()

    def _ask(self, options: dict[str, Any]) -> Any:
        kwargs = self._asking(options, AsyncRetry(NoBackoff(), 0))
        return AsyncSentinel(list(self.addresses), sentinel_kwargs=kwargs)

    def _asking(self, options: dict[str, Any], retry: object) -> dict[str, Any]:
        """How to connect to a Sentinel: with the TLS of the servers, without their user."""
        taken = {name: value for name, value in options.items() if name not in ("username", "password")}
        taken |= {name: value for name, value in self.settings.items() if name.startswith("ssl_")}
        timeouts = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT}
        return taken | timeouts | {"retry": retry, "ssl": self.tls}

    def _following(self, options: dict[str, Any]) -> dict[str, Any]:
        return self.settings | options | {"ssl": self.tls}


def _address(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError(f"{text!r} is not host:port of a Sentinel")
    return parts.hostname, parts.port or PORT
