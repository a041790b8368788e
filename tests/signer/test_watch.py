"""Following an index.txt: only what changed is read, whatever state the file is caught in, and bad lines stop nothing."""

import io
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from signer.commands.watch import watch as command
from signer.watch import IndexWatch, WatchReport, follow
from signer.watched_file import BLOCK_LINES, WatchedFile
from store.errors import OcspeedError, UsageError
from tests.signer.works import FakeClock, Works

END = "350101000000Z"


def good(serial: int) -> str:
    return f"V\t{END}\t\t{serial:04X}\tunknown\t/CN=host-{serial}.example\n"


def revoked(serial: int, reason: str = "", date: str = "260101000000Z") -> str:
    return f"R\t{END}\t{date}{reason}\t{serial:04X}\tunknown\t/CN=host-{serial}.example\n"


class Index:
    """The file, replaced as `openssl ca` does it, and what follows it."""

    def __init__(self, works: Works) -> None:
        self.works = works
        self.path = works.directory / "index.txt"
        self.watch = IndexWatch(works.context, "demo", self.path)

    def put(self, *lines: str) -> None:
        new = self.path.with_suffix(".new")
        new.write_text("".join(lines))
        new.rename(self.path)

    def step(self) -> WatchReport:
        """Once nobody has written to it for a while."""
        assert self.watch.step() is None
        report = self.watch.step()
        assert report is not None and self.watch.step() is None
        return report

    def replace(self, *lines: str) -> WatchReport:
        self.put(*lines)
        return self.step()

    def is_revoked(self, serial: int) -> bool | None:
        """None: not known."""
        state = self.works.ledger.state(self.works.issuer.id, serial.to_bytes(2))
        return None if state is None else state.revocation_time is not None


@pytest.fixture
def index(tmp_path: Path, clock: FakeClock) -> Iterator[Index]:
    works = Works(tmp_path, None, clock)
    (tmp_path / "index.txt").unlink()
    with works.context:
        yield Index(works)


def test_only_blocks_that_changed_are_read(index: Index) -> None:
    """As `openssl ca` makes them: a row at the end, a revocation in the middle, its reason later, expiry."""
    lines = [good(0x1000 + number) for number in range(3 * BLOCK_LINES + 100)]
    report = index.replace(*lines)
    assert (report.lines, report.read, report.new, report.bad) == (len(lines), len(lines), len(lines), 0)
    lines.append(good(0x7000))
    report = index.replace(*lines)
    assert (report.read, report.new) == (101, 1)
    lines[BLOCK_LINES + 7] = revoked(0x1000 + BLOCK_LINES + 7)
    report = index.replace(*lines)
    assert (report.read, report.newly_revoked) == (BLOCK_LINES, 1)
    assert index.is_revoked(0x1000 + BLOCK_LINES + 7) and index.is_revoked(0x1000) is False
    lines[BLOCK_LINES + 7] = revoked(0x1000 + BLOCK_LINES + 7, ",keyCompromise")
    assert index.replace(*lines).updated == 1
    lines[0] = lines[0].replace("V\t35", "E\t25")
    report = index.replace(*lines)
    assert (report.read, report.bad, report.newly_revoked) == (BLOCK_LINES, 0, 0)


