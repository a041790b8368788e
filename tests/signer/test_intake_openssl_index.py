import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from signer.demo.authority import create_authority
from signer.intake.lines import LineReader
from signer.intake.openssl_index import OpensslIndex, parse_serial
from signer.intake.rows import ImportRow, RowError

NOW = int(datetime(2026, 11, 21, 10, tzinfo=UTC).timestamp())
REST = b"unknown\t/CN=x"


def parse(status: str, end: str, revocation: str, serial: str = "0A") -> ImportRow:
    return OpensslIndex(NOW).parse("\t".join((status, end, revocation, serial)).encode() + b"\t" + REST)


def seconds(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp())  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("270102030405Z", seconds(2027, 1, 2, 3, 4, 5)),
        ("20270102030405Z", seconds(2027, 1, 2, 3, 4, 5)),
        ("491231235959Z", seconds(2049, 12, 31, 23, 59, 59)),
        ("500101000000Z", seconds(1950, 1, 1)),
        ("20500101000000Z", seconds(2050, 1, 1)),
        ("99991231235959Z", seconds(9999, 12, 31, 23, 59, 59)),
        ("280229000000Z", seconds(2028, 2, 29)),
    ],
)
def test_dates_of_both_forms(text: str, expected: int) -> None:
    row = parse("V", text, "")
    assert (row.not_after, row.expired) == (expected, expected < NOW)


@pytest.mark.parametrize(
    "text",
    ["", "270102030405", "270102030405z", "2701020304Z", "270102030405+0100", "20270102030405.5Z", "271302030405Z",
     "270230030405Z", "270102240000Z", "270102006000Z", "270102000060Z", "27010203040 Z", "00000101000000Z", "２70102030405Z"],
)  # fmt: skip
def test_what_is_no_date_is_told(text: str) -> None:
    with pytest.raises(RowError, match=r"^notAfter: "):
        parse("V", text, "")


@pytest.mark.parametrize(
    ("text", "serial"),
    [
        ("00", b"\x00"),
        ("0", b"\x00"),
        ("A", b"\x0a"),
        ("0a", b"\x0a"),
        ("0000ABCDEF", b"\xab\xcd\xef"),
        ("80" + "00" * 19, b"\x80" + bytes(19)),
        ("00" + "FF" * 20, b"\xff" * 20),
        ("1" + "0" * 30, b"\x01" + bytes(15)),
    ],
)
def test_serials(text: str, serial: bytes) -> None:
    assert parse("V", "270102030405Z", "", text).serial == serial
    assert parse_serial(text.lower().encode()) == serial


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "not hexadecimal"), ("-01", "negative"), ("0x1", "not hexadecimal"), ("1 2", "not hexadecimal"),
     ("xyz", "not hexadecimal"), ("01" + "00" * 20, "21 octets, more than 20")],
)  # fmt: skip
def test_what_is_no_serial_is_told(text: str, why: str) -> None:
    with pytest.raises(RowError, match=f"^serial: .*{why}"):
        parse("V", "270102030405Z", "", text)


@pytest.mark.conformance("C-15", "C-21")
@pytest.mark.parametrize(
    ("name", "reason", "adjusted"),
    [
        ("", 0, ""),
        (",unspecified", 0, ""),
        (",keyCompromise", 1, ""),
        (",KEYCOMPROMISE", 1, ""),
        (",CACompromise", 0, "reason 2"),
        (",affiliationChanged", 3, ""),
        (",superseded", 4, ""),
        (",cessationOfOperation", 5, ""),
        (",certificateHold", 0, "reason 6"),
        (",removeFromCRL", 0, "reason 8"),
        (",privilegeWithdrawn", 9, ""),
        (",holdInstruction,holdInstructionReject", 0, "reason 6"),
        (",keyTime,20260101000000Z", 1, "time of compromise"),
        (",CAkeyTime,20260101000000Z", 0, "reason 2"),
        (",somethingElse", 0, "not known"),
        (",7", 0, "reason 7"),
        ("," + "7" * 6000, 0, "not known"),
    ],
)
def test_a_revocation_is_never_lost_for_its_reason(name: str, reason: int, adjusted: str) -> None:
    row = parse("R", "270102030405Z", f"260102030405Z{name}")
    assert (row.revocation_time, row.reason) == (seconds(2026, 1, 2, 3, 4, 5), reason)
    assert adjusted in row.adjusted if adjusted else row.adjusted == ""
    assert not row.expired


@pytest.mark.parametrize("when", ["691231235959Z", "500101000000Z", "19001231235959Z", "00010101000000Z"])
def test_a_revocation_before_1970_is_taken_as_1970(when: str) -> None:
    row = parse("R", "300102030405Z", when)
    assert row.revocation_time == 0
    assert "before 1970" in row.adjusted


@pytest.mark.conformance("C-17")
def test_a_revocation_in_the_future_is_taken_as_now() -> None:
    row = parse("R", "300102030405Z", "29010203040" + "5Z,certificateHold")
    assert row.revocation_time == NOW
    assert "taken as now" in row.adjusted and "taken as unspecified" in row.adjusted


