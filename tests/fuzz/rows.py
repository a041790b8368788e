"""Lines and bodies that operators and CAs send: JSON, revocations, calls of the intake API, exports of the journal."""

import asyncio
import base64
import binascii
import hashlib
import itertools
import json
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Any

import uvloop
from starlette.requests import Request

from _fastpath.certid import serial_from_int
from signer.admin.bodies import Lines
from signer.admin.problems import Problem
from signer.intake.calls import issue, reserve, revoke
from signer.intake.fields import Fields, row_of
from signer.intake.lines import MAX_LINE
from signer.intake.ndjson import JsonRows
from signer.intake.revocations import read_revocations
from signer.intake.rows import RowError
from signer.journal import GENESIS, JournalEntry, canonical
from signer.journal_file import BrokenExport, line_of, read_export
from signer.ledger.values import REASON_NAMES, Revocation
from store.errors import UsageError
from tests.fuzz.certificates import certificate_files, pem_files, scope
from tests.fuzz.target import by_first_octet, written
from tests.signer.ledgers import NOW

__all__ = [
    "call_bodies",
    "check_batch",
    "check_call",
    "check_export",
    "check_json",
    "check_revocations",
    "batches",
    "exports",
    "json_lines",
    "revocation_files",
]

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LATEST = NOW + 60
REASON, TIME = 4, NOW - 7
NUMBERS = {name.lower(): number for number, name in REASON_NAMES.items()}
PAUSE = 5  # seconds
LONG = b"x" * (MAX_LINE // 2 + 1)  # stands for an octet that no line of JSON has
MOST_LONG, MOST_PIECES = 8, 400
NO_LIMIT = 1 << 30


# JSON


def json_lines() -> list[bytes]:
    rows: list[dict[str, Any]] = [
        {"serial": "0a", "not_after": "2035-01-01T00:00:00Z"},
        {"serial": "0A:0b", "not_after": "2035-01-01T00:00:00+02:00", "not_before": "2020-01-01T00:00:00Z"},
        {"serial": "0xff", "not_after": "2035-01-01T00:00:00.5Z", "status": "revoked",
         "revoked_at": "2020-01-01T00:00:00Z", "reason": 4},
        {"serial": "1", "not_after": "2035-01-01T00:00:00Z", "revoked_at": "2020-01-01T00:00:00Z",
         "reason": "keyCompromise", "crl_url": "http://c.example/r1/3.crl"},
        {"serial": "1", "not_after": "2035-01-01T00:00:00Z", "status": None, "reason": None},
    ]  # fmt: skip
    return [json.dumps(row).encode() for row in rows] + [b'{"serial": "0\\u0061", "not_after": ""}']


@cache
def _json_rows() -> JsonRows:
    return JsonRows(scope())


def check_json(data: bytes) -> None:
    """What is taken the standard library reads too, each name once, and means the same."""
    try:
        row = _json_rows().parse(data)
    except RowError:
        return
    assert row == row_of(Fields(**_object(data)), scope())


def _object(data: bytes) -> dict[str, Any]:
    """Raises ValueError, also for a name that is there twice."""
    found: dict[str, Any] = json.loads(data.decode(), object_pairs_hook=_distinct)
    return found


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


# Revocations


def revocation_files() -> list[bytes]:
    return [
        b"0a\n0B0c\n" + b"ff" * 20 + b"\n",
        b"0a\r\n0b\r\n",
        b"# remark\n\n0a,superseded # because\nserial=0B, 1 ,2020-01-01T00:00:00Z\n0x0c:0d\n",
        BYTE_ORDER_MARK + b"a",
        b"0a,keyCompromise,2020-01-01T00:00:00.5+02:00",
        b"0a,6\n-1\n" + b"f" * 41,
    ]


def check_revocations(data: bytes) -> None:
    """A plain reader of lines finds the same, in everything that is taken."""
    path = written(data)
    try:
        found = list(read_revocations(path, REASON, TIME, NOW, LATEST, lambda octets: None))
    except UsageError:
        return
    lines = data.removeprefix(BYTE_ORDER_MARK).split(b"\n")
    texts = (line.decode(errors="replace").partition("#")[0].strip() for line in lines)
    fields = ([*(field.strip() for field in text.split(",")), "", ""] for text in texts if text)
    assert found == [_revocation(one[0], one[1], one[2], REASON, TIME) for one in fields]


def _revocation(serial: str, reason: str, date: str, other_reason: int, other_time: int) -> Revocation:
    digits = serial.lower().removeprefix("serial=").removeprefix("0x").replace(":", "")
    assert set(digits) <= set("0123456789abcdef")
    known = int(reason) if reason.isdigit() else NUMBERS[reason.lower()] if reason else other_reason
    time = min(NOW, int(datetime.fromisoformat(date).timestamp())) if date else other_time
    return Revocation(serial_from_int(int(digits, 16)), time, known)


# The intake API


def call_bodies() -> list[bytes]:
    """The first octet says which call it is."""
    der = [one[1:] for one in certificate_files() if one[0] == 0]
    encoded = [base64.b64encode(one).decode() for one in der[:3]] + [one.decode() for one in pem_files()[:2]]
    return [
        *(b"\0" + one for one in json_lines()),
        *(b"\0" + json.dumps({"certificate": one}).encode() for one in encoded),
        *(b"\1" + one for one in pem_files()),
        b'\2{"serial": "0a"}',
        b'\3{"serial": "0a"}',
        b'\3{"serial": "0a", "reason": "superseded", "date": "2020-01-01T00:00:00Z"}',
        b'\3{"serial": "0a", "reason": 1, "date": null}',
    ]


def _check_issue(data: bytes) -> None:
    """As a row of an import, or as the certificate that is in it."""
    try:
        read = issue(scope(), "application/json")(data)
    except RowError:
        return
    fields = _object(data)
    if "certificate" not in fields:
        row = row_of(Fields(**fields), scope())
        assert read.item[1:5] == (row.serial, row.not_after, row.revocation_time, row.reason)
        return
    text = fields["certificate"]
    if "-----BEGIN" not in text:
        assert read == issue(scope(), "application/pkix-cert")(base64.b64decode(text, validate=True))
    else:
        assert read == issue(scope(), "application/x-pem-file")(text.encode())


def _check_pem(data: bytes) -> None:
    try:
        issue(scope(), "application/x-pem-file")(data)
    except RowError:
        return


def _check_reserve(data: bytes) -> None:
    try:
        read = reserve(data)
    except RowError:
        return
    assert read.item == _serial(_object(data)["serial"])


def _check_revoke(data: bytes) -> None:
    try:
        read = revoke(NOW, LATEST)(data)
    except RowError:
        return
    fields = _object(data)
    reason = "" if fields.get("reason") is None else str(fields["reason"])
    assert read.item == _revocation(fields["serial"].strip(), reason, fields.get("date") or "", 0, NOW)


def _serial(text: str) -> bytes:
    return _revocation(text.strip(), "", "", 0, NOW).serial


check_call = by_first_octet(_check_issue, _check_pem, _check_reserve, _check_revoke)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return uvloop.new_event_loop()


def batches() -> list[bytes]:
    return [
        b"\5" + b"\n".join(json_lines()),
        b"\1a\r\n\n \nb\n",
        b"\0\xff\xff\n\xffa\n\xff\xff",
        b"\7" + b"\n" * 9,
    ]


def check_batch(data: bytes) -> None:
    """Wherever it is cut, the lines are those between line ends, and one that is too long is one line."""
    if not data:
        return
    content = data[1:].replace(b"\xff", LONG, MOST_LONG)
    wanted = [
        (number, line.strip(b"\r\n \t") if len(line) < MAX_LINE else None)
        for number, line in enumerate(content.split(b"\n"), 1)
    ]
    wanted = [(number, line) for number, line in wanted if line != b""]
    sizes = (len(content), max(1 + data[0], len(content) // MOST_PIECES), max(1, len(content) // 3))
    for size in sizes:
        pieces = [content[at : at + size] for at in range(0, len(content), size)] if size else []
        assert _loop().run_until_complete(_lines(pieces)) == wanted
    if len(content) > 1:
        _check_bounds(content, wanted)


def _check_bounds(content: bytes, wanted: list[tuple[int, bytes | None]]) -> None:
    """One octet less, or one line, is too little."""
    for octets, lines in ((len(content) - 1, NO_LIMIT), (NO_LIMIT, wanted[-1][0] - 1 if wanted else 0)):
        try:
            _loop().run_until_complete(_lines([content], octets, lines))
        except Problem:
            continue
        assert not wanted and octets >= len(content), "beyond the limit"


async def _lines(
    pieces: list[bytes], octets: int = NO_LIMIT, lines: int = NO_LIMIT
) -> list[tuple[int, bytes | None]]:
    messages = ({"type": "http.request", "body": one, "more_body": True} for one in pieces)
    source = itertools.chain(messages, itertools.repeat({"type": "http.request", "body": b""}))

    async def receive() -> Any:
        return next(source)

    request = Request({"type": "http", "headers": []}, receive)
    chunks = Lines(request, octets=octets, lines=lines, pause=PAUSE).chunks()
    return [
        (number, None if isinstance(line, RowError) else line)
        async for chunk in chunks
        for number, line in chunk
    ]


# The journal


def _entries() -> Iterator[JournalEntry]:
    previous = GENESIS
    details: list[dict[str, Any]] = [{}, {"a": 1, "b": ["\u00e9", None]}, {"serials": ["0a"]}]
    for seq, detail in enumerate(details, 1):
        text = canonical(detail)
        entry = JournalEntry(seq, NOW + seq, "someone", "revoke", text, previous, b"")
        previous = entry.expected_hash
        yield JournalEntry(seq, NOW + seq, "someone", "revoke", text, entry.previous_hash, previous)


def exports() -> list[bytes]:
    lines = [line_of(entry).encode() for entry in _entries()]
    return [b"".join(lines), lines[1], b"".join(lines)[:-9], lines[0] + lines[2]]


def check_export(data: bytes) -> None:
    """The standard library reads the same in every line that is taken, and its hashes are right."""
    try:
        found = list(read_export(written(data)))
    except (BrokenExport, UsageError):
        return
    lines = data.split(b"\n")
    entries = [one.entry for one in found if one.entry is not None]
    assert len(entries) == len(lines) - 1 and sum(one.entry is None for one in found) == bool(lines[-1])
    previous = None
    for line, entry in zip(lines, entries, strict=False):
        said = json.loads(line.decode())
        assert previous in (None, bytes.fromhex(said["previous_hash"]))
        assert (entry.seq, entry.actor, entry.detail) == (said["seq"], said["actor"], said["detail"])
        hashed = json.dumps(
            [entry.seq, entry.recorded_at, entry.actor, entry.event, entry.text], separators=(",", ":")
        )
        previous = hashlib.sha256(binascii.unhexlify(said["previous_hash"]) + hashed.encode()).digest()
        assert previous.hex() == said["entry_hash"].lower()
