"""Directories of certificates: what is one, whose it is, and which files cannot hide."""

import os
import random
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from signer.intake.certificate import CertificateRows
from signer.intake.rows import ImportRow, RowError
from signer.ledger.values import PlacedBy, Placement
from tests.signer.intakes import Ca, Place, ocsp_url, scope_of, shard_url
from tests.signer.ledgers import NOW

CA = Ca.make()
WHOLE = CA.der(0x1234, [shard_url(1)], extensions=[ocsp_url()])
SCOPE = scope_of(CA)


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Place:
    return Place(tmp_path, CA, capsys)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    directory = tmp_path / "certificates"
    directory.mkdir()
    return directory


def parse(place: Place, certificate: x509.Certificate | bytes) -> ImportRow:
    data = certificate if isinstance(certificate, bytes) else certificate.public_bytes(Encoding.DER)
    return CertificateRows(place.scope).parse(data)


def problem(place: Place, certificate: x509.Certificate | bytes) -> str:
    with pytest.raises(RowError) as caught:
        parse(place, certificate)
    assert str(caught.value).isprintable()
    return str(caught.value)


def messages(place: Place, path: Path, format: str = "pem-dir") -> list[str]:
    """What a refused import says, without the directory."""
    result = place.run(format, path, code=1)
    found = []
    for one in result["rejections"]:
        line = "" if one["line"] is None else f":{one['line']}"
        found.append(f"{one['file'].removeprefix(str(path) + '/')}{line}: {one['message']}")
    return sorted(found)


# One certificate


def test_a_certificate_says_its_serial_its_end_and_its_crl(place: Place) -> None:
    row = parse(place, CA.issue(0x80FF, [shard_url(3)], not_after=NOW + 77))
    assert row == ImportRow(b"\x80\xff", NOW + 77, None, 0, False, "", Placement(0, 3, PlacedBy.CERTIFICATE))
    assert parse(place, CA.issue(1, [shard_url(0)], not_after=NOW - 1)).expired


@pytest.mark.conformance("R-09")
def test_a_precertificate_counts_as_issued(place: Place) -> None:
    row = parse(place, CA.issue(7, [shard_url(1)], precertificate=True))
    assert row == parse(place, CA.issue(7, [shard_url(1)]))


def test_a_certificate_of_another_issuer_is_refused(place: Place) -> None:
    assert problem(place, Ca.make("Another CA").issue(5)) == "issuer: another name than that of issuer r1"
    same_name = Ca.make().issue(5)
    assert problem(place, same_name) == "signature: not made with the key of issuer r1"


def test_a_certificate_that_was_altered_is_refused(place: Place) -> None:
    data = bytearray(CA.der(0x1234))
    data[data.index(b"\x12\x34")] = 0x13
    assert problem(place, bytes(data)).startswith("signature: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xff\x01\x02", "serial: is negative"), (b"\x7f" * 21, "serial: " + "7f" * 21 + " has 21 octets"),
     (b"\x00" + b"\xff" * 21, "serial: "), (b"\x00" + b"\xff" * 20, "certificate: ")],
)  # fmt: skip
def test_serials_that_cannot_be(place: Place, content: bytes, message: str) -> None:
    data = CA.der(0x010203)
    at = data.index(b"\x02\x03\x01\x02\x03")
    altered = data[:at] + b"\x02" + bytes([len(content)]) + content + data[at + 5 :]
    assert problem(place, altered).startswith(message)


def test_serial_zero_is_taken_as_in_an_index(place: Place) -> None:
    data = CA.der(0x05)
    at = data.index(b"\x02\x01\x05")
    altered = data[:at] + b"\x02\x01\x00" + data[at + 3 :]
    assert problem(place, altered).startswith("signature: ")  # read, and without a warning


@pytest.mark.conformance("P-10")
def test_the_distribution_point(place: Place) -> None:
    ldap = "ldap://ldap.example/cn=x"
    assert parse(place, CA.issue(5, [ldap, shard_url(2)])).placement == Placement(0, 2, PlacedBy.CERTIFICATE)
    assert parse(place, CA.issue(5)).placement is None
    assert "0-9.crl is no CRL of issuer r1" in problem(place, CA.issue(5, [shard_url(9)]))
    assert "is no CRL of issuer r1" in problem(place, CA.issue(5, [shard_url(1).upper()]))
    assert "several CRLs of this issuer" in problem(place, CA.issue(5, [shard_url(1), shard_url(2)]))


