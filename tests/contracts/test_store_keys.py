"""Names in the store, octet by octet: a signer and a responder of different releases meet there.

Layout of headers and records, and `hash32`, are held in `tests/fastpath/test_page.py`.
"""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _fastpath.certid import SHA1, SHA256
from _fastpath.page import page_number
from store.errors import StoreFormatError
from store.schema import HEADER_FIELD, KEY_PREFIX, Head, IssuerRecord, issuer_key, page_key, template_key

DOCUMENT = Path(__file__).parents[2] / "docs" / "architecture.md"
RECORD = IssuerRecord(
    fingerprint=bytes(range(64)),
    page_epoch=3,
    page_bits=14,
    certid_algorithms=(SHA1, SHA256),
    templates={0: 7, 12: 31},
)
FIELDS = {
    b"format": b"1",
    b"fingerprint": bytes(range(64)),
    b"page_epoch": b"3",
    b"page_bits": b"14",
    b"certid_algorithms": b"1,2",
    b"template:0": b"7",
    b"template:12": b"31",
}


def test_key_names() -> None:
    assert issuer_key("demo-ca.1") == b"ocsp:issuer:demo-ca.1"
    assert template_key(31) == b"ocsp:template:31"
    assert page_key("demo-ca.1", 3, 16_383) == b"ocsp:page:demo-ca.1:3:16383"
    assert HEADER_FIELD == b""


def test_every_key_is_under_the_prefix_that_invalidations_and_rights_name() -> None:
    for key in (issuer_key("a"), template_key(1), page_key("a", 1, 0)):
        assert key.startswith(KEY_PREFIX)


@pytest.mark.parametrize(
    ("serial", "page_bits", "key"),
    [
        ("00", 14, b"ocsp:page:demo:1:7053"),
        ("23", 14, b"ocsp:page:demo:1:3280"),
        ("0123456789abcdef0123456789abcdef", 14, b"ocsp:page:demo:1:2191"),
        ("0123456789abcdef0123456789abcdef", 0, b"ocsp:page:demo:1:0"),
    ],
)
def test_page_of_a_serial(serial: str, page_bits: int, key: bytes) -> None:
    assert page_key("demo", 1, page_number(bytes.fromhex(serial), page_bits)) == key


def test_document_names_the_keys() -> None:
    text = DOCUMENT.read_text()
    for key in (
        "`ocsp:issuer:<issuer>`",
        "`ocsp:template:<number>`",
        "`ocsp:page:<issuer>:<page epoch>:<page>`",
    ):
        assert key in text


def test_issuer_record_fields() -> None:
    assert RECORD.encode() == FIELDS
    assert IssuerRecord.decode("demo", FIELDS) == RECORD


HEADS = st.builds(
    Head, st.integers(0, 2**64 - 1), st.text("0123456789abcdef", min_size=40, max_size=40).map(str.encode)
)


def test_a_head_is_a_field_of_the_issuers_record() -> None:
    head = Head(5 << 48 | 77, b"0123456789" * 4)
    record = dataclasses.replace(RECORD, head=head)
    assert record.encode() == FIELDS | {b"head": b"1407374883553357 0123456789012345678901234567890123456789"}
    assert IssuerRecord.decode("demo", record.encode()) == record


@given(
    st.builds(
        IssuerRecord,
        fingerprint=st.binary(min_size=64, max_size=64),
        page_epoch=st.integers(1, 2**32 - 1),
        page_bits=st.integers(0, 32),
        certid_algorithms=st.sampled_from([(SHA1,), (SHA256,), (SHA1, SHA256)]),
        templates=st.dictionaries(st.integers(0, 255), st.integers(1, 2**31), max_size=4),
        head=st.none() | HEADS,
    )
)
@settings(max_examples=100)
def test_issuer_records_are_read_back(record: IssuerRecord) -> None:
    assert IssuerRecord.decode("demo", record.encode()) == record


def test_fields_of_a_later_release_are_no_hindrance() -> None:
    assert IssuerRecord.decode("demo", FIELDS | {b"colour": b"blue"}) == RECORD


def test_another_format_is_refused_by_number() -> None:
    with pytest.raises(StoreFormatError, match="issuer demo: the store has format 2, this release reads 1"):
        IssuerRecord.decode("demo", FIELDS | {b"format": b"2"})


@pytest.mark.parametrize(
    "field", [b"format", b"fingerprint", b"page_epoch", b"page_bits", b"certid_algorithms"]
)
def test_a_missing_field_is_named(field: bytes) -> None:
    with pytest.raises(StoreFormatError, match=f"issuer demo: .*{field.decode()}") as caught:
        IssuerRecord.decode("demo", {name: value for name, value in FIELDS.items() if name != field})
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"format", b"one"),
        (b"page_epoch", b""),
        (b"page_epoch", b"0"),
        (b"page_epoch", b"-5"),
        (b"page_epoch", b"4294967296"),
        (b"page_bits", b"33"),
        (b"page_bits", b"-1"),
        (b"certid_algorithms", b"1,"),
        (b"template:0", b"x"),
        (b"template:x", b"7"),
        (b"template:256", b"7"),
        (b"template:-1", b"7"),
        (b"template:03", b"7"),
        (b"head", b"7"),
        (b"head", b"7 " + b"G" * 40),
        (b"head", b"7 " + b"5" * 39),
    ],
)
def test_values_that_cannot_be_are_refused(field: bytes, value: bytes) -> None:
    with pytest.raises(StoreFormatError, match="issuer demo"):
        IssuerRecord.decode("demo", FIELDS | {field: value})


def test_an_issuer_record_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        RECORD.page_bits = 15  # type: ignore[misc]
