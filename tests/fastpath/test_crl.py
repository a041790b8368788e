"""CRL writer and second reader against cryptography, asn1crypto, openssl and known octets."""

import datetime
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from asn1crypto import crl as asn1_crl
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from _fastpath.crl import encode_crl, encode_issuing_distribution_point, encode_tbs_cert_list
from _fastpath.crl_reader import Crl
from _fastpath.der import encode
from _fastpath.errors import MalformedDer

Entry = tuple[bytes, int, int]

KEY = ec.derive_private_key(7, ec.SECP256R1())
ALGORITHM = bytes.fromhex("300a06082a8648ce3d040302")
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "CRL test CA")])
KEY_IDENTIFIER = bytes(range(20))
URL = "http://c.example/1.crl"
IDP = encode_issuing_distribution_point(URL, only_contains_user_certs=True)
THIS_UPDATE = 1_790_000_000
NEXT_UPDATE = THIS_UPDATE + 604_799
YEAR_2050 = 2_524_608_000

minimal_serials = st.binary(min_size=1, max_size=20).filter(lambda serial: len(serial) == 1 or serial[0] != 0)
revocation_times = st.integers(0, YEAR_2050 + 10**9)
reasons = st.sampled_from([0, 1, 3, 4, 5, 9])
entry_lists = st.lists(st.tuples(minimal_serials, revocation_times, reasons), max_size=12)


def encode_tbs(
    entries: list[Entry] | Iterator[Entry],
    *,
    signature_algorithm: bytes = ALGORITHM,
    issuer_name: bytes = NAME.public_bytes(),
    this_update: int = THIS_UPDATE,
    next_update: int = NEXT_UPDATE,
    authority_key_identifier: bytes = KEY_IDENTIFIER,
    crl_number: int = 1,
    issuing_distribution_point: bytes | None = IDP,
) -> bytes:
    return encode_tbs_cert_list(
        entries,
        signature_algorithm=signature_algorithm,
        issuer_name=issuer_name,
        this_update=this_update,
        next_update=next_update,
        authority_key_identifier=authority_key_identifier,
        crl_number=crl_number,
        issuing_distribution_point=issuing_distribution_point,
    )


def sign(tbs: bytes) -> bytes:
    return encode_crl(tbs, ALGORITHM, KEY.sign(tbs, ec.ECDSA(hashes.SHA256())))


def some_entries(count: int) -> list[Entry]:
    source = random.Random(count)
    serials = sorted(bytes([source.randrange(1, 256)]) + source.randbytes(15) for _ in range(count))
    return [(serial, 1_700_000_000 + n, (0, 1, 3, 4, 5, 9)[n % 6]) for n, serial in enumerate(serials)]


