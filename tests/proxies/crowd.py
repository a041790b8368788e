"""Many clients at once, each with its own connections, methods and spellings, that know what they have to be answered."""

import asyncio
import base64
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from urllib.parse import quote

__all__ = ["Asked", "Mismatch", "ask_all"]

DEPTH = 5  # requests that are under way on a connection that pipelines


@dataclass(frozen=True, slots=True)
class Asked:
    """A request and the one right body for it."""

    message: bytes
    method: str
    expected: bytes


class Mismatch(AssertionError):
    """Somebody got what was not for them."""


def get(request: bytes, expected: bytes, chooser: random.Random) -> Asked:
    """By GET, in one of the spellings that clients use, now and then with a query."""
    text = base64.b64encode(request).decode()
    target = chooser.choice((text, quote(text, safe=""), text.replace("+", "%2b"), text.rstrip("=")))
    target += chooser.choice(("", "", "", f"?{chooser.getrandbits(16)}"))
    return Asked(f"GET /{target} HTTP/1.1\r\nHost: ocsp.test\r\n\r\n".encode(), "GET", expected)


def head(request: bytes, expected: bytes) -> Asked:
    """By HEAD: the length of the right body is what it can say."""
    target = quote(base64.b64encode(request), safe="")
    return Asked(f"HEAD /{target} HTTP/1.1\r\nHost: ocsp.test\r\n\r\n".encode(), "HEAD", expected)


def post(request: bytes, expected: bytes) -> Asked:
    fields = f"Host: ocsp.test\r\nContent-Type: application/ocsp-request\r\nContent-Length: {len(request)}"
    return Asked(f"POST / HTTP/1.1\r\n{fields}\r\n\r\n".encode() + request, "POST", expected)


def mixed(requests: Mapping[bytes, bytes], count: int, seed: int) -> Iterator[Asked]:
    """`count` requests of these, by GET, POST and HEAD."""
    chooser = random.Random(seed)
    choices = list(requests.items())
    for _ in range(count):
        request, expected = chooser.choice(choices)
        kind = chooser.random()
        if kind < 0.45:
            yield get(request, expected, chooser)
        elif kind < 0.95:
            yield post(request, expected)
        else:
            yield head(request, expected)


async def _read(reader: asyncio.StreamReader, asked: Asked) -> None:
    """One answer, which has to be the one for `asked`."""
    lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in lines[1:] if line)
    length = int(fields[b"content-length"])
    if not lines[0].startswith(b"HTTP/1.1 200 "):
        raise Mismatch(f"{lines[0]!r} to {asked.message!r}")
    body = b"" if asked.method == "HEAD" else await reader.readexactly(length)
    if length != len(asked.expected) or body != (b"" if asked.method == "HEAD" else asked.expected):
        raise Mismatch(f"{body.hex()} to {asked.message!r}")


async def _client(port: int, requests: Iterator[Asked], depth: int) -> int:
    """One connection, up to `depth` requests ahead of the answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answered = 0
    try:
        while batch := list(islice(requests, depth)):
            writer.write(b"".join(asked.message for asked in batch))
            for asked in batch:
                async with asyncio.timeout(30):
                    await _read(reader, asked)
                answered += 1
    finally:
        writer.close()
    return answered


async def ask_all(port: int, requests: Mapping[bytes, bytes], *, clients: int, each: int) -> int:
    """Answers to `clients` times `each` requests, all right; every second client pipelines. Raises Mismatch."""
    asking = (
        _client(port, mixed(requests, each, number), DEPTH if number % 2 else 1) for number in range(clients)
    )
    return sum(await asyncio.gather(*asking))
