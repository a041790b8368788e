from pathlib import Path

import pytest

from signer.intake.revocations import allowed_reason, parse_date, read_revocations, typed_serial
from signer.intake.rows import RowError
from signer.ledger.values import ALLOWED_REASONS, Revocation
from store.errors import UsageError

NOW = 1_795_255_200  # 2026-11-21T10:00:00Z


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
    assert read_revocations(path, 5, NOW, NOW) == [
        Revocation(b"\x0a", NOW, 5),
        Revocation(b"\x0b", NOW, 1),
        Revocation(b"\x0c", NOW - 86_400, 5),
        Revocation(b"\x0d", NOW - 86_400, 4),
    ]


def test_every_bad_line_is_named_and_nothing_is_read(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("0a\nxyz\n0b,6\n0c,,soon\n0d,1,2026-11-20T10:00:00Z,more\n")
    with pytest.raises(UsageError) as caught:
        read_revocations(path, 0, NOW, NOW)
    starts = [line.split("'")[0] for line in caught.value.message.splitlines()]
    assert starts[0] == f"{path}:2: serial: "
    assert starts[1].startswith(f"{path}:3: reason: 6 certificatehold")
    assert starts[2] == f"{path}:4: date: "
    assert starts[3].startswith(f"{path}:5: line: ")


def test_twenty_bad_lines_are_enough(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("xyz\n" * 50)
    with pytest.raises(UsageError) as caught:
        read_revocations(path, 0, NOW, NOW)
    assert caught.value.message.splitlines()[20:] == ["... and 30 more"]
