"""Lengths, integers and times of `_fastpath.der` against asn1crypto and Python's own calendar."""

import datetime
import re

import pytest
from asn1crypto import core, parser
from asn1crypto import ocsp as asn1_ocsp
from hypothesis import strategies as st

from _fastpath.certid import SHA1, SHA256, IssuerID, minimal_serial, serial_from_int
from _fastpath.der import encode, encode_time, encode_unsigned, read, read_time
from _fastpath.errors import MalformedDer
from tests.property.tiers import property_of

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
FIELDS = [(0, 4), (4, 6), (6, 8), (8, 10), (10, 12), (12, 14)]  # of YYYYMMDDHHMMSS
BOUNDARIES = [0x80, 0x100, 0x10000]
sizes = st.integers(0, 700) | st.builds(
    lambda boundary, offset: boundary + offset, st.sampled_from(BOUNDARIES), st.integers(-40, 40)
)
tags = st.integers(0, 0xFF).filter(lambda tag: tag & 0x1F != 0x1F)
# Years 1000 to 9999: asn1crypto writes the years before with fewer than four digits.
generalized_seconds = st.integers(-30_610_224_000, 253_402_300_799)
utc_seconds = st.integers(-631_152_000, 2_524_607_999)  # years 1950 to 2049


@pytest.mark.conformance("R-01", "C-01")
@property_of(tag=tags, size=sizes, after=st.binary(max_size=2))
def test_tag_and_length_are_those_of_asn1crypto(tag: int, size: int, after: bytes) -> None:
    content = bytes([size & 0xFF]) * size
    encoded = encode(tag, content)
    assert encoded == parser.emit(tag >> 6, tag >> 5 & 1, tag & 0x1F, content)
    assert read(encoded + after) == (tag, content, after)
    for missing in (1, min(size + 1, 7)):
        with pytest.raises(MalformedDer):
            read(encoded[:-missing])


@pytest.mark.conformance("R-01", "C-01")
@property_of(size=st.integers(0, 0x1800), surplus=st.integers(1, 3))
def test_a_length_has_one_spelling(size: int, surplus: int) -> None:
    """X.690 section 10.1: no more octets than needed, and never an indefinite length."""
    content = bytes(size)
    octets = size.to_bytes((2 if size > 0xFF else 1) + surplus - (size < 0x80), "big")
    longer = b"\x04" + bytes([0x80 | len(octets)]) + octets + content
    for wrong in (longer, b"\x04\x80" + content + b"\0\0"):
        with pytest.raises(MalformedDer):
            read(wrong)


@pytest.mark.conformance("Q-10", "C-14")
@property_of(value=st.integers(0, 2**160) | st.integers(0, 2**2048))
def test_integers_are_those_of_asn1crypto(value: int) -> None:
    octets = value.to_bytes((value.bit_length() + 7) // 8, "big")
    encoded = encode_unsigned(minimal_serial(octets))
    assert encoded == core.Integer(value).dump()
    assert minimal_serial(b"\0\0" + octets) == minimal_serial(octets)
    if value >> 160 == 0:
        assert serial_from_int(value) == minimal_serial(octets)


def by_python(content: str, generalized: bool) -> int | None:
    """Seconds of a time in the one form that RFC 5280 allows, or None."""
    digits = 14 if generalized else 12
    if not re.fullmatch(rf"[0-9]{{{digits}}}Z", content, re.ASCII):
        return None
    century = "" if generalized else ("19" if content >= "50" else "20")
    text = century + content
    year, month, day, hour, minute, second = (int(text[start:end]) for start, end in FIELDS)
    try:
        when = datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.UTC)
    except ValueError:
        return None
    return int((when - EPOCH).total_seconds())


@pytest.mark.conformance("R-05", "C-05")
@property_of(seconds=generalized_seconds)
def test_generalized_times_are_those_of_asn1crypto(seconds: int) -> None:
    encoded = encode_time(seconds, True)
    when = EPOCH + datetime.timedelta(seconds=seconds)
    assert encoded == core.GeneralizedTime(when).dump()
    assert core.GeneralizedTime.load(encoded).native == when
    assert read_time(encoded) == seconds


@pytest.mark.conformance("C-05")
@property_of(seconds=utc_seconds)
def test_utc_times_are_those_of_asn1crypto(seconds: int) -> None:
    encoded = encode_time(seconds, False)
    when = EPOCH + datetime.timedelta(seconds=seconds)
    assert encoded == core.UTCTime(when).dump()
    assert core.UTCTime.load(encoded).native == when
    assert read_time(encoded) == seconds


@st.composite
def nearly_times(draw: st.DrawFn) -> tuple[str, bool]:
    """Contents of a time with numbers that may be too large, and perhaps one character changed."""
    generalized = draw(st.booleans())
    year = draw(st.integers(1, 9999 if generalized else 99))
    fields = draw(st.tuples(*(st.integers(0, most) for most in (13, 32, 25, 61, 61))))
    text = f"{year:0{4 if generalized else 2}}" + "".join(f"{one:02}" for one in fields) + "Z"
    if draw(st.integers(0, 3)) == 0:
        position = draw(st.integers(0, len(text)))
        text = (
            text[:position] + draw(st.sampled_from("0 9:Z/-+.a")) + text[position + draw(st.integers(0, 1)) :]
        )
    return text, generalized


@pytest.mark.conformance("R-05", "C-05")
@pytest.mark.invariant("B4")
@property_of(time=nearly_times())
def test_a_time_is_read_as_the_calendar_says_or_refused(time: tuple[str, bool]) -> None:
    content, generalized = time
    encoded = encode(0x18 if generalized else 0x17, content.encode())
    expected = by_python(content, generalized)
    if expected is None:
        with pytest.raises(MalformedDer):
            read_time(encoded)
    else:
        assert read_time(encoded) == expected


@pytest.mark.conformance("Q-04", "Q-05")
@property_of(
    name=st.binary(min_size=1, max_size=60),
    key=st.binary(min_size=1, max_size=70),
    serial=st.integers(0, 2**160 - 1),
    hash_algorithm=st.sampled_from([SHA1, SHA256]),
)
def test_certids_are_those_of_asn1crypto(name: bytes, key: bytes, serial: int, hash_algorithm: int) -> None:
    issuer = IssuerID(name, key)
    encoded = issuer.encode_cert_id(hash_algorithm, serial_from_int(serial))
    names = issuer.lookup_key(hash_algorithm)
    expected = asn1_ocsp.CertId(
        {
            "hash_algorithm": {
                "algorithm": "sha1" if hash_algorithm == SHA1 else "sha256",
                "parameters": core.Null(),
            },
            "issuer_name_hash": names[: len(names) // 2],
            "issuer_key_hash": names[len(names) // 2 :],
            "serial_number": serial,
        }
    )
    assert encoded == expected.dump()
