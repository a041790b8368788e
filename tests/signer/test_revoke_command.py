import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from _fastpath.crl_reader import Crl
from signer.cli import app
from signer.commands import revoke as command
from signer.commands.revoke import RevokeRequest, revoke
from signer.ledger.mass_revocation import Batch
from signer.ledger.values import Revocation
from signer.ocsp.schedule import PageRange
from signer.ocsp.tail import Tail
from store.errors import UsageError
from tests.signer.ledgers import NOW, certificate_row, certificate_rows
from tests.signer.works import FakeClock, Works

SUMMARY = "demo: 151 certificates named: 150 to be revoked"
EVERY_PAGE = PageRange(0, 3)


class Desk:
    """Where `revoke` is typed; its answers are read back."""

    def __init__(self, works: Works, capsys: pytest.CaptureFixture[str]) -> None:
        self.works = works
        self._capsys = capsys

    def run(self, request: RevokeRequest, *, code: int = 0, dry_run: bool = False) -> Any:
        self._capsys.readouterr()
        found = revoke(
            self.works.file, request, issuer="demo", dry_run=dry_run, as_json=True, clock=self.works.clock
        )
        assert found == code
        return json.loads(self._capsys.readouterr().out)

    def text(self, request: RevokeRequest) -> str:
        revoke(self.works.file, request, issuer="demo", dry_run=False, as_json=False, clock=self.works.clock)
        return self._capsys.readouterr().out

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        entries = self.works.ledger.journal_entries()
        return [(one.event, one.detail) for one in entries if one.event.startswith("revoke")]


