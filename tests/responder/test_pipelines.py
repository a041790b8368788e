"""The k-th answer is to the k-th request: fast, slow and damaged ones in any order, cut anywhere, with a slow store."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from responder.app import Application
from responder.wire import Wire
from store.schema import page_key
from tests.responder.ca import CA, PAGE_BITS
from tests.responder.conftest import GOOD, GOOD_TOO, REVOKED
from tests.responder.connections import Client, Worker
from tests.responder.test_both_paths import FORMS, UNISSUED, Question, get, outcomes, path_of, post

CASES = [2_000, pytest.param(100_000, marks=pytest.mark.slow)]
AT_ONCE = 20  # connections

KEPT = ["get", "get unescaped", "post", "post anywhere", "post typed", "tag"]
KEPT_SLOWLY = [
    "query",
    "tags",
    "any tag",
    "date",
    "head",
    "chunked",
    "no padding",
    "post of a form",
    "post of a text",
]
CLOSED = [
    "get close",
    "get 1.0",
    "post close",
    "post 1.0",
    "tag close",
    "post too long",
    "upgrade",
]
GARBAGE = [
    b"\0\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET /M HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"XYZ / HTTP/1.1\r\n\r\n",
]


class Hesitation:
    """Holds back what the store answers for some ticks of the loop, never out of order."""

    def __init__(self, source: random.Random) -> None:
        self.source = source
        self.most = 0
        self._held: list[tuple[Wire, bytes]] = []

    def take(self, wire: Wire, data: bytes, pass_on: Any) -> None:
        self._held.append((wire, data))
        if len(self._held) == 1:
            self._wait(wire._loop, self.source.randrange(self.most + 1), pass_on)

    def _wait(self, loop: asyncio.AbstractEventLoop, ticks: int, pass_on: Any) -> None:
        if ticks:
            loop.call_soon(self._wait, loop, ticks - 1, pass_on)
            return
        held, self._held = self._held, []
        for wire, data in held:
            pass_on(wire, data)


@pytest.fixture
def hesitation(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hesitation]:
    hesitation = Hesitation(random.Random(1))
    pass_on = Wire.data_received
    monkeypatch.setattr(Wire, "data_received", lambda wire, data: hesitation.take(wire, data, pass_on))
    yield hesitation


@dataclass(frozen=True)
class Asked:
    """One request and all that comes back for it; `last` if nothing is read behind it."""

    message: bytes
    answer: bytes
    last: bool


@dataclass
class Phrasebook:
    """Every form of some questions with its answer, as the slow path alone gives it on a connection of its own."""

    kept: list[Asked] = field(default_factory=list)
    kept_slowly: list[Asked] = field(default_factory=list)
    closed: list[Asked] = field(default_factory=list)
    garbage: list[Asked] = field(default_factory=list)

    def sequence(self, source: random.Random) -> list[Asked]:
        """Some requests; the last may be damaged, or end the connection."""
        count = source.choice((1, 2, 2, 3, 3, 4, 6, 9, 20, 40))
        shelves = source.choice(
            ([self.kept], [self.kept, self.kept, self.kept_slowly], [self.kept, self.kept_slowly])
        )
        asked = [source.choice(source.choice(shelves)) for _ in range(count)]
        if source.random() < 0.5:
            asked.append(source.choice(source.choice((self.closed, self.garbage))))
            # What comes behind is not answered.
            asked.extend(source.choice(self.kept) for _ in range(source.randrange(3)))
        return asked


async def one_answer(worker: Worker, message: bytes) -> Asked:
    (found,) = await outcomes(worker, [(message,)], fast=False)
    return Asked(message, found.received, found.closed)


@pytest.fixture
async def worker(application: Application) -> Worker:
    return Worker(application)


@pytest.fixture
async def phrases(worker: Worker, ca: CA) -> AsyncIterator[Phrasebook]:
    book = Phrasebook()
    for serial in (GOOD, GOOD_TOO, REVOKED, UNISSUED):
        der = ca.request(serial)
        etag = (
            (await one_answer(worker, get(path_of(der)))).answer.partition(b"etag: ")[2].partition(b"\r\n")[0]
        )
        question = Question(b"", der, etag or b'"00"')
        for names, shelf in ((KEPT, book.kept), (KEPT_SLOWLY, book.kept_slowly), (CLOSED, book.closed)):
            shelf.extend([await one_answer(worker, FORMS[name](question)) for name in names])
    book.kept.append(await one_answer(worker, get(path_of(der[:-1]))))
    book.kept.append(await one_answer(worker, post(b"/", b"0")))
    book.garbage.extend([await one_answer(worker, message) for message in GARBAGE])
    assert [asked.message for asked in book.kept + book.kept_slowly if asked.last] == []
    assert [asked.message for asked in book.closed + book.garbage if not asked.last] == []
    yield book


def expected_of(asked: list[Asked]) -> bytes:
    answers = b""
    for one in asked:
        answers += one.answer
        if one.last:
            break
    return answers


def forget(worker: Worker) -> None:
    """Let the answers be asked for again; that the pages are whole stays known, or a request under way is tryLater."""
    worker.path.cache.clear()
    for page in range(1 << PAGE_BITS):
        worker.path.cache.mark_whole(page_key("demo", 1, page))


def cut(source: random.Random, data: bytes, most: int) -> list[bytes]:
    """The same in up to so many segments."""
    places = sorted(source.randrange(len(data) + 1) for _ in range(source.randrange(most)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


async def converse(worker: Worker, source: random.Random, asked: list[Asked]) -> Client:
    """Send it all, with pauses and changes of the cache in between; the client may be slow to read."""
    client = worker.connect(room=source.choice((0, 1500, 1 << 20)))
    for segment in cut(source, b"".join(one.message for one in asked), source.choice((1, 2, 4, 8))):
        client.send(segment)
        for _ in range(source.choice((0, 0, 0, 1, 2, 5))):
            await asyncio.sleep(0)
        if source.random() < 0.5:
            client.read()
        if source.random() < 0.1:
            forget(worker)
    return client


async def check(worker: Worker, source: random.Random, asked: list[Asked]) -> None:
    client = await converse(worker, source, asked)
    received = await client.settle()
    assert received == expected_of(asked), [one.message for one in asked]
    assert client.closed == any(one.last for one in asked)
    client.end()
    assert await client.settle() == received


async def check_leaving(worker: Worker, source: random.Random, asked: list[Asked]) -> None:
    client = await converse(worker, source, asked)
    assert expected_of(asked).startswith(client.received)
    client.leave()


@pytest.mark.invariant("E6")
@pytest.mark.conformance("H-20")
@pytest.mark.parametrize("cases", CASES)
async def test_any_sequence_is_answered_in_order(
    worker: Worker, phrases: Phrasebook, hesitation: Hesitation, cases: int
) -> None:
    """E6: many connections at once, some of which leave in the middle."""
    source = random.Random(cases)
    for _ in range(cases // AT_ONCE):
        hesitation.most = source.choice((0, 0, 3, 20))
        await asyncio.gather(
            *(
                (check_leaving if source.random() < 0.1 else check)(worker, source, phrases.sequence(source))
                for _ in range(AT_ONCE)
            )
        )
    assert worker.path.answered > cases


@pytest.mark.conformance("H-20")
@pytest.mark.invariant("E6")
async def test_cut_at_every_octet(worker: Worker, phrases: Phrasebook, hesitation: Hesitation) -> None:
    """E6: out of the cache and out of the store, answered before the second segment comes or after."""
    kept, slowly = phrases.kept, phrases.kept_slowly
    asked = [kept[0], kept[9], slowly[0], kept[2], phrases.garbage[0]]
    data = b"".join(one.message for one in asked)
    for ticks in (0, 9):
        hesitation.most = ticks
        for at in range(len(data) + 1):
            if at % 3 == 0:
                forget(worker)
            client = worker.connect()
            client.send(data[:at])
            for _ in range(at % 4):
                await asyncio.sleep(0)
            client.send(data[at:])
            assert await client.settle() == expected_of(asked), at
            assert client.closed


@pytest.mark.invariant("E6")
@pytest.mark.parametrize("first", ["get", "post", "query"])
@pytest.mark.parametrize("second", ["get", "post", "query", "get close", "garbage"])
async def test_nothing_overtakes_a_request_that_waits(
    worker: Worker, phrases: Phrasebook, ca: CA, hesitation: Hesitation, first: str, second: str
) -> None:
    """The second could be answered at once, out of the cache or without the store."""
    slow, quick = ca.request(GOOD), ca.request(GOOD_TOO)
    one = FORMS[first](Question(b"", slow, b""))
    other = b"\0\r\n\r\n" if second == "garbage" else FORMS[second](Question(b"", quick, b""))
    expected = (await one_answer(worker, one)).answer + (await one_answer(worker, other)).answer
    for segments in ((one + other,), (one, other), (one, other[:9], other[9:])):
        forget(worker)
        await one_answer(worker, get(path_of(quick)))
        hesitation.most = 50
        client = worker.connect()
        client.send(*segments)
        assert client.received == b""
        assert await client.settle() == expected
        hesitation.most = 0


async def test_every_body_has_its_own_time(application: Application) -> None:
    """Also when its head, longer than the one before, came with the body of that."""
    client = Worker(application).connect()
    body = b"0\x03\x02\x01"  # refused without the store
    client.send(post(b"/", body)[: -len(body)])
    client.protocol.due = 1.0
    client.send(body + post(b"/", body, b"X: longer")[: -len(body)])
    assert client.received.count(b"HTTP/1.1 200") == 1
    assert client.protocol.due > asyncio.get_running_loop().time()
    client.leave()
