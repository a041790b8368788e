"""The command that brings a new responder certificate: when it is run, with what, and what becomes of its failures."""

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

import signer.ocsp.turns
import signer.renewal
from signer.errors import TokenUnavailable
from signer.renewal import OUTPUT, Renewal, renew_for_ever
from store.clock import SystemClock
from store.text import rfc3339
from tests.integration.test_rollover_load import with_token
from tests.signer.processes import processes_of, wait_until
from tests.signer.test_rollover import check_answers, chosen, issue, names, with_directory
from tests.signer.test_run import fill, has_socket, is_whole, running
from tests.signer.works import DAY, FakeClock, Works, row_in_page

DIRECTORY = '{ directory = "responders" }'
DUE = 50 * DAY  # of the 60 days of the first certificate


class Hook:
    """The command: a script beside ocsp.toml."""

    def __init__(self, works: Works) -> None:
        self.works = works
        self.script = works.directory / "renew"
        self.count = works.directory / "count"
        self.says("exit 0")

    def says(self, *lines: str) -> None:
        self.script.write_text("\n".join(["#!/bin/sh", f"echo x >> {self.count}", *lines, ""]))
        self.script.chmod(0o755)

    def brings(self, name: str, days: int) -> None:
        """What it is to put there lies ready."""
        now, there = self.works.clock.now(), self.works.directory / "responders"
        issue(self.works, name, now - 60, now + days * DAY)
        ready = self.works.directory / "ready"
        ready.mkdir()
        for path in there.glob(f"{name}.*"):
            shutil.move(path, ready / path.name)
        self.says(f'cp "$PWD/ready/{name}.key" "$OCSP_DIRECTORY"', f'mv ready/{name}.pem "$OCSP_DIRECTORY"')

    @property
    def runs(self) -> int:
        return len(self.count.read_text().splitlines()) if self.count.exists() else 0

    def step(self) -> str | None:
        return Renewal(self.works.context, "demo").step(threading.Event())


def configured(works: Works, more: str = "") -> str:
    with_directory(works)
    return DIRECTORY.replace(" }", f', renew_command = ["./renew", "it"]{more} }}')


@pytest.fixture
def hook(tmp_path: Path, clock: FakeClock) -> Iterator[Hook]:
    works = Works(tmp_path, None, clock)
    table = configured(works, ', renew_timeout = "2s"')
    with works.configured(DIRECTORY, table):
        yield Hook(works)


@pytest.mark.conformance("D-08")
def test_it_is_run_when_the_end_is_near(hook: Hook, clock: FakeClock) -> None:
    hook.brings("b", 90)
    assert hook.step() is None and hook.runs == 0
    clock.pass_time(46 * DAY - 60)
    assert hook.step() is None and hook.runs == 0
    clock.pass_time(120)
    assert hook.step() is None and hook.runs == 1
    assert chosen(hook.works) == "b"
    clock.pass_time(3 * DAY)
    assert hook.step() is None and hook.runs == 1


def test_it_is_run_where_no_certificate_is_fit(hook: Hook, clock: FakeClock) -> None:
    clock.pass_time(61 * DAY)
    text = "the command ended well, but left no certificate that is fit and ends later"
    assert hook.step() == text
    clock.pass_time(3600)
    hook.brings("b", 90)
    assert hook.step() is None and chosen(hook.works) == "b"


def test_failures_are_told_and_it_is_not_run_too_often(hook: Hook, clock: FakeClock) -> None:
    """Nor by a process that was started anew."""
    clock.pass_time(DUE)
    hook.says("echo no CA to be reached >&2", "exit 7")
    assert hook.step() == "the command ended with 7: no CA to be reached"
    clock.pass_time(3500)
    late = hook.step()
    assert late is not None and late.startswith("the responder certificate ends at") and hook.runs == 1
    clock.pass_time(200)
    hook.says("exit 0")
    text = hook.step()
    assert text == "the command ended well, but left no certificate that is fit and ends later"
    clock.pass_time(3600)
    hook.brings("b", 5)  # it ends before the one that is there
    assert hook.step() == text and hook.runs == 3


def test_the_clock_goes_back(hook: Hook, clock: FakeClock) -> None:
    """The time of the last run is no reason to wait for it to come again."""
    clock.pass_time(DUE + DAY)
    hook.step()
    clock.pass_time(-DAY)
    hook.step()
    assert hook.runs == 2