def moment(seconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def entries_by_cryptography(data: bytes) -> list[Entry]:
    entries = []
    for revoked in x509.load_der_x509_crl(data):
        number = revoked.serial_number
        reason = 0
        for extension in revoked.extensions:
            assert isinstance(extension.value, x509.CRLReason) and not extension.critical
            reason = extension.value.public_bytes()[-1]
        serial = number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")
        entries.append((serial, int(revoked.revocation_date_utc.timestamp()), reason))
    return entries


@pytest.mark.conformance("C-01", "C-14")
@settings(max_examples=100, deadline=None)
@given(entries=entry_lists)
def test_cryptography_reads_every_entry_as_written(entries: list[Entry]) -> None:
    data = sign(encode_tbs(entries))
    crl = x509.load_der_x509_crl(data)
    assert crl.is_signature_valid(KEY.public_key())
    assert entries_by_cryptography(data) == entries


@settings(max_examples=100, deadline=None)
@given(entries=entry_lists, number=st.integers(0, 2**159 - 1), this_update=revocation_times)
def test_second_reader_gives_back_what_was_written(
    entries: list[Entry], number: int, this_update: int
) -> None:
    tbs = encode_tbs(entries, crl_number=number, this_update=this_update, next_update=this_update + 1)
    crl = Crl(encode_crl(tbs, ALGORITHM, b"signature"))
    assert list(crl) == entries == list(crl)
    assert len(crl) == len(entries)
    assert crl.tbs_cert_list == tbs
    assert (crl.signature_algorithm, crl.signature) == (ALGORITHM, b"signature")
    assert (crl.issuer_name, crl.authority_key_identifier) == (NAME.public_bytes(), KEY_IDENTIFIER)
    assert (crl.this_update, crl.next_update, crl.crl_number) == (this_update, this_update + 1, number)
    assert (crl.issuing_distribution_point, crl.distribution_point_url) == (IDP, URL)


@pytest.mark.conformance("C-07", "C-20")
def test_fields_as_cryptography_reads_them() -> None:
    crl = x509.load_der_x509_crl(sign(encode_tbs(some_entries(3), crl_number=2**159 - 1)))
    assert crl.issuer == NAME
    assert (crl.last_update_utc, crl.next_update_utc) == (moment(THIS_UPDATE), moment(NEXT_UPDATE))
    # C-07: exactly these three, only the IDP critical.
    assert [(extension.value, extension.critical) for extension in crl.extensions] == [
        (x509.AuthorityKeyIdentifier(KEY_IDENTIFIER, None, None), False),
        (x509.CRLNumber(2**159 - 1), False),
        (
            x509.IssuingDistributionPoint(
                full_name=[x509.UniformResourceIdentifier(URL)],
                relative_name=None,
                only_contains_user_certs=True,
                only_contains_ca_certs=False,
                only_some_reasons=None,
                indirect_crl=False,
                only_contains_attribute_certs=False,
            ),
            True,
        ),
    ]


@pytest.mark.conformance("C-01")
@settings(max_examples=60, deadline=None)
@given(entries=entry_lists)
def test_asn1crypto_encodes_the_same_octets(entries: list[Entry]) -> None:
    data = sign(encode_tbs(entries))
    crl = asn1_crl.CertificateList.load(data, strict=True)
    listed = crl["tbs_cert_list"]["revoked_certificates"].native or []
    assert [entry["user_certificate"] for entry in listed] == [
        int.from_bytes(entry[0], "big") for entry in entries
    ]
    again = asn1_crl.CertificateList(
        {
            "tbs_cert_list": asn1_crl.TbsCertList.load(crl["tbs_cert_list"].dump(force=True)),
            "signature_algorithm": crl["signature_algorithm"].copy(),
            "signature": crl["signature"].copy(),
        }
    )
    assert again.dump(force=True) == data


def test_crls_of_every_length_form_are_read_by_two_others() -> None:
    """From 129 octets up, and across 65,536, where the outer length takes another octet (X.690 section 8.1.3)."""
    entries = some_entries(1_400)
    forms = set()
    for count in (*range(25), *range(1_370, 1_400)):
        data = sign(encode_tbs(entries[:count]))
        forms.add(data[1])
        assert list(Crl(data)) == entries[:count] == entries_by_cryptography(data)
    assert forms >= {0x82, 0x83}


@pytest.mark.invariant("D7")
@pytest.mark.parametrize("size", [127, 128, 255, 256, 65_535, 65_536])
def test_length_forms_of_the_list_itself(size: int) -> None:
    """Entries of 19 to 22 octets are put together to a list of exactly `size` octets (X.690 section 10.1)."""
    entries = entries_of_size(size)
    data = sign(encode_tbs(entries))
    assert entries_by_cryptography(data) == entries == list(Crl(data))
    tbs_fields = data.index(encode_time(NEXT_UPDATE)) + 15
    assert data[tbs_fields:].startswith(encode(0x30, bytes(size))[: -size or None])


def encode_time(seconds: int) -> bytes:
    return encode(0x17, moment(seconds).strftime("%y%m%d%H%M%SZ").encode())


def entries_of_size(size: int) -> list[Entry]:
    """An entry without reason takes 19 octets and its serial's length."""
    count = size // 30
    lengths = [size // count - 19 + (n < size % count) for n in range(count)]
    return [(b"\x01" + n.to_bytes(length - 1, "big"), 1_700_000_000, 0) for n, length in enumerate(lengths)]


def run_openssl(*arguments: str) -> str:
    return subprocess.run(
        ["openssl", *arguments], check=True, capture_output=True, text=True, timeout=60
    ).stdout


@pytest.mark.conformance("C-01")
@pytest.mark.invariant("D7")
@pytest.mark.parametrize("count", [0, 1, 20, 100_000])
def test_openssl_accepts_signature_and_counts_entries(count: int, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(make_certificate().public_bytes(serialization.Encoding.PEM))
    (tmp_path / "shard.crl").write_bytes(sign(encode_tbs(iter(some_entries(count)))))
    arguments = (
        "crl",
        "-inform",
        "DER",
        "-in",
        str(tmp_path / "shard.crl"),
        "-CAfile",
        str(tmp_path / "ca.pem"),
    )
    finished = subprocess.run(
        ["openssl", *arguments, "-noout", "-verify"], check=True, capture_output=True, text=True, timeout=60
    )
    assert "verify OK" in finished.stdout + finished.stderr
    if count <= 20:
        text = run_openssl(*arguments[:5], "-noout", "-text")
        assert text.count("Serial Number:") == count
        assert ("No Revoked Certificates." in text) == (count == 0)


def make_certificate() -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(NAME)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(moment(THIS_UPDATE - 86_400))
        .not_valid_after(moment(THIS_UPDATE + 10**8))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier(KEY_IDENTIFIER), critical=False)
        .sign(KEY, hashes.SHA256())
    )


@pytest.mark.slow
def test_sixteen_megabytes_are_read_by_two_others() -> None:
    entries = some_entries(360_000)
    data = sign(encode_tbs(iter(entries)))
    assert len(data) > 16_000_000
    assert all(ours == given for ours, given in zip(Crl(data), entries, strict=True))
    crl = x509.load_der_x509_crl(data)
    assert len(crl) == len(entries)
    assert crl.is_signature_valid(KEY.public_key())


def test_same_input_gives_same_octets() -> None:
    entries = some_entries(500)
    assert encode_tbs(entries) == encode_tbs(iter(entries)) == encode_tbs(iter([list(e) for e in entries]))  # type: ignore[arg-type]


@pytest.mark.conformance("C-14", "C-15")
@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        pytest.param(
            (b"\x7f", 1_700_000_000, 0),
            "301202017f170d3233313131343232313332305a",
            id="no-reason",
        ),
        pytest.param(
            (b"\x80", 1_700_000_000, 1),
            "302102020080170d3233313131343232313332305a300c300a0603551d1504030a0101",
            id="high-bit-serial-and-reason",
        ),
        pytest.param(
            (b"\0", YEAR_2050 - 1, 0), "3012020100170d3439313233313233353935395a", id="last-utctime"
        ),
        pytest.param(
            (b"\x01", YEAR_2050, 9),
            "3022020101180f32303530303130313030303030305a300c300a0603551d1504030a0109",
            id="first-generalizedtime",
        ),
    ],
)
def test_entry_octets(entry: Entry, expected: str) -> None:
    entry_octets = bytes.fromhex(expected)
    assert encode(0x30, entry_octets) in encode_tbs([entry])


