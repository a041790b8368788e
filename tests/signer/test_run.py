"""`ocsp-signer run` for real: changes of others, a killed store, a second signer, signals and its processes."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from _fastpath.page import page_number
from signer.commands import signing
from signer.run import Runner, only_signer
from store.clock import SystemClock
from store.connection import socket_path
from store.errors import OcspeedError, StoreError
from store.schema import page_key
from tests.signer.processes import children_of, wait_until, workers_of
from tests.signer.works import DAY, Works, row_in_page

SIGNER = Path(sys.executable).with_name("ocsp-signer")


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Works]:
    """On the machine's clock and with an embedded store, its ledger not yet made; pages for several chunks."""
    works = Works(tmp_path_factory.mktemp("s"), None, SystemClock(), page_bits=6)
    with works.context:
        yield works


def fill(works: Works, count: int = 5) -> None:
    late = works.clock.now() + 50 * DAY
    works.add(row_in_page(page, number, not_after=late) for page in range(4) for number in range(count))


@contextmanager
def running(works: Works) -> Iterator[threading.Event]:
    """A Runner on a thread of this process; its end is waited for and its errors come out."""
    stop = threading.Event()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            Runner(works.file).run(stop)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()
    if errors:
        raise errors[0]


def store_of(works: Works) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(socket_path(works.context.settings.state_directory)))


def is_whole(works: Works) -> bool:
    """Whether the store says what the ledger says; not while it is away."""
    try:
        works.check_store()
    except (AssertionError, StoreError, redis.RedisError):
        return False
    return True


def has_socket(works: Works) -> bool:
    return socket_path(works.context.settings.state_directory).exists()


def published(works: Works) -> Path:
    return Path(works.context.settings.objects_target) / "crl" / "demo"


def test_everything_at_once(own: Works) -> None:
    """It signs what is there, then what another process records, and publishes; a killed store is filled again."""
    fill(own)
    with running(own):
        wait_until(lambda: has_socket(own) and is_whole(own))
        wait_until((published(own) / "ccadb-partitioned.json").exists)
        own.revoke(row_in_page(1, 1).serial)
        wait_until(lambda: own.is_revoked(row_in_page(1, 1).serial))
        fill(own, 8)
        wait_until(lambda: is_whole(own))
        with store_of(own) as client:
            pid = client.info("server")["process_id"]
        os.kill(pid, signal.SIGKILL)
        own.revoke(row_in_page(2, 2).serial)
        wait_until(lambda: is_whole(own))
        with store_of(own) as client:
            assert client.info("server")["process_id"] != pid
        assert own.is_revoked(row_in_page(2, 2).serial)


def test_an_idle_run_mends_what_the_store_loses(own: Works) -> None:
    """Nothing is committed and nothing is due: only looking finds it."""
    fill(own)
    with running(own):
        wait_until(lambda: has_socket(own) and is_whole(own))
        with store_of(own) as client:
            client.delete(page_key("demo", own.issuer.page_epoch, 1))
            client.hset(page_key("demo", own.issuer.page_epoch, 1), "x", "y")
            wait_until(lambda: is_whole(own))
            client.hset("ocsp:issuer:demo", "page_bits", "5")
            wait_until(lambda: client.hget("ocsp:issuer:demo", "page_bits") == b"6")
            client.flushall()
            wait_until(lambda: is_whole(own))
            os.kill(client.info("server")["process_id"], signal.SIGKILL)
        wait_until(lambda: has_socket(own) and is_whole(own))


def test_lists_lost_before_the_start_are_written(own: Works) -> None:
    job = own.context.crl_job("demo")
    job.build(job.shards(), lambda outcome: None)
    (published(own) / "manifest.json").unlink()
    with running(own):
        wait_until((published(own) / "manifest.json").exists)


def test_a_bad_configuration_ends_it(own: Works) -> None:
    fill(own)
    own.file.write_text(own.file.read_text().replace('key = "ca.key"', 'key = "responder.key"'))
    with pytest.raises(OcspeedError, match="not the key of"), running(own) as stop:
        wait_until(lambda: stop.is_set() or not has_socket(own), 10)


