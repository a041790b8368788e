"""`ocsp-signer import` on every format: what it writes, what it refuses, and that it never does half of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from signer.intake.errors import UnreadableFile
from store.errors import UsageError
from tests.signer.intakes import FORMATS, Brought, Ca, Place, shard_url, write_rows
from tests.signer.ledgers import NOW, YEAR

CERTIFICATES = 20
DIRECTORIES = ("pem-dir", "der-dir")
EVERY = (*FORMATS, *DIRECTORIES)


@pytest.fixture(scope="module")
def ca() -> Ca:
    return Ca.make()


@pytest.fixture
def place(tmp_path: Path, ca: Ca, capsys: pytest.CaptureFixture[str]) -> Place:
    return Place(tmp_path, ca, capsys)


def some_rows(count: int) -> list[Brought]:
    """Good, expired and revoked ones, with reasons."""
    rows = []
    for number in range(count):
        serial = (number * 0x01020304_05060708 + 0x80).to_bytes(16).lstrip(b"\0")
        end = NOW - 5 if number % 7 == 3 else NOW + YEAR + number
        revoked = NOW - 1000 - number if number % 3 == 1 else None
        rows.append(Brought(serial, end, revoked, (0, 1, 4)[number % 3] if revoked else 0))
    return rows


def bring(place: Place, format: str) -> Path:
    """A file or directory of CERTIFICATES certificates in every state that the format knows."""
    path = place.directory / "brought"
    if format in FORMATS:
        write_rows(format, path, some_rows(CERTIFICATES))
        return path
    (path / "deeper").mkdir(parents=True)
    for number in range(CERTIFICATES):
        data = (place.ca.pem if format == "pem-dir" else place.ca.der)(
            1000 + number, [shard_url(number % 4)], not_after=NOW + (-5 if number % 7 == 3 else YEAR)
        )
        (path / ("deeper" if number % 2 else ".") / f"{number}.pem").write_bytes(data)
    return path


@pytest.mark.invariant("G5")
@pytest.mark.parametrize("format", EVERY)
def test_the_same_again_changes_nothing(place: Place, format: str) -> None:
    path = bring(place, format)
    first = place.run(format, path)
    assert (first["rows"], first["new"], first["written"]) == (CERTIFICATES, CERTIFICATES, True)
    assert min(first["good"], first["expired"]) > 0
    assert (first["revoked"] > 0) is (format in FORMATS)
    before = place.dump()
    place.clock.pass_time(100)
    again = place.run(format, path)
    assert (again["new"], again["unchanged"]) == (0, CERTIFICATES)
    assert place.dump() == before


@pytest.mark.parametrize("format", EVERY)
def test_a_dry_run_says_what_would_be_and_does_nothing(place: Place, format: str) -> None:
    path = bring(place, format)
    counts = ("rows", "good", "revoked", "expired", "rejected", "adjusted", "duplicates", "new", "unchanged",
              "newly_revoked", "updated", "placed", "kept_revoked")  # fmt: skip
    for _ in range(2):
        before, names = place.dump(), sorted(os.listdir(place.directory))
        tried = place.run(format, path, dry_run=True)
        assert place.dump() == before and sorted(os.listdir(place.directory)) == names
        done = place.run(format, path)
        assert {key: tried[key] for key in counts} == {key: done[key] for key in counts}
        assert (tried["written"], done["written"]) == (False, True)


def test_a_dry_run_sees_what_is_recorded(place: Place) -> None:
    path = place.directory / "rows"
    write_rows("csv", path, [Brought(b"\x01"), Brought(b"\x02", revoked_at=NOW - 5), Brought(b"\x03")])
    place.run("csv", path)
    write_rows("csv", path, [Brought(b"\x01", revoked_at=NOW - 9, reason=1), Brought(b"\x02"), Brought(b"\x03"),
                             Brought(b"\x04")])  # fmt: skip
    before = place.dump()
    for dry_run in (True, False):
        result = place.run("csv", path, dry_run=dry_run)
        kinds = ("new", "unchanged", "newly_revoked", "updated", "kept_revoked")
        assert [result[kind] for kind in kinds] == [1, 1, 1, 0, 1]
        assert result["kept_revoked_serials"] == ["02"]
        assert (place.dump() == before) is dry_run


def break_line(line: bytes, way: int) -> bytes:
    """A line that was damaged on its way, or is not what it should be."""
    text = line.rstrip(b"\n")
    broken = (
        text[: len(text) // 2],
        b"\x00\xff\xfe" + text,
        b"<" + b"\x9d" * 40,
        text.replace(b"0", b"O", 1),
        text.replace(b"20", b"99", 1) + b"\t,}",
    )[way]
    return (broken if broken != text else text + b"\t{") + b"\n"


def check_broken_lines(place: Place, format: str, *, every_way: bool) -> None:
    """Each line in turn: the import fails, names the line, and changes nothing."""
    path = place.directory / "rows"
    write_rows(format, path, some_rows(40))
    place.run(format, path)
    lines = write_rows(format, path, [row._replace(revoked_at=NOW - 7) for row in some_rows(41)])
    before = place.dump()
    for number, line in enumerate(lines):
        for way in range(5) if every_way else [number % 5]:
            path.write_bytes(b"".join([*lines[:number], break_line(line, way), *lines[number + 1 :]]))
            if format == "csv" and number == 0:
                with pytest.raises(UnreadableFile, match="rows:1: ") as caught:
                    place.run(format, path)
                assert caught.value.exit_code == 1
            else:
                result = place.run(format, path, code=1)
                assert f"{path}:{number + 1}: " in place.errors, way
                assert [one["line"] for one in result["rejections"]] == [number + 1]
            assert place.dump() == before
    path.write_bytes(b"".join(lines))
    assert place.run(format, path)["new"] == 1


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_broken_at_any_line_changes_nothing(place: Place, format: str) -> None:
    check_broken_lines(place, format, every_way=False)


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_a_file_broken_at_any_line_in_any_way_changes_nothing(place: Place, format: str) -> None:
    check_broken_lines(place, format, every_way=True)


@pytest.mark.parametrize("format", DIRECTORIES)
def test_a_directory_broken_at_any_file_changes_nothing(place: Place, format: str) -> None:
    path = bring(place, format)
    place.run(format, path)
    (path / "new.pem").write_bytes((place.ca.pem if format == "pem-dir" else place.ca.der)(5, [shard_url(1)]))
    before = place.dump()
    files = sorted(one for one in path.rglob("*") if one.is_file())
    assert len(files) == CERTIFICATES + 1
    for number, file in enumerate(files):
        data = file.read_bytes()
        at = len(data) // 2
        file.write_bytes(
            (
                data[:at],
                b"",
                data[:at] + bytes([data[at] ^ 3]) + data[at + 1 :],
                b"\0" * len(data),
            )[number % 4]
        )
        place.run(format, path, code=1)
        assert str(file) in place.errors
        assert place.dump() == before
        file.write_bytes(data)
    assert place.run(format, path)["new"] == 1


def test_good_rows_are_written_beside_bad_ones_when_told_to(place: Place) -> None:
    path = place.directory / "rows"
    lines = write_rows("ndjson", path, some_rows(10))
    lines[4] = b'{"serial": "zz", "not_after": "2030-01-01T00:00:00Z"}\n'
    lines[7] = b"\n"
    path.write_bytes(b"".join(lines))
    result = place.run("ndjson", path, keep_going=True, code=3)
    assert (result["rows"], result["rejected"], result["new"]) == (9, 1, 8)
    assert result["rejections"] == [
        {"file": str(path), "line": 5, "message": "serial: 'zz' is not hexadecimal"}
    ]
    assert len(place.certificates()) == 8


def test_what_was_adjusted_is_listed(place: Place) -> None:
    path = place.directory / "rows.csv"
    path.write_text(
        "serial,not_after,revoked_at,reason\n"
        "01,2030-01-01T00:00:00Z,2999-01-01T00:00:00Z,certificateHold\n"
        "02,2030-01-01T00:00:00Z,1960-01-01T00:00:00Z,whatever\n"
        "03,2030-01-01T00:00:00Z,2026-01-01T00:00:00Z,superseded\n"
    )
    result = place.run("csv", path)
    assert (result["revoked"], result["adjusted"], result["rejected"]) == (3, 2, 0)
    assert [(one["line"], one["file"]) for one in result["adjustments"]] == [(2, str(path)), (3, str(path))]
    assert "taken as now" in result["adjustments"][0]["message"]
    assert "taken as unspecified" in result["adjustments"][0]["message"]
    assert f"{path}:3: serial 02: revocation time before 1970" in place.errors
    assert [row[2:4] for row in place.certificates()][:2] == [(NOW, 0), (0, 0)]


@pytest.mark.parametrize("format", FORMATS)
def test_of_several_rows_of_a_serial_the_revoked_one_wins(place: Place, format: str) -> None:
    path = place.directory / "rows"
    write_rows(format, path, [Brought(b"\x07"), Brought(b"\x07", NOW + 9, NOW - 50), Brought(b"\x07")])
    result = place.run(format, path)
    assert (result["good"], result["revoked"], result["duplicates"], result["new"]) == (2, 1, 2, 1)
    assert place.certificates()[0][:3] == (b"\x07", NOW + YEAR, NOW - 50)


def test_an_interrupted_import_is_in_the_journal(place: Place) -> None:
    """Begun with the first change: a file that changes nothing is not there, whatever its format."""
    path = bring(place, "csv")
    place.run("csv", path)
    assert sum("import begun" in line for line in place.dump()) == 1
    place.run("csv", path)
    assert sum("import begun" in line for line in place.dump()) == 1
    write_rows("csv", path, [Brought(b"\x55")])
    place.run("csv", path)
    assert sum("import done" in line for line in place.dump()) == 2


@pytest.mark.parametrize("format", FORMATS)
def test_a_line_without_end_is_told_in_bounded_memory(place: Place, format: str) -> None:
    path = place.directory / "rows"
    lines = write_rows(format, path, some_rows(3))
    path.write_bytes(lines[0] + b"x" * 10_000_000 + b"\n" + lines[1])
    result = place.run(format, path, code=1)
    assert result["rejections"] == [
        {"file": str(path), "line": 2, "message": "line: longer than 65536 octets"}
    ]
    assert result["rows"] == (2 if format == "csv" else 3)


@pytest.mark.parametrize("format", EVERY)
def test_what_is_not_there_or_no_file_is_told(place: Place, format: str) -> None:
    with pytest.raises(UsageError, match=r"absent: (cannot be read|not a directory)"):
        place.run(format, place.directory / "absent")
    directory = place.directory / "empty"
    directory.mkdir()
    with pytest.raises(UsageError, match="Is a directory" if format in FORMATS else "no file below it"):
        place.run(format, directory)
    with pytest.raises(UsageError, match="too long|not a directory"):
        place.run(format, Path("x" * 5000))
    with pytest.raises(UsageError):
        place.run(format, Path("x\0y"))
    assert place.dump() == []


@pytest.mark.parametrize(
    ("serial", "problem"),
    [("-01", "is negative"), ("01" * 21, "21 octets, more than 20"), ("", "not hexadecimal"), ("1.5E9", "not hex")],
)  # fmt: skip
def test_serials_that_cannot_be(place: Place, serial: str, problem: str) -> None:
    lines = {
        "openssl-index": f"V\t300101000000Z\t\t{serial}\tunknown\t/CN=x\n",
        "csv": f"serial,not_after\n{serial},2030-01-01T00:00:00Z\n",
        "ndjson": f'{{"serial":"{serial}","not_after":"2030-01-01T00:00:00Z"}}\n',
    }
    path = place.directory / "rows"
    for format, text in lines.items():
        path.write_text(text)
        assert problem in place.run(format, path, code=1)["rejections"][0]["message"]


def test_a_file_through_a_pipe(place: Place) -> None:
    """Longer than one report of progress: a pipe has no position to ask for."""
    path = place.directory / "rows"
    write_rows("csv", path, [Brought(number.to_bytes(3)) for number in range(1, 10_500)])
    fifo = place.directory / "fifo"
    os.mkfifo(fifo)
    child = os.fork()
    if child == 0:
        fifo.write_bytes(path.read_bytes())
        os._exit(0)
    assert place.run("csv", fifo)["new"] == 10_499
    os.waitpid(child, 0)


MEASURE = """
import resource, sys
from pathlib import Path
from signer.commands.certificates import import_file
import_file(Path("ocsp.toml"), Path(sys.argv[1]), issuer="r1", format="csv", dry_run=False, keep_going=False,
            as_json=False, quiet=True)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(place: Place, count: int) -> int:
    """KiB that an import of `count` new certificates, each with its CRL, took at most."""
    path = place.directory / f"{count}.csv"
    with path.open("w") as file:
        file.write("serial,not_after,crl_url\n")
        for number in range(count):
            file.write(f"{number:032x},2030-01-01T00:00:00Z,{shard_url(number % 4)}\n")
    (place.directory / "ledger.db").unlink(missing_ok=True)
    command = [sys.executable, "-c", MEASURE, str(path)]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        command, cwd=place.directory, env=environment, capture_output=True, text=True, check=True
    )
    return int(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(place: Place) -> None:
    """Above the size of one run that is sorted in memory."""
    assert peak(place, 900_000) < peak(place, 300_000) + 20_000
