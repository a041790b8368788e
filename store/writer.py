"""Writing to the store: guarded page and record writes, issuer records, templates, the function library."""

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import redis

from _fastpath.page import PageHeader, encode_page
from store.connection import translated
from store.errors import StoreError
from store.pipeline import replies
from store.schema import HEAD_FIELD, Head, IssuerRecord, issuer_key, page_key, template_key

__all__ = [
    "PagePut",
    "PageWriter",
    "PutResult",
    "PutStatus",
    "RecordPut",
    "check_functions",
    "install_functions",
]

PAGES_AT_A_TIME = 16  # one write to the server, and as many replies
UNLINKS_AT_A_TIME = 1000
COUNTER_BITS = 48
LIBRARY = Path(__file__).with_name("functions.lua")


class PutStatus(IntEnum):
    """What a guarded write came to; the numbers are those of functions.lua."""

    WRITTEN = 0
    STALE = 1  # generation or thisUpdate is lower than the header's, or neither is higher
    REVOKED_FELL = 2  # a revoked certificate would become good, or vanish without being named
    NO_HEADER = 3  # a record for a page that is absent or damaged: put the whole page
    NOT_RESTORED = 4  # between server and PageWriter: the page has to come field by field


@dataclass(frozen=True, slots=True)
class PagePut:
    """A whole page as the ledger has it at generation `as_of`."""

    key: bytes  # schema.page_key
    as_of: int  # generation: epoch << 48 | counter
    this_update: int  # newest of its records, seconds since 1970
    records: dict[bytes, bytes]  # serial -> record
    removed: Sequence[bytes] = ()  # serials that left the page since it was last written


@dataclass(frozen=True, slots=True)
class RecordPut:
    """One record as the change of generation `as_of` left it."""

    key: bytes
    as_of: int
    this_update: int
    serial_number: bytes
    record: bytes


@dataclass(frozen=True, slots=True)
class PutResult:
    """Status of a write and the header that is in the page after it; None only with NO_HEADER."""

    status: PutStatus
    header: PageHeader | None


class PageWriter:
    """Writes through one client; for one thread. Every method may raise StoreError, StoreUnavailable.

    `restores` sends pages in the form in which the server keeps them, as long as it takes them so.
    """

    def __init__(self, client: redis.Redis, url: str, *, restores: bool = True) -> None:
        self._client = client
        self._url = url
        self._restores = restores

    def put_pages(self, pages: Iterable[PagePut]) -> list[PutResult]:
        """Replace pages whole, each under its guard; results in the order of `pages`."""
        iterator, results = iter(pages), list[PutResult]()
        while batch := list(itertools.islice(iterator, PAGES_AT_A_TIME)):
            results += self._put_batch(batch)
        return results

    def _put_batch(self, batch: list[PagePut]) -> list[PutResult]:
        command = _restore_command if self._restores else _page_command
        results = self._put(command(page) for page in batch)
        left = [index for index, result in enumerate(results) if result.status is PutStatus.NOT_RESTORED]
        if left:
            self._restores = False
            again = self._put(_page_command(batch[index]) for index in left)
            for index, result in zip(left, again, strict=True):
                results[index] = result
        return results

    def put_records(self, records: Iterable[RecordPut]) -> list[PutResult]:
        """Change single records, in order, each under the guard of its page's header."""
        return self._put(_record_command(record) for record in records)

    def write_issuer(self, issuer: str, record: IssuerRecord, *, anew: bool = False) -> None:
        """Say where an issuer's pages are: all fields at once. `anew`: nothing stays of what is there, the head neither."""
        items = [part for item in record.encode().items() for part in item]
        with translated(self._url), self._client.pipeline(transaction=anew) as pipeline:
            if anew:
                pipeline.delete(issuer_key(issuer))
            pipeline.hset(issuer_key(issuer), items=items)
            pipeline.execute()

    def write_head(self, issuer: str, head: Head) -> None:
        """Say that the primary which the head names has what the ledger has: from now on responders use it."""
        with translated(self._url):
            self._client.hset(issuer_key(issuer), items=[HEAD_FIELD, head.encode()])

    def write_template(self, number: int, template: bytes) -> None:
        """Store a template under its number, for good. Raises StoreError if the number has another content."""
        key = template_key(number)
        with translated(self._url):
            if self._client.set(key, template, nx=True) or self._client.get(key) == template:
                return
        raise StoreError(
            f"{self._url}: template {number} is there with other content: the store belongs to another ledger",
            remedy="point store.url at this ledger's own store",
        )

    def unlink_pages(self, issuer: str, page_epoch: int, pages: Iterable[int]) -> int:
        """Remove pages of a page epoch that is not in force; how many there were."""
        commands = (("UNLINK", page_key(issuer, page_epoch, page)) for page in pages)
        return sum(reply for reply in replies(self._client, self._url, commands, UNLINKS_AT_A_TIME))

    def _put(self, commands: Iterable[tuple[Any, ...]]) -> list[PutResult]:
        return [
            PutResult(PutStatus(status), PageHeader.decode(header) if header else None)
            for status, header in replies(self._client, self._url, commands, PAGES_AT_A_TIME)
        ]


def _stamp(as_of: int, this_update: int) -> tuple[int, int, int]:
    """Generation in two numbers that Lua's doubles hold exactly, and thisUpdate."""
    return as_of >> COUNTER_BITS, as_of & ((1 << COUNTER_BITS) - 1), this_update


def _page_command(page: PagePut) -> tuple[Any, ...]:
    stamp = _stamp(page.as_of, page.this_update)
    fields = itertools.chain.from_iterable(page.records.items())
    return "FCALL", "ocspeed_page_put", 1, page.key, *stamp, len(page.removed), *page.removed, *fields


def _restore_command(page: PagePut) -> tuple[Any, ...]:
    value = encode_page(page.as_of, page.this_update, page.records)
    if value is None:
        return _page_command(page)
    return "FCALL", "ocspeed_page_restore", 1, page.key, value, *page.removed


def _record_command(put: RecordPut) -> tuple[Any, ...]:
    stamp = _stamp(put.as_of, put.this_update)
    return "FCALL", "ocspeed_record_put", 1, put.key, *stamp, put.serial_number, put.record


def _library() -> tuple[str, str]:
    """Source of the function library with its digest filled in, and the digest."""
    source = LIBRARY.read_text(encoding="utf-8")
    digest = hashlib.sha256(source.encode()).hexdigest()
    return source.replace("@DIGEST@", digest), digest


def install_functions(client: redis.Redis, url: str) -> bool:
    """Load this release's function library; False if it was there. Needs the administrative user."""
    source, digest = _library()
    if _installed_digest(client, url) == digest:
        return False
    with translated(url):
        client.function_load(source, replace=True)
    return True


def check_functions(client: redis.Redis, url: str) -> None:
    """Raises StoreError unless the server has this release's function library."""
    found = _installed_digest(client, url)
    if found != _library()[1]:
        state = "is of another release" if found else "is not loaded"
        raise StoreError(
            f"{url}: the function library `ocspeed` {state}", remedy="run `ocsp-signer store init`"
        )


def _installed_digest(client: redis.Redis, url: str) -> str | None:
    with translated(url):
        try:
            reply: Any = client.fcall_ro("ocspeed_digest", 0)
        except redis.ResponseError as error:
            if "Function not found" not in str(error):
                raise
            return None
    return bytes(reply).decode()