@pytest.mark.conformance("U-12")
def test_a_certificate_whose_status_nobody_can_learn_is_warned_of(place: Place) -> None:
    day = 86_400
    short = int(x509.load_der_x509_certificate(CA.der(1)).not_valid_before_utc.timestamp())
    assert "neither an OCSP URL nor a CRL" in parse(place, CA.issue(5)).warning
    assert parse(place, CA.issue(5, [shard_url(1)])).warning == ""
    assert parse(place, CA.issue(5, extensions=[ocsp_url()])).warning == ""
    assert parse(place, CA.issue(5, not_after=short + 7 * day)).warning == ""
    assert parse(place, CA.issue(5, not_after=short + 7 * day + 1)).warning != ""
    responder = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING])
    assert parse(place, CA.issue(5, extensions=[responder])).warning == ""


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_octets_are_a_certificate_or_an_error(data: st.DataObject) -> None:
    octets = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(octets) - 1))
        octets[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(octets), len(octets), len(octets) // 2, 3]))
    try:
        row = CertificateRows(SCOPE).parse(bytes(octets[:cut]))
    except RowError as error:
        assert str(error).isprintable()
    else:
        assert row.serial == b"\x12\x34"


# Directories


def test_bundles_text_and_line_ends(place: Place, path: Path) -> None:
    key = CA.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    first, second, third = (CA.pem(number, [shard_url(0)]) for number in (1, 2, 3))
    (path / "bundle.pem").write_bytes(b"subject=x\n\n" + first + b"between\n" + key + second + b"after")
    (path / "windows.crt").write_bytes(third.replace(b"\n", b"\r\n"))
    (path / "old").write_bytes(CA.pem(4, [shard_url(0)]).replace(b"CERTIFICATE", b"X509 CERTIFICATE"))
    (path / ".hidden").write_bytes(b"nothing")
    result = place.run("pem-dir", path)
    assert (result["rows"], result["new"]) == (4, 4)
    assert [row[0] for row in place.certificates()] == [b"\1", b"\2", b"\3", b"\4"]


@pytest.mark.conformance("R-09")
def test_precertificate_and_certificate_are_one(place: Place, path: Path) -> None:
    (path / "final.pem").write_bytes(CA.pem(9, [shard_url(1)]))
    (path / "pre.pem").write_bytes(CA.pem(9, [shard_url(1)], precertificate=True))
    (path / "alone.pem").write_bytes(CA.pem(10, [shard_url(2)], precertificate=True))
    result = place.run("pem-dir", path)
    assert (result["rows"], result["duplicates"], result["new"]) == (3, 1, 2)


def test_what_is_wrong_in_a_bundle_is_told_by_its_line(place: Place, path: Path) -> None:
    one, two = CA.pem(1, [shard_url(0)]), CA.pem(2, [shard_url(0)])
    lines = one.count(b"\n")
    stranger = Ca.make("Another CA").pem(3)
    (path / "a.pem").write_bytes(one + stranger + two)
    (path / "b.pem").write_bytes(b"text\n" + one[:-30])
    (path / "c.pem").write_bytes(one[:200] + b"\n" + two)
    (path / "d.pem").write_bytes(b"-----END CERTIFICATE-----\n" + one)
    (path / "e.pem").write_bytes(one.replace(b"\n", b"\n!", 2))
    (path / "f.pem").write_bytes(one.replace(b" CERT", b" TRUSTED CERT"))
    (path / "g.pem").write_bytes(b"x" * 70_000 + b"\n" + one)
    found = messages(place, path)
    for message, start in zip(
        found,
        [
            f"a.pem:{lines + 1}: issuer: another name",
            "b.pem:2: PEM: no END before the end of the file",
            "c.pem:1: PEM: another one begins before its END",
            "d.pem:1: PEM: END without BEGIN",
            "e.pem:1: PEM: not base64",
            "f.pem:1: PEM: a TRUSTED CERTIFICATE",
            "g.pem:1: line: longer than 65536 octets",
        ],
        strict=False,
    ):
        assert message.startswith(start)
    assert place.dump() == []


def test_files_that_hold_none_are_told(place: Place, path: Path) -> None:
    (path / "empty").touch()
    (path / "text").write_text("no certificate\n")
    (path / "nul").write_bytes(bytes(100_000))
    (path / "utf16").write_bytes(CA.pem(1).decode().encode("utf-16"))
    found = messages(place, path)
    assert [one for one in found if "file: no certificate in it" not in one] == [
        "nul: line: longer than 65536 octets".replace("nul:", "nul:1:")
    ]
    assert len(found) == 4
    assert "file: no certificate in it" in " ".join(messages(place, path, "der-dir"))


def test_der_files_hold_one_certificate(place: Place, path: Path) -> None:
    (path / "good.cer").write_bytes(CA.der(1, [shard_url(0)]))
    assert place.run("der-dir", path)["new"] == 1
    (path / "pem").write_bytes(CA.pem(1, [shard_url(0)]))
    (path / "two").write_bytes(CA.der(1, [shard_url(0)]) * 2)
    (path / "large").write_bytes(b"\x30\x84\x00\xff\xff\xff" + bytes(300_000))
    found = messages(place, path, "der-dir")
    assert [one.partition(": ")[0] for one in found] == ["large", "pem", "two"]
    assert "more than 262144 octets" in found[0]


def test_what_is_no_file_is_told(place: Place, path: Path) -> None:
    (path / "good.pem").write_bytes(CA.pem(1, [shard_url(0)]))
    os.mkfifo(path / "fifo")
    (path / "device").symlink_to("/dev/zero")
    (path / "dangling").symlink_to("nowhere")
    (path / "itself").symlink_to("itself")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path / "socket"))
        assert messages(place, path) == [
            "dangling: file: cannot be read: No such file or directory",
            "device: file: not a regular file",
            "fifo: file: not a regular file",
            "itself: file: cannot be read: Too many levels of symbolic links",
            "socket: file: cannot be read: No such device or address",
        ]


