"""Records and page headers: what was packed comes back whole, for its own serial and issuer, or not at all."""

import hashlib
import struct
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st

from _fastpath.answer import assemble
from _fastpath.certid import SHA1, SHA256, IssuerID, minimal_serial
from _fastpath.errors import FastpathError, RecordDamaged, UnknownFormat
from _fastpath.ocsp import SingleResponse, encode_response, encode_tbs_response_data, signature_to_raw
from _fastpath.page import (
    HEADER_SIZE,
    PageHeader,
    decode_record,
    encode_record,
    hash32,
    page_number,
    record_slot,
)
from tests.fastpath.authority import Authority
from tests.property.responses import KINDS, REASONS, raw_signature, said, serials, signer
from tests.property.test_response_writing import facts
from tests.property.tiers import property_of

LAST_U32 = 0xFFFFFFFF
U32 = st.integers(0, LAST_U32)


@dataclass(frozen=True, slots=True)
class Stored:
    """A record and all that went into it."""

    authority: Authority
    slot: int
    response: SingleResponse
    sha1_signature: bytes | None
    sha256_signature: bytes | None

    @property
    def record(self) -> bytes:
        return encode_record(
            self.authority.issuer,
            self.authority.template,
            self.slot,
            self.response,
            self.sha1_signature,
            self.sha256_signature,
        )


def storable(
    serial: int,
    this_update: int,
    produced_after: int,
    next_update: int | None,
    revoked: tuple[int, int] | None,
) -> SingleResponse:
    """What a record can hold; `next_update` of None is the template's validity, else seconds to clamp it to."""
    valid_for = 345_599 if next_update is None else produced_after + next_update
    return said(serial, this_update, produced_after, valid_for - produced_after, revoked)


responses = st.builds(
    storable,
    serials,
    st.integers(0, LAST_U32 - 700_000),
    st.integers(0, 255),
    st.none() | st.integers(1, 600_000),
    st.none() | st.tuples(U32, st.sampled_from(sorted(REASONS))),
)


def stored(kind: str, slot: int, response: SingleResponse, which: tuple[bool, bool], seed: int) -> Stored:
    authority = signer(kind)
    first, second = (raw_signature(authority.template.signature_size, seed + n, 0) for n in range(2))
    return Stored(authority, slot, response, first if which[0] else None, second if which[1] else None)


def stored_of(kinds: list[str]) -> st.SearchStrategy[Stored]:
    which = st.sampled_from([(True, True), (True, False), (False, True)])
    return st.builds(
        stored, st.sampled_from(kinds), st.integers(0, 255), responses, which, st.integers(0, 2**32 - 1)
    )


@pytest.mark.conformance("R-03", "R-06", "R-07", "R-21")
@property_of(case=stored_of(KINDS))
def test_a_record_comes_back_as_it_was_packed(case: Stored) -> None:
    template, issuer, serial = case.authority.template, case.authority.issuer, case.response.serial_number
    decoded = decode_record(issuer, template, serial, case.record)
    assert (decoded.template_slot, record_slot(case.record)) == (case.slot, case.slot)
    assert facts(decoded.response) == facts(case.response)
    assert (decoded.sha1_signature, decoded.sha256_signature) == (case.sha1_signature, case.sha256_signature)
    for hash_algorithm, raw in ((SHA1, case.sha1_signature), (SHA256, case.sha256_signature)):
        answer = assemble(template, 1, issuer, hash_algorithm, serial, case.record, 0, 1 << 40)
        if raw is None:
            assert answer is None
        else:
            assert answer is not None
            assert answer.body == encode_response(template, issuer, hash_algorithm, case.response, raw)
            assert answer.revoked == (case.response.revocation_time is not None)


@pytest.mark.conformance("R-01", "R-03", "R-06")
@property_of(kind=st.sampled_from([*KINDS[:2], "rsa-2048"]), response=responses)
def test_what_is_served_from_a_record_is_the_response_that_was_signed(
    kind: str, response: SingleResponse
) -> None:
    authority = signer(kind)
    template, issuer = authority.template, authority.issuer
    signatures, bodies = [], []
    for hash_algorithm in (SHA1, SHA256):
        tbs = encode_tbs_response_data(template, issuer, hash_algorithm, response)
        signatures.append(signature_to_raw(template, authority.sign(tbs)))
        bodies.append(encode_response(template, issuer, hash_algorithm, response, signatures[-1]))
    record = encode_record(issuer, template, 7, response, *signatures)
    for hash_algorithm, body in zip((SHA1, SHA256), bodies, strict=True):
        answer = assemble(template, 1, issuer, hash_algorithm, response.serial_number, record, 0, 1 << 40)
        assert answer is not None
        assert answer.body == body
        times = (answer.this_update, answer.produced_at, answer.next_update)
        assert times == (response.this_update, response.produced_at, response.next_update)


