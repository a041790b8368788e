"""The floor against a plain set: every serial of a CRL is on it, in whatever profile the CRL is, and no other."""

import datetime
import mmap
import random
from collections.abc import Iterable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from _fastpath import der
from _fastpath.answer import Entry
from _fastpath.certid import SHA1, SHA256, IssuerID, serial_from_int
from _fastpath.errors import MalformedDer
from _fastpath.floor import Floor, entry_count, hashes_of, sorted_hashes
from tests.fastpath.authority import NAME, THIS_UPDATE, good, revoked
from tests.fastpath.records import Source

KEY = bytes(range(16))
ISSUER = IssuerID(NAME.public_bytes(), b"the key")
SAME_NAME = IssuerID(NAME.public_bytes(), b"another key")
CA_KEY = ec.generate_private_key(ec.SECP256R1())
DATE = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
ONE, TWO, THREE = (serial_from_int(0x5A17_0000_0000_0001 + number) for number in range(3))


def crl_of(serials: Iterable[int], *, extension: bool = False) -> bytes:
    """As cryptography builds it; entries with an extension that our own CRLs do not have."""
    builder = x509.CertificateRevocationListBuilder(NAME, DATE, DATE + datetime.timedelta(days=7))
    for serial in serials:
        entry = x509.RevokedCertificateBuilder(serial, DATE)
        if extension:
            entry = entry.add_extension(x509.InvalidityDate(DATE), False)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(CA_KEY, hashes.SHA256()).public_bytes(Encoding.DER)


def hand_made(entries: bytes) -> bytes:
    """The least that is a CRL: version 1, without nextUpdate, the entries as they are given."""
    date = der.encode(0x17, b"261101000000Z")
    tbs = der.encode(0x30, b"") * 2 + date + der.encode(0x30, entries)
    return der.encode(0x30, der.encode(0x30, tbs))


def entry_of(content: bytes) -> bytes:
    return der.encode(0x30, der.encode(0x02, content) + der.encode(0x17, b"261101000000Z"))


def floor_of(*crls: bytes, key: bytes = KEY) -> Floor:
    return Floor(key, sorted_hashes(hashes_of(crl, key, ISSUER) for crl in crls))


def floor_over(*serials: bytes) -> Floor:
    return floor_of(hand_made(b"".join(map(entry_of, serials))))


@settings(max_examples=60, deadline=None)
@given(
    st.sets(st.integers(1, (1 << 159) - 1), max_size=30), st.sets(st.integers(1, (1 << 159) - 1), max_size=30)
)
def test_it_is_the_set_of_all_serials(first: set[int], second: set[int]) -> None:
    floor = floor_of(crl_of(first), crl_of(second, extension=True))
    assert len(floor) == len(first) + len(second)
    for serial in first | second:
        assert floor.contains(ISSUER, serial_from_int(serial))
    for serial in {one + 1 for one in first | second} - first - second:
        assert not floor.contains(ISSUER, serial_from_int(serial))


def test_a_hundred_thousand_and_as_many_others() -> None:
    source = random.Random(20261122)
    serials = [serial_from_int(source.getrandbits(126) << 1) for _ in range(100_000)]
    floor = floor_over(*serials)
    assert all(floor.contains(ISSUER, serial) for serial in serials)
    others = (serial_from_int(source.getrandbits(126) << 1 | 1) for _ in range(100_000))
    assert not any(floor.contains(ISSUER, serial) for serial in others)


def test_nothing_on_it() -> None:
    for floor in (Floor(KEY, b""), floor_of(crl_of([])), floor_of()):
        assert len(floor) == 0 and not floor.contains(ISSUER, ONE)


def test_each_issuer_has_its_own() -> None:
    """A7: the same serial of another CA, even of one with the same name, is another certificate."""
    floor = floor_over(ONE)
    assert floor.contains(ISSUER, ONE)
    assert not floor.contains(SAME_NAME, ONE)


@pytest.mark.invariant("F4")
def test_the_key_makes_the_hashes() -> None:
    crl = crl_of([7])
    assert hashes_of(crl, KEY, ISSUER) != hashes_of(crl, KEY[::-1], ISSUER)
    assert not Floor(KEY[::-1], hashes_of(crl, KEY, ISSUER)).contains(ISSUER, b"\x07")
    for key in (b"", KEY[:-1], KEY + b"\0"):
        with pytest.raises(ValueError, match="16 octets"):
            Floor(key, b"")
        with pytest.raises(ValueError, match="16 octets"):
            hashes_of(crl, key, ISSUER)


