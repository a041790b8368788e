"""Bodies of requests within bounds: nothing longer than its limit is ever held."""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from signer.admin.problems import Problem
from signer.intake.api import Refusal
from signer.intake.lines import MAX_LINE
from signer.intake.rows import RowError

__all__ = ["Lines", "discard", "whole"]

CHUNK = 500  # lines handed over at a time
DISCARDED = (
    1 << 20
)  # octets of a refused body that are waited for, so that its sender comes to read the answer
DISCARD_TIME = 1.0  # seconds


async def whole(request: Request, pause: int) -> bytes:
    """The body of a single item. Raises Problem."""
    body = bytearray()
    async for data in _pieces(request, MAX_LINE, pause):
        body += data
    return bytes(body)


async def discard(request: Request) -> None:
    """A little of what a refused request still sends."""
    size = 0
    try:
        async with asyncio.timeout(DISCARD_TIME):
            async for data in request.stream():
                size += len(data)
                if size > DISCARDED:
                    return
    except (TimeoutError, ClientDisconnect, RuntimeError):  # the last: it was read already
        pass


class Lines:
    """The lines of a batch, some hundred at a time, each with its number. Empty ones say nothing."""

    def __init__(self, request: Request, *, octets: int, lines: int, pause: int) -> None:
        self._request = request
        self._octets = octets
        self._limit = lines
        self._pause = pause
        self._number = 0

    async def chunks(self) -> AsyncIterator[list[tuple[int, bytes | RowError]]]:
        """Raises Problem when there is too much, once the lines before were given."""
        chunk: list[tuple[int, bytes | RowError]] = []
        try:
            async for line in self._numbered():
                chunk.append(line)
                if len(chunk) == CHUNK:
                    yield chunk
                    chunk = []
        except Problem:
            if chunk:
                yield chunk
            raise
        if chunk:
            yield chunk

    async def _numbered(self) -> AsyncIterator[tuple[int, bytes | RowError]]:
        async for line in self._lines():
            self._number += 1
            text = line if isinstance(line, RowError) else line.strip(b"\r\n \t")
            if not text:
                continue
            if self._number > self._limit:
                raise Problem(
                    Refusal(
                        413,
                        f"more than {self._limit} lines",
                        "send the others in another request; sent twice is no harm",
                    )
                )
            yield self._number, text

    async def _lines(self) -> AsyncIterator[bytes | RowError]:
        rest = b""
        skipping = False  # the rest of a line that is too long
        async for data in _pieces(self._request, self._octets, self._pause):
            *ended, rest = (rest + data).split(b"\n")
            for line in ended:
                if not skipping:
                    yield _bounded(line)
                skipping = False
            if len(rest) > MAX_LINE:
                if not skipping:
                    yield _bounded(rest)
                rest, skipping = b"", True
        if rest and not skipping:
            yield _bounded(rest)


def _bounded(line: bytes) -> bytes | RowError:
    return line if len(line) < MAX_LINE else RowError("line", f"longer than {MAX_LINE} octets")


async def _pieces(request: Request, limit: int, pause: int) -> AsyncIterator[bytes]:
    """As they come, up to `limit` octets in all; `pause` is for each, in seconds."""
    too_long = Problem(
        Refusal(413, f"more than {limit} octets", "send less at a time; sent twice is no harm")
    )
    length = request.headers.get("content-length")
    if length is not None and int(length) > limit:
        raise too_long
    size = 0
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(pause):
                data = await anext(stream, None)
        except TimeoutError:
            raise Problem(
                Refusal(408, f"nothing came for {pause} s", "send the body without pauses")
            ) from None
        if data is None:
            return
        size += len(data)
        if size > limit:
            raise too_long
        yield data