def is_refused(
    case: Stored, record: bytes, *, serial: bytes | None = None, issuer: IssuerID | None = None
) -> bool:
    """Whether both ways to read a record refuse it."""
    authority = case.authority
    whose, what = issuer or authority.issuer, serial or case.response.serial_number
    for read in (
        lambda: decode_record(whose, authority.template, what, record),
        lambda: assemble(authority.template, 1, whose, SHA1, what, record, 0, 1 << 40),
    ):
        try:
            read()
        except FastpathError:
            continue
        return False
    return True


def damages(record: bytes) -> list[bytes]:
    """Every single flipped bit, every truncation, and one octet more."""
    flipped = []
    for position in range(len(record)):
        before, octet, after = record[:position], record[position], record[position + 1 :]
        flipped += [before + bytes([octet ^ 1 << bit]) + after for bit in range(8)]
    return [*flipped, *(record[:size] for size in range(len(record))), record + b"\0"]


@pytest.mark.conformance("Q-04")
@property_of(case=stored_of(KINDS[:1]))
def test_no_damaged_record_is_read(case: Stored) -> None:
    """CRC-32C: every single bit and every length. Both ways to read go through one check."""
    authority, record = case.authority, case.record
    read = []
    for damaged in damages(record):
        try:
            decode_record(authority.issuer, authority.template, case.response.serial_number, damaged)
        except FastpathError:
            continue
        read.append(damaged)
    assert read == []
    assert is_refused(case, record[:-1])
    assert not is_refused(case, record)


@st.composite
def other_serials(draw: st.DrawFn, serial: bytes) -> bytes:
    """Another minimal serial, often one octet or bit away."""
    position = draw(st.integers(0, len(serial) - 1))
    changed = bytearray(serial)
    changed[position] ^= draw(st.integers(1, 255))
    near = [bytes(changed), serial[1:], serial[:-1], serial + b"\0", b"\1" + serial, serial[::-1]]
    other = minimal_serial(draw(st.sampled_from(near)))
    return other if other != serial else serial + b"\1"


@st.composite
def misplaced(draw: st.DrawFn) -> tuple[Stored, bytes]:
    case = draw(stored_of(KINDS[:1]))
    return case, draw(other_serials(case.response.serial_number))


@pytest.mark.conformance("Q-04")
@pytest.mark.invariant("C1")
@property_of(case=misplaced(), octet=st.integers(0, 255))
def test_a_record_is_read_for_its_own_serial_and_issuer_only(case: tuple[Stored, bytes], octet: int) -> None:
    kept, other = case
    issuer = kept.authority.issuer
    assert is_refused(kept, kept.record, serial=other)
    name, key = issuer.name + bytes([octet]), bytes([octet])
    for wrong in (IssuerID(name, key), IssuerID(issuer.name, key), IssuerID(key, issuer.name)):
        assert is_refused(kept, kept.record, issuer=wrong)


@pytest.mark.conformance("R-20")
@property_of(
    as_of=st.integers(0, 2**64 - 1),
    this_update=U32,
    count=U32,
    revoked=U32,
    size=st.integers(0, 2 * HEADER_SIZE),
)
def test_a_page_header_comes_back_as_it_was(
    as_of: int, this_update: int, count: int, revoked: int, size: int
) -> None:
    header = PageHeader(as_of, this_update, count, revoked)
    value = header.encode()
    assert value == struct.pack(">BQIII", 1, as_of, this_update, count, revoked)
    decoded = PageHeader.decode(value)
    assert decoded == header
    assert (decoded.as_of, decoded.this_update, decoded.count, decoded.revoked_count) == (
        as_of,
        this_update,
        count,
        revoked,
    )
    with pytest.raises(UnknownFormat):
        PageHeader.decode(bytes([2 + size]) + value[1:])
    if size != HEADER_SIZE:
        with pytest.raises(RecordDamaged):
            PageHeader.decode((value + value)[:size])


@pytest.mark.conformance("Q-10")
@property_of(serial=serials, bits=st.integers(0, 32))
def test_the_page_of_a_serial_is_the_first_bits_of_its_hash(serial: int, bits: int) -> None:
    octets = minimal_serial(serial.to_bytes(20, "big"))
    digest = int.from_bytes(hashlib.sha256(octets).digest(), "big")
    assert hash32(octets) == digest >> 224
    assert page_number(octets, bits) == digest >> (256 - bits)
