"""What is read many lines at once is what would be read of each line by itself."""

import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from _fastpath.intake import Lines, read_csv
from signer.intake import lines
from signer.intake.csv_rows import COLUMNS, CsvRows
from signer.intake.lines import MAX_LINE, LineReader, none_plain
from signer.intake.memo import Memo
from signer.intake.openssl_index import OpensslIndex
from signer.intake.rows import ImportRow, RowError
from signer.intake.scope import Scope, Shards
from signer.ledger.staging import StagedRow, Staging
from signer.ledger.values import FULL_SERIES, SeriesRow
from tests.signer.conftest import make_issuer
from tests.signer.ledgers import NOW

URL = "http://c.example/{issuer}/{index}.crl"
SERIES = [SeriesRow(1, 0, URL, 4, 0), SeriesRow(1, FULL_SERIES, "http://c.example/full.crl", 1, 0)]
SCOPE = Scope(make_issuer("r1"), Shards("r1", SERIES), NOW)
SERIALS = [
    "0A",
    "00",
    "",
    "0",
    "00AB",
    "ff" * 20,
    "00" + "ff" * 20,
    "ff" * 21,
    "-1",
    "xy",
    "0x0a",
    "0a:0b",
    " 0A",
    '"0A"',
]
INDEX_TIMES = ["350101000000Z", "20350101235959Z", "200101000000Z", "350230000000Z", "350101240000Z", "350101000000",
               "", "35010100000\u0661Z", "500101000000Z", "691231235959Z", "00000101000000Z", "+50101000000Z"]  # fmt: skip
REASONS = [
    "",
    ",",
    ",superseded",
    ",SUPERSEDED",
    ",certificateHold",
    ",keyTime,20260101000000Z",
    ",4",
    ",4,",
    ",x\u00e9",
]
CSV_TIMES = ["2035-01-01T00:00:00Z", "2020-01-01T23:59:59Z", "2035-01-01T00:00:00+02:00", "2035-01-01 00:00:00Z",
             "2035-01-01T00:00:00.999Z", "1969-12-31T23:59:59.5Z", "2035-01-01T00:00:00", "20350101T000000Z", "2035-W01-1T00:00:00Z",
             "2035-02-30T00:00:00Z", "2035-01-01T24:00:01Z", "", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00",
             "2035-01-01T00:00:00+00:00:00.5", "2035-01-01T00:00Z", '"2035-01-01T00:00:00Z"']  # fmt: skip
CSV_REASONS = ["", "superseded", "Superseded", "4", "6", "9999", "\u00e9", "keyCompromise"]
URLS = ["", "http://c.example/r1/3.crl", "http://c.example/full.crl", "http://elsewhere.example/", '""']
STATUSES = ["", "good", "Good", "valid", "revoked", "expired", "E", "other"]

# Values of each field of a line, and ordinary lines of which two fields at a time get any of them.
INDEX_FIELDS: list[list[str]] = [
    ["V", "R", "E", "", "#V", "v"],
    INDEX_TIMES,
    ["", *INDEX_TIMES, *("200101000000Z" + reason for reason in REASONS)],
    SERIALS,
    ["unknown"],
    ["/CN=x", "", "/CN=a\\\tb", "/CN=a\tb"],
]
INDEX_LINES = [
    ["V", "350101000000Z", "", "0A", "unknown", "/CN=x"],
    ["R", "350101000000Z", "200101000000Z,superseded", "0A", "unknown", "/CN=x"],
]
CSV_FIELDS: list[list[str]] = [
    SERIALS, CSV_TIMES, ["", *CSV_TIMES], STATUSES, ["", *CSV_TIMES], CSV_REASONS, URLS
]  # fmt: skip
ODD = b'\t\r\0 09:Zz,.;"\\+-gG\x7f\xc3\xff' + bytes(range(48, 58))
CSV_LINES = [
    ["0A", "2035-01-01T00:00:00Z", "2020-01-01T00:00:00Z", "good", "", "", URLS[1]],
    ["0A", "2035-01-01T00:00:00Z", "", "revoked", "2020-01-01T00:00:00Z", "superseded", ""],
]


