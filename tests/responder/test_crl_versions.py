"""Renewal of CRLs while the object store is slow, gone or asked for what nobody has: the ones at hand are served on."""

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from responder import crl_versions
from responder.counters import Counters
from responder.crl_versions import CrlVersions, LoadedCrl, TooManyWaiting
from store.config import ObjectTarget
from store.errors import StoreFormatError
from tests.responder.ca import CA, NOW
from tests.responder.conftest import eventually
from tests.responder.test_crls import crl

PATH = "crl/demo/0-0.crl"


class Shop:
    """An object store over HTTP whose answers can be held back."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.open = threading.Event()
        self.open.set()
        self.asked: list[str] = []
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path[1:]
                shop.asked.append(path)
                if path in shop.objects or path == PATH:
                    shop.open.wait()
                data = shop.objects.get(path)
                self.send_response(404 if data is None else 200)
                self.send_header("Content-Length", str(len(data or b"")))
                self.send_header("Last-Modified", "Mon, 21 Sep 2026 14:13:20 GMT")
                self.send_header("ETag", f'"{hash(data)}"')
                self.end_headers()
                self.wfile.write(data or b"")

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    thread = threading.Thread(target=shop.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield shop
    shop.open.set()
    shop.server.shutdown()
    thread.join()
    shop.server.server_close()


@pytest.fixture
def versions(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> CrlVersions:
    monkeypatch.setattr(crl_versions, "RECHECK", 0.0)
    return CrlVersions(ObjectTarget(shop.url, allow_http=True), Counters.private())


def number(loaded: LoadedCrl | None) -> int:
    assert loaded is not None
    return loaded.version.crl_number


@pytest.mark.conformance("U-06")
async def test_a_slow_object_store_takes_nothing_away(
    shop: Shop, versions: CrlVersions, ca: CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.objects[PATH] = crl(ca, 1, NOW - 600)
    assert number(await versions.get(PATH, ca.issuer)) == 1
    shop.objects[PATH] = crl(ca, 2, NOW - 300)
    shop.open.clear()
    async with asyncio.timeout(20):
        for _ in range(3):
            assert number(await versions.get(PATH, ca.issuer)) == 1
    assert shop.asked.count(PATH) == 2  # one renewal for all who ask
    monkeypatch.setattr(crl_versions, "PATIENCE", 10.0)
    waiting = asyncio.ensure_future(versions.get(PATH, ca.issuer))
    shop.open.set()
    assert number(await waiting) == 2


@pytest.mark.invariant("F2", "F5")
async def test_what_nobody_has_holds_up_no_renewal(
    shop: Shop, versions: CrlVersions, ca: CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F2, F5: names are invented faster than they can be looked for."""
    shop.objects[PATH] = crl(ca, 1, NOW - 600)
    assert number(await versions.get(PATH, ca.issuer)) == 1
    blocked = {f"crl/demo/9-{index}.crl": crl(ca, 1, NOW - 600) for index in range(crl_versions.WAITING)}
    shop.objects.update(blocked)
    shop.open.clear()
    looking = [asyncio.ensure_future(versions.get(path, ca.issuer)) for path in blocked]
    await asyncio.sleep(0)
    with pytest.raises(TooManyWaiting):
        async with asyncio.timeout(20):
            await versions.get("crl/demo/1-1.crl", ca.issuer)
    assert shop.asked.count(PATH) == 1
    monkeypatch.setattr(crl_versions, "PATIENCE", 0.01)
    assert number(await versions.get(PATH, ca.issuer)) == 1
    await eventually(lambda: shop.asked.count(PATH) == 2)  # it has its turn beside them
    shop.open.set()
    assert [number(loaded) for loaded in await asyncio.gather(*looking)] == [1] * crl_versions.WAITING


async def test_one_look_up_for_all_who_ask(shop: Shop, versions: CrlVersions, ca: CA) -> None:
    shop.objects[PATH] = crl(ca, 1, NOW - 600)
    shop.open.clear()
    asking = [asyncio.ensure_future(versions.get(PATH, ca.issuer)) for _ in range(20)]
    await asyncio.sleep(0.1)
    asking[0].cancel()  # one leaves
    shop.open.set()
    assert [number(loaded) for loaded in await asyncio.gather(*asking[1:])] == [1] * 19
    assert shop.asked == [PATH]


@pytest.mark.invariant("F2")
async def test_what_is_not_there_leaves_nothing(shop: Shop, versions: CrlVersions, ca: CA) -> None:
    """F2."""
    for index in range(50):
        assert await versions.get(f"crl/demo/9-{index}.crl", ca.issuer) is None
    await asyncio.sleep(0)
    kept = [value for value in vars(versions).values() if isinstance(value, dict)]
    assert len(kept) == 5 and not any(kept)


async def test_what_is_too_large_is_not_read(
    shop: Shop, versions: CrlVersions, ca: CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = crl(ca, 1, NOW - 600)
    shop.objects[PATH] = data
    monkeypatch.setattr("store.objects.SIZE_LIMIT", len(data) - 1)
    with pytest.raises(StoreFormatError, match=f"{PATH}: {len(data)} octets, at most {len(data) - 1}"):
        await versions.get(PATH, ca.issuer)
    monkeypatch.setattr("store.objects.SIZE_LIMIT", len(data))
    assert number(await versions.get(PATH, ca.issuer)) == 1
