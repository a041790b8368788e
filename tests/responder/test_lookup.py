"""The lookup connection against the real store and against servers that misbehave on purpose."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import hiredis
import pytest
import redis

from _fastpath.replies import ReplyQueue
from responder.counters import Counters
from responder.errors import LookupFailed
from responder.lookup import StoreLink
from responder.wire import NULLABLE_BYTES, Request
from store.connection import Endpoint
from store.embedded import EmbeddedStore
from tests.responder.conftest import eventually

HELLO = b"%2\r\n+proto\r\n:3\r\n+role\r\n+master\r\n"
INFO = b"$67\r\nrole:master\r\nmaster_replid:" + b"5" * 40 + b"\r\n"
OK = b"+OK\r\n"
FAR = 30.0  # seconds: a deadline that no test reaches


class Recorder:
    """A listener that remembers what it was told."""

    def __init__(self) -> None:
        self.connections = 0
        self.disconnections = 0
        self.verified_at = 0.0
        self.changes: list[list[bytes] | None] = []

    def head_keys(self) -> list[bytes]:
        return []

    def admits(self, replication_id: bytes, heads: Sequence[bytes | None]) -> bool:
        return True

    def connected(self, channel: ReplyQueue) -> None:
        self.connections += 1

    def verified(self, at: float) -> None:
        self.verified_at = at

    def invalidated(self, keys: list[bytes] | None) -> None:
        self.changes.append(keys)

    def disconnected(self) -> None:
        self.disconnections += 1


@contextlib.asynccontextmanager
async def linked(
    endpoint: Endpoint, *, waiting_room: int = 1000, listener: Recorder | None = None
) -> AsyncIterator[StoreLink]:
    link = StoreLink(
        endpoint, waiting_room=waiting_room, counters=Counters.private(), monotonic=time.monotonic
    )
    link.start(listener or Recorder())
    try:
        async with asyncio.timeout(5):
            await link.up.wait()
        yield link
    finally:
        await link.stop()


@pytest.fixture
def endpoint(server: EmbeddedStore, client: redis.Redis) -> Endpoint:
    return Endpoint(server.url)


def deadline(seconds: float = FAR) -> float:
    return asyncio.get_running_loop().time() + seconds


async def hget(link: StoreLink, key: bytes, field: bytes, deadline: float) -> bytes | None:
    """A lookup whose deadline is the test's."""
    reply: bytes | None
    (reply,) = await link.execute(Request(b"HGET", key, field, expected=NULLABLE_BYTES, deadline=deadline))
    return reply


async def cause_of(lookup: Awaitable[object]) -> str:
    with pytest.raises(LookupFailed) as caught:
        await lookup
    return caught.value.cause


Command = list[bytes]


class Impostor:
    """A server that greets like a store and then answers with what a test prepared."""

    def __init__(self, path: Path, reply: Callable[[Command], bytes | None]) -> None:
        self.path = path
        self.reply = reply  # to one command; None closes the connection
        self.batches: list[list[Command]] = []  # commands that came in one piece
        self.silent = False
        self.info = INFO
        self._connections: dict[asyncio.StreamWriter, None] = {}

    @property
    def connections(self) -> int:
        return len(self._connections)

    async def __aenter__(self) -> Endpoint:
        self._server = await asyncio.start_unix_server(self._serve, self.path)
        return Endpoint(f"unix://{self.path}")

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._connections:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._connections), return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections[writer] = None
        parser = hiredis.Reader()
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(1 << 20):
                parser.feed(chunk)
                commands = list(iter(parser.gets, False))
                lookups = [command for command in commands if command[0] in (b"HGET", b"HLEN")]
                if lookups:
                    self.batches.append(lookups)
                replies = [self._reply_to(command) for command in commands]
                writer.write(b"".join(reply for reply in replies if reply))
                if None in replies:
                    break
        writer.close()

    def _reply_to(self, command: Command) -> bytes | None:
        standard = {b"HELLO": HELLO, b"CLIENT": OK, b"INFO": self.info}
        if command[0] not in standard:
            reply = self.reply(command)
            self.silent = reply == b""  # what comes behind must wait too
            return reply
        return b"" if self.silent else standard[command[0]]


def echo(command: Command) -> bytes:
    """The field that was asked for."""
    return b"$%d\r\n%b\r\n" % (len(command[2]), command[2])


async def test_a_tick_of_lookups_is_one_write(short_path: Path) -> None:
    impostor = Impostor(short_path / "s", echo)
    async with impostor as endpoint, linked(endpoint) as link:
        lookups = (hget(link, b"key", b"%d" % number, deadline()) for number in range(50))
        assert await asyncio.gather(*lookups) == [b"%d" % number for number in range(50)]
    assert [len(batch) for batch in impostor.batches] == [50]


