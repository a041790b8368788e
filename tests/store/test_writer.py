"""PageWriter and StoreReader together: what one writes the other reads; the rest of the guard is in test_functions."""

import pytest
import redis

from _fastpath.page import HEADER_FIELD, PageHeader
from store.connection import Endpoint
from store.errors import StoreError, StoreFormatError
from store.reader import StoreReader
from store.schema import IssuerRecord, issuer_key, page_key, template_key
from store.writer import PageWriter, PutStatus
from tests.store.pages import ISSUER, KEY, NOW, TEMPLATE, page


@pytest.fixture
def writer(client: redis.Redis, endpoint: Endpoint) -> PageWriter:
    return PageWriter(client, endpoint.url)


@pytest.fixture
def reader(client: redis.Redis, endpoint: Endpoint) -> StoreReader:
    return StoreReader(client, endpoint.url)


def test_results_come_in_the_order_of_the_pages(writer: PageWriter, reader: StoreReader) -> None:
    keys = [page_key("demo", 1, number) for number in range(20)]
    writer.put_pages([page({}, 50, key=keys[3]), page({}, 50, key=keys[17])])
    results = writer.put_pages(page({b"\1": False}, 10 + index, key=key) for index, key in enumerate(keys))
    stale = [index for index, result in enumerate(results) if result.status is PutStatus.STALE]
    assert stale == [3, 17]
    assert [result.header.as_of for result in results if result.header] == [
        50 if index in stale else 10 + index for index in range(20)
    ]
    assert reader.header("demo", 1, 19) == PageHeader(29, NOW, 1, 0)


def test_a_connection_that_was_cut_is_made_again(writer: PageWriter, client: redis.Redis) -> None:
    assert writer.put_pages([page({}, 1)])[0].status is PutStatus.WRITTEN
    client.client_kill_filter(_type="normal", skipme=False)
    assert writer.put_pages([page({}, 2)])[0].status is PutStatus.WRITTEN


def test_replies_after_an_error_are_not_taken_for_later_ones(client: redis.Redis, endpoint: Endpoint) -> None:
    writer = PageWriter(client, endpoint.url, restores=False)
    bad = page({}, 1 << 64)
    keys = [page_key("demo", 1, number) for number in range(1, 6)]
    with pytest.raises(StoreError, match="epoch"):
        writer.put_pages([page({}, 1, key=keys[0]), bad, *(page({}, 1, key=key) for key in keys[1:])])
    results = writer.put_pages(page({}, 1 + index, key=key) for index, key in enumerate(keys))
    assert [result.header.as_of for result in results if result.header] == [1, 2, 3, 4, 5]
    assert results[0].status is PutStatus.STALE  # the others of the batch went through


def test_nothing_to_put(writer: PageWriter) -> None:
    assert writer.put_pages([]) == []
    assert writer.put_records([]) == []


def test_page_is_read_back(writer: PageWriter, reader: StoreReader) -> None:
    put = page({b"\1": False, b"#": True}, 3)
    writer.put_pages([put])
    assert reader.page("demo", 1, 0) == (PageHeader(3, NOW, 2, 1), put.records)
    assert reader.page("demo", 1, 1) is None
    assert reader.header("demo", 1, 1) is None


def test_a_page_that_lost_a_field_is_not_whole(
    writer: PageWriter, reader: StoreReader, client: redis.Redis
) -> None:
    writer.put_pages([page({b"\1": False, b"\2": True}, 3)])
    client.hdel(KEY, b"\2")
    assert reader.page("demo", 1, 0) is None


def test_a_damaged_header_is_an_error(reader: StoreReader, client: redis.Redis) -> None:
    client.hset(KEY, HEADER_FIELD, b"\1\2\3")
    with pytest.raises(StoreFormatError, match="header of page 0"):
        reader.header("demo", 1, 0)


def test_issuer_round_trip(writer: PageWriter, reader: StoreReader) -> None:
    assert reader.issuer("demo") is None
    first = IssuerRecord(ISSUER.fingerprint, 1, 4, (1, 2), {0: 7})
    second = IssuerRecord(ISSUER.fingerprint, 2, 6, (2,), {0: 7, 1: 8})
    for record in (first, second):
        writer.write_issuer("demo", record)
        assert reader.issuer("demo") == record


def test_an_issuer_record_of_another_format_is_an_error(reader: StoreReader, client: redis.Redis) -> None:
    client.hset(issuer_key("demo"), "format", "2")
    with pytest.raises(StoreFormatError, match="format 2"):
        reader.issuer("demo")


def test_templates_are_immutable(writer: PageWriter, reader: StoreReader, client: redis.Redis) -> None:
    assert reader.template(7) is None
    writer.write_template(7, TEMPLATE.encode())
    writer.write_template(7, TEMPLATE.encode())
    with pytest.raises(StoreError, match="template 7"):
        writer.write_template(7, TEMPLATE.encode() + b"\0")
    found = reader.template(7)
    assert found is not None
    assert found.encode() == TEMPLATE.encode()
    client.set(template_key(8), b"\x30\x03\x02\x01\x02")
    with pytest.raises(StoreFormatError, match="template 8"):
        reader.template(8)


def test_old_page_epoch_is_unlinked(writer: PageWriter, reader: StoreReader) -> None:
    for epoch in (1, 2):
        writer.put_pages(page({}, 1, key=page_key("demo", epoch, number)) for number in range(8))
    assert writer.unlink_pages("demo", 1, range(8)) == 8
    assert writer.unlink_pages("demo", 1, range(8)) == 0
    assert all(reader.header("demo", 1, number) is None for number in range(8))
    assert all(reader.header("demo", 2, number) is not None for number in range(8))


@pytest.mark.invariant("C4")
def test_incomplete_pages_are_found(writer: PageWriter, reader: StoreReader, client: redis.Redis) -> None:
    keys = [page_key("demo", 1, number) for number in range(5)]
    writer.put_pages(page({b"\1": False, b"\2": True}, 1, key=key) for key in keys[:4])
    client.hdel(keys[1], b"\2")
    client.hset(keys[2], HEADER_FIELD, b"\1\2\3")
    client.delete(keys[3])
    client.set(keys[3], "a string")
    assert reader.incomplete_pages("demo", 1, range(5)) == [1, 2, 3, 4]
    with pytest.raises(StoreFormatError, match="ocsp:page:demo:1:3 in the store is no hash"):
        reader.page("demo", 1, 3)
