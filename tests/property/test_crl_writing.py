"""CRLs we write: read by cryptography, asn1crypto and our second reader, and equal to those of the builder."""

import datetime

import pytest
from asn1crypto import crl as asn1_crl
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import strategies as st

from _fastpath.crl import encode_crl
from _fastpath.crl_reader import Crl
from tests.property.crl_readers import CODES, SeenCrl, see_by_cryptography, seen_by_us
from tests.property.crls import (
    ALGORITHM,
    EPOCH,
    NAMES,
    YEAR_2050,
    Listed,
    Scope,
    by_builder,
    entries_of_size,
    lists,
    lists_for_asn1crypto,
    lists_for_builder,
    scopes,
)
from tests.property.der_tree import encode_length, split_tlv
from tests.property.tiers import property_of

WRITTEN = ("C-01", "C-02", "C-03", "C-05", "C-07", "C-08", "C-09", "C-11", "C-12", "C-13", "C-14", "C-15")


def seen(listed: Listed) -> SeenCrl:
    """What a reader should say of it."""
    scope = listed.scope or Scope(None, False, False)
    return SeenCrl(
        listed.encode_tbs(),
        b"signature",
        listed.updates,
        listed.entries,
        listed.number,
        listed.key_identifier,
        scope.url,
        (scope.user, scope.ca),
    )


@pytest.mark.conformance(*WRITTEN)
@property_of(listed=lists)
def test_a_crl_says_the_same_to_cryptography_and_our_second_reader(listed: Listed) -> None:
    data = listed.encode()
    ours = Crl(data)
    assert len(ours) == len(listed.entries)
    assert (ours.issuer_name, ours.signature_algorithm) == (listed.name.public_bytes(), ALGORITHM)
    assert seen_by_us(ours) == see_by_cryptography(data) == seen(listed)


def seconds(when: datetime.datetime) -> int:
    return int((when - EPOCH).total_seconds())


def entry_by_asn1crypto(entry: asn1_crl.RevokedCertificate) -> tuple[int, int, int]:
    reasons = [one["extn_value"].parsed.native for one in entry["crl_entry_extensions"] or ()]
    when = seconds(entry["revocation_date"].native)
    assert entry["revocation_date"].name == ("utc_time" if when < YEAR_2050 else "general_time")
    return entry["user_certificate"].native, when, CODES[reasons[0]] if reasons else 0


@pytest.mark.conformance(*WRITTEN)
@property_of(listed=lists_for_asn1crypto)
def test_asn1crypto_reads_a_crl_and_writes_it_again_in_the_same_octets(listed: Listed) -> None:
    data = listed.encode()
    theirs = asn1_crl.CertificateList.load(data, strict=True)
    tbs = theirs["tbs_cert_list"]
    revoked = tbs["revoked_certificates"]
    assert (revoked.native is None) == (not listed.entries)
    assert tuple(entry_by_asn1crypto(one) for one in revoked or ()) == listed.entries
    assert (seconds(tbs["this_update"].native), seconds(tbs["next_update"].native)) == listed.updates
    assert tbs.dump(force=True) == listed.encode_tbs()
    assert theirs.dump(force=True) == data


@pytest.mark.conformance(*WRITTEN, "A-01")
@property_of(listed=lists_for_builder)
def test_a_crl_is_octet_for_octet_that_of_cryptographys_builder(listed: Listed) -> None:
    theirs = by_builder(listed)
    assert listed.encode_tbs() == theirs.tbs_certlist_bytes
    whole = encode_crl(listed.encode_tbs(), ALGORITHM, theirs.signature)
    assert whole == theirs.public_bytes(serialization.Encoding.DER)


@pytest.mark.conformance("C-09", "C-10", "C-11")
@property_of(scope=scopes)
def test_a_distribution_point_is_that_of_cryptography(scope: Scope) -> None:
    assert scope.encode() == scope.by_cryptography().public_bytes()


def lengths_are_minimal(data: bytes, depth: int) -> bool:
    """Of the first value at each of `depth` levels: one spelling, and nothing after it at the outermost."""
    for _ in range(depth):
        tag, content, _ = split_tlv(data)
        if not data.startswith(tag + encode_length(len(content))):
            return False
        data = content
    return True


@pytest.mark.conformance("C-01", "C-13")
@property_of(
    size=st.integers(40, 600) | st.integers(40, 600) | st.sampled_from([255, 256, 65_535, 65_536]),
    offset=st.integers(-3, 3),
    around=st.sampled_from([0, 0, 0, 0, -22, -250]),
)
def test_lists_around_the_sizes_at_which_a_length_grows(size: int, offset: int, around: int) -> None:
    """127, 255 and 65,535 octets and one more: of the list itself, of what is signed and of the whole."""
    content = max(40, size + offset + around)
    listed = Listed(entries_of_size(content), NAMES[0], (1_700_000_000, 1_700_000_001), b"k" * 20, 1, None)
    data = listed.encode()
    assert lengths_are_minimal(data, 2)
    start = data.index(b"\x30" + encode_length(content) + b"\x30")
    assert len(split_tlv(data[start:])[1]) == content
    theirs = x509.load_der_x509_crl(data)
    assert theirs.tbs_certlist_bytes == listed.encode_tbs()
    assert [one.serial_number for one in theirs] == [serial for serial, _, _ in listed.entries]
    assert seen_by_us(Crl(data)).entries == listed.entries