@pytest.mark.conformance("C-05")
def test_dates_of_the_list_change_type_in_2050() -> None:
    tbs = encode_tbs([], this_update=YEAR_2050 - 1, next_update=YEAR_2050)
    assert b"\x17\x0d491231235959Z\x18\x0f20500101000000Z" in tbs


@pytest.mark.conformance("C-13")
@pytest.mark.invariant("D4")
def test_empty_list_is_absent() -> None:
    crl = Crl(sign(encode_tbs(iter(()))))
    assert (len(crl), list(crl)) == (0, [])
    # C-13: nextUpdate is followed by crlExtensions [0].
    assert encode_time(NEXT_UPDATE) + b"\xa0" in crl.tbs_cert_list


@pytest.mark.conformance("C-12")
def test_full_crl_has_no_distribution_point() -> None:
    crl = Crl(sign(encode_tbs([], issuing_distribution_point=None)))
    assert (crl.issuing_distribution_point, crl.distribution_point_url) == (None, None)


@pytest.mark.conformance("C-09", "C-10", "C-11")
@pytest.mark.parametrize(
    ("url", "user", "ca", "expected"),
    [
        (URL, True, False, "301fa01aa0188616687474703a2f2f632e6578616d706c652f312e63726c8101ff"),  # C-09
        (URL, False, True, "301fa01aa0188616687474703a2f2f632e6578616d706c652f312e63726c8201ff"),
        (URL, False, False, "301ca01aa0188616687474703a2f2f632e6578616d706c652f312e63726c"),
        (None, True, False, "30038101ff"),
    ],
)
def test_distribution_point_octets(url: str | None, user: bool, ca: bool, expected: str) -> None:
    encoded = encode_issuing_distribution_point(url, only_contains_user_certs=user, only_contains_ca_certs=ca)
    assert encoded.hex() == expected
    crl = Crl(sign(encode_tbs([], issuing_distribution_point=encoded)))
    assert (crl.issuing_distribution_point, crl.distribution_point_url) == (encoded, url)