def test_a_second_one_is_refused(own: Works) -> None:
    state = own.context.settings.state_directory
    with only_signer(state):
        done = subprocess.run(
            [SIGNER, "run", "--config", own.file], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 1
        assert f"another `ocsp-signer run` is at work (process {os.getpid()})" in done.stderr
        assert "Traceback" not in done.stderr
    with only_signer(state):
        assert (state / "signer.lock").read_text() == f"{os.getpid()}\n"


@contextmanager
def started(works: Works) -> Iterator["subprocess.Popen[bytes]"]:
    """`ocsp-signer run` with two workers in a process group of its own."""
    works.file.write_text(works.file.read_text().replace("workers = 1", "workers = 2"))
    fill(works)
    log = works.directory / "run.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [SIGNER, "run", "--config", works.file], stdout=output, stderr=output, start_new_session=True
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def command(works: Works) -> Iterator["subprocess.Popen[bytes]"]:
    """The same, at work."""
    with started(works) as process:
        wait_until(lambda: has_socket(works) and is_whole(works), 60)
        yield process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_to_the_whole_group_ends_it_well(own: Works, number: signal.Signals) -> None:
    """As Ctrl-C in a terminal and a service manager send it: to the workers too."""
    with command(own) as process:
        children = children_of(process.pid)
        assert len(children) >= 3  # two workers and the store
        os.killpg(process.pid, number)
        assert process.wait(20) == 0
        wait_until(lambda: not children & children_of(1))
    log = (own.directory / "run.log").read_text()
    assert "Traceback" not in log
    assert not has_socket(own)


def test_an_interrupt_while_its_workers_start_ends_it_well(own: Works) -> None:
    """They have not come to ignoring it yet, and must not die of it half-way through their imports."""
    with started(own) as process:
        wait_until(lambda: bool(workers_of(process.pid)))
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 0
    assert "Traceback" not in (own.directory / "run.log").read_text()


@pytest.mark.parametrize("killed", [1, 2])
def test_killed_workers_are_replaced(own: Works, killed: int) -> None:
    """As by the system when memory runs out: it takes one, or all."""
    with command(own) as process:
        workers = sorted(workers_of(process.pid))
        assert len(workers) == 2
        for worker in workers[:killed]:
            os.kill(worker, signal.SIGKILL)
        with store_of(own) as client:
            client.flushall()
        own.revoke(row_in_page(1, 1).serial)
        wait_until(lambda: is_whole(own) and own.is_revoked(row_in_page(1, 1).serial))
        assert workers_of(process.pid)
        process.terminate()
        assert process.wait(20) == 0


def test_killed_it_leaves_no_worker(own: Works) -> None:
    """The store lives on by design, for whoever comes next."""
    with command(own) as process:
        children = children_of(process.pid)
        with store_of(own) as client:
            store = client.info("server")["process_id"]
        process.kill()
        process.wait(20)
        wait_until(lambda: children & children_of(1) <= {store})
        assert is_whole(own)
        os.kill(store, signal.SIGTERM)


def test_command_sign(own: Works, capsys: pytest.CaptureFixture[str]) -> None:
    fill(own)

    def sign(*, everything: bool = False, as_json: bool = True) -> int:
        return signing.sign(
            own.file, everything=everything, issuer="demo", workers=1, as_json=as_json, quiet=True
        )

    assert sign() == 0
    out = capsys.readouterr().out
    assert '"issuer":"demo","pages":64,"responses":40,"current":0,"faults":[]' in out
    assert sign() == 0
    assert '"pages":0,"responses":0' in capsys.readouterr().out
    own.damage(row_in_page(3, 1).serial)
    assert sign(everything=True, as_json=False) == 1
    out, err = capsys.readouterr()
    assert out.startswith("demo: ")
    page = page_number(row_in_page(3, 1).serial, 6)
    assert f"demo: page {page}: a certificate in it cannot be signed" in err
    with pytest.raises(OcspeedError, match="'other'"):
        signing.sign(own.file, everything=False, issuer="other", workers=1, as_json=True, quiet=True)
