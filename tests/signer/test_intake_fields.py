"""csv and ndjson: the same fields, written in two ways."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signer.intake.csv_rows import CsvRows
from signer.intake.fields import Fields
from signer.intake.ndjson import JsonRows
from signer.intake.rows import ImportRow, RowError
from signer.intake.scope import Scope, Shards
from signer.ledger.crls import planned
from signer.ledger.values import CrlPlan, PlacedBy, Placement, SeriesSpec
from tests.signer.conftest import make_issuer
from tests.signer.intakes import FORMATS, PATTERN, Brought, Ca, Place, rfc3339, shard_url, write_rows
from tests.signer.ledgers import NOW, YEAR

SCOPE = Scope(
    make_issuer("r1"), Shards("r1", planned([], 0, "r1", CrlPlan((SeriesSpec(PATTERN, 4),)), NOW)), NOW
)
CA = Ca.make()
END = "2030-01-01T00:00:00Z"


def from_csv(fields: dict[str, str]) -> ImportRow:
    rows = CsvRows(SCOPE)
    rows.begin(",".join(fields).encode())
    return rows.parse(",".join(fields.values()).encode())


def from_json(fields: dict[str, str]) -> ImportRow:
    return JsonRows(SCOPE).parse(json.dumps(fields).encode())


def both(**fields: str) -> ImportRow:
    written = {"serial": "0a", "not_after": END, **fields}
    row = from_csv(written)
    assert row == from_json(written)
    return row


def refused(**fields: str) -> str:
    written = {"serial": "0a", "not_after": END, **fields}
    messages = []
    for read in (from_csv, from_json):
        with pytest.raises(RowError) as caught:
            read(written)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    return messages[0]


@pytest.mark.parametrize(
    ("text", "serial"),
    [("0a", b"\x0a"), ("A", b"\x0a"), ("0x00ABcd", b"\xab\xcd"), ("ab:CD:00", b"\xab\xcd\0"), ("0", b"\0")],
)
def test_serials(text: str, serial: bytes) -> None:
    assert both(serial=text).serial == serial


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2030-01-02T03:04:05Z", (2030, 1, 2, 3, 4, 5)),
        ("2030-01-02 03:04:05+00:00", (2030, 1, 2, 3, 4, 5)),
        ("2030-01-02T03:04:05+02:00", (2030, 1, 2, 1, 4, 5)),
        ("2030-01-02T03:04:05.999Z", (2030, 1, 2, 3, 4, 5)),
        ("9999-12-31T23:59:59Z", (9999, 12, 31, 23, 59, 59)),
        ("0001-01-01T00:00:00+14:00", None),
    ],
)
def test_times(text: str, moment: tuple[int, ...] | None) -> None:
    row = both(not_after=text)
    if moment is not None:
        assert row.not_after == int(datetime(*moment, tzinfo=UTC).timestamp())  # type: ignore[misc,arg-type]
    assert row.expired is (moment is None)


@pytest.mark.parametrize("text", ["", "2030-01-02", "2030-01-02T03:04:05", "1893456000", "2030-13-01T00:00:00Z",
                                  "2030-02-30T00:00:00Z", "300102030405Z", "soon", "２030-01-02T03:04:05Z"])  # fmt: skip
def test_what_is_no_time(text: str) -> None:
    for field in ("not_after", "not_before", "revoked_at"):
        if text or field == "not_after":
            assert refused(**{field: text}).startswith(f"{field}: '{text}' is not a time")


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, "good"),
        ({"status": "Valid"}, "good"),
        ({"status": "V", "reason": "0"}, "good"),
        ({"status": "", "revoked_at": "", "reason": "", "crl_url": "", "not_before": ""}, "good"),
        ({"status": "expired"}, "expired"),
        ({"not_after": "2020-01-01T00:00:00Z"}, "expired"),
        ({"status": "good", "not_after": "2020-01-01T00:00:00Z"}, "expired"),
        ({"revoked_at": "2026-01-01T00:00:00Z"}, "revoked"),
        ({"status": "REVOKED", "revoked_at": "2026-01-01T00:00:00Z"}, "revoked"),
        ({"status": "expired", "revoked_at": "2026-01-01T00:00:00Z"}, "revoked"),
    ],
)
def test_what_a_row_says(fields: dict[str, str], kind: str) -> None:
    row = both(**fields)
    assert (row.revocation_time is not None, row.expired) == (kind == "revoked", kind == "expired")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"status": "revoked"}, "revoked_at: missing, but status is revoked"),
        ({"status": "good", "revoked_at": "2026-01-01T00:00:00Z"}, "status: good, but there is a revoked_at"),
        ({"status": "maybe"}, "status: 'maybe' is not good, revoked or expired"),
        ({"reason": "superseded"}, "reason: there is one, but no revoked_at"),
        ({"reason": "whatever"}, "reason: there is one, but no revoked_at"),
        ({"not_before": "2031-01-01T00:00:00Z"}, "not_before: '2031-01-01T00:00:00Z' is after not_after"),
        ({"crl_url": "http://crl.example/r1/0-4.crl"}, "crl_url: http://crl.example/r1/0-4.crl is no CRL of issuer r1"),
        ({"crl_url": "HTTP://crl.example/r1/0-1.crl"}, "crl_url: HTTP://"),
        ({"serial": "-5"}, "serial: '-5' is negative"),
        ({"serial": "01" * 21}, "serial: "),
    ],
)  # fmt: skip
def test_rows_that_contradict_themselves(fields: dict[str, str], message: str) -> None:
    assert refused(**fields).startswith(message)


def test_reasons_by_name_and_number() -> None:
    at = "2026-01-01T00:00:00Z"
    assert both(revoked_at=at, reason="keyCompromise").reason == 1
    assert both(revoked_at=at, reason="4").reason == 4
    held = both(revoked_at=at, reason="certificateHold")
    assert held.reason == 0 and "reason 6" in held.adjusted
    assert "is not known" in both(revoked_at=at, reason="7x").adjusted
    number = JsonRows(SCOPE).parse(
        f'{{"serial":"1","not_after":"{END}","revoked_at":"{at}","reason":9}}'.encode()
    )
    assert number.reason == 9  # fmt: skip
    strange = f'{{"serial":"1","not_after":"{END}","revoked_at":"{at}","reason":99999}}'
    assert "is not known" in JsonRows(SCOPE).parse(strange.encode()).adjusted


def test_the_crl_places_a_certificate() -> None:
    assert both(crl_url=shard_url(2)).placement == Placement(0, 2, PlacedBy.FILE)
    assert both().placement is None


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("serial,not_after,subject", "header: column 'subject' is not known; known: serial, not_after, "),
        ("serial,not_after,reason,serial", "header: column 'serial' is there twice"),
        ("serial", "header: column 'not_after' is missing"),
        ("not_after,reason", "header: column 'serial' is missing"),
        ("", "header: column '' is not known"),
        ("Serial,not_after", "header: column 'Serial' is not known"),
        ('serial,"not_after', "line: not comma-separated values"),
        ("serial;not_after", "header: column 'serial;not_after' is not known"),
    ],
)
def test_headers_that_cannot_be(header: str, message: str) -> None:
    with pytest.raises(RowError) as caught:
        CsvRows(SCOPE).begin(header.encode())
    assert str(caught.value).startswith(message)


def test_columns_in_any_order_and_quotes() -> None:
    rows = CsvRows(SCOPE)
    rows.begin(b'"not_after", serial,"crl_url"')
    row = rows.parse(f'"{END}",0b,"{shard_url(1)}"'.encode())
    assert (row.serial, row.placement) == (b"\x0b", Placement(0, 1, PlacedBy.FILE))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"0a", "line: 1 fields, but the header names 2"),
        (b"0a,b,c", "line: 3 fields, but the header names 2"),
        (b'0a,"x"y', "line: not comma-separated values"),
        (b'0a,"2030-01-01T00:00:00Z', "line: not comma-separated values"),
        (b"0a,2030\xff", "line: not UTF-8 at octet 8"),
        (b"0a,2030-01-01T00:00:00Z\r0b,2030-01-01T00:00:00Z", "line: not comma-separated values"),
        (b"0\0a,2030-01-01T00:00:00Z", "serial: "),
        (b'"0a","' + b"x" * 60_000 + b'"', "not_after: "),
    ],
)
def test_lines_that_are_no_rows(line: bytes, message: str) -> None:
    rows = CsvRows(SCOPE)
    rows.begin(b"serial,not_after")
    with pytest.raises(RowError) as caught:
        rows.parse(line)
    assert str(caught.value).startswith(message) and len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line: not JSON"),
        ("[]", "line: Expected `object`, got `array`"),
        ("null", "line: Expected `object`"),
        ('{"serial":"01"}', "not_after: Object missing required field"),
        ('{"serial":1,"not_after":"x"}', "serial: Expected `str`, got `int`"),
        ('{"serial":"01","not_after":"x","subject":"y"}', "subject: Object contains unknown field `subject`"),
        ('{"serial":"01","not_after":"x","revoked_at":5}', "revoked_at: Expected `str | null`"),
        ('{"serial":"01","not_after":"x","reason":true}', "reason: Expected `int | str | null`"),
        ('{"serial":"01","not_after":"x","serial":"02"}', "serial: is there twice"),
        ('{"serial":"01","not_after":"x","\\u0073erial":"02"}', "\\u0073erial: a name with an escape"),
        ('{"serial":"\\ud800","not_after":"x"}', ""),
        ('{"serial":"01","not_after":"x"} {}', "line: not JSON"),
        ("[" * 60_000, "line: "),
        ('{"a\\u001b\\n":1}', ""),
    ],
)
def test_objects_that_are_no_rows(line: str, message: str) -> None:
    with pytest.raises(RowError) as caught:
        JsonRows(SCOPE).parse(line.encode())
    assert str(caught.value).startswith(message) and str(caught.value).isprintable()


@settings(max_examples=150)
@given(
    st.binary(max_size=100),
    st.sampled_from([b"", b"0a,", b'"0a","', b'{"serial":"0', b'{"serial":"01","not_after":"']),
)
def test_any_line_is_a_row_or_an_error(line: bytes, prefix: bytes) -> None:
    rows = CsvRows(SCOPE)
    rows.begin(b"serial,not_after")
    for parse in (rows.parse, JsonRows(SCOPE).parse):
        try:
            row = parse(prefix + line)
        except RowError as error:
            assert str(error).isprintable()
        else:
            assert 1 <= len(row.serial) <= 20


BROUGHT = st.builds(
    Brought,
    st.one_of(st.integers(0, 9), st.integers(0, (1 << 160) - 1)).map(
        lambda number: number.to_bytes(max(1, (number.bit_length() + 7) // 8))
    ),
    st.integers(NOW - YEAR, NOW + 10 * YEAR),
    st.one_of(st.none(), st.integers(0, NOW + 5)),
    st.sampled_from([0, 1, 3, 4, 5, 6, 9, 10]),
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(BROUGHT, max_size=30))
def test_every_format_makes_the_same_ledger(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[Brought]
) -> None:
    found = []
    for format in FORMATS:
        place = Place(tmp_path, CA, capsys)
        (tmp_path / "ledger.db").unlink(missing_ok=True)
        write_rows(format, tmp_path / "rows", rows)
        result = place.run(format, tmp_path / "rows")
        counts = [result[kind] for kind in ("rows", "good", "revoked", "expired", "adjusted", "duplicates")]
        found.append((counts, place.certificates()))
    assert found[0] == found[1] == found[2]
    by_serial = {row.serial for row in rows}
    assert {row[0] for row in found[0][1]} == by_serial
    for serial in by_serial:
        (record,) = [row for row in found[0][1] if row[0] == serial]
        times = [
            min(row.revoked_at, NOW) for row in rows if row.serial == serial and row.revoked_at is not None
        ]
        assert record[2] == min(times, default=None)


@pytest.mark.parametrize("format", ["csv", "ndjson"])
def test_a_byte_order_mark_and_line_ends_of_windows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], format: str
) -> None:
    place = Place(tmp_path, CA, capsys)
    path = tmp_path / "rows"
    write_rows(format, path, [Brought(b"\x01"), Brought(b"\x02", revoked_at=NOW - 5, reason=1)])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert place.run(format, path)["new"] == 2


def test_fields_are_those_of_the_help() -> None:
    from signer.cli import import_file

    assert import_file.__doc__ is not None
    for name in Fields.__struct_fields__:
        assert name in import_file.__doc__
    assert rfc3339(NOW)[-1] == "Z"