@pytest.mark.parametrize(
    ("content", "serial"),
    [
        (b"\0", b"\0"),
        (b"\0\x80", b"\x80"),
        (b"\0\0\x05", b"\x05"),
        (b"\xff", b"\xff"),
        (bytes(40) + b"\x09", b"\x09"),
    ],
)
def test_serials_are_read_as_requests_are(content: bytes, serial: bytes) -> None:
    """Q-10: by value, unsigned, whatever is wrong with the spelling."""
    assert floor_over(content).contains(ISSUER, serial)


def test_hashes_that_are_shared() -> None:
    """In a map that others have too, at whole words only."""
    words = sorted_hashes([hashes_of(crl_of([1, 2, 3]), KEY, ISSUER)])
    with mmap.mmap(-1, 4096) as shared:
        shared[8 : 8 + len(words)] = words
        view = memoryview(shared)
        floor = Floor(KEY, view[8 : 8 + len(words)])
        assert all(floor.contains(ISSUER, bytes([one])) for one in (1, 2, 3))
        for part in (view[1 : 1 + len(words)], view[8 : 7 + len(words)]):
            with pytest.raises(ValueError, match="whole words"):
                Floor(KEY, part)
            part.release()
        del floor
        view.release()


@pytest.mark.invariant("D4")
def test_one_bad_entry_and_nothing_is_taken() -> None:
    """D4: what ends early would be a shorter list."""
    entries = [entry_of(bytes([number])) for number in range(1, 6)]
    for bad in (
        b"\x30\x00",
        b"\x30\x02\x02\x00",
        b"\x02\x01\x07",
        b"\x30\x03\x04\x01\x07",
        b"\x30\x80\x00\x00",
    ):
        crl = hand_made(b"".join([*entries[:3], bad, *entries[3:]]))
        for read in (entry_count, lambda data: hashes_of(data, KEY, ISSUER)):
            with pytest.raises(MalformedDer, match="after 3 entries"):
                read(crl)


def test_cut_and_mutated_crls_are_malformed_or_read() -> None:
    data = crl_of([1, 300, 1 << 150], extension=True)
    for size in range(len(data)):
        with pytest.raises(MalformedDer):
            hashes_of(data[:size], KEY, ISSUER)
    for place in range(len(data)):
        for value in (0, 0x30, 0x80, 0xFF, data[place] ^ 1):
            mutated = data[:place] + bytes([value]) + data[place + 1 :]
            try:
                count = entry_count(mutated)
            except MalformedDer:
                continue
            assert len(hashes_of(mutated, KEY, ISSUER)) == 8 * count


def on_floor(*serials: bytes) -> Source:
    source = Source()
    source.compiled.floor = floor_over(*serials)
    return source


@pytest.mark.invariant("A2", "C3")
def test_good_for_a_serial_on_the_floor_is_no_answer() -> None:
    """A2, C3: whatever the store says; and the others are answered."""
    source = on_floor(ONE)
    for _ in range(2):
        told = source.ask(ONE)
        source.reply(source.record(good(ONE)))
        assert told == ["floor"] and not source.has(ONE)
    assert source.below_floor == [("demo", ONE)] * 2
    assert isinstance(source.fetch(TWO), Entry)
    told = source.ask(ONE)
    source.reply(source.record(revoked(ONE, THIS_UPDATE - 60, 1)))
    assert isinstance(told[0], Entry) and told[0].revoked
    assert len(source.below_floor) == 2


@pytest.mark.invariant("A2", "C3")
@pytest.mark.parametrize("algorithm", [SHA1, SHA256])
def test_a_floor_that_rises_takes_answers_out_of_the_cache(algorithm: int) -> None:
    source = Source()
    assert len({source.page_key(serial) for serial in (ONE, TWO, THREE)}) == 3
    told = source.ask(ONE, algorithm)
    source.reply(source.record(good(ONE)))
    told_of_revoked = source.ask(THREE, algorithm)
    source.reply(source.record(revoked(THREE, THIS_UPDATE - 60, 1)))
    source.fetch(TWO)
    assert isinstance(told[0], Entry) and isinstance(told_of_revoked[0], Entry)
    source.compiled.drop_below_floor(source.compiled.pages())
    assert source.has(ONE, algorithm) and source.has(TWO)
    source.compiled.floor = floor_over(ONE, THREE)
    assert source.has(ONE, algorithm)  # it is for the worker to say when
    source.compiled.drop_below_floor([*source.compiled.pages(), b"ocsp:page:demo:1:99"])
    assert not source.has(ONE, algorithm)
    assert source.has(TWO) and source.has(THREE, algorithm)
    assert source.below_floor == []