def varied(ordinary: list[list[str]], fields: list[list[str]]) -> Iterator[list[str]]:
    for line, (one, other) in itertools.product(ordinary, itertools.combinations(range(len(fields)), 2)):
        for first, second in itertools.product(fields[one], fields[other]):
            values = list(line)
            values[one], values[other] = first, second
            yield values


def csv_rows(columns: tuple[str, ...] = COLUMNS) -> CsvRows:
    rows = CsvRows(SCOPE)
    rows.begin(",".join(columns).encode())
    return rows


def staged_of(plain: Lines) -> list[StagedRow]:
    with Staging() as staging:
        staging.extend(plain.rows, placed=plain.placed)
        return [row for group in staging.groups() for row in group]


Plain = Callable[[bytes, int, int], Lines]


def read(plain: Plain, lines: list[bytes], first: int = 1) -> Lines:
    return plain(b"".join(line + b"\n" for line in lines), first, MAX_LINE)


def check(plain: Plain, parse: Callable[[bytes], ImportRow], line: bytes) -> None:
    found = read(plain, [line], 7)
    assert found.lines == 1
    if found.left:
        assert (found.left, found.rows, found.revoked, found.expired) == (
            [(0, line.removesuffix(b"\r"))],
            b"",
            0,
            0,
        )
        return
    row = parse(line)  # raises nothing
    assert (row.adjusted, row.warning) == ("", "")
    [staged] = staged_of(found)
    assert staged.row[1:] == (row.serial, row.not_after, row.revocation_time, row.reason, row.placement)
    assert (staged.expired, staged.where) == (row.expired, 7)
    assert (found.revoked, found.expired) == (row.revocation_time is not None, row.expired)
    assert found.placed or row.placement is None


def test_an_index_line_is_read_alike_both_ways() -> None:
    index = OpensslIndex(NOW)
    for values in varied(INDEX_LINES, INDEX_FIELDS):
        check(index.plain, index.parse, "\t".join(values).encode())


def test_a_csv_line_is_read_alike_both_ways() -> None:
    rows = csv_rows()
    for values in varied(CSV_LINES, CSV_FIELDS):
        check(rows.plain, rows.parse, ",".join(values).encode())


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_line_is_read_alike_both_ways(seed: int) -> None:
    """Octets of ordinary lines replaced, doubled and cut out."""
    index, rows = OpensslIndex(NOW), csv_rows()
    chooser = random.Random(seed)
    for between, ordinary, reader in ((b"\t", INDEX_LINES, index), (b",", CSV_LINES, rows)):
        for _ in range(100):
            line = between.join(value.encode() for value in chooser.choice(ordinary))
            for _ in range(chooser.randrange(1, 4)):
                at = chooser.randrange(len(line))
                new = chooser.choice([b"", line[at : at + 1] * 2, bytes([chooser.choice(ODD)])])
                line = line[:at] + new + line[at + 1 :]
            check(reader.plain, reader.parse, line)


def test_ordinary_lines_are_plain() -> None:
    """Else an import would be right, and slow."""
    index = [
        b"V\t350101000000Z\t\t0A\tunknown\t/CN=x",
        b"E\t20200101000000Z\t\t0b\tunknown\t/CN=x",
        b"R\t350101000000Z\t200101000000Z,superseded\t00FF\tunknown\t/CN=x",
        b"R\t350101000000Z\t200101000000Z\t0C\tunknown\t/CN=x",
    ]
    assert read(OpensslIndex(NOW).plain, index).left == []
    rows = csv_rows(("status", "not_after", "serial", "revoked_at", "crl_url"))
    assert read(
        rows.plain,
        [
            b"good,2035-01-01T00:00:00Z,0A,,",
            b"revoked,2035-01-01T00:00:00+00:00,0B,2020-01-01T00:00:00.123456Z,http://c.example/r1/1.crl",
            b",2020-01-01T00:00:00Z,00FF,,",
        ],
    ).left == []  # fmt: skip
    assert read(csv_rows(("serial", "not_after")).plain, [b"0A,2035-01-01T00:00:00Z"]).left == []


