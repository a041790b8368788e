"""From `[store]` to a client: schemes, secrets, and errors that name the server and the remedy."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import redis

from store.config import StoreSection
from store.connection import Endpoint, check_server, store_error
from store.errors import ConfigError, StoreError, StoreUnavailable
from store.writer import PageWriter
from tests.store.pages import page

HERE = Path("/var/lib/ocspeed")


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("embedded:", "unix:///var/lib/ocspeed/store/valkey.sock"),
        ("redis://host:6380/2", "redis://host:6380/2"),
        ("valkey://host", "redis://host"),
        ("valkeys://[::1]:6380?ssl_ca_certs=/ca.pem", "rediss://[::1]:6380?ssl_ca_certs=/ca.pem"),
        ("rediss://host:1", "rediss://host:1"),
        ("unix:///run/valkey.sock", "unix:///run/valkey.sock"),
        ("unix:///run/valkey.sock?db=3", "unix:///run/valkey.sock?db=3"),
        ("redis://me:secret@host:6380/2", "redis://host:6380/2"),
        ("unix://me:secret@/run/valkey.sock", "unix:///run/valkey.sock"),
        ("redis+sentinel://me:secret@a:1,[::1]/primary", "redis+sentinel://a:1,[::1]/primary"),
    ],
)
def test_urls(url: str, plain: str) -> None:
    endpoint = Endpoint.of(StoreSection(url=url), HERE)
    assert endpoint.url == plain
    assert "secret" not in repr(endpoint)
    if "secret" in url:
        assert (endpoint.username, endpoint.password) == ("me", "secret")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis://host/zz", "'zz' is not the number of a database"),
        ("redis+sentinel://a,b/", "no name of the primary"),
        ("redis+sentinel://a,b/primary/x", "'x' is not the number of a database"),
        ("redis+sentinel://a,:3/primary", "not host:port"),
        ("redis+sentinel://a:port/primary", "port"),
        ("redis+sentinel://a/primary?password=hush", "no username or password"),
        ("redis+cluster://a:6379", "not supported"),
        ("http://host", "not a URL of a store"),
        ("", "not a URL of a store"),
        ("embedded", "not a URL of a store"),
        ("redis://", "not a URL of a store"),
        ("unix://", "not a URL of a store"),
        ("redis://host?socket_timeout=soon", "socket_timeout"),
        ("redis://host?password=hush", "no username or password"),
        ("redis://user:pw@[::bad/0", "not a URL"),
        ("redis://host:port", "not a URL"),
    ],
)
def test_urls_refused(url: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        Endpoint.of(StoreSection(url=url), HERE)
    assert "store.url" in str(caught.value)
    assert caught.value.remedy


def test_password_comes_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(" two words \n", encoding="utf-8")
    section = StoreSection(url="redis://host", username="me", password_file=tmp_path / "password")
    endpoint = Endpoint.of(section, HERE)
    assert (endpoint.username, endpoint.password) == ("me", " two words ")


def test_missing_password_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"store\.password_file: .*/none"):
        Endpoint.of(StoreSection(url="redis://host", password_file=tmp_path / "none"), HERE)


def test_both_clients_reach_the_server(endpoint: Endpoint) -> None:
    async def ask() -> Any:
        async with endpoint.async_client() as client:
            return await client.get("ocsp:x")

    with endpoint.client() as client:
        client.set("ocsp:x", b"\xff\0")
    assert asyncio.run(ask()) == b"\xff\0"


def test_server_is_named(endpoint: Endpoint, client: redis.Redis) -> None:
    name, version = check_server(client, endpoint.url).split()
    assert name in ("valkey", "redis")
    assert int(version.split(".")[0]) >= 7


def test_unreachable_server_is_named_without_its_password(tmp_path: Path) -> None:
    endpoint = Endpoint.of(StoreSection(url=f"unix://me:secret@{tmp_path}/none.sock"), tmp_path)
    with endpoint.client() as client, pytest.raises(StoreUnavailable) as caught:
        check_server(client, endpoint.url)
    assert f"unix://{tmp_path}/none.sock" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.remedy


def test_a_full_store_refuses_aloud(endpoint: Endpoint, client: redis.Redis) -> None:
    writer = PageWriter(client, endpoint.url)
    writer.put_pages([page({b"\1": False}, 1)])
    client.config_set("maxmemory", "1")
    try:
        with pytest.raises(StoreError, match="full") as caught:
            writer.put_pages([page({b"\1": False}, 2)])
    finally:
        client.config_set("maxmemory", "0")
    assert "maxmemory" in str(caught.value)
    assert client.hlen("ocsp:page:demo:1:0") == 2


def test_a_replica_takes_no_writes(endpoint: Endpoint, client: redis.Redis) -> None:
    client.replicaof("127.0.0.1", 1)
    try:
        with pytest.raises(StoreError, match="replica") as caught:
            PageWriter(client, endpoint.url).put_pages([page({}, 1)])
    finally:
        client.replicaof("NO", "ONE")
    assert "primary" in str(caught.value)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (redis.TimeoutError("Timeout reading"), StoreUnavailable),
        (redis.exceptions.BusyLoadingError("loading"), StoreUnavailable),
        (redis.ResponseError("MISCONF no disk"), StoreError),
        (redis.exceptions.NoPermissionError("no permissions"), StoreError),
    ],
)
def test_every_error_has_a_remedy(error: redis.RedisError, kind: type[StoreError]) -> None:
    translated = store_error(error, "redis://host")
    assert type(translated) is kind
    assert str(error) in translated.message
    assert translated.message.startswith("redis://host: ")
    assert translated.remedy


async def test_sentinels_that_name_nobody() -> None:
    """redis-py would print all of its objects."""
    endpoint = Endpoint.of(StoreSection(url="redis+sentinel://127.0.0.1:1,127.0.0.1:2/primary"), HERE)
    with pytest.raises(redis.ConnectionError, match=r"^no Sentinel names a primary of that name$"):
        await endpoint.find_primary()
    with endpoint.client() as client, pytest.raises(StoreUnavailable, match="no Sentinel names") as caught:
        check_server(client, endpoint.url)
    assert "ConnectionPool" not in str(caught.value)
