"""The DER core against asn1crypto, Python's datetime and the forms that X.690 forbids."""

import datetime

import pytest
from asn1crypto import core, parser
from hypothesis import given, settings
from hypothesis import strategies as st

from _fastpath.der import encode, encode_time, encode_unsigned, read, read_time
from _fastpath.errors import MalformedDer

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
YEAR_1950 = -631_152_000
YEAR_2050 = 2_524_608_000
YEAR_10000 = 253_402_300_800

contents = st.one_of(
    st.binary(max_size=300), st.sampled_from([0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x10000]).map(bytes)
)
low_tags = st.integers(0, 255).filter(lambda tag: tag & 0x1F != 0x1F)


@given(tag=low_tags, content=contents, rest=st.binary(max_size=3))
@settings(max_examples=200)
def test_a_tlv_reads_back_and_agrees_with_asn1crypto(tag: int, content: bytes, rest: bytes) -> None:
    encoded = encode(tag, content)
    assert read(encoded + rest) == (tag, content, rest)
    class_, method, number, _, parsed, _ = parser.parse(encoded, strict=True)
    assert (class_ << 6 | method << 5 | number, parsed) == (tag, content)


@given(data=st.binary(max_size=40))
@settings(max_examples=200)
def test_whatever_is_read_encodes_to_the_same_octets(data: bytes) -> None:
    try:
        tag, content, rest = read(data)
    except MalformedDer:
        return
    assert encode(tag, content) + rest == data


@pytest.mark.invariant("F6")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "past the end"),
        ("04", "past the end"),
        ("0401", "past the end"),
        ("0482", "past the end"),
        ("04820100", "past the end"),
        ("0484ffffffff", "past the end"),
        ("0480", "indefinite"),
        ("04800000", "indefinite"),
        ("048100", "not minimal"),
        ("04817f" + "00" * 0x7F, "not minimal"),
        ("04820080" + "00" * 0x80, "not minimal"),
        ("048500000000010000", "above four"),
        ("1f0100", "another tag"),
        ("bf8100", "another tag"),
    ],
)
def test_lengths_and_tags_that_der_forbids(data: str, reason: str) -> None:
    with pytest.raises(MalformedDer, match=reason):
        read(bytes.fromhex(data))


@given(value=st.integers(0, 2**176))
@settings(max_examples=200)
def test_unsigned_integers_agree_with_asn1crypto(value: int) -> None:
    octets = value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
    assert encode_unsigned(octets) == core.Integer(value).dump()


@pytest.mark.parametrize("octets", [b"", b"\x00\x00", b"\x00\x01", b"\x00\x80"])
def test_unsigned_octets_that_are_not_minimal(octets: bytes) -> None:
    with pytest.raises(MalformedDer):
        encode_unsigned(octets)


@given(seconds=st.integers(-62_135_596_800, YEAR_10000 - 1))
@settings(max_examples=200)
def test_generalized_times_agree_with_datetime(seconds: int) -> None:
    when = EPOCH + datetime.timedelta(seconds=seconds)
    text = f"{when.year:04}{when:%m%d%H%M%S}Z"
    assert encode_time(seconds, True) == encode(0x18, text.encode())
    assert read_time(encode_time(seconds, True)) == seconds


@given(seconds=st.integers(YEAR_1950, YEAR_2050 - 1))
@settings(max_examples=200)
def test_utc_times_agree_with_asn1crypto(seconds: int) -> None:
    encoded = encode_time(seconds, False)
    assert encoded == core.UTCTime(EPOCH + datetime.timedelta(seconds=seconds)).dump()
    assert read_time(encoded) == seconds


@pytest.mark.parametrize(
    ("seconds", "generalized"),
    [(YEAR_1950 - 1, False), (YEAR_2050, False), (YEAR_10000, True), (-62_167_219_201, True)],
)
def test_a_time_outside_the_years_of_its_type(seconds: int, generalized: bool) -> None:
    with pytest.raises(MalformedDer):
        encode_time(seconds, generalized)


@pytest.mark.parametrize("seconds", [-62_167_219_200, -1, 0, YEAR_10000 - 1])
def test_the_first_and_last_second_of_generalized_time(seconds: int) -> None:
    assert read_time(encode_time(seconds, True)) == seconds


@pytest.mark.parametrize("text", ["20240229000000Z", "20000229235959Z", "00000229000000Z", "20261231235959Z"])
def test_days_that_exist(text: str) -> None:
    encoded = encode(0x18, text.encode())
    assert encode_time(read_time(encoded), True) == encoded


@pytest.mark.invariant("B4")
@pytest.mark.parametrize(
    "text",
    [
        "20230229000000Z",
        "21000229000000Z",
        "20260431000000Z",
        "20261301000000Z",
        "20260001000000Z",
        "20260100000000Z",
        "20260101240000Z",
        "20260101006000Z",
        "20260101000060Z",
        "20260101000000",
        "202601010000Z",
        "20260101000000.5Z",
        "20260101000000+0000",
        "20260101000000z",
        "2026 101000000Z",
        "/0260101000000Z",
        ":0260101000000Z",
        "20/60101000000Z",
    ],
)
def test_generalized_times_that_rfc_5280_forbids(text: str) -> None:
    with pytest.raises(MalformedDer):
        read_time(encode(0x18, text.encode()))


@pytest.mark.parametrize(
    "data",
    [
        encode(0x17, b"2601010000Z"),
        encode(0x17, b"/60101000000Z"),
        encode(0x17, b"260101000000Z") + b"\x00",
        encode(0x04, b"260101000000Z"),
        b"\x17\x0d",
    ],
    ids=["no-seconds", "not-digits", "trailing", "another-type", "truncated"],
)
def test_utc_times_that_rfc_5280_forbids(data: bytes) -> None:
    with pytest.raises(MalformedDer):
        read_time(data)
