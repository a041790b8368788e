"""What `ocsp-signer status` exits with 1 for, so that monitoring needs nothing but its exit code."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from signer import run_state
from signer.commands.status import status
from signer.ocsp.batch import Pool
from signer.restored import RESTORED
from signer.run_state import IssuerState, RunState
from signer.steady import SteadyClock
from store.clock import SystemClock
from store.errors import OcspeedError
from store.schema import Head
from tests.integration.service import Service
from tests.signer.audits import settle_pages
from tests.signer.intakes import Ca
from tests.signer.ledgers import NOW
from tests.signer.loops import Loop
from tests.signer.processes import wait_until
from tests.signer.works import DAY, FakeClock, Works, row_in_page


class Watch:
    """Somebody who looks at a ledger with an issuer."""

    def __init__(self, works: Works, capsys: pytest.CaptureFixture[str]) -> None:
        self.works = works
        self._capsys = capsys
        assert works.issuer

    def look(self, *, code: int) -> Any:
        assert status(self.works.file, as_json=True, clock=self.works.clock) == code
        return json.loads(self._capsys.readouterr().out)

    def remarks(self) -> str:
        status(self.works.file, as_json=False, clock=self.works.clock)
        return self._capsys.readouterr().err


@pytest.fixture
def watch(works: Works, capsys: pytest.CaptureFixture[str]) -> Watch:
    works.context.settings.state_directory.mkdir(exist_ok=True)
    return Watch(works, capsys)


def test_all_is_well(watch: Watch) -> None:
    found = watch.look(code=0)
    assert found["store"]["up"] and found["issuers"][0]["fault"] is None
    assert watch.remarks() == ""


def test_a_restored_ledger_that_nobody_audited(watch: Watch) -> None:
    watch.works.ledger.journal(RESTORED, {}, NOW, "me")
    watch.look(code=1)
    assert "not audited since: nothing is signed from it: run `ocsp-signer audit`" in watch.remarks()


def test_the_store_is_down(tmp_path: Path, clock: FakeClock, capsys: pytest.CaptureFixture[str]) -> None:
    works = Works(tmp_path, "unix:///nowhere/store.sock", clock)
    with works.context:
        watch = Watch(works, capsys)
        assert watch.look(code=1)["store"]["up"] is False
        assert "the store is down: unix:///nowhere/store.sock" in watch.remarks()


def replace_certificate(works: Works, certificate: x509.Certificate) -> None:
    (works.directory / "ca.pem").write_bytes(certificate.public_bytes(Encoding.PEM))


def test_the_configured_ca_is_another_than_the_ledgers(watch: Watch) -> None:
    replace_certificate(watch.works, Ca.make("another").certificate)
    (issuer,) = watch.look(code=1)["issuers"]
    assert issuer["fault"].startswith("issuer demo: its CA certificate has another name or key")
    assert issuer["fault"] in watch.remarks()


def test_the_certificate_of_the_configured_ca_cannot_be_read(watch: Watch) -> None:
    (watch.works.directory / "ca.pem").unlink()
    (issuer,) = watch.look(code=1)["issuers"]
    assert "issuer[0].certificate" in issuer["fault"]


def test_a_renewed_ca_certificate_is_no_fault(watch: Watch) -> None:
    here = watch.works.directory
    before = x509.load_pem_x509_certificate((here / "ca.pem").read_bytes())
    key: Any = load_pem_private_key((here / "ca.key").read_bytes(), None)
    begin, end = datetime.fromtimestamp(NOW, UTC), datetime.fromtimestamp(NOW + 86_400, UTC)
    builder = x509.CertificateBuilder(before.subject, before.subject, before.public_key(), 4711, begin, end)
    builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
    replace_certificate(watch.works, builder.sign(key, hashes.SHA256()))
    assert watch.look(code=0)["issuers"][0]["fault"] is None


STATE = RunState(
    process=4711,
    at=NOW,
    clock_trusted=True,
    troubles=[],
    issuers=[
        IssuerState(
            "demo",
            queue=5,
            faulty_pages=0,
            oldest_response_age=77_000,
            late_responses=0,
            stale_responses=0,
        )
    ],
)


def test_what_run_says_of_itself(watch: Watch) -> None:
    directory = watch.works.context.settings.state_directory
    assert watch.look(code=0)["run"] is None and watch.look(code=0)["issuers"][0]["queue"] is None
    run_state.write(directory, STATE)
    found = watch.look(code=0)
    assert found["run"] == {
        "process": 4711,
        "at": "2026-09-21T14:13:20Z",
        "clock_trusted": True,
        "troubles": [],
    }
    (issuer,) = found["issuers"]
    assert (issuer["queue"], issuer["faulty_pages"], issuer["oldest_response_seconds"]) == (5, 0, 77_000)
    watch.works.clock.pass_time(61)  # type: ignore[attr-defined]
    watch.look(code=1)
    assert "(process 4711) has said nothing since 2026-09-21T14:13:20Z" in watch.remarks()
    run_state.remove(directory)
    watch.look(code=0)


GOOD = msgspec.json.encode(STATE)
DAMAGED = {
    "cut": b"{",
    "deep": b'{"process":' + b"[" * 100_000,
    "deep and passed over": b'{"else":' + b"[" * 100_000,
    "no UTF-8": GOOD.replace(b'"demo"', b'"d\xff"'),
    "surrogate": GOOD.replace(b'"demo"', b'"\\ud800"'),
    "type": GOOD.replace(b"4711", b'"4711"'),
    "shape": b"[]",
    "lacking": b'{"process":1}',
    "time": GOOD.replace(str(NOW).encode(), b"9" * 18),
    "number": GOOD.replace(b"77000", b"9" * 40),
    "long": GOOD + b" " * (1 << 20),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=list(DAMAGED))
def test_a_damaged_state_of_run(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(OcspeedError, match=r"run\.json cannot be read: "):
        run_state.read(tmp_path)


@pytest.mark.parametrize("kind", ["pipe", "link", "device", "directory"])
def test_a_state_of_run_that_is_no_file(tmp_path: Path, kind: str) -> None:
    """Nobody is waited for, and nothing without an end is read."""
    path = tmp_path / "run.json"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        (tmp_path / "other").write_bytes(GOOD)
        path.symlink_to("/dev/zero" if kind == "device" else tmp_path / "other")
    with pytest.raises(OcspeedError, match=r"run\.json cannot be read: not a regular file"):
        run_state.read(tmp_path)


def test_status_goes_on_without_the_state_of_run(watch: Watch) -> None:
    (watch.works.context.settings.state_directory / "run.json").write_bytes(DAMAGED["no UTF-8"])
    found = watch.look(code=1)
    assert found["issuers"][0]["queue"] is None
    assert "run.json cannot be read: " in found["run"]["error"]
    assert found["run"]["error"] in watch.remarks()


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        ({"troubles": ["clock: it jumped: nothing is signed"]}, "clock: it jumped"),
        ({"issuers": [msgspec.structs.replace(STATE.issuers[0], late_responses=3)]}, "3 responses are not renewed"),
        ({"issuers": [msgspec.structs.replace(STATE.issuers[0], stale_responses=4)]}, "4 responses are past"),
    ],
)  # fmt: skip
def test_what_run_cannot_do(watch: Watch, trouble: dict[str, Any], says: str) -> None:
    run_state.write(watch.works.context.settings.state_directory, msgspec.structs.replace(STATE, **trouble))
    watch.look(code=1)
    assert says in watch.remarks()


def test_a_store_that_is_not_reconciled(watch: Watch) -> None:
    watch.works.add_some(8)
    settle_pages(watch.works)
    found = watch.look(code=0)["store"]
    assert (found["unreconciled"], found["head_of_demo"]) == ([], "1.1")
    watch.works.context.writer.write_head("demo", Head(1, b"5" * 40))
    assert watch.look(code=1)["store"]["unreconciled"] == ["demo"]
    assert "demo: not reconciled with this primary" in watch.remarks()


def test_a_change_that_waits_too_long(watch: Watch) -> None:
    watch.works.add_some(8)
    watch.works.clock.pass_time(300)  # type: ignore[attr-defined]
    assert watch.look(code=0)["issuers"][0]["waiting_seconds"] == 300
    watch.works.clock.pass_time(1)  # type: ignore[attr-defined]
    watch.look(code=1)
    assert "demo: changes wait to be signed for 301 s" in watch.remarks()


def test_a_schedule_that_is_behind(watch: Watch) -> None:
    settle_pages(watch.works)
    watch.works.ledger.set_checkpoint(watch.works.issuer.id, NOW // DAY * DAY, 0)
    watch.works.clock.seconds = NOW // DAY * DAY + 4_000  # type: ignore[attr-defined]
    assert watch.look(code=1)["issuers"][0]["behind_seconds"] == 4_000
    assert "pages are signed 4,000 s after they fell due" in watch.remarks()


@pytest.mark.invariant("G6")
def test_a_responder_certificate_that_ends(watch: Watch) -> None:
    settle_pages(watch.works)
    end = watch.look(code=0)["issuers"][0]["responder_not_after"]
    watch.works.clock.seconds = int(datetime.fromisoformat(end).timestamp()) - 3 * DAY  # type: ignore[attr-defined]
    watch.look(code=1)
    assert f"the responder certificate ends at {end}" in watch.remarks()


def test_pages_that_are_laid_out_anew(watch: Watch) -> None:
    works = watch.works
    assert watch.look(code=0)["issuers"][0]["repaging"] is None
    works.ledger.begin_layout(works.issuer.id, 4)
    assert watch.look(code=0)["issuers"][0]["repaging"] == "16 pages are filled"
    works.ledger.put_in_force(works.issuer.id, NOW, actor="me")
    assert watch.look(code=0)["issuers"][0]["repaging"] == "4 pages are removed"


def test_run_counts_what_it_has_to_tell(works: Works, clock: FakeClock) -> None:
    works.add(row_in_page(page, 1) for page in range(4))
    works.damage(row_in_page(2, 1).serial)
    steady = SteadyClock(clock)
    with Pool(works.file, 1, steady) as pool:
        loop = Loop(works, pool, steady)
        with loop.context:
            loop.rest()
            clock.pass_time(100)
            loop.rest()
            state = loop.reports.state(clock.now())
            assert state.of("demo") == IssuerState("demo", 0, 1, 100, 0, 0)
            assert "page 2: a certificate in it cannot be signed" in state.troubles[0]
            clock.seconds += DAY
            loop.rest()
            assert not loop.reports.state(clock.now()).clock_trusted


@pytest.mark.slow
def test_a_real_run(tmp_path: Path, store_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    works = Works(tmp_path, store_url, SystemClock())
    with works.context:
        watch = Watch(works, capsys)
        works.add_some(8)
        directory = works.context.settings.state_directory
        with Service(tmp_path, 0).signing() as process:
            wait_until(lambda: run_state.read(directory) is not None, 60)
            wait_until(lambda: works.ledger.pending_changes(works.issuer.id) == 0, 60)
            found = watch.look(code=0)
            assert found["run"]["process"] == process.pid and found["run"]["clock_trusted"]
        assert run_state.read(directory) is None