@pytest.mark.parametrize(("status", "end", "expired"), [
    ("E", "270102030405Z", True), ("V", "260102030405Z", True), ("V", "261121100000Z", False), ("V", "261121095959Z", True),
])  # fmt: skip
def test_expired_whatever_the_letter_says(status: str, end: str, expired: bool) -> None:
    assert parse(status, end, "").expired is expired


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("V\t270102030405Z\t\t0A\tunknown", "line: not 6 fields"),
        ("V\t270102030405Z\t\t0A\tunknown\t/CN=x\tmore", "line: not 6 fields"),
        ("V 270102030405Z", "line: not 6 fields"),
        ("S\t270102030405Z\t\t0A\tunknown\t/CN=x", "status: 'S' is not V, R or E"),
        ("\t270102030405Z\t\t0A\tunknown\t/CN=x", "status: '' is not V, R or E"),
        ("V\t270102030405Z\t260102030405Z\t0A\tunknown\t/CN=x", "revocation: a certificate of status V"),
        ("R\t270102030405Z\t\t0A\tunknown\t/CN=x", "revocation: '' is not"),
        ("R\t270102030405Z\tyesterday\t0A\tunknown\t/CN=x", "revocation: 'yesterday' is not"),
    ],
)
def test_what_says_nothing_certain_is_told(line: str, message: str) -> None:
    with pytest.raises(RowError) as caught:
        OpensslIndex(NOW).parse(line.encode())
    assert str(caught.value).startswith(message)


def test_an_escaped_tab_in_the_subject_is_no_field() -> None:
    row = OpensslIndex(NOW).parse(b"V\t270102030405Z\t\t0A\tunknown\t/CN=a\\\tb")
    assert row.serial == b"\x0a"


def test_lines_are_numbered_as_an_editor_does(tmp_path: Path) -> None:
    good = b"V\t270102030405Z\t\t0A\t" + REST
    lines = [b"# a remark\n", b"\n", good + b"\r\n", b"nonsense\n", good]
    (tmp_path / "index.txt").write_bytes(b"".join(lines))
    with LineReader(tmp_path / "index.txt", OpensslIndex(NOW).parse, remark=b"#") as reader:
        found = list(reader.read())
    assert [(number, isinstance(row, RowError)) for number, row in found] == [
        (3, False),
        (4, True),
        (5, False),
    ]


@settings(max_examples=200)
@given(st.binary(max_size=120))
def test_any_line_is_a_row_or_an_error(line: bytes) -> None:
    for prefix in (b"", b"V\t270102030405Z\t\t", b"R\t270102030405Z\t260102030405Z,"):
        try:
            row = OpensslIndex(NOW).parse(prefix + line)
        except RowError as error:
            assert str(error).isascii() and str(error).isprintable()
        else:
            assert 1 <= len(row.serial) <= 20


@settings(max_examples=200)
@given(
    st.integers(0, (1 << 160) - 1),
    st.datetimes(datetime(1950, 1, 1), datetime(2049, 12, 31)),
    st.datetimes(datetime(1970, 1, 1), datetime(2026, 11, 20)),
)
def test_what_is_written_is_read_back(serial: int, end: datetime, revoked: datetime) -> None:
    for form in ("%y%m%d%H%M%SZ", "%Y%m%d%H%M%SZ"):
        row = parse("R", end.strftime(form), revoked.strftime(form), f"{serial:X}")
        assert int.from_bytes(row.serial) == serial
        assert row.not_after == int(end.replace(tzinfo=UTC, microsecond=0).timestamp())
        assert row.revocation_time == int(revoked.replace(tzinfo=UTC, microsecond=0).timestamp())


OPENSSL_REVOCATIONS = {
    (): 0,
    ("-crl_reason", "unspecified"): 0,
    ("-crl_reason", "keyCompromise"): 1,
    ("-crl_reason", "CACompromise"): 0,
    ("-crl_reason", "affiliationChanged"): 3,
    ("-crl_reason", "superseded"): 4,
    ("-crl_reason", "cessationOfOperation"): 5,
    ("-crl_reason", "certificateHold"): 0,
    ("-crl_reason", "removeFromCRL"): 0,
    ("-crl_hold", "holdInstructionCallIssuer"): 0,
    ("-crl_compromise", "20260102030405Z"): 1,
    ("-crl_CA_compromise", "20260102030405Z"): 0,
}


def test_every_revocation_openssl_writes_is_read(tmp_path: Path) -> None:
    """The other end is `openssl ca` itself."""
    openssl = shutil.which("openssl")
    assert openssl is not None
    now = int(datetime.now(UTC).timestamp())
    create_authority(tmp_path, 2, now, "http://o.example", "http://c.example/{}".format, seed=1)
    (tmp_path / "index.txt").write_text("")
    expected = {}
    for serial, (options, reason) in enumerate(OPENSSL_REVOCATIONS.items(), start=0x7F):
        _leaf(tmp_path / "leaf.pem", serial)
        command = [openssl, "ca", "-config", "openssl.cnf", "-revoke", "leaf.pem", *options]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        expected[serial] = reason
    with LineReader(tmp_path / "index.txt", OpensslIndex(now + 60).parse, remark=b"#") as reader:
        rows = [row for _, row in reader.read()]
    found = {}
    for row in rows:
        assert isinstance(row, ImportRow), row
        assert row.revocation_time is not None and abs(row.revocation_time - now) < 60
        found[int.from_bytes(row.serial)] = row.reason
    assert found == expected


def _leaf(path: Path, serial: int) -> None:
    """A certificate as `openssl ca -revoke` looks at it: serial, subject and end."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"leaf {serial}")])
    moment = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), serial)
    builder = builder.not_valid_before(moment).not_valid_after(moment + timedelta(90))
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
