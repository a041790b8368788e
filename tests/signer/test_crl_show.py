"""`crl show` and `crl diff` of files; of what is published, `crl show`."""

import json
from pathlib import Path
from typing import Any

import pytest

from _fastpath.der import encode
from signer.commands.crl_diff import diff
from signer.commands.crl_show import show
from signer.commands.output import print_line, print_text
from signer.crl import read
from signer.crl.fetch import Limits
from store.errors import UsageError
from store.objects import Manifest, PublishedShard, manifest_path
from tests.signer.crl_authority import NOW, URL
from tests.signer.crl_forge import entry, extension, forge, reason, right

LIMITS = Limits()
CONFIG = """\
[[issuer]]
name = "demo"
certificate = "ca.pem"
signer = { key = "responder.key" }
crl = { key = "ca.key", url = "http://c.example/{series}-{index}.crl" }
"""


def shown(capsys: pytest.CaptureFixture[str], path: Path | None, *, entries: bool = True) -> list[Any]:
    source = None if path is None else str(path)
    show(Path("none.toml"), source, issuer=None, entries=entries, as_json=True, limits=LIMITS)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def one(tmp_path: Path) -> Path:
    path = tmp_path / "one.crl"
    path.write_bytes(forge(right(b"\x01"), entries=(entry(b"\x01"), entry(b"\x02", reason(1)))))
    return path


