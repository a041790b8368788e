"""Records, page headers and answers of `_fastpath.page`, against struct, hashlib and cryptography."""

import hashlib
import struct
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _fastpath import certid, page
from _fastpath.answer import assemble
from _fastpath.certid import IssuerID
from _fastpath.errors import FastpathError, RecordDamaged, UnknownFormat
from _fastpath.ocsp import SingleResponse
from _fastpath.template import Template

ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
SHA256_WITH_RSA = bytes.fromhex("300d06092a864886f70d01010b0500")
NOW = 1_795_255_200  # 2026-11-21T10:00:00Z
VALIDITY = 345_599
SERIAL = bytes.fromhex("0123456789abcdef0123456789abcdef")
ISSUER = IssuerID(bytes.fromhex("300d310b3009060355040613025553"), b"\x04" + bytes(range(64)))
OTHER_ISSUER = IssuerID(ISSUER.name, b"\x04" + bytes(range(1, 65)))
TEMPLATE = Template(
    signature_algorithm=ECDSA_WITH_SHA256,
    signature_size=64,
    responder_key_hash=ISSUER.key_hash_sha1,
    certificates=b"",
    validity=VALIDITY,
)
SHA1_SIGNATURE = bytes(range(64))
SHA256_SIGNATURE = bytes(range(64, 128))

fast = settings(max_examples=100, deadline=None)


def reference_crc32c(data: bytes) -> int:
    """RFC 3720 appendix B.4, one bit at a time."""
    crc = 0xFFFFFFFF
    for octet in data:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def with_checksum(record: bytes, serial: bytes = SERIAL, issuer: IssuerID = ISSUER) -> bytes:
    """A record whose checksum is right, whatever it says."""
    covered = issuer.fingerprint + bytes([len(serial)]) + serial + record[:7] + record[11:]
    return record[:7] + struct.pack(">I", reference_crc32c(covered)) + record[11:]


def good(serial: bytes = SERIAL) -> SingleResponse:
    return SingleResponse(serial, this_update=NOW, produced_at=NOW + 3, next_update=NOW + VALIDITY)


def revoked(reason: int = 1, next_update: int = NOW + VALIDITY) -> SingleResponse:
    return SingleResponse(
        SERIAL,
        this_update=NOW,
        produced_at=NOW,
        next_update=next_update,
        revocation_time=NOW - 60,
        reason=reason,
    )


def good_record() -> bytes:
    return page.encode_record(ISSUER, TEMPLATE, 7, good(), SHA1_SIGNATURE, SHA256_SIGNATURE)


# Checksums and page numbers.


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_crc32c_is_that_of_rfc_3720(data: bytes, checksum: int) -> None:
    assert page.crc32c(data) == checksum == reference_crc32c(data)


@fast
@given(st.binary(max_size=100), st.binary(max_size=100))
def test_crc32c_goes_on_from_a_checksum(first: bytes, second: bytes) -> None:
    assert page.crc32c(second, page.crc32c(first)) == page.crc32c(first + second)


@pytest.mark.parametrize(
    ("serial", "value"),
    [
        ("00", 0x6E340B9C),
        ("01", 0x4BF5122F),
        ("23", 0x334359B9),
        ("0123456789abcdef0123456789abcdef", 0x223E0A16),
    ],
)
def test_hash32_vectors(serial: str, value: int) -> None:
    octets = bytes.fromhex(serial)
    assert page.hash32(octets) == int.from_bytes(hashlib.sha256(octets).digest()[:4], "big")
    assert page.hash32(octets) == value


@pytest.mark.parametrize(
    ("page_bits", "number"),
    [(0, 0), (1, 0), (2, 1), (8, 0x6E), (16, 0x6E34), (31, 0x6E340B9C >> 1), (32, 0x6E340B9C)],
)
def test_page_number_is_the_first_bits_of_the_hash(page_bits: int, number: int) -> None:
    assert page.page_number(b"\0", page_bits) == number


@pytest.mark.parametrize("page_bits", [-1, 33])
def test_page_bits_out_of_range(page_bits: int) -> None:
    with pytest.raises(ValueError, match="0 to 32"):
        page.page_number(b"\0", page_bits)


# Page headers.


def test_header_bytes() -> None:
    header = page.PageHeader((3 << 48) | 0x0102_0304_0506, NOW, 64, 5)
    assert header.encode() == struct.pack(">BQIII", 1, 0x0003_0102_0304_0506, NOW, 64, 5)
    assert len(header.encode()) == page.HEADER_SIZE == 21
    assert page.HEADER_FIELD == b""