@pytest.mark.conformance("C-11")
@pytest.mark.parametrize(
    ("url", "user", "ca", "message"),
    [
        (None, False, False, "would be empty"),
        (URL, True, True, "user certificates or CA certificates"),
        ("", True, False, "not an ASCII URL"),
        ("http://ü.example/", True, False, "not an ASCII URL"),
    ],
)
def test_distribution_points_that_are_refused(url: str | None, user: bool, ca: bool, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode_issuing_distribution_point(url, only_contains_user_certs=user, only_contains_ca_certs=ca)


GOOD_ENTRY: Entry = (b"\x05", 1_700_000_000, 1)


@pytest.mark.conformance("C-14", "C-15", "C-21")
@pytest.mark.invariant("D10")
@pytest.mark.parametrize(
    ("entry", "message"),
    [
        *[
            ((b"\x05", 1_700_000_000, r), f"entry 1, serial 05: reason {r} ")
            for r in (-1, 2, 6, 7, 8, 10, 257)
        ],
        ((b"", 1_700_000_000, 0), "entry 1, serial : 0 octets"),
        ((b"\0\x80", 1_700_000_000, 0), "entry 1, serial 0080: leading zero"),
        ((b"\x01" * 21, 1_700_000_000, 0), "entry 1, serial (01){21}: 21 octets"),
        ((b"\x05", -631_152_001, 0), "entry 1, serial 05: revocation time"),
        ((b"\x05", 253_402_300_800, 0), "entry 1, serial 05: revocation time"),
    ],
)
def test_entries_that_are_refused(entry: Entry, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode_tbs([GOOD_ENTRY, entry])


def test_serial_must_be_bytes() -> None:
    with pytest.raises(TypeError, match="entry 1: serial is int, not bytes"):
        encode_tbs([GOOD_ENTRY, (5, 1_700_000_000, 1)])  # type: ignore[list-item]


def test_an_error_of_the_source_comes_through() -> None:
    def broken_off() -> Iterator[Entry]:
        yield from some_entries(1_000)
        raise ConnectionError("ledger went away")

    with pytest.raises(ConnectionError, match="ledger went away"):
        encode_tbs(broken_off())


@pytest.mark.conformance("C-08")
@pytest.mark.parametrize("number", [-1, 2**159])
def test_numbers_beyond_twenty_octets_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match="CRL number"):
        encode_tbs([], crl_number=number)


@pytest.mark.parametrize("value", [b"", b"\x30\x01", b"\x31\x00", b"\x30\x00\x00"])
def test_header_fields_are_one_sequence_each(value: bytes) -> None:
    with pytest.raises(ValueError, match="signature algorithm"):
        encode_tbs([], signature_algorithm=value)
    with pytest.raises(ValueError, match="issuer name"):
        encode_tbs([], issuer_name=value)
    with pytest.raises(ValueError, match="issuing distribution point"):
        encode_tbs([], issuing_distribution_point=value)
    with pytest.raises(ValueError, match="tbsCertList"):
        encode_crl(value, ALGORITHM, b"s")


def test_empty_key_identifier_and_impossible_dates_are_refused() -> None:
    with pytest.raises(ValueError, match="authority key identifier"):
        encode_tbs([], authority_key_identifier=b"")
    with pytest.raises(ValueError, match="nextUpdate"):
        encode_tbs([], next_update=253_402_300_800)


# ---- what the second reader refuses ----

AKI = encode(0x30, bytes.fromhex("0603551d23") + encode(4, encode(0x30, encode(0x80, KEY_IDENTIFIER))))
NUMBER = bytes.fromhex("300a0603551d140403020101")
IDP_EXTENSION = encode(0x30, bytes.fromhex("0603551d1c0101ff") + encode(4, IDP))
ENTRY = bytes.fromhex("3020020105170d3233313131343232313332305a300c300a0603551d1504030a0101")


def assemble(
    *,
    version: bytes = b"\x02\x01\x01",
    inner_algorithm: bytes = ALGORITHM,
    dates: bytes = encode_time(THIS_UPDATE) + encode_time(NEXT_UPDATE),
    entries: bytes = encode(0x30, ENTRY),
    extensions: bytes = AKI + NUMBER + IDP_EXTENSION,
    after_extensions: bytes = b"",
    signature: bytes = encode(3, b"\0signature"),
    after: bytes = b"",
) -> bytes:
    """A CRL put together from parts, each of which a test may spoil."""
    fields = version + inner_algorithm + NAME.public_bytes() + dates + entries
    tbs = encode(0x30, fields + encode(0xA0, encode(0x30, extensions)) + after_extensions)
    return encode(0x30, tbs + ALGORITHM + signature) + after


def extension(oid: str, value: bytes, critical: bytes = b"") -> bytes:
    return encode(0x30, bytes.fromhex(oid) + critical + encode(4, value))


def entry_with(
    *,
    serial: str = "020105",
    date: str = "170d3233313131343232313332305a",
    reason: str = "300c300a0603551d1504030a0101",
) -> bytes:
    return encode(0x30, ENTRY + encode(0x30, bytes.fromhex(serial + date + reason)))


def test_assembled_crl_is_good() -> None:
    assert list(Crl(assemble())) == [GOOD_ENTRY]
    assert len(Crl(assemble(entries=entry_with()))) == 2


CRITICAL = b"\x01\x01\xff"
TIME_1 = encode_time(THIS_UPDATE)


@pytest.mark.conformance(
    "C-01", "C-03", "C-05", "C-07", "C-08", "C-10", "C-11", "C-13", "C-14", "C-15", "C-20"
)
@pytest.mark.invariant("D4", "D10")
@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "CertificateList", id="nothing"),
        pytest.param(b"-----BEGIN X509 CRL-----", "CertificateList", id="pem"),
        pytest.param(assemble(after=b"\0"), "CertificateList: octets after", id="trailing"),
        pytest.param(assemble(version=b""), "version", id="v1"),
        pytest.param(assemble(version=b"\x02\x01\x02"), "version", id="v3"),
        pytest.param(
            assemble(inner_algorithm=bytes.fromhex("300a06082a8648ce3d040303")),
            "signature,",
            id="two-algorithms",
        ),
        pytest.param(assemble(dates=TIME_1), "nextUpdate", id="no-next-update"),
        pytest.param(
            assemble(dates=TIME_1 + b"\x18\x0f20490101000000Z"), "nextUpdate", id="generalized-before-2050"
        ),
        pytest.param(assemble(dates=b"\x17\x0b2601010000Z" + TIME_1), "thisUpdate", id="no-seconds"),
        pytest.param(assemble(dates=b"\x18\x1120500101000000.5Z" + TIME_1), "thisUpdate", id="fraction"),
        pytest.param(assemble(entries=b"\x30\x00"), "present and empty", id="empty-list"),
        pytest.param(
            assemble(entries=entry_with(serial="0200")), "entry 1, userCertificate", id="empty-serial"
        ),
        pytest.param(
            assemble(entries=entry_with(serial="020185")), "entry 1, userCertificate", id="negative-serial"
        ),
        pytest.param(
            assemble(entries=entry_with(serial="02020005")), "entry 1, userCertificate", id="long-form-serial"
        ),
        pytest.param(
            assemble(entries=entry_with(serial="0215" + "01" * 21)),
            "entry 1, userCertificate",
            id="21-octets",
        ),
        pytest.param(
            assemble(entries=entry_with(date="180f32303439303130313030303030305a")),
            "entry 1, revocationDate",
            id="entry-generalized",
        ),
        pytest.param(
            assemble(entries=entry_with(reason="3000")),
            "entry 1, crlEntryExtensions",
            id="empty-entry-extensions",
        ),
        pytest.param(
            assemble(entries=entry_with(reason="300c300a0603551d1504030a0100")),
            "entry 1, crlEntryExtensions",
            id="reason-0",
        ),
        pytest.param(
            assemble(entries=entry_with(reason="300c300a0603551d1504030a0107")),
            "entry 1, crlEntryExtensions",
            id="reason-7",
        ),
        pytest.param(
            assemble(entries=entry_with(reason="300f300d0603551d150101ff04030a0101")),
            "entry 1, crlEntryExtensions",
            id="critical-reason",
        ),
        pytest.param(
            assemble(entries=entry_with(reason="300c300a0603551d1804030a0101")),
            "entry 1, crlEntryExtensions",
            id="other-entry-extension",
        ),
        pytest.param(
            assemble(entries=entry_with(reason="300c300a0603551d1504030a01010500")),
            "entry 1, crlEntryExtensions",
            id="after-reason",
        ),
        pytest.param(assemble(extensions=NUMBER + IDP_EXTENSION), "no authorityKeyIdentifier", id="no-aki"),
        pytest.param(assemble(extensions=AKI + IDP_EXTENSION), "no cRLNumber", id="no-number"),
        pytest.param(assemble(extensions=AKI + AKI + NUMBER), "extension 1", id="aki-twice"),
        pytest.param(assemble(extensions=AKI + NUMBER + NUMBER), "extension 2", id="number-twice"),
        pytest.param(assemble(extensions=AKI + NUMBER + IDP_EXTENSION * 2), "extension 3", id="idp-twice"),
        pytest.param(
            assemble(extensions=AKI + extension("0603551d14", b"\x02\x01\x01", CRITICAL)),
            "extension 1",
            id="critical-number",
        ),
        pytest.param(
            assemble(extensions=AKI + extension("0603551d14", b"\x02\x15" + b"\x01" * 21)),
            "extension 1",
            id="number-21-octets",
        ),
        pytest.param(
            assemble(extensions=AKI + extension("0603551d14", b"\x02\x01\xff")),
            "extension 1",
            id="negative-number",
        ),
        pytest.param(
            assemble(extensions=AKI + NUMBER + extension("0603551d1c", IDP)),
            "extension 2",
            id="idp-not-critical",
        ),
        pytest.param(
            assemble(extensions=AKI + NUMBER + extension("0603551d1c", b"\x30\x00", CRITICAL)),
            "extension 2",
            id="empty-idp",
        ),
        pytest.param(
            assemble(
                extensions=AKI + NUMBER + extension("0603551d1c", bytes.fromhex("30068101ff8201ff"), CRITICAL)
            ),
            "extension 2",
            id="both-scopes",
        ),
        pytest.param(
            assemble(
                extensions=AKI + NUMBER + extension("0603551d1c", bytes.fromhex("30038401ff"), CRITICAL)
            ),
            "extension 2",
            id="indirect",
        ),
        pytest.param(
            assemble(
                extensions=AKI + NUMBER + extension("0603551d1c", bytes.fromhex("3003810100"), CRITICAL)
            ),
            "extension 2",
            id="scope-false",
        ),
        pytest.param(
            assemble(
                extensions=AKI
                + NUMBER
                + extension("0603551d1c", bytes.fromhex("300ca00aa003860161a003860162"), CRITICAL)
            ),
            "extension 2",
            id="two-names",
        ),
        pytest.param(
            assemble(
                extensions=AKI
                + NUMBER
                + extension(
                    "0603551d1c", bytes.fromhex("300aa008a0068601618601 62".replace(" ", "")), CRITICAL
                )
            ),
            "extension 2",
            id="two-urls",
        ),
        pytest.param(
            assemble(extensions=AKI + NUMBER + extension("0603551d1b", b"\x02\x01\x01", CRITICAL)),
            "extension 2",
            id="delta",
        ),
        pytest.param(
            assemble(extensions=extension("0603551d23", bytes.fromhex("3000")) + NUMBER),
            "extension 0",
            id="empty-aki",
        ),
        pytest.param(
            assemble(extensions=extension("0603551d23", bytes.fromhex("3006800161820101")) + NUMBER),
            "extension 0",
            id="aki-with-serial",
        ),
        pytest.param(
            assemble(after_extensions=b"\x05\x00"), "tbsCertList: octets after", id="after-extensions"
        ),
        pytest.param(assemble(signature=encode(3, b"\x01signature")), "signatureValue", id="unused-bits"),
        pytest.param(assemble(signature=encode(3, b"\0")), "signatureValue", id="empty-signature"),
    ],
)
def test_second_reader_refuses(data: bytes, message: str) -> None:
    with pytest.raises(MalformedDer, match=message):
        Crl(data)