def test_bad_lines_among_plain_ones_are_left() -> None:
    good = b"V\t350101000000Z\t\t%02X\tunknown\t/CN=x"
    found = read(OpensslIndex(NOW).plain, [good % 1, b"", good % 2 + b"\r", b"# remark", b"nonsense"], 10)
    assert [row.where for row in staged_of(found)] == [10, 12]
    assert found.left == [(1, b""), (3, b"# remark"), (4, b"nonsense")]


def test_a_line_that_is_too_long_is_left() -> None:
    line = b"V\t350101000000Z\t\t0A\tunknown\t/CN="
    for size, ends in itertools.product((99, 100, 101), (b"", b"\n", b"\r\n")):
        block = line.ljust(size, b"x") + ends
        left = OpensslIndex(NOW).plain(block, 1, 100).left
        assert bool(left) is (size >= 100), (size, ends)


def test_columns_that_are_not_there_are_refused() -> None:
    for columns, width in (((0, 1, 2, 3, 4, 5, 7), 7), ((0, 1, 2, 3, 4, 5, 6), 8), ((0, 1), 2)):
        with pytest.raises(ValueError, match="columns"):
            read_csv(b"", 1, MAX_LINE, NOW, columns, width, {}, {}, {})


CONTENTS = [
    b"", b"\n", b"a", b"a\n", b"a\nb", b"a\r\nb\r\n", b"\n\n\na\n\n", b"\xef\xbb\xbfa\nb\n", b"\xef\xbb\xbf", b"a\rb\n",
    b"x" * 39 + b"\na\n", b"x" * 40 + b"\na\n", b"x" * 100 + b"\na\n", b"a\n" + b"x" * 100, b"a\nb\nc\n" * 30,
    b"x" * 39, b"ab\n" * 5 + b"x" * 300 + b"\nab\n", b"a\n\xef\xbb\xbfb\n", b"x" * 38 + b"\r\na\n",
]  # fmt: skip


@pytest.mark.parametrize("block", [1, 2, 3, 7, 16, 1_000])
@pytest.mark.parametrize("compiled", [False, True])
def test_lines_are_whole_wherever_a_block_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, compiled: bool
) -> None:
    monkeypatch.setattr(lines, "MAX_LINE", 40)
    monkeypatch.setattr(lines, "BLOCK", block)
    path = tmp_path / "file"
    for content in CONTENTS:
        path.write_bytes(content)
        with LineReader(path, _row, plain=OpensslIndex(NOW).plain if compiled else none_plain) as reader:
            found = [
                (number, row.serial if isinstance(row, ImportRow) else str(row))
                for number, row in reader.read()
                if not isinstance(row, Lines)
            ]
        assert found == list(_expected(content)), content
        assert reader.octets == len(content)


def _row(line: bytes) -> ImportRow:
    return ImportRow(line, 0, None, 0, False, "")


def _expected(content: bytes) -> list[tuple[int, object]]:
    found: list[tuple[int, object]] = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if len(line.removesuffix(b"\r")) >= 40:
            found.append((number, "line: longer than 40 octets"))
        elif line:
            found.append((number, line.rstrip(b"\r")))
    return found


def test_a_memo_keeps_what_there_is() -> None:
    asked: list[bytes] = []

    def find(text: bytes) -> int | None:
        asked.append(text)
        return int(text) or None

    memo = Memo(find)
    assert (memo[b"5"], memo[b"5"], asked) == (5, 5, [b"5"])
    for text in (b"0", b"x"):
        with pytest.raises(KeyError):
            memo[text]
    assert list(memo) == [b"5"]


def test_a_memo_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signer.intake.memo.LIMIT", 2)
    memo = Memo(cast("Callable[[bytes], int | None]", int))
    assert [memo[b"%d" % number] for number in range(5)] == list(range(5))
    assert len(memo) == 2


def test_an_error_is_told_of_the_field_it_is_in() -> None:
    with pytest.raises(RowError, match="^not_after: "):
        csv_rows().parse(b"0A,2035-02-30T00:00:00Z,,,,,")
