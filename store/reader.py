"""Reading the store outside the request path."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import redis

from _fastpath.errors import FastpathError
from _fastpath.page import HEADER_FIELD, PageHeader
from _fastpath.template import Template
from store.connection import translated
from store.errors import StoreFormatError
from store.pipeline import WRONG_TYPE, replies
from store.primary import replication_id
from store.schema import IssuerRecord, issuer_key, page_key, template_key

__all__ = ["StoreReader"]

COMMANDS_AT_A_TIME = 2_000  # their replies have a few octets each


class StoreReader:
    """Decoded contents of the store. Every method may raise StoreUnavailable, StoreFormatError."""

    def __init__(self, client: redis.Redis, url: str) -> None:
        self._client = client
        self._url = url

    def issuer(self, name: str) -> IssuerRecord | None:
        """An issuer's record; None if nothing was ever signed for it."""
        fields = self._hash(issuer_key(name))
        return IssuerRecord.decode(name, fields) if fields else None

    def replication_id(self) -> bytes:
        """Of the primary that is written to: what a Head names."""
        with translated(self._url):
            return replication_id(self._client)

    def template_octets(self, number: int) -> bytes | None:
        """One template by its number, as it is stored."""
        with translated(self._url):
            value: Any = self._client.get(template_key(number))
        return None if value is None else bytes(value)

    def template(self, number: int) -> Template | None:
        """One template by its number."""
        value = self.template_octets(number)
        if value is None:
            return None
        try:
            return Template.decode(value)
        except FastpathError as error:
            raise _damaged(f"template {number}", error) from error

    def header(self, issuer: str, page_epoch: int, page: int) -> PageHeader | None:
        """Header of a page; None where the page has none."""
        with translated(self._url):
            value: Any = self._client.hget(page_key(issuer, page_epoch, page), HEADER_FIELD)
        return None if value is None else _header(value, issuer, page)

    def page(self, issuer: str, page_epoch: int, page: int) -> tuple[PageHeader, dict[bytes, bytes]] | None:
        """A page's header and its records by serial; None unless the page is whole."""
        fields = self._hash(page_key(issuer, page_epoch, page))
        value = fields.pop(HEADER_FIELD, None)
        if value is None:
            return None
        header = _header(value, issuer, page)
        return (header, fields) if header.count == len(fields) else None

    def fields(self, issuer: str, page_epoch: int, page: int) -> tuple[bytes | None, dict[bytes, bytes]]:
        """What is there of a page, whole or not: its header as it is, and its records by serial."""
        fields = self._hash(page_key(issuer, page_epoch, page))
        return fields.pop(HEADER_FIELD, None), fields

    def records(self, wanted: Iterable[tuple[bytes, bytes]]) -> list[bytes | None]:
        """Single records by (page key, serial), in that order; None for what is not there."""
        return list(self._replies(("HGET", key, serial) for key, serial in wanted))

    def records_of(self, issuer: str, page_epoch: int, pages: Iterable[int]) -> list[list[bytes]]:
        """The records that there are of each of `pages`."""
        pipeline = self._client.pipeline(transaction=False)
        for page in pages:
            pipeline.hgetall(page_key(issuer, page_epoch, page))
        with translated(self._url):
            replies: list[Any] = pipeline.execute()
        return [[record for serial, record in fields.items() if serial != HEADER_FIELD] for fields in replies]

    def incomplete_pages(self, issuer: str, page_epoch: int, pages: Sequence[int]) -> list[int]:
        """Those of `pages` that are absent, or have no readable header, or not as many fields as it says."""
        found = self.whole_headers(issuer, page_epoch, pages)
        return [page for page, header in zip(pages, found, strict=True) if header is None]

    def generations(self, issuer: str, page_epoch: int, pages: Sequence[int]) -> list[int | None]:
        """Up to which change each of `pages` has all of its own; None where it is not whole."""
        headers = self.whole_headers(issuer, page_epoch, pages)
        return [None if header is None else header.as_of for header in headers]

    def whole_headers(self, issuer: str, page_epoch: int, pages: Sequence[int]) -> list[PageHeader | None]:
        """The header of each page; None for one that is not whole, or no page at all."""
        keys = [page_key(issuer, page_epoch, page) for page in pages]
        commands = (command for key in keys for command in (("HGET", key, HEADER_FIELD), ("HLEN", key)))
        found = list(replies(self._client, self._url, commands, COMMANDS_AT_A_TIME, none_for_others=True))
        return [_whole(*pair) for pair in zip(found[::2], found[1::2], strict=True)]

    def _replies(self, commands: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        return replies(self._client, self._url, commands, COMMANDS_AT_A_TIME)

    def _hash(self, key: bytes) -> dict[bytes, bytes]:
        with translated(self._url):
            try:
                fields: Any = self._client.hgetall(key)  # bytes; redis-py's types leave decoding open
            except redis.ResponseError as error:
                if not str(error).startswith(WRONG_TYPE):
                    raise
                raise StoreFormatError(
                    f"{key.decode()} in the store is no hash",
                    remedy="run `ocsp-signer sign --all`, which writes it anew from the ledger; find out who wrote it",
                ) from None
        return dict(fields)


def _whole(value: bytes | None, fields: int) -> PageHeader | None:
    """The header, if the page has as many fields as it says."""
    if value is None:
        return None
    try:
        header = PageHeader.decode(value)
    except FastpathError:
        return None
    return header if header.count + 1 == fields else None


def _header(value: bytes, issuer: str, page: int) -> PageHeader:
    try:
        return PageHeader.decode(value)
    except FastpathError as error:
        raise _damaged(f"issuer {issuer}: header of page {page}", error) from error


def _damaged(what: str, error: FastpathError) -> StoreFormatError:
    return StoreFormatError(
        f"{what} cannot be read: {error}", remedy="run `ocsp-signer sign --all`, which writes the store anew"
    )