@fast
@given(
    st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)
)
def test_header_round_trip(as_of: int, this_update: int, count: int, revoked_count: int) -> None:
    header = page.PageHeader(as_of, this_update, count, revoked_count)
    decoded = page.PageHeader.decode(header.encode())
    assert decoded == header
    assert (decoded.as_of, decoded.this_update, decoded.count, decoded.revoked_count) == (
        as_of,
        this_update,
        count,
        revoked_count,
    )


def test_headers_of_different_content_differ() -> None:
    assert page.PageHeader(1, 2, 3, 4) != page.PageHeader(1, 2, 3, 5)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (b"", RecordDamaged),
        (b"\x01" + bytes(19), RecordDamaged),
        (b"\x01" + bytes(21), RecordDamaged),
        (b"\x02" + bytes(20), UnknownFormat),
        (bytes(21), UnknownFormat),
    ],
)
def test_header_refused(value: bytes, error: type[FastpathError]) -> None:
    with pytest.raises(error):
        page.PageHeader.decode(value)


# Records.


def test_good_record_is_139_octets() -> None:
    record = good_record()
    fixed = struct.pack(">BBIBI", 0x06, 7, NOW, 3, 0)
    assert record == with_checksum(fixed + SHA1_SIGNATURE + SHA256_SIGNATURE)
    assert len(record) == 139


def test_revoked_and_clamped_record_bytes() -> None:
    record = page.encode_record(ISSUER, TEMPLATE, 0, revoked(4, NOW + 36_000), None, SHA256_SIGNATURE)
    fixed = struct.pack(">BBIBI", 0x0D, 0, NOW, 0, 0)
    rest = struct.pack(">IIB", NOW + 36_000, NOW - 60, 4)
    assert record == with_checksum(fixed + rest + SHA256_SIGNATURE)


@dataclass(frozen=True, slots=True)
class Case:
    template: Template
    slot: int
    response: SingleResponse
    sha1_signature: bytes | None
    sha256_signature: bytes | None


TIMES = st.integers(0, 2**32 - 1)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    size = draw(st.sampled_from([64, 256]))
    template = Template(
        signature_algorithm=ECDSA_WITH_SHA256 if size == 64 else SHA256_WITH_RSA,
        signature_size=size,
        responder_key_hash=ISSUER.key_hash_sha1,
        certificates=b"",
        validity=draw(st.integers(256, 604_799)),
    )
    this_update = draw(st.integers(0, 2**32 - 1 - 604_800))
    produced_at = this_update + draw(st.integers(0, 255))
    next_update = draw(
        st.one_of(st.just(this_update + template.validity), st.integers(produced_at + 1, 2**32 - 1))
    )
    revocation_time = draw(st.one_of(st.none(), TIMES))
    response = SingleResponse(
        draw(st.binary(min_size=1, max_size=20).filter(lambda serial: serial[0] != 0)),
        this_update=this_update,
        produced_at=produced_at,
        next_update=next_update,
        revocation_time=revocation_time,
        reason=0 if revocation_time is None else draw(st.sampled_from([0, 1, 3, 4, 5, 9])),
    )
    signature = st.binary(min_size=size, max_size=size)
    first = draw(st.one_of(st.none(), signature))
    second = draw(signature if first is None else st.one_of(st.none(), signature))
    return Case(template, draw(st.integers(0, 255)), response, first, second)


def said(response: SingleResponse) -> tuple[bytes, int, int, int, int | None, int]:
    return (
        response.serial_number,
        response.this_update,
        response.produced_at,
        response.next_update,
        response.revocation_time,
        response.reason,
    )


@fast
@given(cases())
def test_record_round_trip(case: Case) -> None:
    record = page.encode_record(
        ISSUER, case.template, case.slot, case.response, case.sha1_signature, case.sha256_signature
    )
    decoded = page.decode_record(ISSUER, case.template, case.response.serial_number, record)
    assert said(decoded.response) == said(case.response)
    assert decoded.template_slot == page.record_slot(record) == case.slot
    assert decoded.sha1_signature == case.sha1_signature
    assert decoded.sha256_signature == case.sha256_signature


