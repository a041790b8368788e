"""Signing with keys in a PKCS #11 token from end to end: the commands, several processes, a token taken away."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from signer.crl.job import CrlJob, ShardOutcome, ShardStatus
from signer.errors import TokenUnavailable
from signer.keys.token import TokenKey
from signer.ocsp.schedule import PageRange
from store.clock import SystemClock
from store.errors import ConfigError
from tests.signer.processes import wait_until, workers_of
from tests.signer.softhsm import PIN, PrivateKey, SoftHsm, Token
from tests.signer.test_rollover import certify
from tests.signer.test_run import fill, has_socket, is_whole, published
from tests.signer.works import DAY, FakeClock, Works, row_in_page

SIGNER = Path(sys.executable).with_name("ocsp-signer")
ALL = PageRange(0, 3)
PAGES, IN_A_PAGE = 64, 40  # of a batch that two processes are at for a while
# Which key signs the responses; None is the P-256 key that the issuer has anyhow.
KINDS = pytest.mark.parametrize("own", [None, 2048], ids=["P-256", "RSA-2048"], indirect=True)


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Token:
    """Beside ocsp.toml, in its directory."""
    (tmp_path / "hsm").mkdir()
    return SoftHsm(tmp_path / "hsm", monkeypatch).token()


@contextmanager
def moved(works: Works, token: Token) -> Iterator[Works]:
    """With both keys in the token, and nowhere else."""
    for name in ("responder", "ca"):
        path = works.directory / f"{name}.key"
        key = load_pem_private_key(path.read_bytes(), None)
        assert isinstance(key, PrivateKey)
        token.put(key, name, "01" if name == "ca" else "02")
        path.unlink()
    responder = token.table("responder", ', certificate = "responder.pem"')
    text = works.file.read_text()
    text = text.replace('{ key = "responder.key", certificate = "responder.pem" }', responder)
    with works.configured(
        works.file.read_text(), text.replace('key = "ca.key"', f"signer = {token.table('ca')}")
    ):
        yield works


@pytest.fixture
def works(tmp_path: Path, store_url: str, clock: FakeClock, token: Token) -> Iterator[Works]:
    with moved(Works(tmp_path, store_url, clock), token) as made:
        yield made


@pytest.fixture
def own(request: pytest.FixtureRequest, tmp_path: Path, token: Token) -> Iterator[Works]:
    """On the machine's clock and with an embedded store; two workers. With a responder's key of so many bits of RSA."""
    works = Works(tmp_path, None, SystemClock(), page_bits=6, workers=2)
    if bits := getattr(request, "param", None):
        take_rsa(works, bits)
    with moved(works, token) as made:
        yield made


def take_rsa(works: Works, bits: int) -> None:
    """A responder certificate like the one that is there, of an RSA key, in its place."""
    key, now = rsa.generate_private_key(65537, bits), works.clock.now()
    (works.directory / "responders").mkdir()
    certify(works, "responder", key, now - 60, now + 60 * DAY)
    shutil.move(works.directory / "responders" / "responder.pem", works.directory / "responder.pem")
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (works.directory / "responder.key").write_bytes(pem)


def fill_pages(works: Works) -> None:
    late = works.clock.now() + 50 * DAY
    works.add(
        row_in_page(page, number, page_bits=6, not_after=late)
        for page in range(PAGES)
        for number in range(IN_A_PAGE)
    )


def check_stored(works: Works) -> int:
    """Every response of the pages that are in the store verifies, and says what the ledger says; how many pages."""
    found = [page for page in range(PAGES) if works.stored(page)]
    works.check_pages(found)
    return len(found)


def statuses(job: CrlJob) -> list[ShardStatus]:
    def ignore(outcome: ShardOutcome) -> None:
        """Progress that nobody looks at."""

    return [outcome.status for outcome in job.build(job.shards(), ignore)]


def command(works: Works, *arguments: str, expect: int = 0) -> str:
    done = subprocess.run(
        [SIGNER, *arguments, "--config", works.file], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == expect, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and PIN not in done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.invariant("G4")
def test_pages_and_crls(works: Works, token: Token, clock: FakeClock) -> None:
    """Nothing is stored or published while the token is away; then all of it."""
    works.add(row_in_page(page, number) for page in range(4) for number in range(3))
    signer, job = works.signer(), works.context.crl_job("demo")
    assert isinstance(works.context.ocsp_signer("demo").key, TokenKey)
    token.hsm.remove()
    with pytest.raises(TokenUnavailable):
        signer.sign_range(ALL)
    assert [works.stored(page) for page in range(4)] == [None] * 4
    assert set(statuses(job)) == {ShardStatus.REFUSED}
    token.hsm.bring_back()
    clock.pass_time(10)
    assert not signer.sign_range(ALL).faults
    works.check_store()
    assert set(statuses(job)) == {ShardStatus.PUBLISHED}


def test_the_token_has_one_session_for_each_use(works: Works) -> None:
    """Whatever is opened anew after an error: a token has not many."""
    assert works.context.ocsp_signer("demo").key is works.context.ocsp_signer("demo").key
    assert works.context.crl_signer("demo").key is works.context.crl_signer("demo").key
    assert works.context.crl_signer("demo").key is not works.open().crl_signer("demo").key


def test_crls_take_the_key_of_the_ca(works: Works, token: Token) -> None:
    works.file.write_text(works.file.read_text().replace(token.table("ca"), token.table("responder")))
    with works.open() as context, pytest.raises(ConfigError) as caught:
        context.crl_signer("demo")
    assert "key 'responder': not the key of the certificate" in str(caught.value)
    assert "`crl.signer`" in str(caught.value)


def test_without_python_pkcs11(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    for module in ("signer.keys.token", "signer.keys.pkcs11"):
        monkeypatch.delitem(sys.modules, module)
    with works.open() as context, pytest.raises(ConfigError, match=r'pip install "ocspeed\[pkcs11\]"'):
        context.ocsp_signer("demo")


@pytest.mark.invariant("G4")
@pytest.mark.slow
def test_commands(own: Works, token: Token) -> None:
    """Each of two workers opens its own session after it was spawned (G4)."""
    fill(own, 20)
    assert '"faults":[]' in command(own, "sign", "--all", "--json")
    assert "published" in command(own, "crl", "build", "--quiet")
    with own.open() as context:
        context.ensure_store()
        assert '"faults":[]' in command(own, "sign", "--all", "--json")
        own.check_store()
    token.hsm.remove()
    assert "NoSuchToken" in command(own, "sign", "--all", expect=1)
    assert "NoSuchToken" in command(own, "crl", "build", expect=1)
    token.hsm.bring_back()
    token.write_pin("wrong-0815")
    for arguments in (["crl", "build"], ["run"]):
        shown = command(own, *arguments, expect=2)
        assert f"the PIN in {token.pin_file} is refused" in shown and "0815" not in shown


@pytest.mark.invariant("G4")
@pytest.mark.slow
def test_a_token_taken_away_and_brought_back_while_it_runs(own: Works, token: Token) -> None:
    """G4: meanwhile nothing is signed, and the log says why; afterwards everything is, without a restart."""
    fill(own)
    log = own.directory / "run.log"
    with (
        log.open("wb") as output,
        subprocess.Popen([SIGNER, "run", "--config", own.file], stdout=output, stderr=output) as process,
    ):
        try:
            wait_until(lambda: has_socket(own) and is_whole(own), 60)
            wait_until((published(own) / "ccadb-partitioned.json").exists, 60)
            workers = workers_of(process.pid)
            commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in (process.pid, *workers)]
            token.hsm.remove()
            gone = row_in_page(1, 1).serial
            own.revoke(gone)
            wait_until(lambda: "token unavailable" in log.read_text(), 60)
            assert not own.is_revoked(gone)
            fill(own, 40)  # enough for the workers to meet it too
            token.hsm.bring_back()
            wait_until(lambda: own.is_revoked(gone), 60)
            wait_until(lambda: is_whole(own), 60)
            assert workers_of(process.pid) == workers
        finally:
            process.terminate()
        assert process.wait(30) == 0
    text = log.read_text()
    assert "NoSuchToken: 0 tokens have that label" in text and "Traceback" not in text
    assert PIN not in text and not any(PIN.encode() in one for one in commands)


@pytest.mark.slow
@KINDS
@pytest.mark.conformance("A-01", "A-05")
def test_a_batch_of_two_processes(own: Works) -> None:
    fill_pages(own)
    with own.open() as context:
        context.ensure_store()
        shown = command(own, "sign", "--all", "--workers", "2", "--json")
        assert f'"responses":{2 * PAGES * IN_A_PAGE},' in shown and '"faults":[]' in shown
        own.check_store()


@pytest.mark.invariant("G4")
@pytest.mark.slow
@KINDS
@pytest.mark.conformance("A-05")
def test_a_batch_meets_a_token_that_comes_and_goes(own: Works, token: Token) -> None:
    """G4. Of a pass that fails, whole chunks are stored or nothing; the next one signs what is missing."""
    fill_pages(own)
    with own.open() as context:
        context.ensure_store()
        process = subprocess.Popen(
            [SIGNER, "sign", "--all", "--config", own.file], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        wait_until(lambda: any(own.stored(page) for page in range(PAGES)), 60)
        token.hsm.remove()
        shown, _ = process.communicate(timeout=60)
        assert process.returncode == 1 and re.search(rb"NoSuchToken|ObjectHandle", shown), shown
        assert 0 < check_stored(own) < PAGES
        token.hsm.bring_back()
        assert '"faults":[]' in command(own, "sign", "--json")
        own.check_store()


@pytest.mark.invariant("G4")
@pytest.mark.slow
@KINDS
@pytest.mark.conformance("A-05")
def test_a_run_resumes_its_batch_when_the_token_is_back(own: Works, token: Token) -> None:
    """G4. It is taken away in the middle, twice, for longer than it is left alone after a fault, and for a moment."""
    fill_pages(own)
    log = own.directory / "run.log"
    with (
        own.open() as context,
        log.open("wb") as output,
        subprocess.Popen([SIGNER, "run", "--config", own.file], stdout=output, stderr=output) as process,
    ):
        context.ensure_store()
        try:
            wait_until(lambda: any(own.stored(page) for page in range(PAGES)), 60)
            token.hsm.remove()
            wait_until(lambda: "token unavailable" in log.read_text(), 60)
            signed = check_stored(own)
            assert 0 < signed < PAGES
            token.hsm.bring_back()
            wait_until(lambda: sum(own.stored(page) is not None for page in range(PAGES)) > signed, 60)
            token.hsm.remove()
            token.hsm.bring_back()
            wait_until(lambda: is_whole(own), 120)
        finally:
            process.terminate()
        assert process.wait(30) == 0
    text = log.read_text()
    assert "Traceback" not in text and "issuer stopped" not in text
