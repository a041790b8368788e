import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from signer.commands.journal import export, verify
from signer.journal_file import BrokenExport, compare, extend, line_of, read_export
from signer.ledger.errors import LedgerError
from signer.ledger.ledger import Ledger
from store.errors import UsageError
from tests.signer.ledgers import NOW
from tests.signer.works import plain_config

pytestmark = pytest.mark.usefixtures("r1")
DEEDS = 10  # after the two entries of the issuer


@pytest.fixture
def kept(ledger: Ledger, tmp_path: Path) -> Path:
    """An export of a journal with twelve entries."""
    for number in range(DEEDS):
        ledger.journal("deed", {"number": number, "name": "ü"}, NOW + number, "ann")
    path = tmp_path / "journal.ndjson"
    assert extend(ledger, path, NOW, "bob") == (DEEDS + 2, 0)
    return path


def rewrite(ledger_url: str, *statements: str) -> None:
    """As somebody would who may write the file."""
    with sqlite3.connect(ledger_url.removeprefix("sqlite:///")) as connection:
        for verb in ("update", "delete"):
            connection.execute(f"DROP TRIGGER journal_no_{verb}")
        for statement in statements:
            connection.execute(statement)
    connection.close()


TAMPERED = {
    "changed": (["UPDATE journal SET actor = 'eve' WHERE seq = 5"], "entry 5: it was changed"),
    "changed time": (["UPDATE journal SET recorded_at = 1 WHERE seq = 1"], "entry 1: it was changed"),
    "removed": (["DELETE FROM journal WHERE seq = 5"], "entry 6: entry 5 is missing before it"),
    "many removed": (["DELETE FROM journal WHERE seq < 4"], "entry 4: entries 1 to 3 are missing before it"),
    "swapped": (
        [f"UPDATE journal SET seq = {new} WHERE seq = {old}" for old, new in ((5, 99), (6, 5), (99, 6))],
        "entry 5: it was changed",
    ),
    "put in": (
        ["UPDATE journal SET seq = -seq - 1 WHERE seq > 5", "UPDATE journal SET seq = -seq WHERE seq < 0"]
        + ["INSERT INTO journal SELECT 6, recorded_at, actor, event, detail, entry_hash, entry_hash "]
        + ["UPDATE journal SET actor = actor"],
        "entry 6: it was changed",
    ),
}
TAMPERED["put in"][0][2] += "FROM journal WHERE seq = 5"


@pytest.mark.parametrize("how", TAMPERED)
def test_the_first_entry_that_does_not_fit_is_named(
    ledger: Ledger, kept: Path, ledger_url: str, how: str
) -> None:
    statements, message = TAMPERED[how]
    rewrite(ledger_url, *statements)
    with pytest.raises(LedgerError, match=f"journal {message}: the journal was altered"):
        ledger.verify_journal()


def test_a_journal_that_was_cut_off_shows_beside_an_export(
    ledger: Ledger, kept: Path, ledger_url: str
) -> None:
    rewrite(ledger_url, "DELETE FROM journal WHERE seq > 10")
    assert ledger.verify_journal() == 10  # the chain alone cannot tell
    with pytest.raises(LedgerError, match=r"journal.ndjson:11: the ledger's journal ends before entry 11"):
        compare(ledger.journal_entries(), kept)


def test_a_chain_written_anew_shows_beside_an_export(ledger: Ledger, kept: Path, ledger_url: str) -> None:
    rewrite(ledger_url, "DELETE FROM journal WHERE seq > 10")
    for number in range(5):
        ledger.journal("other deed", {"number": number}, NOW + number, "eve")
    assert ledger.verify_journal() == 15
    with pytest.raises(LedgerError, match=r"journal.ndjson:11: the ledger has another entry 11"):
        compare(ledger.journal_entries(), kept)
    with pytest.raises(LedgerError, match=r"journal.ndjson:12: the ledger has another entry 12"):
        extend(ledger, kept, NOW, "bob")


def test_an_export_is_in_its_ledger_whatever_part_it_is(ledger: Ledger, kept: Path, tmp_path: Path) -> None:
    ledger.journal("later deed", {}, NOW, "ann")
    last, shared = compare(ledger.journal_entries(), kept)
    assert last is not None and (last.seq, shared) == (DEEDS + 3, DEEDS + 2)
    part = tmp_path / "part"
    part.write_text("".join(line_of(one) for one in ledger.journal_entries(since=NOW + 3, until=NOW + 5)))
    assert [line.entry.seq for line in read_export(part) if line.entry] == [6, 7, 8]
    assert compare(ledger.journal_entries(), part)[1] == 3


def test_a_line_has_what_its_hash_is_made_of(ledger: Ledger, kept: Path) -> None:
    lines = [json.loads(line) for line in kept.read_text().splitlines()]
    assert set(lines[0]) == {"seq", "time", "actor", "event", "detail", "previous_hash", "entry_hash"}
    assert [line["seq"] for line in lines] == list(range(1, DEEDS + 3))
    assert lines[0]["previous_hash"] == "00" * 32
    assert all(one["entry_hash"] == two["previous_hash"] for one, two in zip(lines, lines[1:], strict=False))
    assert (lines[2]["time"], lines[2]["detail"]) == ("2026-09-21T14:13:20Z", {"number": 0, "name": "ü"})


