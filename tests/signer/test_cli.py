import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from signer.demo.authority import create_authority
from signer.ledger.ledger import Ledger
from tests.signer.works import plain_config

ROOT = Path(__file__).parents[2]
ENTRY = [sys.executable, "-c", "import sys; sys.argv[0] = 'ocsp-signer'; from signer.cli import main; main()"]
ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "COLUMNS": "200", "NO_COLOR": "1"}
CONFIG = plain_config("demo")
COUNT = 200


def run(directory: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*ENTRY, *arguments], cwd=directory, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def read(directory: Path, *arguments: str, code: int = 0) -> Any:
    return json.loads(run(directory, *arguments, "--json", code=code).stdout)


def revoked(directory: Path) -> int:
    """How many there are; `status` exits with 1, for the embedded store is not running."""
    count = read(directory, "status", code=1)["issuers"][0]["revoked"]
    assert isinstance(count, int)
    return count


def serials(directory: Path, status: str = "V") -> list[str]:
    rows = [line.split("\t") for line in (directory / "index.txt").read_text().splitlines()]
    return [row[3] for row in rows if row[0] == status]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a CA, its index.txt and an ocsp.toml."""
    directory = tmp_path_factory.mktemp("ca")
    create_authority(
        directory, COUNT, int(time.time()), "http://o.example", "http://c.example/{}".format, seed=3
    )
    (directory / "ocsp.toml").write_text(CONFIG)
    return directory


@pytest.fixture(scope="module")
def made_and_imported(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("imported") / "ca"
    shutil.copytree(made, directory)
    run(directory, "import", "--issuer", "demo", "index.txt")
    return directory


@pytest.fixture
def ca(made: Path, tmp_path: Path) -> Path:
    """One of one's own."""
    return shutil.copytree(made, tmp_path / "ca")


@pytest.fixture
def imported(made_and_imported: Path, tmp_path: Path) -> Path:
    """The same after its import."""
    return shutil.copytree(made_and_imported, tmp_path / "ca")


def test_init_writes_once(tmp_path: Path) -> None:
    told = run(tmp_path, "init", "new/place").stdout
    assert "crl.url must be the CRL URL in your certificates" in told and "before the first import" in told
    path = tmp_path / "new/place/ocsp.toml"
    content = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    done = run(tmp_path, "init", "new/place", code=2)
    assert "ocsp.toml: is there already" in done.stderr
    assert path.read_text() == content


def test_an_import_and_its_repetition(ca: Path) -> None:
    first = read(ca, "import", "--issuer", "demo", "--format", "openssl-index", "index.txt")
    assert [first[key] for key in ("rows", "good", "revoked", "expired", "rejected")] == [COUNT, 198, 2, 0, 0]
    assert (first["new"], first["written"]) == (COUNT, True)
    again = read(ca, "import", "--issuer", "demo", "index.txt")
    assert (again["new"], again["unchanged"], again["newly_revoked"]) == (0, COUNT, 0)
    ledger = Ledger.open(f"sqlite:///{ca / 'ledger.db'}")
    assert [one.event for one in ledger.journal_entries()][-2:] == ["import begun", "import done"]
    assert ledger.verify_journal() == 4  # issuer, series, begun, done: the second changed nothing
    ledger.close()


def test_a_dry_run_makes_nothing(ca: Path) -> None:
    before = sorted(path.name for path in ca.iterdir())
    result = read(ca, "import", "--issuer", "demo", "index.txt", "--dry-run")
    assert (result["rows"], result["written"]) == (COUNT, False)
    assert sorted(path.name for path in ca.iterdir()) == before


def test_a_bad_row_stops_an_import_unless_told_to_go_on(ca: Path) -> None:
    with (ca / "index.txt").open("a") as index:
        index.write("V\t351301000000Z\t\t01\tunknown\t/CN=x\n")
    done = run(ca, "import", "--issuer", "demo", "index.txt", code=1)
    assert done.stderr.splitlines()[0] == f"index.txt:{COUNT + 1}: notAfter: '351301' is no date"
    assert "nothing was written" in done.stdout
    assert not (ca / "ledger.db").exists()
    result = read(ca, "import", "--issuer", "demo", "index.txt", "--keep-going", code=3)
    assert (result["rows"], result["rejected"], result["new"]) == (COUNT + 1, 1, COUNT)
    assert result["rejections"] == [
        {"file": "index.txt", "line": COUNT + 1, "message": "notAfter: '351301' is no date"}
    ]


