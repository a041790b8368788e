"""Connections to the store: from `[store]` of ocsp.toml to redis-py clients, and its errors in our words."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit, urlunsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError

from store.config import StoreSection
from store.errors import ConfigError, StoreError, StoreUnavailable
from store.primary import OnePrimary, OtherPrimary
from store.sentinel import NO_PRIMARY, SENTINEL_SCHEMES, Sentinels

__all__ = ["EMBEDDED", "Endpoint", "check_server", "socket_path", "store_error", "translated"]

EMBEDDED = "embedded:"
SCHEMES = {
    "redis": "redis",
    "rediss": "rediss",
    "valkey": "redis",
    "valkeys": "rediss",
    "unix": "unix",
}
NOT_YET = ("redis+cluster", "valkey+cluster")
URL_REMEDY = (
    "write embedded:, unix:///path/to/socket, redis://host:6379/0 (rediss:// for TLS) "
    "or redis+sentinel://host:26379,host:26379/NAME"
)
TIMEOUT = 5.0  # seconds for a connection and for a reply
RETRIES = 3  # safe for writes: pages are compare-and-set, the other writes say the same when repeated
OLDEST_SERVER = 7  # Redis 7.0 brought function libraries


def socket_path(directory: Path) -> Path:
    """Where the embedded server of a state directory listens."""
    return directory.absolute() / "store" / "valkey.sock"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server, or the one that Sentinels name, and how to log in to it.

    `url` has no user and no password and may be printed.
    """

    url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinels: Sentinels | None = None

    @classmethod
    def of(cls, section: StoreSection, directory: Path) -> "Endpoint":
        """The endpoint of `[store]`; `directory` is the state directory, for `embedded:`. Raises ConfigError."""
        if section.url == EMBEDDED:
            return cls(f"unix://{socket_path(directory)}")
        parts = _split(section.url)
        user = section.username or (unquote(parts.username) if parts.username else None)
        password = unquote(parts.password) if parts.password else None
        if section.password_file is not None:
            password = _read_password(section.password_file)
        if parts.scheme in SENTINEL_SCHEMES:
            return cls(_without_login(parts), user, password, _sentinels(parts))
        return cls(_plain_url(parts), user, password)

    def client(self, only: OnePrimary | None = None) -> redis.Redis:
        """A client for threads of one process; it connects when first used and returns bytes. `only` a certain primary."""
        options = self._options(Retry(ExponentialBackoff(cap=0.5, base=0.05), RETRIES))
        if only is not None:
            options["redis_connect_func"] = only.greet
        if self.sentinels is not None:
            return self.sentinels.client(options)
        return redis.Redis.from_url(self.url, **options)

    def async_client(self) -> redis.asyncio.Redis:
        """The same for one event loop."""
        options = self._async_options()
        if self.sentinels is not None:
            return self.sentinels.async_client(options)
        return redis.asyncio.Redis.from_url(self.url, **options)

    async def find_primary(self) -> tuple[str, int] | None:
        """Where the server is that Sentinels name, None without any. Raises RedisError."""
        return None if self.sentinels is None else await self.sentinels.find(self._async_options())

    def _async_options(self) -> dict[str, Any]:
        return self._options(AsyncRetry(ExponentialBackoff(cap=0.5, base=0.05), RETRIES))

    def _options(self, retry: object) -> dict[str, Any]:
        return {
            "retry": retry,
            "username": self.username,
            "password": self.password,
            "protocol": 3,
            "socket_timeout": TIMEOUT,
            "socket_connect_timeout": TIMEOUT,
            "driver_info": None,  # no CLIENT SETINFO: Redis 7.0 does not know it and so cannot grant it
            # A hosted service's failover notices: one command more a connection, unknown to Redis 7 and Valkey.
            "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        }


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        if parts.scheme not in SENTINEL_SCHEMES:
            parts.port  # noqa: B018 - raises ValueError for what is no port
    except ValueError as error:
        raise ConfigError(f"store.url: not a URL: {error}", remedy=URL_REMEDY) from None
    if {"username", "password"} & parse_qs(parts.query).keys():
        # redis-py would take them from there, and we would print them.
        raise ConfigError(
            "store.url: no username or password in its query",
            remedy="use `username` and `password_file` of [store]",
        )
    return parts


def _plain_url(parts: SplitResult) -> str:
    """The URL under the scheme that redis-py knows, without user and password."""
    if parts.scheme in NOT_YET:
        raise ConfigError(
            f"store.url: {parts.scheme}:// is not supported in this release",
            remedy=URL_REMEDY,
        )
    scheme = SCHEMES.get(parts.scheme)
    host = parts.netloc.rpartition("@")[2]
    if scheme is None or (not parts.path if scheme == "unix" else not host):
        raise ConfigError(
            f"store.url: {parts.scheme or 'this'} is not a URL of a store",
            remedy=URL_REMEDY,
        )
    if scheme != "unix" and parts.path.strip("/") and not parts.path[1:].isdecimal():
        raise ConfigError(
            f"store.url: {parts.path[1:]!r} is not the number of a database", remedy="correct the URL"
        )
    url = urlunsplit((scheme, host, parts.path, parts.query, ""))
    if scheme == "unix":
        url = f"unix://{host}{parts.path}" + (f"?{parts.query}" if parts.query else "")
    try:
        redis.ConnectionPool.from_url(url)
    except ValueError as error:
        raise ConfigError(f"store.url: {error}", remedy="correct the URL") from None
    return url


def _without_login(parts: SplitResult) -> str:
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _sentinels(parts: SplitResult) -> Sentinels:
    try:
        return Sentinels.parse(parts)
    except ValueError as error:
        raise ConfigError(f"store.url: {error}", remedy=URL_REMEDY) from None


def _read_password(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"store.password_file: {path}: {error}", remedy="check the path and its permissions"
        ) from None


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Raise what redis-py raises inside as StoreError or StoreUnavailable that name the server and a remedy."""
    try:
        yield
    except RedisError as error:
        raise store_error(error, url) from error


def store_error(error: RedisError, url: str) -> StoreError:
    """One of redis-py's errors in our words."""
    text = NO_PRIMARY if isinstance(error, MasterNotFoundError) else str(error)
    if isinstance(error, AuthenticationError):
        return StoreUnavailable(
            f"{url}: the login was refused: {text}", remedy="check store.username and store.password_file"
        )
    if isinstance(error, NoPermissionError) or "ACL failure in script" in text or "can't run this" in text:
        return StoreError(
            f"{url}: the user lacks a right: {text}", remedy="give it the rights in deploy/acl, then ACL SAVE"
        )
    if isinstance(error, OtherPrimary):
        return StoreError(
            f"{url}: a signing process found another primary: {text}",
            remedy="none needed during a failover; if it stays so, see that store.url leads every process to one server",
        )
    if isinstance(error, OutOfMemoryError):
        return StoreError(
            f"{url}: the store is full and refused a write; what it holds stays served",
            remedy="raise `maxmemory` of the server or add memory; keep `maxmemory-policy noeviction`",
        )
    if isinstance(error, ReadOnlyError):
        return StoreError(f"{url}: a replica takes no writes", remedy="point store.url at the primary")
    if isinstance(error, ResponseError) and "Function not found" in text:
        return StoreError(
            f"{url}: the function library `ocspeed` is not loaded", remedy="run `ocsp-signer store init`"
        )
    if isinstance(error, ResponseError):
        return StoreError(f"{url}: the server refused a command: {text}", remedy="see the server's log")
    return StoreUnavailable(
        f"{url}: no answer: {text}", remedy="check that the server runs and that store.url names it"
    )


def check_server(client: redis.Redis, url: str) -> str:
    """Name and version of a server that will do. Raises StoreUnavailable, StoreError."""
    with translated(url):
        info: dict[str, Any] = client.info("server")
    if info.get("redis_mode") == "cluster":
        raise StoreError(
            f"{url}: this server is part of a cluster, which is not supported in this release",
            remedy="use a server that runs alone or with replicas",
        )
    if "valkey_version" in info:
        return f"valkey {info['valkey_version']}"
    version = str(info["redis_version"])
    if int(version.partition(".")[0]) < OLDEST_SERVER:
        raise StoreError(
            f"{url}: Redis {version} has no function libraries", remedy="use Redis 7.0 or later, or Valkey"
        )
    return f"redis {version}"