def is_refused(record: bytes, serial: bytes = SERIAL, issuer: IssuerID = ISSUER) -> bool:
    """Neither reader takes the record."""
    refused = 0
    for read in (
        lambda: page.decode_record(issuer, TEMPLATE, serial, record),
        lambda: assemble(TEMPLATE, 1, issuer, certid.SHA1, serial, record, 0, 0),
    ):
        try:
            read()
        except FastpathError:
            refused += 1
    return refused == 2


@pytest.mark.invariant("C1", "C2")
def test_every_flipped_bit_is_refused() -> None:
    for record in (
        good_record(),
        page.encode_record(ISSUER, TEMPLATE, 0, revoked(1, NOW + 9), SHA1_SIGNATURE, SHA256_SIGNATURE),
    ):
        assert not is_refused(record)
        for bit in range(8 * len(record)):
            flipped = bytearray(record)
            flipped[bit // 8] ^= 1 << bit % 8
            assert is_refused(bytes(flipped)), f"bit {bit}"


@pytest.mark.invariant("C2")
def test_every_truncation_and_octets_after_the_end_are_refused() -> None:
    record = good_record()
    for size in range(len(record)):
        assert is_refused(record[:size]), f"{size} octets"
    assert is_refused(record + b"\0")
    assert is_refused(record + record)


@pytest.mark.invariant("C1", "C2")
def test_exchanged_signatures_are_refused() -> None:
    record = good_record()
    assert is_refused(record[:11] + SHA256_SIGNATURE + SHA1_SIGNATURE)


@pytest.mark.invariant("C1")
@pytest.mark.parametrize(
    "serial",
    [
        SERIAL[:-1] + b"\xee",
        SERIAL[:-1],
        b"\0" + SERIAL,
        SERIAL + b"\0",
        b"",
        SERIAL + bytes(256),  # its length, taken modulo 256, is that of SERIAL
    ],
)
def test_a_record_of_another_serial_is_refused(serial: bytes) -> None:
    assert is_refused(good_record(), serial=serial)


@pytest.mark.invariant("A7", "C1")
def test_a_record_of_another_issuer_is_refused() -> None:
    assert is_refused(good_record(), issuer=OTHER_ISSUER)


@pytest.mark.invariant("C2")
@pytest.mark.parametrize("flags", [0x10, 0x20, 0x40, 0x80, 0xF0])
def test_other_formats_and_raw_records_are_unknown(flags: int) -> None:
    record = good_record()
    other = with_checksum(bytes([record[0] | flags]) + record[1:])
    with pytest.raises(UnknownFormat):
        page.decode_record(ISSUER, TEMPLATE, SERIAL, other)
    with pytest.raises(UnknownFormat):
        page.record_slot(other)


@pytest.mark.parametrize("size", range(11))
def test_slot_of_a_short_record(size: int) -> None:
    with pytest.raises(RecordDamaged):
        page.record_slot(good_record()[:size])


@pytest.mark.invariant("C2")
@pytest.mark.parametrize(
    ("flags", "extra"),
    [
        pytest.param(0x0E, struct.pack(">I", NOW - 1), id="ended before it began"),
        pytest.param(0x07, struct.pack(">IB", NOW, 7), id="unassigned reason"),
        pytest.param(0x07, struct.pack(">IB", NOW, 11), id="no reason"),
    ],
)
def test_impossible_record_with_a_right_checksum_is_refused(flags: int, extra: bytes) -> None:
    """C2: somebody who can write into the store can make the checksum right."""
    fixed = struct.pack(">BBIBI", flags, 0, NOW, 0, 0)
    record = with_checksum(fixed + extra + SHA1_SIGNATURE + SHA256_SIGNATURE)
    with pytest.raises(RecordDamaged):
        page.decode_record(ISSUER, TEMPLATE, SERIAL, record)
    with pytest.raises(RecordDamaged):
        assemble(TEMPLATE, 1, ISSUER, certid.SHA1, SERIAL, record, 0, 1 << 40)


def test_a_record_without_a_signature_is_refused() -> None:
    record = with_checksum(struct.pack(">BBIBI", 0, 0, NOW, 0, 0))
    with pytest.raises(RecordDamaged):
        assemble(TEMPLATE, 1, ISSUER, certid.SHA1, SERIAL, record, 0, 1 << 40)


@pytest.mark.parametrize(
    ("slot", "response", "sha1_signature", "sha256_signature", "why"),
    [
        (256, good(), SHA1_SIGNATURE, None, "slot"),
        (-1, good(), SHA1_SIGNATURE, None, "slot"),
        (0, good(), None, None, "at least one"),
        (0, good(), SHA1_SIGNATURE[:63], None, "63 octets"),
        (0, good(), SHA1_SIGNATURE, SHA256_SIGNATURE + b"\0", "65 octets"),
        (
            0,
            SingleResponse(SERIAL, this_update=NOW, produced_at=NOW + 256, next_update=NOW + VALIDITY),
            SHA1_SIGNATURE,
            None,
            "255 s",
        ),
        (0, revoked(next_update=2**32), SHA1_SIGNATURE, None, "2106"),
    ],
)
def test_what_a_record_cannot_hold(
    slot: int,
    response: SingleResponse,
    sha1_signature: bytes | None,
    sha256_signature: bytes | None,
    why: str,
) -> None:
    with pytest.raises(ValueError, match=why):
        page.encode_record(ISSUER, TEMPLATE, slot, response, sha1_signature, sha256_signature)


def test_a_record_is_not_made_by_hand() -> None:
    with pytest.raises(TypeError):
        page.Record()


# Whole pages: read back as the formats of RDB and listpack are documented, one octet at a time.


def reference_crc64(data: bytes) -> int:
    """Jones' polynomial, reflected, one bit at a time."""
    crc = 0
    for octet in data:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x95AC9329AC4BC9B5 if crc & 1 else 0)
    return crc