def test_links_are_followed_once(place: Place, path: Path) -> None:
    elsewhere = path.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "far.pem").write_bytes(CA.pem(1, [shard_url(0)]))
    (path / "near.pem").write_bytes(CA.pem(2, [shard_url(0)]))
    (path / "loop").symlink_to(".")
    (path / "up").symlink_to("..")
    (path / "there").symlink_to(elsewhere)
    (path / "again").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(path)
    (path / "up").unlink()
    result = place.run("pem-dir", path)
    assert (result["rows"], result["duplicates"]) == (2, 0)


def test_strange_names_are_shown_without_harm(place: Place, path: Path) -> None:
    for name in (b"line\nfeed", b"\xff\xfe", b"\x1b[31mred", "schön".encode()):
        (Path(os.fsdecode(os.fsencode(path) + b"/" + name))).write_bytes(b"nothing")
    found = messages(place, path)
    assert all(message.isprintable() for message in found)
    assert found[0].startswith("\\udcff\\udcfe: ") and any(one.startswith("schön: ") for one in found)
    assert place.errors.count("\n") == 4 + place.errors.count("%")


@pytest.fixture
def readable_by_all() -> Iterator[Path]:
    """A directory outside of pytest's own, which only its user may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_what_may_not_be_read_is_told(place: Place, readable_by_all: Path) -> None:
    (readable_by_all / "good.pem").write_bytes(CA.pem(1, [shard_url(0)]))
    (readable_by_all / "secret.pem").write_bytes(CA.pem(2, [shard_url(0)]))
    (readable_by_all / "secret.pem").chmod(0)
    (readable_by_all / "locked").mkdir(mode=0)
    _ = place.run("pem-dir", readable_by_all, dry_run=True, code=0 if os.geteuid() == 0 else 1)
    if os.geteuid() != 0:
        return
    place.directory.chmod(0o755)
    scope = place.scope
    from signer.intake.importer import stage

    os.seteuid(65534)
    try:
        with stage("pem-dir", readable_by_all, scope, lambda count: None, None) as staged:
            found = sorted(str(note) for note in staged.report.rejected.first)
    finally:
        os.seteuid(0)
    assert found == [
        f"{readable_by_all}/locked: directory: cannot be read: Permission denied",
        f"{readable_by_all}/secret.pem: file: cannot be read: Permission denied",
    ]


def test_many_files_are_read_in_any_order(place: Place, path: Path) -> None:
    numbers = list(range(1, 41))
    random.Random(1).shuffle(numbers)
    for number in numbers:
        (path / f"{number % 4}").mkdir(exist_ok=True)
        (path / f"{number % 4}" / f"{number}.der").write_bytes(CA.der(number, [shard_url(number % 4)]))
    assert place.run("der-dir", path)["new"] == 40
    assert [(row[0], row[5], row[6]) for row in place.certificates()] == [
        (bytes([number]), number % 4, "certificate") for number in range(1, 41)
    ]
