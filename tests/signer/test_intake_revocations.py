from pathlib import Path

import pytest

from signer.intake.revocations import allowed_reason, parse_date, read_revocations, typed_serial
from signer.intake.rows import RowError
from signer.ledger.values import ALLOWED_REASONS, Revocation
from store.errors import UsageError

NOW = 1_795_255_200  # 2026-11-21T10:00:00Z


def read(path: Path, reason: int = 0) -> list[Revocation]:
    """All of it; what progress was told is the size."""
    told: list[int] = []
    found = list(read_revocations(path, reason, NOW, NOW, NOW, told.append))
    assert sum(told) == path.stat().st_size
    return found


def test_names_and_numbers_of_allowed_reasons() -> None:
    names = (
        "unspecified",
        "keyCompromise",
        "affiliationchanged",
        "SUPERSEDED",
        "cessationOfOperation",
        "privilegeWithdrawn",
    )
    assert {allowed_reason(name) for name in names} == ALLOWED_REASONS
    assert {allowed_reason(str(number)) for number in ALLOWED_REASONS} == ALLOWED_REASONS


@pytest.mark.parametrize("text", ["2", "6", "8", "10", "certificateHold", "cACompromise", "removeFromCRL"])
def test_reasons_that_subscribers_cannot_have(text: str) -> None:
    with pytest.raises(
        RowError, match=r"reason: .*not for subscriber certificates; allowed: unspecified, keyComp"
    ):
        allowed_reason(text)


@pytest.mark.parametrize("text", ["", "7", "-1", "hold", "１"])
def test_what_is_no_reason(text: str) -> None:
    with pytest.raises(RowError, match="reason: "):
        allowed_reason(text)


@pytest.mark.parametrize("text", ["2f00a1", "2F00A1", "0x2f00a1", "2f:00:a1", "serial=2F00A1", " 002F00A1 "])
def test_serials_as_people_copy_them(text: str) -> None:
    assert typed_serial(text) == b"\x2f\x00\xa1"


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-21T10:00:00Z", NOW),
        ("2026-11-21T11:00:00+01:00", NOW),
        ("2026-11-21T09:59:59.9Z", NOW - 1),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
def test_dates(text: str, time: int) -> None:
    assert parse_date(text, NOW) == time


@pytest.mark.parametrize(
    "text",
    ["", "2026-11-21", "2026-11-21T10:00:00", "yesterday", "2026-11-21T10:00:01Z", "1969-12-31T23:59:59Z"],
)
def test_what_is_no_date_of_a_revocation(text: str) -> None:
    with pytest.raises(RowError, match="date: "):
        parse_date(text, NOW)


def test_a_file_of_revocations(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text(
        "# ordered by ann\n0A\n\n0b, keyCompromise # lost\n0c,,2026-11-20T10:00:00Z\n0d,4,2026-11-20T10:00:00Z\n"
    )
    assert read(path, 5) == [
        Revocation(b"\x0a", NOW, 5),
        Revocation(b"\x0b", NOW, 1),
        Revocation(b"\x0c", NOW - 86_400, 5),
        Revocation(b"\x0d", NOW - 86_400, 4),
    ]


def test_every_bad_line_is_named_and_nothing_is_read(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("0a\nxyz\n0b,6\n0c,,soon\n0d,1,2026-11-20T10:00:00Z,more\n")
    with pytest.raises(UsageError) as caught:
        read(path)
    starts = [line.split("'")[0] for line in caught.value.message.splitlines()]
    assert starts[0] == f"{path}:2: serial: "
    assert starts[1].startswith(f"{path}:3: reason: 6 certificatehold")
    assert starts[2] == f"{path}:4: date: "
    assert starts[3].startswith(f"{path}:5: line: ")


def test_twenty_bad_lines_are_enough(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("xyz\n" * 50)
    with pytest.raises(UsageError) as caught:
        read(path)
    assert caught.value.message.splitlines()[20:] == ["... and 30 more"]


@pytest.mark.parametrize("content", [b"0" * 5_000, b"0a\n0b\n" + b"\0" * (20 << 20), b"0a # " + b"x" * 4_096])
def test_a_line_without_end_is_told_at_once(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "list"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=rf"list:{content.count(10) + 1}: line: longer than 4096 octets"):
        read(path)


def test_a_device_that_never_ends_is_told() -> None:
    with pytest.raises(UsageError, match=r"/dev/zero:1: line: longer than 4096 octets"):
        list(read_revocations(Path("/dev/zero"), 0, NOW, NOW, NOW, lambda octets: None))


def test_octets_of_any_kind_are_a_bad_line_or_a_remark(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"0a # na\xefve\r\n\xff\xfe\n\x1b[2J\n")
    with pytest.raises(UsageError) as caught:
        read(path)
    assert [line.partition(": ")[0] for line in caught.value.message.splitlines()] == [
        f"{path}:2",
        f"{path}:3",
    ]
    assert "\x1b" not in caught.value.message


@pytest.mark.parametrize("name", ["absent", ".", "with\0nul"])
def test_a_path_that_cannot_be_read_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_all = read_revocations(tmp_path / name, 0, NOW, NOW, NOW, lambda octets: None)
        next(read_all)
