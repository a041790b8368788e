"""Records of imported responses: what is packed is unpacked, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from _fastpath import page
from _fastpath.certid import OTHER, SHA1, SHA256, IssuerID
from _fastpath.errors import FastpathError, RecordDamaged, UnknownFormat
from _fastpath.imported import (
    LARGEST_RESPONSE,
    decode_imported_record,
    encode_imported_record,
    is_imported_record,
)

ISSUER = IssuerID(b"0\0", b"key")
SERIAL = b"\x5a\x17"
BOTH = {SHA1: b"first", SHA256: b"the second"}
RECORD = encode_imported_record(ISSUER, SERIAL, 7, False, BOTH)


def with_checksum(record: bytes) -> bytes:
    covered = ISSUER.fingerprint + bytes([len(SERIAL)]) + SERIAL + record[:7] + record[11:]
    return record[:7] + page.crc32c(covered).to_bytes(4, "big") + record[11:]


@given(
    serial=st.binary(min_size=1, max_size=20),
    this_update=st.integers(0, 0xFFFFFFFF),
    revoked=st.booleans(),
    responses=st.dictionaries(
        st.sampled_from([SHA1, SHA256]), st.binary(min_size=1, max_size=LARGEST_RESPONSE), min_size=1
    ),
)
def test_what_is_packed_is_unpacked(
    serial: bytes, this_update: int, revoked: bool, responses: dict[int, bytes]
) -> None:
    record = encode_imported_record(ISSUER, serial, this_update, revoked, responses)
    assert decode_imported_record(ISSUER, serial, record) == responses
    assert is_imported_record(record)
    assert record[0] & 1 == revoked and int.from_bytes(record[2:6]) == this_update
    assert len(record) == 11 + sum(2 + len(response) for response in responses.values())


def test_octets_of_a_record() -> None:
    rest = bytes.fromhex("16 00 00000007 00") + b"\0\x05first\0\x0athe second"
    assert RECORD == with_checksum(rest[:7] + bytes(4) + rest[7:])


def test_every_flipped_bit_truncation_and_other_place_is_refused() -> None:
    """C1, C2."""
    for bit in range(8 * len(RECORD)):
        flipped = bytearray(RECORD)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FastpathError):
            decode_imported_record(ISSUER, SERIAL, bytes(flipped))
    for size in range(len(RECORD)):
        with pytest.raises(FastpathError):
            decode_imported_record(ISSUER, SERIAL, RECORD[:size])
    for issuer, serial in (
        (IssuerID(b"0\0", b"other"), SERIAL),
        (ISSUER, b"\x5a\x18"),
        (ISSUER, SERIAL + b"\0"),
    ):
        with pytest.raises(RecordDamaged):
            decode_imported_record(issuer, serial, RECORD)
    with pytest.raises(RecordDamaged):
        decode_imported_record(ISSUER, SERIAL + bytes(256), RECORD)


@pytest.mark.parametrize(
    "record",
    [
        b"\x10" + RECORD[1:11],
        b"\x1e" + RECORD[1:],
        RECORD[:1] + b"\x01" + RECORD[2:],
        RECORD[:6] + b"\x01" + RECORD[7:],
        b"\x12" + RECORD[1:],
        RECORD + b"\0",
        RECORD[:-1],
        RECORD[:11] + bytes(2) + RECORD[11:],
        RECORD[:11] + b"\xff" + RECORD[12:],
        b"\x12" + RECORD[1:11] + b"\0",
        b"\x12" + RECORD[1:11] + (LARGEST_RESPONSE + 1).to_bytes(2, "big") + bytes(LARGEST_RESPONSE + 1),
    ],
    ids=[
        "none",
        "nextUpdate",
        "slot",
        "producedAt",
        "more",
        "after",
        "short",
        "empty",
        "long",
        "half",
        "large",
    ],
)
def test_records_that_are_not_made_here_are_damaged(record: bytes) -> None:
    with pytest.raises(RecordDamaged):
        decode_imported_record(ISSUER, SERIAL, with_checksum(record))


@pytest.mark.parametrize("flags", [0x06, 0x36, 0x96, 0xF6])
def test_other_formats_are_unknown(flags: int) -> None:
    with pytest.raises(UnknownFormat):
        decode_imported_record(ISSUER, SERIAL, with_checksum(bytes([flags]) + RECORD[1:]))
    assert not is_imported_record(bytes([flags]) + RECORD[1:]) and not is_imported_record(b"")


@pytest.mark.parametrize(
    ("this_update", "responses"),
    [
        (7, {}),
        (7, {SHA1: b""}),
        (7, {SHA1: bytes(LARGEST_RESPONSE + 1)}),
        (7, {OTHER: b"x"}),
        (-1, BOTH),
        (1 << 32, BOTH),
    ],
)
def test_what_a_record_has_no_place_for(this_update: int, responses: dict[int, bytes]) -> None:
    with pytest.raises(ValueError, match="octets|hash algorithm|record has"):
        encode_imported_record(ISSUER, SERIAL, this_update, False, responses)