def test_a_file(one: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head, first, second = shown(capsys, one)
    assert (head["url"], head["crl_number"], head["entries"]) == (URL, 1, 2)
    assert (head["this_update"], head["next_update"]) == ("2026-09-21T14:12:20Z", "2026-09-28T14:12:19Z")
    assert (head["issuer"], head["only_contains"]) == ("CN=CRL test CA", "user certificates")
    assert (head["signature_algorithm"], head["size"]) == ("1.2.840.10045.4.3.2", one.stat().st_size)
    when = "2026-09-21T13:56:40Z"
    assert first == {"serial": "01", "revocation_time": when, "reason": 0, "reason_name": "unspecified"}
    assert second == {"serial": "02", "revocation_time": when, "reason": 1, "reason_name": "keyCompromise"}
    assert shown(capsys, one, entries=False) == [head]


def test_a_file_of_somebody_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the strict reader refuses is shown all the same, and numbers beyond those of JSON are."""
    path = tmp_path / "other.crl"
    held = entry(b"\x05", reason(6, critical=True))
    path.write_bytes(
        forge(right(number=1 << 100, url=None), entries=(held,), key_identifier=b"", next_update=b"")
    )
    head, only = shown(capsys, path)
    assert (head["crl_number"], head["url"], head["only_contains"]) == (f"{1 << 100:x}", None, None)
    assert (head["authority_key_identifier"], head["next_update"]) == (None, None)
    assert (only["serial"], only["reason_name"]) == ("05", "certificateHold")


def test_text(one: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show(Path("none.toml"), str(one), issuer=None, entries=True, as_json=False, limits=LIMITS)
    out = capsys.readouterr().out
    assert "crl number" in out and "http://c.example/crl/r1/0-0.crl" in out
    assert out.splitlines()[-1].startswith("serial=02  revocation_time=2026-09-21T13:56:40Z  reason=1")


def test_what_is_no_crl(tmp_path: Path) -> None:
    bad = tmp_path / "bad.crl"
    bad.write_bytes(b"-----BEGIN X509 CRL-----")
    with pytest.raises(UsageError, match="not a CRL in DER: CertificateList: PEM, not DER"):
        show(bad, str(bad), issuer=None, entries=False, as_json=True, limits=LIMITS)
    with pytest.raises(UsageError, match=r"none\.crl: cannot be read: No such file"):
        show(bad, str(tmp_path / "none.crl"), issuer=None, entries=False, as_json=True, limits=LIMITS)
    with pytest.raises(UsageError, match=r"http://127\.0\.0\.1:1/x: fetch: .*refused"):
        show(bad, "http://127.0.0.1:1/x", issuer=None, entries=False, as_json=True, limits=LIMITS)


def test_what_is_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ocsp.toml").write_text(CONFIG)

    def published() -> list[Any]:
        show(tmp_path / "ocsp.toml", None, issuer=None, entries=False, as_json=True, limits=LIMITS)
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    with pytest.raises(UsageError, match="demo: no complete CRL set is published"):
        published()
    shard = PublishedShard(url=URL, path="crl/demo/0-0.crl", series=0, shard_index=0, crl_number=3, this_update=NOW,
                           next_update=NOW + 9, entries=2, size=400, sha256="00")  # fmt: skip
    manifest = tmp_path / "objects" / manifest_path("demo")
    manifest.parent.mkdir(parents=True)
    manifest.write_bytes(Manifest(issuer="demo", generated_at=NOW, shards=[shard]).encode())
    [line] = published()
    assert (line["issuer"], line["url"], line["crl_number"], line["entries"]) == ("demo", URL, 3, 2)
    assert (line["this_update"], line["size"]) == ("2026-09-21T14:13:20Z", 400)


def differences(capsys: pytest.CaptureFixture[str], one: Path, other: Path, code: int) -> Any:
    assert diff(str(one), str(other), as_json=True, limits=LIMITS) == code
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """The next one: 1 has another reason, 2 is gone, 3 is new."""
    path = tmp_path / "other.crl"
    entries = (entry(b"\x01", reason(4)), entry(b"\x03", reason(1)))
    path.write_bytes(forge(right(number=2, this_update=NOW), entries=entries))
    return path


def test_a_diff_of_the_same(one: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = differences(capsys, one, one, 0)
    assert found == {
        **{"equal": True, "order": "same", "fields": {}},
        **{"added": [], "removed": [], "changed": []},
    }
    assert diff(str(one), str(one), as_json=False, limits=LIMITS) == 0
    assert capsys.readouterr().out == ""


def test_a_diff_of_entries_and_fields(one: Path, other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = differences(capsys, one, other, 1)
    assert (found["equal"], found["order"]) == (False, "later")
    assert found["fields"]["crl_number"] == [1, 2]
    assert found["fields"].keys() == {"crl_number", "this_update", "next_update", "size"}
    assert [line["serial"] for line in found["added"]] == ["03"]
    assert [line["serial"] for line in found["removed"]] == ["02"]
    assert found["changed"] == [
        {"serial": "01", "reason": [0, 4], "reason_name": ["unspecified", "superseded"]}
    ]
    assert differences(capsys, other, one, 1)["order"] == "earlier"


def test_a_diff_as_text(one: Path, other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert diff(str(one), str(other), as_json=False, limits=LIMITS) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "order: later"
    assert "crl_number: 1 -> 2" in lines
    assert lines[-3:] == [
        "- 02  2026-09-21T13:56:40Z  keyCompromise",
        "+ 03  2026-09-21T13:56:40Z  keyCompromise",
        "! 01  reason: 0 -> 4  reason_name: unspecified -> superseded",
    ]


@pytest.mark.conformance("U-06", "C-08")
def test_a_number_that_contradicts_the_date(
    one: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "back.crl"
    path.write_bytes(forge(right(number=2, this_update=NOW - 3600)))
    assert differences(capsys, one, path, 1)["order"] == "number later, date earlier"
    path.write_bytes(forge(right(), number=b""))
    assert differences(capsys, one, path, 1)["order"] == "number unknown, date same"


def test_only_the_signature_differs(one: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "again.crl"
    data = one.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert diff(str(one), str(path), as_json=False, limits=LIMITS) == 1
    assert "nothing that they say but the signature" in capsys.readouterr().out


def test_trouble_is_no_difference(one: Path, tmp_path: Path) -> None:
    """Exit code 2, as diff has it."""
    with pytest.raises(UsageError) as raised:
        diff(str(one), str(tmp_path / "none.crl"), as_json=True, limits=LIMITS)
    assert raised.value.exit_code == 2


def test_nothing_in_a_crl_steers_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "[bold]one.crl"
    url = encode(0xA0, encode(0xA0, encode(0x86, b"http://c.example/[/x]\x1b[2J\nequal\x9b")))
    path.write_bytes(
        forge(right(b"\x01"), distribution_point=extension(28, encode(0x30, url), critical=True))
    )
    show(Path("none.toml"), str(path), issuer=None, entries=True, as_json=False, limits=LIMITS)
    out = capsys.readouterr().out
    assert "[/x]\\x1b[2J\\nequal\\x9b" in "".join(out.split())
    assert not {"\x1b", "\x9b"} & set(out)
    print_line("a\nb\x1b\u202e\u00e9")
    print_text("a\nb\x1b")
    assert capsys.readouterr().out == "a\\nb\\x1b\\u202e\u00e9\na\nb\\x1b\n"


def test_a_file_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "FILE_SIZE", 1000)
    with pytest.raises(UsageError, match="more than 1000 octets"):
        show(Path("none.toml"), "/dev/zero", issuer=None, entries=True, as_json=True, limits=LIMITS)