def test_its_environment_has_no_secrets(
    hook: Hook, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCSP__STORE__PASSWORD_FILE", "/run/secrets/store")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "geheim")
    monkeypatch.setenv("TZ", "UTC")
    hook.says('env > environment; echo "$@" > arguments; cat > input', "exit 3")
    clock.pass_time(DUE)
    assert hook.step() == "the command ended with 3"
    found = dict(
        line.partition("=")[::2] for line in (hook.works.directory / "environment").read_text().splitlines()
    )
    assert found.pop("OCSP_ISSUER") == "demo" and found.pop("TZ") == "UTC"
    assert found.pop("OCSP_DIRECTORY") == str(hook.works.directory / "responders")
    assert found.pop("OCSP_NOT_AFTER") == rfc3339(names(hook.works)["a"])
    assert set(found) <= {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TMPDIR", "PWD", "SHLVL", "_", "OLDPWD"}  # fmt: skip
    assert (hook.works.directory / "arguments").read_text() == "it\n"
    assert (hook.works.directory / "input").read_text() == ""


def test_one_that_does_not_end(hook: Hook, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ended with what it started, however much it says meanwhile."""
    monkeypatch.setattr(signer.renewal, "GRACE", 0.2)
    hook.says("trap '' TERM", f"tail -f {hook.script} > /dev/null &", "yes abcdefgh")
    clock.pass_time(DUE)
    text = hook.step()
    assert text is not None and text.startswith("the command was ended after 2 s: ")
    assert len(text) < OUTPUT * 3
    wait_until(lambda: not processes_of(hook.works.directory))


def test_one_that_leaves_something_behind(hook: Hook, clock: FakeClock) -> None:
    """Its output stays open: that is not waited for."""
    hook.says("sleep 20 &", "exit 3")
    clock.pass_time(DUE)
    before = time.monotonic()
    assert hook.step() == "the command ended with 3"
    assert time.monotonic() - before < 15


def test_a_stop_does_not_wait_for_it(hook: Hook, clock: FakeClock) -> None:
    hook.says("sleep 30", "touch done")
    clock.pass_time(DUE)
    stop = threading.Event()
    stop.set()
    with hook.works.configured('renew_timeout = "2s"', 'renew_timeout = "60s"'):
        assert Renewal(hook.works.context, "demo").step(stop) is None
    assert hook.runs <= 1 and not (hook.works.directory / "done").exists()


@pytest.mark.parametrize("mode", [None, 0o644])
def test_one_that_cannot_be_started(hook: Hook, clock: FakeClock, mode: int | None) -> None:
    hook.script.unlink() if mode is None else hook.script.chmod(mode)
    clock.pass_time(DUE)
    text = hook.step()
    assert text is not None and text.startswith("./renew: cannot be started: ")


class Looks(threading.Event):
    """`stop` of a loop that is to look so many times."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._left = number

    def wait(self, timeout: float | None = None) -> bool:
        self._left -= 1
        return self._left < 0


def look(works: Works, number: int) -> list[tuple[str, str | None]]:
    """What is told of so many looks."""
    told: list[tuple[str, str | None]] = []
    renew_for_ever(works.context, Looks(number), lambda issuer, why: told.append((issuer, why)))
    return told


def test_what_keeps_it_from_being_run_is_told(hook: Hook, clock: FakeClock) -> None:
    """And it is looked again."""
    clock.pass_time(DUE)
    state = hook.works.context.settings.state_directory
    state.mkdir(exist_ok=True)
    (state / "renewal-demo").symlink_to(state / "away" / "renewal-demo")
    told = look(hook.works, 2)
    assert [issuer for issuer, _ in told] == ["demo", "demo"]
    assert all(why is not None and "No such file" in why for _, why in told)
    (state / "away").mkdir()
    hook.brings("b", 90)
    assert look(hook.works, 1) == [("demo", None)] and hook.runs == 1


def test_one_that_signs_no_responses_needs_no_certificate(hook: Hook, clock: FakeClock) -> None:
    clock.pass_time(DUE)
    with hook.works.configured("ocsp = { page_bits = 2 }", "ocsp = { enabled = false }"):
        assert look(hook.works, 1) == [] and hook.runs == 0


def test_a_token_that_is_away_is_told_by_who_signs(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = Works(tmp_path, None, clock)
    with_directory(works)
    token = with_token(works, monkeypatch)
    with works.configured(
        'directory = "responders"', 'directory = "responders", renew_command = ["./renew"]'
    ):
        assert look(works, 1) == [("demo", None)]
        token.hsm.remove()
        with pytest.raises(TokenUnavailable):
            Renewal(works.context, "demo").step(threading.Event())
        assert look(works, 2) == []


@pytest.mark.slow
def test_a_running_signer_signs_with_what_it_brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signer.ocsp.turns, "RESPONDERS", 0.2)
    monkeypatch.setattr(signer.renewal, "LOOK", 0.2)
    works = Works(tmp_path, None, SystemClock(), page_bits=6)
    hook = Hook(works)
    table = configured(works, ', renew_before = "61d", renew_every = "60s"')
    with works.configured(DIRECTORY, table):
        hook.brings("b", 80)
        fill(works)
        with capture_logs() as logs, running(works):
            wait_until(lambda: has_socket(works) and is_whole(works), 60)
            wait_until(lambda: any(entry["event"] == "responder certificate changed" for entry in logs), 60)
            works.revoke(row_in_page(1, 1).serial)
            wait_until(lambda: works.is_revoked(row_in_page(1, 1).serial), 60)
            assert 1 in check_answers(works)
        assert hook.runs == 1 and not [entry for entry in logs if entry["event"].endswith("not renewed")]
    assert os.path.exists(tmp_path / ".ocspeed" / "renewal-demo")