@pytest.mark.invariant("C1", "E6")
@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        (b":7\r\n", "store_protocol"),
        (b"*1\r\n+x\r\n", "store_protocol"),
        (b"?\r\n", "store_protocol"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "store_protocol"),
        (b"$1\r\nx\r\n$1\r\ny\r\n", ""),  # more replies than commands: seen after both had one
        (b">2\r\n+message\r\n+x\r\n", "store_protocol"),
        (b"$2000000\r\n" + b"x" * 1_100_000, "store_protocol"),
        (None, "store_down"),
    ],
    ids=["integer", "array", "noise", "http", "surplus", "push", "huge", "closed"],
)
async def test_surprises_end_the_connection(short_path: Path, reply: bytes | None, cause: str) -> None:
    """C1, E6: whatever is in doubt is closed, and nobody gets what was meant for another."""
    impostor = Impostor(short_path / "s", lambda command: reply)
    async with impostor as endpoint, linked(endpoint) as link:
        results = await asyncio.gather(
            *(hget(link, b"key", b"%d" % number, deadline()) for number in range(2)), return_exceptions=True
        )
        causes = {result.cause for result in results if isinstance(result, LookupFailed)}
        assert causes == ({cause} if cause else set())
        impostor.reply = echo
        await eventually(lambda: impostor.connections == 2 and link.up.is_set())
        assert await hget(link, b"key", b"field", deadline()) == b"field"


async def test_errors_of_the_server_leave_the_connection_up(endpoint: Endpoint, client: redis.Redis) -> None:
    client.set("ocsp:string", "x")
    client.hset("ocsp:hash", "field", "value")
    recorder = Recorder()
    async with linked(endpoint, listener=recorder) as link:
        assert await cause_of(hget(link, b"ocsp:string", b"field", deadline())) == "store_error"
        assert await hget(link, b"ocsp:hash", b"field", deadline()) == b"value"
    assert recorder.connections == 1


@pytest.mark.conformance("H-18")
@pytest.mark.invariant("C1", "E6")
async def test_lookups_end_at_their_deadline_and_late_replies_go_to_nobody(short_path: Path) -> None:
    """The reply that comes after the deadline must not be taken for that of the next lookup."""

    def hold_the_first(command: Command) -> bytes:
        return b"" if command[2] == b"1" else b"$5\r\nfirst\r\n$6\r\nsecond\r\n"

    async with Impostor(short_path / "s", hold_the_first) as endpoint, linked(endpoint) as link:
        due = deadline(0.04)
        assert await cause_of(hget(link, b"key", b"1", due)) == "lookup_timeout"
        assert due <= asyncio.get_running_loop().time()
        assert await hget(link, b"key", b"2", deadline()) == b"second"


async def test_an_earlier_deadline_is_kept_behind_a_later_one(short_path: Path) -> None:
    async with Impostor(short_path / "s", lambda command: b"") as endpoint, linked(endpoint) as link:
        late = asyncio.create_task(hget(link, b"key", b"1", deadline(0.5)))
        await asyncio.sleep(0)
        assert await cause_of(hget(link, b"key", b"2", deadline(0.02))) == "lookup_timeout"
        assert not late.done()
        assert await cause_of(late) == "lookup_timeout"


async def test_a_deadline_that_is_due_is_kept_too(short_path: Path) -> None:
    """A request may have used up its time before its second lookup begins."""
    async with Impostor(short_path / "s", lambda command: b"") as endpoint, linked(endpoint) as link:
        lookups = [hget(link, b"key", b"%d" % number, deadline(-0.01 * number)) for number in range(3)]
        assert [await cause_of(lookup) for lookup in lookups] == ["lookup_timeout"] * 3
        together = [asyncio.create_task(cause_of(hget(link, b"key", b"x", deadline(0)))) for _ in range(3)]
        assert await asyncio.gather(*together) == ["lookup_timeout"] * 3


async def test_the_waiting_room_is_bounded(short_path: Path) -> None:
    async with (
        Impostor(short_path / "s", lambda command: b"") as endpoint,
        linked(endpoint, waiting_room=11) as link,  # one for a heartbeat
    ):
        waiting = [asyncio.create_task(hget(link, b"key", b"same", deadline(0.3))) for _ in range(11)]
        await asyncio.sleep(0)
        assert await cause_of(hget(link, b"key", b"same", deadline())) == "waiting_room"
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [str(result) for result in results[:10]] == ["lookup_timeout"] * 10