def test_adjusted_revocations_are_listed(ca: Path) -> None:
    text = (ca / "index.txt").read_text()
    (ca / "index.txt").write_text(
        re.sub(r"^(R\t\w+\t\w+)(,\w+)?\t", r"\1,certificateHold\t", text, flags=re.M)
    )
    done = run(ca, "import", "--issuer", "demo", "index.txt")
    assert len(re.findall(r"index.txt:\d+: serial [0-9a-f]+: reason 6 is not allowed", done.stderr)) == 2
    assert "2 adjusted" in done.stdout
    assert run(ca, "import", "--issuer", "demo", "index.txt", "-q").stderr == ""


@pytest.mark.parametrize("command", [["import", "index.txt"], ["revoke", "01"]])
def test_an_unknown_issuer_is_told(imported: Path, command: list[str]) -> None:
    done = run(imported, *command, "--issuer", "other", code=2)
    assert "no [[issuer]] is named 'other'" in done.stderr
    assert "known issuers: demo" in done.stderr


def test_revoking_by_serial(imported: Path) -> None:
    serial = serials(imported)[0]
    done = run(imported, "revoke", "--issuer", "demo", serial, "--reason", "keyCompromise")
    assert "1 revoked" in done.stdout and "durable" in done.stdout
    result = read(imported, "revoke", "--issuer", "demo", serial.lower())
    assert (result["revoked"], result["already"]) == (0, 1)
    assert result["results"][0]["serial"] == serial.lower().lstrip("0")
    assert result["results"][0]["reason"] == 1
    ledger = Ledger.open(f"sqlite:///{imported / 'ledger.db'}")
    (entry,) = [one for one in ledger.journal_entries() if one.event == "revoke"]
    assert (entry.detail["issuer"], entry.detail["certificates"]) == ("demo", 1)
    ledger.close()


def test_a_revoke_that_is_only_tried(imported: Path) -> None:
    serial = serials(imported)[0]
    assert read(imported, "revoke", "--issuer", "demo", serial, "--dry-run")["revoked"] == 1
    assert revoked(imported) == 2


def test_an_unknown_serial_is_rejected(imported: Path) -> None:
    known = serials(imported)[0]
    some = read(imported, "revoke", "--issuer", "demo", known, "0badc0de", code=3)
    assert (some["revoked"], some["rejected"]) == (1, 1)
    done = run(imported, "revoke", "--issuer", "demo", "0badc0de", code=1)
    assert "serial 0badc0de: unknown to the ledger" in done.stderr


def test_many_are_revoked_only_when_counted(imported: Path) -> None:
    listed = serials(imported)[:150]
    (imported / "list").write_text("".join(f"{serial},superseded\n" for serial in listed))
    command = ("revoke", "--issuer", "demo", "--from-file", "list")
    assert "say --expect 150" in run(imported, *command, code=2).stderr
    assert "150 certificates are named, not 149" in run(imported, *command, "--expect", "149", code=2).stderr
    assert revoked(imported) == 2
    assert read(imported, *command, "--expect", "150")["revoked"] == 150
    assert revoked(imported) == 152


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name serials, --from-file FILE or --all"),
        (["0a", "--from-file", "list"], "one of the three"),
        (["xyz"], "serial: 'xyz' is not hexadecimal"),
        (["0a", "--reason", "certificateHold"], "not for subscriber certificates; allowed: unspecified"),
        (["0a", "--reason", "6"], "not for subscriber certificates"),
        (["0a", "--date", "2999-01-01T00:00:00Z"], "in the future"),
        (["0a", "--date", "yesterday"], "is not a time such as"),
        (["--from-file", "absent"], "absent: cannot be read"),
    ],
)
def test_a_revoke_that_cannot_be_meant(imported: Path, arguments: list[str], message: str) -> None:
    assert message in run(imported, "revoke", "--issuer", "demo", *arguments, code=2).stderr