def test_an_unchanged_file_is_not_opened(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    index.replace(good(0x1001))
    monkeypatch.setattr(WatchedFile, "copy_changes", None)
    assert [index.watch.step() for _ in range(5)] == [None] * 5


def test_a_file_that_somebody_writes_is_left_alone(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """In place: what is read now could be the half of one row and the half of another."""
    index.replace(good(0x1001))
    with monkeypatch.context() as patch:
        patch.setattr(WatchedFile, "copy_changes", None)
        for number in range(5):
            with index.path.open("a") as file:
                file.write(good(0x2000 + number))
            assert index.watch.step() is None
    assert index.watch.step() is not None
    assert index.is_revoked(0x2004) is False


class _Writer(io.BytesIO):
    """Somebody changes the file while it is copied."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def write(self, data: object) -> int:
        with self._path.open("r+") as file:
            file.write(revoked(0x1001))
        return 0


def test_nothing_is_used_of_what_changed_while_it_was_read(index: Index) -> None:
    index.put(good(0x1001), good(0x1002))
    file = WatchedFile(index.path)
    assert [file.settled(), file.settled()] == [False, True]
    assert file.copy_changes(_Writer(index.path)) is None
    assert [file.settled(), file.settled()] == [False, True]
    assert file.copy_changes(io.BytesIO()) is not None


def test_a_file_that_is_replaced_all_the_time(index: Index) -> None:
    """By renaming, faster than it is looked at: it never settles, and is whole each time."""
    held = []
    for number in range(3):
        index.put(good(0x1001 + number))
        held.append(index.path.open())  # its inode is not used again
        report = index.watch.step()
        assert (report is None) == (number < 2)
    for file in held:
        file.close()
    assert index.is_revoked(0x1003) is False


def test_half_a_line(index: Index) -> None:
    """Cut anywhere, a row is refused or says what it says when it is whole."""
    whole = revoked(0x2345, ",superseded")
    index.replace(good(0x1001))
    for cut in range(1, len(whole), 5):
        report = index.replace(good(0x1001), whole[:cut])
        known = whole[:cut].count("\t") == 5
        assert report.bad == (not known) and report.lines == 2
    assert index.works.ledger.counts(index.works.issuer.id, index.works.clock.now()).certificates == 2
    assert index.is_revoked(0x2345)


def test_bad_lines_are_told_once_and_tried_again(index: Index) -> None:
    """They hold up no others, and no change of other lines."""
    bad = "V\tnonsense\t\t1002\tunknown\t/CN=x\n"
    rest = [good(0x2000 + number) for number in range(2 * BLOCK_LINES)]
    report = index.replace(good(0x1001), bad, *rest)
    assert (report.new, report.bad) == (1 + len(rest), 1)
    assert report.found_bad == (
        f"{index.path}:2: notAfter: 'nonsense' is not YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ",
    )
    report = index.replace(good(0x1001), bad, *rest, good(0x6001), "rubbish\n")
    assert (report.new, report.bad) == (1, 2)
    assert [line.partition(": ")[0] for line in report.found_bad] == [f"{index.path}:{len(rest) + 4}"]
    report = index.replace(good(0x1001), bad, *rest, good(0x6001), "rubbish\n", good(0x6002))
    assert (report.new, report.bad, report.found_bad) == (1, 2, ())
    report = index.replace(good(0x1001), good(0x1002), *rest, good(0x6001), good(0x6002))
    assert (report.new, report.bad) == (1, 0)


def test_more_bad_lines_than_are_named(index: Index) -> None:
    bad = [f"{number}\n" for number in range(3 * BLOCK_LINES)]
    report = index.replace(*bad, good(0x1001))
    assert (report.bad, len(report.found_bad), report.new) == (len(bad), 1000, 1)
    assert index.replace(*bad, good(0x1001), good(0x1002)).bad == len(bad)


def test_a_file_that_shrinks(index: Index) -> None:
    """Nothing is un-issued, and nothing un-revoked."""
    index.replace(good(0x1001), revoked(0x1002), good(0x1003))
    report = index.replace(good(0x1001), good(0x1002))
    assert (report.fewer, report.kept_revoked, report.newly_revoked) == (1, 1, 0)
    assert index.replace().fewer == 2
    assert [index.is_revoked(serial) for serial in (0x1001, 0x1002, 0x1003)] == [False, True, False]


def test_a_very_long_line(index: Index) -> None:
    """Blocks stay bounded, and the lines after it have their numbers."""
    report = index.replace(good(0x1001), "x" * 1_000_000 + "\n", good(0x1003), "y\n")
    assert (report.new, report.bad, report.lines) == (2, 2, 4)
    assert [line.split(":")[1] for line in report.found_bad] == ["2", "4"]


def test_a_file_that_is_not_there(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two renames there is none; longer than that is told."""
    monkeypatch.setattr("signer.watch.LOOK", 0.0)
    monkeypatch.setattr("signer.watch.RETRY", 0.0)
    stop = threading.Event()
    steps: list[str] = []
    troubles: list[str] = []

    class Scripted(IndexWatch):
        def step(self) -> WatchReport | None:
            steps.append("")
            if len(steps) == 2 or len(steps) == 4:
                index.put(good(0x1000 + len(steps)))
            if len(steps) == 8:
                index.path.unlink()
            if len(steps) == 10:
                stop.set()
            return super().step()

    told: list[WatchReport] = []
    watch = Scripted(index.works.context, "demo", index.path)
    follow([watch], stop, told.append, lambda issuer, error: troubles.append(f"{len(steps)} {error}"))
    assert [report.new for report in told] == [1, 1]
    assert [trouble.split(" ")[0] for trouble in troubles] == ["9", "10"]
    assert "index.txt: cannot be read: No such file" in troubles[0]


def test_what_cannot_be_recorded_now_is_later(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    index.put(good(0x1001))
    index.watch.step()
    with monkeypatch.context() as patch:
        patch.setattr(index.works.ledger, "add_packed", _fails)
        with pytest.raises(OcspeedError, match="busy"):
            index.watch.step()
    report = index.watch.step()
    assert report is not None and report.new == 1


def _fails(*arguments: object, **named: object) -> None:
    raise OcspeedError("busy", remedy="wait")


def test_once(index: Index, capsys: pytest.CaptureFixture[str]) -> None:
    file = index.works.file
    with pytest.raises(UsageError, match="No such file"):
        command(file, index.path, issuer="demo", once=True, as_json=True)
    index.put(good(0x1001), revoked(0x1002), "x\n")
    assert command(file, index.path, issuer="demo", once=True, as_json=True) == 3
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert (found["new"], found["bad"], found["issuer"]) == (2, 1, "demo")
    assert captured.err == f"{index.path}:3: line: not 6 fields with tabs between\n"
    index.put(good(0x1001), revoked(0x1002))
    assert command(file, index.path, issuer="demo", once=True, as_json=False) == 0
    assert capsys.readouterr().out == "demo: 2 of 2 lines read: nothing new\n"


def test_no_regular_file(index: Index) -> None:
    os.mkfifo(index.path)
    with pytest.raises(UsageError, match="not a regular file"):
        index.watch.step()