@pytest.fixture
def desk(works: Works, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(works, capsys)


@pytest.mark.conformance("R-30", "R-20", "R-21")
def test_every_certificate_of_a_compromised_ca_is_answered_revoked(desk: Desk, clock: FakeClock) -> None:
    works = desk.works
    rows = works.add_some(300, revoked_every=10)
    works.add([certificate_row(b"\x09", not_after=NOW), certificate_row(b"\x0a", not_after=NOW - 1)])
    signer = works.signer()
    assert not signer.sign_range(EVERY_PAGE).faults
    tail = Tail(works.ledger, signer)
    tail.step()
    assert not works.is_revoked(rows[1].serial)
    result = desk.run(RevokeRequest(everything=True, reason="keyCompromise", expect=271))
    assert (result["revoked"], result["reasons"]) == (271, {"keyCompromise": 271})
    clock.pass_time(1)  # the page that held the certificate of NOW loses it
    assert not tail.step().faults
    works.check_store()
    assert all(works.is_revoked(row.serial) for row in rows)
    job = works.context.crl_job("demo")
    listed = set()
    for shard in job.shards():
        job.build([shard], lambda outcome: None)
        crl = works.context.crl_catalogue("demo").targets.live(job.catalogue.path(shard))
        assert isinstance(crl, Crl)
        listed |= {serial for serial, _, _ in crl}
    assert listed == {row.serial for row in rows} | {b"\x09"}
    assert desk.run(RevokeRequest(everything=True, reason="keyCompromise"))["revoked"] == 0


def test_what_is_issued_while_all_are_revoked_is_revoked_too(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = desk.works
    works.add_some(20)
    late = iter([certificate_row(b"\x01"), certificate_row(b"\x7f\xff")])

    @contextmanager
    def bar(task: str, total: int | None, *, quiet: bool) -> Iterator[Callable[[int], None]]:
        def advance(count: int) -> None:
            if task == "revoke" and (row := next(late, None)):
                works.add([row])

        yield advance

    monkeypatch.setattr(command, "bar", bar)
    assert desk.run(RevokeRequest(everything=True))["revoked"] == 22
    assert works.ledger.counts(works.issuer.id, NOW).good == 0


def write(path: Path, serials: list[str], *more: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in (*serials, *more)))
    return path


def test_a_file_is_summed_up_by_issuer_and_reason_and_repeated_with_its_count(
    desk: Desk, tmp_path: Path
) -> None:
    rows = desk.works.add_some(150)
    names = [row.serial.hex() for row in rows]
    path = write(tmp_path / "the list", names, f"{names[0]},keyCompromise", f"{names[1]},4", names[2], "0bad")
    request = RevokeRequest(from_file=path, reason="superseded")
    with pytest.raises(UsageError) as caught:
        desk.run(request)
    assert caught.value.message.splitlines() == [
        f"{SUMMARY}, 0 revoked with an earlier date or graver reason, 0 as they are, 1 unknown",
        "  keyCompromise: 1",
        "  superseded: 149",
        "151 certificates would be revoked for ever",
    ]
    assert caught.value.remedy is not None
    words = shlex.split(caught.value.remedy.partition(": ")[2])
    assert words == [
        *("ocsp-signer", "revoke", "--issuer", "demo", "--config", str(desk.works.file)),
        *("--from-file", str(path), "--reason", "superseded", "--expect", "151"),
    ]
    with pytest.raises(UsageError, match="151 certificates are named, not 150"):
        desk.run(RevokeRequest(from_file=path, reason="superseded", expect=150))
    assert desk.events() == []
    desk.works.context.close()
    with pytest.raises(SystemExit) as ended:
        app(words[1:])
    assert ended.value.code == 3  # done, but for the unknown one
    assert desk.works.open().ledger.counts(1, NOW).revoked == 150


def test_a_dry_run_needs_no_count(desk: Desk, tmp_path: Path) -> None:
    path = write(tmp_path / "list", [row.serial.hex() for row in desk.works.add_some(150)])
    assert desk.run(RevokeRequest(from_file=path), dry_run=True)["revoked"] == 150
    with pytest.raises(UsageError, match="150 certificates are named, not 149") as caught:
        desk.run(RevokeRequest(from_file=path, expect=149), dry_run=True)
    assert (caught.value.remedy or "").endswith("--dry-run --expect 150")
    assert desk.events() == []


@pytest.mark.invariant("G5")
def test_a_batch_is_journalled_from_its_beginning_to_its_end(desk: Desk, tmp_path: Path) -> None:
    rows = desk.works.add_some(2_500)
    path = write(tmp_path / "list", [row.serial.hex() for row in rows])
    before = desk.works.issuer.generation
    tried = desk.run(RevokeRequest(from_file=path, expect=2_500), dry_run=True)
    assert (tried["revoked"], tried["batch"], desk.events()) == (2_500, None, [])
    batch = desk.run(RevokeRequest(from_file=path, expect=2_500))["batch"]
    events = desk.events()
    assert [event for event, _ in events] == ["revoke begun", "revoke", "revoke", "revoke done"]
    assert {detail["batch"] for _, detail in events} == {batch}
    assert events[0][1] == {
        "batch": batch,
        "issuer": "demo",
        "file": str(path),
        "reasons": {"unspecified": 2_500},
    }
    assert events[1][1]["first_generation"] == before + 1
    assert [one["certificates"] for _, one in events[1:3]] == [2_000, 500]
    assert events[2][1]["last_generation"] == before + 2  # each a change over its pages
    assert events[3][1]["revoked"] == 2_500
    assert desk.works.ledger.verify_journal() > 0
    assert desk.run(RevokeRequest(from_file=path, expect=2_500))["already"] == 2_500
    assert len(desk.events()) == len(events)  # nothing changed, nothing journalled
    assert "batch" not in desk.text(RevokeRequest(from_file=path, expect=2_500))


@pytest.mark.invariant("G5")
def test_what_a_crash_left_is_done_by_the_same_again(desk: Desk, tmp_path: Path) -> None:
    rows = desk.works.add_some(2_500)
    asked = [Revocation(row.serial, NOW) for row in rows]

    def crash(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        desk.works.ledger.revoke_mass(desk.works.issuer.id, asked, NOW, Batch("b1", "test", {}), crash)
    assert desk.works.ledger.counts(desk.works.issuer.id, NOW).revoked == 2_000
    path = write(tmp_path / "list", [row.serial.hex() for row in rows])
    result = desk.run(RevokeRequest(from_file=path, expect=2_500))
    assert (result["revoked"], result["already"]) == (500, 2_000)
    assert [event for event, _ in desk.events()].count("revoke done") == 1


def test_nothing_is_revoked_by_a_file_with_a_bad_line(desk: Desk, tmp_path: Path) -> None:
    rows = desk.works.add_some(3)
    path = write(tmp_path / "list", [row.serial.hex() for row in rows], "xyz")
    with pytest.raises(UsageError, match=r"list:4: serial: 'xyz' is not hexadecimal"):
        desk.run(RevokeRequest(from_file=path))
    assert desk.works.ledger.counts(desk.works.issuer.id, NOW).revoked == 0


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(desk: Desk, tmp_path: Path) -> None:
    """Children that revoke 100,000 and 900,000 of nearly as many differ by the sorting's buffer and no more."""
    rows = certificate_rows(100_000)
    desk.works.ledger.add_certificates(desk.works.issuer.id, rows, NOW)
    desk.works.context.close()
    peaks = []
    for count in (100_000, 900_000):
        unknown = [f"{number:032x}" for number in range(1, count - len(rows) + 1)]
        path = write(tmp_path / "list", [row.serial.hex() for row in rows], *unknown)
        arguments = ["revoke", "--issuer", "demo", "--from-file", str(path), "--expect", str(count)]
        script = (
            f"import sys; sys.argv = ['ocsp-signer', *{arguments!r}, '-q', '-c', {str(desk.works.file)!r}]\n"
            "from signer.cli import main\n"
            "try:\n    main()\nfinally:\n"
            "    lines = open('/proc/self/status').read().splitlines()\n"
            "    print([line.split()[1] for line in lines if line.startswith('VmHWM')][0])"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=Path(__file__).parents[2], capture_output=True, text=True
        )
        assert done.returncode in (0, 3), done.stderr
        peaks.append(int(done.stdout.splitlines()[-1]))
    assert peaks[1] - peaks[0] < 60_000, peaks