def test_there_is_no_way_back(imported: Path) -> None:
    serial = serials(imported)[0]
    run(imported, "revoke", "--issuer", "demo", serial)
    result = read(imported, "import", "--issuer", "demo", "index.txt")
    assert result["kept_revoked_serials"] == [serial.lower().lstrip("0")]
    assert revoked(imported) == 3


def test_status_says_what_is_there(imported: Path) -> None:
    found = read(imported, "status", code=1)
    (issuer,) = found["issuers"]
    assert (issuer["issuer"], issuer["certificates"], issuer["good"], issuer["revoked"]) == (
        "demo",
        COUNT,
        198,
        2,
    )
    assert (issuer["pages"], issuer["unsigned_changes"], issuer["crls_published"]) == (64, 1, 0)
    assert found["store"]["up"] is False and "valkey.sock" in found["store"]["error"]
    done = run(imported, "status", code=1)
    assert re.search(r"unsigned changes\W+1\b", done.stdout)
    assert "the store is down" in done.stderr


def test_store_init_loads_the_functions(imported: Path) -> None:
    done = run(imported, "store", "init")
    assert re.search(
        r"valkey\.sock: (valkey|redis) \S+, function library (loaded|was there already)", done.stdout
    )


def test_a_missing_configuration_names_the_remedy(tmp_path: Path) -> None:
    done = run(tmp_path, "status", code=2)
    assert "ocsp.toml: no such file" in done.stderr and "ocsp-signer init" in done.stderr
    assert "no such file" in run(tmp_path, "status", "--config", "other.toml", code=2).stderr


def test_a_missing_ledger_is_not_made_by_looking(ca: Path) -> None:
    for command in (["status"], ["revoke", "--issuer", "demo", "01"]):
        assert "there is no ledger here" in run(ca, *command, code=1).stderr
    assert not (ca / "ledger.db").exists()


def test_a_mistyped_command_is_wrong_usage(tmp_path: Path) -> None:
    for arguments in (["nope"], ["import"], ["revoke", "--issuer", "demo", "01", "--force"]):
        run(tmp_path, *arguments, code=2)


def test_an_interrupt_ends_with_130(ca: Path) -> None:
    fifo = ca / "fifo"
    os.mkfifo(fifo)
    command = [*ENTRY, "import", "--issuer", "demo", "fifo"]
    with subprocess.Popen(command, cwd=ca, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as child:
        with fifo.open("w"):  # opens once the command reads
            child.send_signal(signal.SIGINT)
            assert child.wait(30) == 130
        assert child.stderr is not None and "Traceback" not in child.stderr.read()


def test_secrets_are_not_shown(imported: Path) -> None:
    text = CONFIG.replace('"responder.pem" }', '"responder.pem", passphrase_file = "pass" }')
    text += '[store]\nurl = "redis://user:hunter2@127.0.0.1:1/0"\n'
    (imported / "ocsp.toml").write_text(text)
    (imported / "pass").write_text("hunter3")
    done = run(imported, "status", "--json", code=1)
    assert json.loads(done.stdout)["store"]["up"] is False
    assert "hunter" not in done.stdout + done.stderr


def test_a_ledger_is_backed_up_lost_and_restored(imported: Path) -> None:
    told = read(imported, "ledger", "backup", "copy.db", "-q")
    assert "is there already" in run(imported, "ledger", "backup", "copy.db", code=1).stderr
    assert read(imported, "journal", "verify")["entries"] == told["journal_entries"] + 1
    for path in imported.glob("ledger.db*"):
        path.unlink()
    (found,) = read(imported, "ledger", "restore", "copy.db", "-q")["issuers"]
    assert (found["epoch"], found["revocations_recovered"]) == (2, 0)
    assert revoked(imported) == 2
    assert "restore" in run(imported, "journal", "export").stdout.splitlines()[-1]
    assert read(imported, "ledger", "upgrade")["backup"] is None
    assert (
        "absent.db: there is no such file" in run(imported, "ledger", "restore", "absent.db", code=1).stderr
    )
