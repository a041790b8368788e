"""Each check of one CRL, on a CRL with nothing wrong but that."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from _fastpath.crl import encode_issuing_distribution_point
from _fastpath.der import encode, encode_time
from _fastpath.errors import MalformedDer
from signer.commands.crl_files import described, entries_of
from signer.crl.build import CrlScope, build_shard, subject_key_identifier
from signer.crl.read import read_crl
from signer.crl.verify_crl import CRL_CHECKS, Sight, crl_faults
from tests.signer.crl_authority import ALGORITHMS, NOW, URL, crl_fields, make_authority, revoked_entries
from tests.signer.crl_forge import AUTHORITY, entry, extension, forge, reason, right

SEQUENCE = 0x30
DAY = 86_400
STRANGER = make_authority(name="Stranger")
NAMESAKE = make_authority("p384")


def faults(
    data: bytes, *, url: str | None = URL, now: int = NOW, scope: CrlScope | None = None
) -> dict[str, list[str]]:
    """What was found, by check, without the second reader: it refuses much of this too."""
    sight = Sight(crl=read_crl(data), url=url, certificate=AUTHORITY.certificate, now=now, scope=scope)
    found: dict[str, list[str]] = {}
    for check, message in crl_faults(sight):
        found.setdefault(check, []).append(message)
    found.pop("profile", None)
    return found


def point(value: bytes, *, critical: bool = True) -> bytes:
    return extension(28, value, critical=critical)


def idp(url: str | None = URL, *, user: bool = False, ca: bool = False) -> bytes:
    return encode_issuing_distribution_point(url, only_contains_user_certs=user, only_contains_ca_certs=ca)


def names(*urls: str, tag: int = 0x86, flags: bytes = b"\x81\x01\xff") -> bytes:
    full = encode(0xA0, b"".join(encode(tag, url.encode()) for url in urls))
    return encode(SEQUENCE, encode(0xA0, full) + flags)


ENTRIES = (entry(b"\x01"), entry(b"\x02", reason(1)), entry(b"\x80\x00", reason(5)))
RIGHT = right()
FULL = right(url=None)
SIGNED = forge(RIGHT, entries=ENTRIES)
WEEK_AGO = NOW - 7 * DAY


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa-sha256", "pss-sha256", "ed25519"])
def test_nothing_is_found_in_a_right_one(kind: str) -> None:
    signer = make_authority(kind)
    data = build_shard(signer, crl_fields(), revoked_entries(60))
    sight = Sight(crl=read_crl(data), url=URL, certificate=signer.certificate, now=NOW)
    assert list(crl_faults(sight)) == []


def test_forged_ones_are_right_too() -> None:
    for data in (forge(RIGHT), forge(RIGHT, entries=ENTRIES)):
        sight = Sight(crl=read_crl(data), url=URL, certificate=AUTHORITY.certificate, now=NOW)
        assert list(crl_faults(sight)) == []
    assert faults(forge(FULL, entries=ENTRIES), url=None) == {}
    ca = forge(RIGHT, entries=ENTRIES[1:], distribution_point=point(idp(ca=True)))
    assert faults(ca) == {}


FAULTS: dict[str, tuple[bytes, str, str]] = {
    "version 1": (forge(RIGHT, version=b""), "version", "version absent, not v2"),
    "version 3": (forge(RIGHT, version=encode(0x02, b"\x02")), "version", "version 02, not v2"),
    "a version that cryptography refuses": (
        forge(RIGHT, version=encode(0x02, b"\x02")),
        "parse",
        "cryptography cannot read it: 2 is not a valid CRL version",
    ),
    "another CA": (forge(right(signer=STRANGER), STRANGER), "issuer", "is not the subject of the CA certificate"),
    "another key": (
        forge(RIGHT, NAMESAKE, signature=AUTHORITY.key.signature_algorithm),
        "signature",
        "does not verify with the key of the CA",
    ),
    "changed after signing": (
        forge(RIGHT, entries=ENTRIES).replace(b"\x02\x01\x02", b"\x02\x01\x03"),
        "signature",
        "does not verify",
    ),
    "algorithm of another key": (
        forge(RIGHT, signature=bytes.fromhex(ALGORITHMS["p384"])),
        "algorithm",
        "is not one for the key of the CA",
    ),
    "two algorithms": (
        forge(RIGHT, signature_algorithm=bytes.fromhex(ALGORITHMS["p384"])),
        "algorithm",
        "differs from signature",
    ),
    "no AKI": (forge(RIGHT, key_identifier=b""), "extensions", "no authorityKeyIdentifier"),
    "AKI of another key": (
        forge(RIGHT, key_identifier=right(signer=NAMESAKE).key_identifier),
        "key identifier",
        "authorityKeyIdentifier has keyIdentifier .*, the CA's is " + subject_key_identifier(AUTHORITY.certificate).hex(),
    ),
    "AKI with a serial": (
        forge(RIGHT, key_identifier=extension(35, encode(SEQUENCE, encode(0x82, b"\x01")))),
        "key identifier",
        "has no keyIdentifier alone",
    ),
    "critical AKI": (
        forge(RIGHT, key_identifier=extension(35, encode(SEQUENCE, encode(0x80, subject_key_identifier(AUTHORITY.certificate))), critical=True)),
        "extensions",
        "authorityKeyIdentifier is critical",
    ),
    "no number": (forge(RIGHT, number=b""), "extensions", "no cRLNumber"),
    "number twice": (forge(RIGHT, more=RIGHT.number), "extensions", "cRLNumber 2 times"),
    "negative number": (
        forge(RIGHT, number=extension(20, encode(0x02, b"\xff"))), "number", "cRLNumber -1 is negative",
    ),
    "number of 2^159": (
        forge(RIGHT, number=extension(20, encode(0x02, b"\0\x80" + bytes(19)))), "number", "is not below 2\\^159",
    ),
    "number that is none": (
        forge(RIGHT, number=extension(20, encode(0x04, b"\x01"))), "number", "is not an INTEGER",
    ),
    "delta CRL indicator": (
        forge(RIGHT, more=extension(27, encode(0x02, b"\x01"), critical=True)),
        "extensions",
        "extension with OID octets 551d1b does not belong",
    ),
    "IDP not critical": (
        forge(RIGHT, distribution_point=point(idp(user=True), critical=False)),
        "extensions",
        "issuingDistributionPoint is not critical",
    ),
    "IDP of another URL": (
        forge(right(url=URL.upper())), "distribution point", f"names {URL.upper()}, not {URL}",
    ),
    "IDP with two URLs": (
        forge(RIGHT, distribution_point=point(names(URL, "http://mirror.example/"))),
        "distribution point",
        "has 2 names, not one URL",
    ),
    "IDP with a DNS name": (
        forge(RIGHT, distribution_point=point(names(URL, tag=0x82))), "distribution point", "names tag 0x82, not",
    ),
    "IDP without name": (
        forge(RIGHT, distribution_point=point(idp(None, user=True))), "distribution point", "has 0 names",
    ),
    "IDP without scope": (
        forge(RIGHT, distribution_point=point(idp())), "scope", "flags none, not onlyContainsUserCerts",
    ),
    "IDP with both scopes": (
        forge(RIGHT, distribution_point=point(names(URL, flags=b"\x81\x01\xff\x82\x01\xff"))),
        "scope",
        "not onlyContainsCACerts TRUE alone",
    ),
    "indirect CRL": (
        forge(RIGHT, distribution_point=point(names(URL, flags=b"\x81\x01\xff\x84\x01\xff"))),
        "scope",
        "flags \\[1\\]=ff \\[4\\]=ff",
    ),
    "IDP that is no SEQUENCE": (
        forge(RIGHT, distribution_point=point(b"\x05\x00")), "scope", "is not a SEQUENCE",
    ),
    "no nextUpdate": (forge(RIGHT, next_update=b""), "date forms", "no nextUpdate"),
    "date without Z": (
        forge(RIGHT, this_update=encode(0x17, b"260921141220+0000")),
        "date forms",
        "thisUpdate UTCTime '260921141220\\+0000' is not whole seconds and Z",
    ),
    "date with a fraction": (
        forge(RIGHT, next_update=encode(0x18, b"20260928141219.5Z")), "date forms", "nextUpdate GeneralizedTime",
    ),
    "GeneralizedTime before 2050": (
        forge(RIGHT, this_update=encode_time(NOW - 60, True)), "date forms", "which is not for its year",
    ),
    "from the future": (forge(right(this_update=NOW + 9)), "dates", "thisUpdate is 9 s ahead of the clock"),
    "stale": (
        forge(right(this_update=WEEK_AGO - 60)), "dates", "stale: nextUpdate was 61 s ago",
    ),
    "too long": (
        forge(right(validity=10 * DAY)), "dates", "nextUpdate is 864000 s after thisUpdate, .* at most 863999",
    ),
    "backwards": (forge(right(this_update=NOW, validity=-9)), "dates", "-9 s after thisUpdate"),
    "empty list": (
        forge(RIGHT, next_update=RIGHT.next_update + encode(SEQUENCE, b"")), "empty list", "there and empty",
    ),
    "reason 6": (
        forge(RIGHT, entries=(entry(b"\x0a", reason(6)),)),
        "reasons",
        "entry 0, serial 0a: reasonCode 6 is not allowed",
    ),
    "reason 8": (forge(RIGHT, entries=(*ENTRIES, entry(b"\x0a", reason(8)))), "reasons", "entry 3, .* reasonCode 8"),
    "critical reason": (
        forge(RIGHT, entries=(entry(b"\x0a", reason(1, critical=True)),)),
        "entry extensions",
        "entry 0, serial a: reasonCode is critical",
    ),
    "reason 0": (
        forge(RIGHT, entries=(entry(b"\x0a", reason(0)),)), "entry extensions", "reasonCode 0 is written out",
    ),
    "reason 7": (
        forge(RIGHT, entries=(entry(b"\x0a", reason(7)),)), "entry extensions", "serial a: crlEntryExtensions",
    ),
    "invalidity date": (
        forge(RIGHT, entries=(entry(b"\x0a", encode(SEQUENCE, extension(24, encode_time(NOW, True)))),)),
        "entry extensions",
        "extension 2.5.29.24 does not belong there",
    ),
    "revoked after thisUpdate": (
        forge(RIGHT, entries=(entry(b"\x0a", at=NOW),)), "revocation dates", "serial 0a: revocationDate is 60 s after",
    ),
    "serial twice": (
        forge(RIGHT, entries=(*ENTRIES, ENTRIES[0])), "serials", "entry 3: serial 01 was there before",
    ),
}  # fmt: skip


ROWS = (
    "C-01",
    "C-02",
    "C-03",
    "C-05",
    "C-06",
    "C-07",
    "C-08",
    "C-09",
    "C-10",
    "C-11",
    "C-13",
    "C-14",
    "C-15",
    "C-17",
    "C-20",
    "C-21",
    "A-01",
    "P-06",
)


@pytest.mark.conformance(*ROWS)
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_by_its_check(name: str) -> None:
    data, check, message = FAULTS[name]
    found = faults(data)
    assert check in found, found
    assert any(re.search(message, text) for text in found[check]), found


UNREADABLE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "a length points past the end"),
    "PEM": (b"-----BEGIN X509 CRL-----", "PEM, not DER"),
    "cut": (forge(RIGHT)[:-1], "a length points past the end"),
    "octets after it": (forge(RIGHT, trailing=b"\0\0"), "2 octets follow it"),
    "two in one file": (forge(RIGHT) * 2, "octets follow it"),
    "something else": (encode(SEQUENCE, encode(0x02, b"\x01")), "not tbsCertList, signatureAlgorithm and"),
}


@pytest.mark.conformance("C-01", "U-06")
@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_not_one_crl(name: str) -> None:
    """D9: a torn one too."""
    data, message = UNREADABLE[name]
    with pytest.raises(MalformedDer, match=message):
        read_crl(data)


@pytest.mark.conformance("C-16")
def test_entries_of_ca_certificates_have_a_reason() -> None:
    data = forge(RIGHT, entries=ENTRIES, distribution_point=point(idp(ca=True)))
    assert faults(data) == {"reasons": ["entry 0, serial 01: reasonCode absent is not allowed"]}
    # Where the CRL does not say whom it is about, the caller does.
    full = forge(FULL, entries=ENTRIES)
    assert faults(full, url=None) == {}
    assert faults(full, url=None, scope=CrlScope.CA_CERTIFICATES).keys() == {"reasons"}


@pytest.mark.conformance("C-06")
def test_a_year_for_ca_certificates() -> None:
    long = right(url=None, this_update=NOW - 200 * DAY, validity=365 * DAY - 1)
    assert faults(forge(long), url=None).keys() == {"dates"}
    assert faults(forge(long), url=None, scope=CrlScope.CA_CERTIFICATES) == {}
    longer = right(url=None, this_update=NOW - 200 * DAY, validity=365 * DAY)
    assert faults(forge(longer), url=None, scope=CrlScope.CA_CERTIFICATES).keys() == {"dates"}


@pytest.mark.conformance("C-05")
def test_dates_after_2049() -> None:
    start = 2_524_608_000 + DAY
    late = forge(RIGHT, this_update=encode_time(start, True), next_update=encode_time(start + DAY, True))
    assert faults(late, now=start + 60) == {}


@pytest.mark.conformance("U-11")
def test_a_ca_certificate_that_is_not_in_force() -> None:
    """RFC 5280 section 6.1.3: no client takes what is signed under it."""
    begin, end = (
        int(moment.timestamp())
        for moment in (AUTHORITY.certificate.not_valid_before_utc, AUTHORITY.certificate.not_valid_after_utc)
    )

    def at(now: int) -> list[str]:
        return faults(SIGNED, now=now).get("CA certificate", [])

    assert at(begin) == at(end) == []
    (early,), (late,) = at(begin - 1), at(end + 1)
    assert early.startswith("the CA certificate begins at 20") and late.startswith(
        "the CA certificate ended at 20"
    )


@pytest.mark.conformance("P-03")
def test_size() -> None:
    data = forge(RIGHT, entries=(entry(b"\x01"),) * 520_000)
    assert len(data) > 9_999_999
    assert faults(data)["size"] == [f"{len(data)} octets, at most 9999999 are allowed"]


@pytest.mark.conformance("C-01")
@pytest.mark.parametrize("name", FAULTS)
def test_the_second_reader_has_a_say(name: str) -> None:
    """What it refuses is told as it says it; what only the caller can know it passes."""
    data, _, _ = FAULTS[name]
    crl = read_crl(data)
    sight = Sight(crl=crl, url=URL, certificate=AUTHORITY.certificate, now=NOW)
    told = [message for check, message in crl_faults(sight) if check == "profile"]
    assert told == ([str(crl.strict)] if isinstance(crl.strict, MalformedDer) else [])


@given(st.data())
def test_no_octets_end_the_checks(data: st.DataObject) -> None:
    """And none but the right ones pass: what is not in a rule is under the signature."""
    octets = bytearray(SIGNED)
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        crl = read_crl(bytes(octets))
    except MalformedDer:
        return
    sight = Sight(crl=crl, url=URL, certificate=AUTHORITY.certificate, now=NOW)
    assert list(crl_faults(sight)) or octets == SIGNED


def test_every_check_has_a_fault() -> None:
    shown = {check for _, check, _ in FAULTS.values()} | {"size", "profile", "CA certificate"}
    assert shown == {name for name, _ in CRL_CHECKS}


X400_NAME = encode(SEQUENCE, extension(29, encode(SEQUENCE, encode(0xA3, b"")), critical=True))


@pytest.mark.parametrize(
    ("data", "check", "message"),
    [
        (forge(RIGHT, number=extension(20, encode(0x02, b"\x7f" * 3000))), "number", "at most 1024"),
        (forge(RIGHT, entries=(entry(b"\x05", X400_NAME),)), "entry extensions", "x400Address"),
        (forge(RIGHT, issuer=bytes.fromhex("300d310b300906035504030c02fffe")), "parse", "cannot read"),
        (
            forge(RIGHT, entries=(encode(SEQUENCE, encode(2, b"\x05") + encode(24, b"00000101000000Z")),)),
            "parse", "year 0",
        ),
    ],
    ids=["number", "entry extension", "issuer", "year"],
)  # fmt: skip
def test_what_the_libraries_choke_on_is_a_finding(data: bytes, check: str, message: str) -> None:
    """Nor does `crl show` fail at it."""
    assert message in "".join(faults(data)[check])
    crl = read_crl(data)
    assert described(crl)["size"] == len(data)
    assert len(list(entries_of(crl))) <= 1


def test_sequences_have_so_many_fields() -> None:
    """Time grows with the square of their number."""
    with pytest.raises(MalformedDer, match="tbsCertList: more than 256 fields"):
        read_crl(forge(RIGHT, next_update=encode(0x05, b"") * 300))
    with pytest.raises(MalformedDer, match="crlExtensions: more than 256 fields"):
        read_crl(forge(RIGHT, more=extension(99, b"") * 300))