Lines = list[bytes]
ALTERED: dict[str, tuple[Callable[[Lines], Lines], str]] = {
    "changed": (
        lambda lines: [*lines[:4], lines[4].replace(b"ann", b"eve"), *lines[5:]],
        "5: entry 5: it was",
    ),
    "removed": (lambda lines: lines[:4] + lines[5:], "5: entry 6: entry 5 is missing"),
    "twice": (lambda lines: [*lines[:5], *lines[4:]], "6: entry 5: it comes after entry 5"),
    "swapped": (lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]], "5: entry 6: entry 5 is missing"),
    "no entry": (lambda lines: [*lines[:4], b"{}\n", *lines[4:]], "5: no entry of a journal: "),
    "nested": (  # F6: found by fuzzing
        lambda lines: [lines[0].replace(b'"detail":{', b'"detail":{"x":' + b"[" * 5000), *lines],
        "1: no entry of a journal: ",
    ),
    "no JSON": (lambda lines: [b"\x00\xff\n", *lines], "1: no entry of a journal: "),
    "too long": (lambda lines: [*lines, b"x" * 70_000 + b"\n"], f"{DEEDS + 3}: line: longer than 65536"),
    "first changed": (lambda lines: [lines[3].replace(b"ann", b"eve"), *lines[4:]], "1: entry 4: it was"),
}


@pytest.mark.parametrize("how", ALTERED)
def test_an_altered_export_is_told_with_file_and_line(ledger: Ledger, kept: Path, how: str) -> None:
    alter, message = ALTERED[how]
    kept.write_bytes(b"".join(alter(kept.read_bytes().splitlines(keepends=True))))
    before = kept.read_bytes()
    with pytest.raises(BrokenExport, match=f"journal.ndjson:{message}"):
        list(read_export(kept))
    with pytest.raises(BrokenExport):
        extend(ledger, kept, NOW, "bob")
    assert kept.read_bytes() == before


def test_an_export_goes_on_where_it_ended(ledger: Ledger, kept: Path) -> None:
    before = kept.read_bytes()
    assert extend(ledger, kept, NOW, "bob") == (0, 0)
    ledger.journal("later deed", {}, NOW, "ann")
    assert extend(ledger, kept, NOW, "bob") == (1, 0)
    assert kept.read_bytes().startswith(before)
    assert [line.number for line in read_export(kept)] == list(range(1, DEEDS + 4))


@pytest.mark.parametrize("left", [1, 40, 0])
def test_a_line_that_a_crash_cut_off_is_replaced_and_told(ledger: Ledger, kept: Path, left: int) -> None:
    """At any length, also where only the end of the line is missing."""
    whole = kept.read_bytes()
    lines = whole.splitlines(keepends=True)
    torn = lines[-1][: left or -1]
    kept.write_bytes(b"".join(lines[:-1]) + torn)
    assert compare(ledger.journal_entries(), kept)[1] == DEEDS + 1
    assert extend(ledger, kept, NOW, "bob") == (2, len(torn))
    assert kept.read_bytes().startswith(whole)
    *_, recovery = ledger.journal_entries()
    assert (recovery.event, recovery.detail) == (
        "export recovered",
        {"file": str(kept), "octets": len(torn)},
    )
    assert compare(ledger.journal_entries(), kept)[1] == DEEDS + 3


@pytest.mark.parametrize("begins", [0, 3])
def test_what_no_crash_can_have_left_is_not_removed(ledger: Ledger, kept: Path, begins: int) -> None:
    """Such as a key in a file without an end of line, that `--to` named by mistake."""
    lines = kept.read_bytes().splitlines(keepends=True)
    kept.write_bytes(b"".join(lines[:begins]) + b"hunter2")
    before, length = kept.read_bytes(), ledger.verify_journal()
    with pytest.raises(BrokenExport, match=f"journal.ndjson:{begins + 1}: "):
        extend(ledger, kept, NOW, "bob")
    assert (kept.read_bytes(), ledger.verify_journal()) == (before, length)


def test_an_export_of_another_ledger_is_left_alone(kept: Path, tmp_path: Path) -> None:
    other = Ledger.open(f"sqlite:///{tmp_path / 'other.db'}", create=True)
    before = kept.read_bytes()
    with pytest.raises(LedgerError, match=r"journal.ndjson:12: the ledger has no entry 12"):
        extend(other, kept, NOW, "bob")
    other.close()
    assert kept.read_bytes() == before


def test_who_did_what_is_printed(
    ledger: Ledger, kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "ocsp.toml"
    config.write_text(plain_config("r1"))
    export(config, since="2026-09-21T14:13:22Z", until="2026-09-21T14:13:22+00:00", to=None, as_json=False)
    assert capsys.readouterr().out == '5 2026-09-21T14:13:22Z ann deed {"name":"\\u00fc","number":2}\n'
    export(config, since=None, until=None, to=None, as_json=True)
    assert capsys.readouterr().out == kept.read_text()
    verify(config, against=kept, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["entries"], found["compared"]) == (DEEDS + 2, DEEDS + 2)
    assert found["last_hash"] == json.loads(kept.read_text().splitlines()[-1])["entry_hash"]
    verify(config, against=None, as_json=False)
    assert f"12 entries, unbroken; the last has hash {found['last_hash']}" in capsys.readouterr().out
    with pytest.raises(UsageError, match="--since: 'yesterday' is not a time such as"):
        export(config, since="yesterday", until=None, to=None, as_json=False)


def test_a_place_that_cannot_be_used_is_told(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="absent: cannot be read"):
        list(read_export(tmp_path / "absent"))
    with pytest.raises(UsageError, match="file: cannot be written"):
        extend(ledger, tmp_path / "no" / "file", NOW, "bob")
