"""A store is used only when its head names the primary that it is (A2); until then it is as if it were away."""

import asyncio
from pathlib import Path

import pytest
import redis
from cryptography.hazmat.primitives.serialization import Encoding

from responder.app import Application
from responder.config import Settings, load_settings
from responder.counters import Counters
from responder.errors import TryLater
from responder.lookup import UNRECONCILED
from store.embedded import EmbeddedStore
from store.schema import HEAD_FIELD, Head, issuer_key
from store.writer import PageWriter, install_functions
from tests.responder.ca import CA, Shelf, good
from tests.responder.conftest import GOOD, GOOD_TOO, FakeClock, eventually, write_config
from tests.responder.test_resolver import ask, cause_of, resolve_eventually

OTHER = Head(9, b"5" * 40)


async def lose_everything(shelf: Shelf, counters: Counters) -> None:
    shelf.client.flushall()
    await eventually(lambda: counters.value("store_unreconciled") == 1)


def publish_without_head(shelf: Shelf) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Shelf, "write_head", lambda shelf: None)
        shelf.publish()


@pytest.mark.invariant("A2", "G6")
async def test_a_flushed_store_is_as_if_it_were_away_until_its_head_is_there(
    application: Application, counters: Counters, ca: CA, shelf: Shelf
) -> None:
    answer = await application.resolver.resolve(ask(ca, GOOD))
    await lose_everything(shelf, counters)
    assert counters.value("store_up") == 0
    assert (await application.resolver.resolve(ask(ca, GOOD))).body == answer.body
    publish_without_head(shelf)
    assert await cause_of(application, ask(ca, GOOD_TOO)) == (TryLater, "store_down")
    PageWriter(shelf.client, "test").write_head(ca.name, OTHER)
    await asyncio.sleep(5 * UNRECONCILED)
    assert await cause_of(application, ask(ca, GOOD_TOO)) == (TryLater, "store_down")
    assert counters.value("store_unreconciled") == 1
    shelf.write_head()
    await application.link.up.wait()
    assert counters.value("store_unreconciled") == 0
    assert (await resolve_eventually(application, ask(ca, GOOD_TOO))).body


@pytest.mark.invariant("A2")
@pytest.mark.parametrize("head", [None, OTHER.encode(), b"", b"9 5", b"9 " + b"G" * 40])
async def test_nothing_is_answered_from_a_store_that_no_signer_reconciled(
    settings: Settings, counters: Counters, clock: FakeClock, ca: CA, shelf: Shelf, head: bytes | None
) -> None:
    """Not even when it is the first thing that a worker sees; whatever stands for a head."""
    if head is None:
        shelf.client.hdel(issuer_key(ca.name), HEAD_FIELD)
    else:
        shelf.client.hset(issuer_key(ca.name), HEAD_FIELD, head)
    application = Application(settings, counters, clock)
    await application.start()
    try:
        assert (await cause_of(application, ask(ca, GOOD)))[0] is TryLater
        shelf.write_head()
        await application.link.up.wait()
        assert (await resolve_eventually(application, ask(ca, GOOD))).body
    finally:
        await application.stop()


@pytest.mark.invariant("A1", "C6")
async def test_cached_answers_end_with_max_unverified(
    tmp_path: Path, server: EmbeddedStore, counters: Counters, clock: FakeClock, ca: CA, shelf: Shelf
) -> None:
    """A1: with none allowed the first second after the loss is the last."""
    file = write_config(tmp_path, ca, server.url, 'lookup_timeout_ms = 5000\nmax_unverified = "0s"')
    application = Application(load_settings(file), counters, clock)
    await application.start()
    try:
        await application.resolver.resolve(ask(ca, GOOD))
        await lose_everything(shelf, counters)
        assert await cause_of(application, ask(ca, GOOD)) == (TryLater, "store_down")
    finally:
        await application.stop()


@pytest.fixture
def second(ca: CA, client: redis.Redis) -> Shelf:
    """Another issuer of the same store."""
    return Shelf(CA("second", "Second test CA"), client, template_number=99)


def for_both(directory: Path, first: CA, second: Shelf, url: str, more: str = "") -> Settings:
    file = write_config(directory, first, url, f"lookup_timeout_ms = 5000\n{more}")
    (directory / "second.pem").write_bytes(second.ca.certificate.public_bytes(Encoding.PEM))
    file.write_text(file.read_text() + '[[issuer]]\nname = "second"\ncertificate = "second.pem"\n')
    return load_settings(file)


async def test_issuers_are_reconciled_each_for_itself(
    tmp_path: Path,
    server: EmbeddedStore,
    counters: Counters,
    clock: FakeClock,
    ca: CA,
    shelf: Shelf,
    second: Shelf,
) -> None:
    """One without a head is not answered for, and holds up those alone whose cached answers would end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Shelf, "write_head", lambda shelf: None)
        second.put(good(GOOD))
    application = Application(for_both(tmp_path, ca, second, server.url), counters, clock)
    await application.start()
    try:
        assert (await resolve_eventually(application, ask(ca, GOOD))).body
        assert await cause_of(application, ask(second.ca, GOOD)) == (TryLater, "unreconciled")
        second.write_head()
        answer = await resolve_eventually(application, ask(second.ca, GOOD))
        await lose_everything(shelf, counters)
        install_functions(shelf.client, "test")
        shelf.publish()
        await asyncio.sleep(5 * UNRECONCILED)
        assert (await application.resolver.resolve(ask(second.ca, GOOD))).body == answer.body
        assert counters.value("store_unreconciled") == 1
        second.publish()
        await application.link.up.wait()
        assert (await resolve_eventually(application, ask(second.ca, GOOD))).body
    finally:
        await application.stop()


async def test_an_issuer_that_nobody_signs_for_any_more_holds_up_no_other_for_long(
    tmp_path: Path,
    server: EmbeddedStore,
    counters: Counters,
    clock: FakeClock,
    ca: CA,
    shelf: Shelf,
    second: Shelf,
) -> None:
    """A1: after `max_unverified` its cached answers end in any case."""
    second.put(good(GOOD))
    settings = for_both(tmp_path, ca, second, server.url, 'max_unverified = "1s"')
    application = Application(settings, counters, clock)
    await application.start()
    try:
        assert (await resolve_eventually(application, ask(second.ca, GOOD))).body
        await lose_everything(shelf, counters)
        install_functions(shelf.client, "test")
        shelf.publish()
        async with asyncio.timeout(30):
            await application.link.up.wait()
        assert (await resolve_eventually(application, ask(ca, GOOD))).body
        assert await cause_of(application, ask(second.ca, GOOD)) == (TryLater, "issuer_missing")
    finally:
        await application.stop()
