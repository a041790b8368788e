"""Revocations in bulk: nothing is revoked before all that are asked for were counted, by the caller too."""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Sequence
from typing import TypeAlias

from starlette.requests import Request

from signer.admin.problems import Problem
from signer.intake.api import Item, Refusal, Work, refusal
from signer.ledger.errors import LedgerError
from signer.ledger.mass_revocation import EXPECT_ABOVE

__all__ = ["Chunk", "Expected"]

Chunk: TypeAlias = list[tuple[int, Item]]  # items and the numbers of their lines


class Expected:
    """What one request says with `?expect=COUNT`, or does not. Raises Problem for what is no number."""

    def __init__(self, issuer: str, work: Work, request: Request) -> None:
        self._issuer = issuer
        self._work = work
        self._count = _count_of(request.query_params.getlist("expect"))

    async def checked(self, chunks: AsyncIterator[Chunk]) -> AsyncIterator[Chunk]:
        """The same once the last one has come. Raises Problem if they are not as many as expected."""
        held = [chunk async for chunk in chunks]
        await self.check([item for _, item in itertools.chain.from_iterable(held)])
        for chunk in held:
            yield chunk

    async def check(self, items: Sequence[Item]) -> None:
        """Raises Problem, with a summary, if these are not as many certificates as expected."""
        if self._count is None and len(items) <= EXPECT_ABOVE:
            return
        try:
            found = await asyncio.to_thread(self._work.count, items)
        except LedgerError as error:
            raise Problem(refusal(error)) from None
        if found.is_expected(self._count):
            return
        summary = {"issuer": self._issuer, **found.described()}
        remedy = f"nothing was revoked; if that is meant, say so: ?expect={found.named}"
        if self._count is None:
            text = f"{found.named} certificates would be revoked for ever"
            raise Problem(Refusal(422, text, remedy), summary=summary)
        text = f"{found.named} certificates are named, not {self._count}"
        raise Problem(Refusal(409, text, remedy), summary=summary)


def _count_of(said: list[str]) -> int | None:
    if not said:
        return None
    if len(said) > 1 or not re.fullmatch("[0-9]{1,9}", said[0]):
        raise Problem(Refusal(400, "expect: not a number of certificates", "say ?expect=COUNT once"))
    return int(said[0])
