"""Certificates and revocations that come while the clock is in doubt: none is refused, none is of the future (C-17, A6)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from signer.commands.certificates import import_file
from signer.commands.resume import resume
from signer.commands.revoke import RevokeRequest, revoke
from signer.intake.api import Answer, Intake, IntakeIssuer, Refusal
from signer.intake.commits import Committer
from signer.intake.scope import Shards
from signer.ledger.deeds import Revoke
from signer.ledger.values import Revocation
from signer.steady import RecordingClock, SteadyClock
from signer.witness import witness
from store.text import rfc3339
from tests.signer.intakes import Brought, write_rows
from tests.signer.ledgers import NOW
from tests.signer.works import DAY, FakeClock, Works, row_in_page

pytestmark = pytest.mark.conformance("C-17")

HOUR = 3600
YEAR = 365 * DAY
SERIALS = [row_in_page(0, number).serial.hex() for number in range(4)]


class Api:
    """The intake API of a signer that was started now."""

    def __init__(
        self, works: Works, clock: FakeClock, committer: Committer, recording: RecordingClock
    ) -> None:
        self.works, self.clock = works, clock
        issuer = works.issuer
        shards = Shards("demo", works.ledger.series(issuer.id))
        known = {"demo": IntakeIssuer(issuer.id, works.context.issuer("demo"), shards, None)}
        self._intake = Intake(works.ledger, committer, recording, known)

    def send(self, verb: str, **body: str) -> Answer | Refusal:
        work = self._intake.work(self._intake.issuer("demo"), verb, "application/json", "ca")
        done = work.submit(work.read([json.dumps(body).encode()]))
        (answer,) = done.answers(done.done.result(20) if done.done else [])
        return answer

    def issue(self, serial: str) -> None:
        assert isinstance(self.send("certificates", serial=serial, not_after=rfc3339(NOW + 9 * DAY)), Answer)

    def revoke(self, serial: str, **body: str) -> dict[str, Any]:
        answer = self.send("revocations", serial=serial, **body)
        assert isinstance(answer, Answer), answer
        return answer.certificate


@pytest.fixture
def api(works: Works, clock: FakeClock) -> Iterator[Api]:
    works.signer()
    works.ledger.set_checkpoint(works.issuer.id, NOW - NOW % DAY, 1)
    steady = SteadyClock(clock, witness(works.ledger, works.context.settings.root.issuer))
    recording = RecordingClock(steady)
    with Committer(works.ledger, recording) as committer:
        yield Api(works, clock, committer, recording)


def revoked_at(works: Works, serial: str) -> int | None:
    found = works.ledger.find(works.issuer.id, bytes.fromhex(serial))
    assert found is not None
    return found.revocation_time


@pytest.mark.invariant("A6", "B6")
@pytest.mark.parametrize(("step", "behind"), [(-HOUR, 600), (-20 * YEAR, 600), (DAY, 0), (YEAR, 0)])
def test_in_mid_run(api: Api, works: Works, clock: FakeClock, step: int, behind: int) -> None:
    """With and without a date, as the CA's right clock has it; the change is recorded with that time too."""
    for serial in SERIALS[:3]:
        api.issue(serial)
    clock.pass_time(10)
    api.issue(SERIALS[3])
    clock.seconds += step
    clock.pass_time(600)
    taken = NOW + 610 - behind  # never before the certificate
    api.revoke(SERIALS[0])
    answer = api.revoke(SERIALS[1], date=rfc3339(NOW + 610))
    assert ("notes" in answer) == bool(behind)
    api.revoke(SERIALS[2], date=rfc3339(NOW + 5))
    api.revoke(SERIALS[3])
    assert [revoked_at(works, serial) for serial in SERIALS] == [taken, taken, NOW + 5, taken]
    assert works.ledger.changed_at(works.issuer.id) == taken
    assert {one.recorded_at for one in works.ledger.journal_entries() if one.event == "revoke"} == {taken}


def test_a_date_that_is_a_callers_mistake(api: Api, works: Works) -> None:
    """Ours is right as far as anybody knows: another's may be ahead by minutes, and not by more."""
    api.issue(SERIALS[0])
    refused = api.send("revocations", serial=SERIALS[0], date=rfc3339(NOW + 301))
    assert isinstance(refused, Refusal) and refused.status == 400 and "in the future" in refused.message
    assert api.revoke(SERIALS[0], date=rfc3339(NOW + 300))["notes"] == [
        "revocation time in the future: taken as now"
    ]
    assert revoked_at(works, SERIALS[0]) == NOW


def test_set_back_between_reading_and_recording(api: Api, works: Works, clock: FakeClock) -> None:
    """By so little that it is no jump."""
    api.issue(SERIALS[0])
    serial = bytes.fromhex(SERIALS[0])
    with Committer(works.ledger, clock) as committer:
        done = committer.submit(Revoke(works.issuer.id, "ca", [Revocation(serial, NOW + 1)]))
    assert revoked_at(works, SERIALS[0]) == NOW + 1, done.result()


@pytest.mark.parametrize("step", [-HOUR, -20 * YEAR, 30 * DAY, YEAR])
def test_commands(
    works: Works, clock: FakeClock, tmp_path: Path, capsys: pytest.CaptureFixture[str], step: int
) -> None:
    """`import` and `revoke` on a wrong clock; once it is confirmed, they believe it."""
    rows = works.add_some(3)
    works.ledger.set_checkpoint(works.issuer.id, NOW - NOW % DAY, 4)
    clock.seconds += step
    request = RevokeRequest((rows[0].serial.hex(),), date=rfc3339(clock.now()) if step > 0 else None)
    assert revoke(works.file, request, issuer="demo", dry_run=False, as_json=True, clock=clock) == 0
    assert "the wall clock is in doubt" in capsys.readouterr().err
    last = works.ledger.changed_at(works.issuer.id)
    assert last is not None and NOW <= last < NOW + DAY  # by the schedule, which ends with the day
    brought = Brought(rows[1].serial, rows[1].not_after, clock.now() if step > 0 else NOW)
    path = tmp_path / "rows.csv"
    write_rows("csv", path, [brought])
    assert import_file(
        works.file, path, issuer="demo", format="csv", dry_run=False, keep_going=False, as_json=True, quiet=True,
        clock=clock,
    ) == 0  # fmt: skip
    times = [revoked_at(works, row.serial.hex()) for row in rows]
    assert times == [last, last if step > 0 else NOW, None]
    resume(works.file, accept_clock=True, as_json=True, clock=clock)
    capsys.readouterr()
    request = RevokeRequest((rows[2].serial.hex(),))
    assert revoke(works.file, request, issuer="demo", dry_run=False, as_json=True, clock=clock) == 0
    assert capsys.readouterr().err == ""
    assert revoked_at(works, rows[2].serial.hex()) == clock.now()