@pytest.mark.invariant("C1")
async def test_cancellation_closes_the_connection(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("responder.lookup.HEARTBEAT", FAR)  # no other reason to close
    impostor = Impostor(short_path / "s", lambda command: b"")
    async with impostor as endpoint, linked(endpoint) as link:
        task = asyncio.create_task(hget(link, b"key", b"1", deadline()))
        other = asyncio.create_task(hget(link, b"key", b"2", deadline()))
        await asyncio.sleep(0.02)
        task.cancel()
        await eventually(lambda: impostor.connections == 2)
        assert await cause_of(other) == "store_down"
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_cancelled_and_late_lookups_never_cross(endpoint: Endpoint, client: redis.Redis) -> None:
    """C1: cancel and time out at random under load; every reply is that of its own question."""
    numbers = range(200)
    client.hset("ocsp:h", mapping={str(number): f"value {number}" for number in numbers})
    source = random.Random(1)
    async with linked(endpoint) as link:

        async def look(number: int) -> bytes | str | None:
            try:
                return await hget(link, b"ocsp:h", b"%d" % number, deadline(source.uniform(0.0, 0.02)))
            except LookupFailed as error:
                return error.cause

        right = 0
        for _ in range(40):
            tasks = {number: asyncio.create_task(look(number)) for number in source.sample(numbers, 50)}
            await asyncio.sleep(0)
            if source.random() < 0.3:
                tasks[source.choice(list(tasks))].cancel()
            results = await asyncio.gather(*tasks.values(), return_exceptions=True)
            for number, result in zip(tasks, results, strict=True):
                if isinstance(result, bytes):
                    assert result == b"value %d" % number
                    right += 1
            await asyncio.wait_for(link.up.wait(), 5)
        assert right > 0


async def test_changes_are_told_in_order_with_replies(endpoint: Endpoint, client: redis.Redis) -> None:
    recorder = Recorder()
    async with linked(endpoint, listener=recorder) as link:
        client.hset("ocsp:h", "f", "1")
        client.set("other:key", "not tracked")
        await eventually(lambda: len(recorder.changes) == 1)
        assert recorder.changes == [[b"ocsp:h"]]
        client.flushall()
        await eventually(lambda: len(recorder.changes) == 2)
        assert recorder.changes[1] is None
        assert await hget(link, b"ocsp:h", b"f", deadline()) is None


async def test_a_killed_connection_comes_back(endpoint: Endpoint, client: redis.Redis) -> None:
    recorder = Recorder()
    async with linked(endpoint, listener=recorder) as link:
        client.client_kill_filter(_type="pubsub", skipme=True)
        client.client_kill_filter(_type="normal", skipme=True)
        await eventually(lambda: recorder.connections == 2)
        assert await hget(link, b"ocsp:h", b"f", deadline()) is None


@pytest.mark.invariant("A2")
@pytest.mark.parametrize(
    "info", [INFO.replace(b":" + b"5" * 40, b":" + b"7" * 40), INFO.replace(b"role:master", b"role:slave_")]
)
async def test_a_server_that_becomes_another_is_left(
    short_path: Path, monkeypatch: pytest.MonkeyPatch, info: bytes
) -> None:
    """A2: promoted, demoted or without its replicas on a connection that lives on: the heartbeat tells."""
    monkeypatch.setattr("responder.lookup.HEARTBEAT", 0.05)
    recorder, impostor = Recorder(), Impostor(short_path / "s", echo)
    async with impostor as endpoint, linked(endpoint, listener=recorder):
        impostor.info = info
        await eventually(lambda: recorder.disconnections >= 1)


@pytest.mark.invariant("A1")
async def test_a_replica_is_not_used(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A1: what it lags behind nobody can tell."""
    monkeypatch.setattr("tests.responder.test_lookup.HELLO", HELLO.replace(b"master", b"replica"))
    async with Impostor(short_path / "s", echo) as endpoint:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3), linked(endpoint):
                """Never up."""


async def test_without_a_server_lookups_fail_at_once(short_path: Path) -> None:
    link = StoreLink(
        Endpoint(f"unix://{short_path}/none"),
        waiting_room=10,
        counters=Counters.private(),
        monotonic=time.monotonic,
    )
    assert await cause_of(hget(link, b"key", b"field", deadline())) == "store_down"
    link.start(Recorder())
    await asyncio.sleep(0.05)
    assert await cause_of(hget(link, b"key", b"field", deadline())) == "store_down"
    await link.stop()


@pytest.mark.invariant("C6")
async def test_a_silent_server_is_given_up(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two heartbeats without an answer are a lost connection."""
    monkeypatch.setattr("responder.lookup.HEARTBEAT", 0.05)
    impostor = Impostor(short_path / "s", lambda command: b"")
    async with impostor as endpoint, linked(endpoint) as link:
        await asyncio.sleep(0.3)
        assert impostor.connections == 1
        impostor.silent = True
        assert await cause_of(hget(link, b"key", b"field", deadline())) == "store_down"


async def test_logins_and_databases_are_those_of_the_url(endpoint: Endpoint, client: redis.Redis) -> None:
    client.acl_setuser(
        "reader",
        enabled=True,
        passwords=["+secret"],
        categories=["+@read", "+@connection"],
        commands=["+info"],
        keys=["ocsp:*"],
    )
    with redis.Redis.from_url(f"{endpoint.url}?db=3") as other:
        other.hset("ocsp:h", "f", "in three")
    right = Endpoint(f"{endpoint.url}?db=3", "reader", "secret")
    async with linked(right) as link:
        assert await hget(link, b"ocsp:h", b"f", deadline()) == b"in three"
    wrong = StoreLink(
        Endpoint(endpoint.url, "reader", "guess"),
        waiting_room=10,
        counters=Counters.private(),
        monotonic=time.monotonic,
    )
    wrong.start(Recorder())
    await asyncio.sleep(0.1)
    assert not wrong.up.is_set()
    await wrong.stop()
    client.acl_deluser("reader")
