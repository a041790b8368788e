"""Progress: lines now and then where there is no terminal, a bar where there is one, nothing when asked."""

import os
import pty
import subprocess
import sys
from collections.abc import Callable

import pytest

from store.progress import bar
from tests.signer.works import FakeClock


def play(total: int | None, steps: list[tuple[int, int]], *, quiet: bool = False) -> None:
    """(seconds passed, steps done) one after another."""
    clock = FakeClock()
    with bar("sign demo", total, quiet=quiet, clock=clock) as advance:
        for seconds, count in steps:
            clock.pass_time(seconds)
            advance(count)


def test_lines_every_five_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    play(200, [(4, 10), (1, 40), (4, 40), (1, 10), (1, 100)])
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "sign demo: 25 %, 5 s\nsign demo: 50 %, 10 s\n"


def test_quick_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    play(100, [(0, 50), (4, 50)])
    assert capsys.readouterr().err == ""


def test_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    play(0, [(6, 0)])
    assert capsys.readouterr().err == "sign demo: 0 %, 6 s\n"


def test_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    play(100, [(10, 50), (10, 50)], quiet=True)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("quiet", [False, True])
def test_an_error_in_the_work_comes_out(quiet: bool) -> None:
    advance: Callable[[int], None]
    with pytest.raises(RuntimeError, match="broken"), bar("sign", 10, quiet=quiet) as advance:
        advance(1)
        raise RuntimeError("broken")


def test_a_bar_on_a_terminal() -> None:
    """It is drawn on stderr, and stdout stays clean for pipes."""
    master, slave = pty.openpty()
    code = (
        "from store.progress import bar\nwith bar('sign demo', 4) as advance:\n    advance(3)\nprint('done')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=slave,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
        check=True,
        timeout=30,
    )
    os.close(slave)
    drawn = os.read(master, 65_536)
    os.close(master)
    assert done.stdout == b"done\n"
    assert b"sign demo" in drawn and b"75%" in drawn


def test_work_of_unknown_size_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    play(None, [(6, 1500), (6, 500)])
    assert capsys.readouterr().err == "sign demo: 1,500 done, 6 s\nsign demo: 2,000 done, 12 s\n"