GOOD = sign(encode_tbs(some_entries(4)))


@settings(max_examples=200, deadline=None)
@given(position=st.integers(0, len(GOOD) - 1), value=st.integers(0, 255))
def test_a_changed_octet_is_refused_or_seen(position: int, value: int) -> None:
    changed = GOOD[:position] + bytes([value]) + GOOD[position + 1 :]
    try:
        crl = Crl(changed)
    except MalformedDer:
        return
    seen = crl.tbs_cert_list + crl.signature_algorithm + encode(3, b"\0" + crl.signature)
    assert encode(0x30, seen) == changed


@pytest.mark.parametrize("length", range(0, len(GOOD), 7))
def test_a_shortened_crl_is_refused(length: int) -> None:
    with pytest.raises(MalformedDer):
        Crl(GOOD[:length])


def test_entries_outlive_the_reference_to_their_crl() -> None:
    entries = iter(Crl(sign(encode_tbs(some_entries(2_000)))))
    assert list(entries) == some_entries(2_000)


def test_reasons_of_rfc_5280_are_read_though_not_written() -> None:
    """What an offline CA signed may say cACompromise; the profile is for the caller to hold."""
    data = assemble(entries=entry_with(reason="300c300a0603551d1504030a0102"))
    assert [reason for _, _, reason in Crl(data)] == [1, 2]