def read_entry(data: bytes, start: int) -> tuple[bytes, int]:
    """A string of a listpack and where the next one begins."""
    first = data[start]
    if first >> 6 == 0b10:
        begin, size = start + 1, first & 0x3F
    else:
        assert first >> 4 == 0b1110
        begin, size = start + 2, (first & 0x0F) << 8 | data[start + 1]
    end = begin + size
    whole = end - start
    backwards = bytes([whole]) if whole < 128 else bytes([whole >> 7, whole & 0x7F | 0x80])
    assert data[end : end + len(backwards)] == backwards
    return data[begin:end], end + len(backwards)


def read_dump(value: bytes) -> dict[bytes, bytes]:
    assert value[:2] == b"\x10\x80"  # a hash that is a listpack; its length in 32 bits
    assert value[-10:-8] == b"\x0a\0"
    assert int.from_bytes(value[-8:], "little") == reference_crc64(value[:-8])
    listpack = value[6:-10]
    assert int.from_bytes(value[2:6]) == int.from_bytes(listpack[:4], "little") == len(listpack)
    strings, position = [], 6
    while listpack[position] != 0xFF:
        string, position = read_entry(listpack, position)
        strings.append(string)
    assert position == len(listpack) - 1
    assert int.from_bytes(listpack[4:6], "little") == len(strings)
    return dict(zip(strings[::2], strings[1::2], strict=True))


def test_reference_crc64_is_the_one_of_redis() -> None:
    assert reference_crc64(b"123456789") == 0xE9C6D914C4B8D9CA


@fast
@given(
    records=st.dictionaries(
        st.binary(min_size=1, max_size=70), st.binary(min_size=1, max_size=300), max_size=8
    ),
    as_of=st.integers(0, 2**64 - 1),
)
def test_a_page_is_read_back(records: dict[bytes, bytes], as_of: int) -> None:
    value = page.encode_page(as_of, NOW, records)
    assert value is not None
    revoked = sum(record[0] & 1 for record in records.values())
    header = page.PageHeader(as_of, NOW, len(records), revoked)
    assert read_dump(value) == {page.HEADER_FIELD: header.encode(), **records}


@pytest.mark.parametrize("size", [63, 64, 125, 126, 127, 128, 4_095])
def test_lengths_of_fields(size: int) -> None:
    records = {b"\1" * size: b"\2" * size}
    value = page.encode_page(1, NOW, records)
    assert value is not None
    assert read_dump(value)[b"\1" * size] == b"\2" * size


def test_what_no_listpack_holds() -> None:
    many = {number.to_bytes(2): b"\2" for number in range(513)}
    assert page.encode_page(1, NOW, many) is None
    assert page.encode_page(1, NOW, {b"\1": bytes(4_096)}) is None
    assert page.encode_page(1, NOW, {bytes(4_096): b"\2"}) is None
    del many[b"\0\0"]
    assert page.encode_page(1, NOW, many) is not None


@pytest.mark.parametrize("records", [{b"": b"\2"}, {b"\1": b""}])
def test_nothing_of_a_page_is_empty(records: dict[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="empty"):
        page.encode_page(1, NOW, records)
