"""`ocsp-signer demo` as it is typed: it passes its own checks, keeps off what is not its own, and cleans up."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import redis
from cryptography import x509

from signer.demo.authority import create_authority
from signer.demo.play import MARKER, prepare_directory
from store.connection import socket_path
from store.errors import OcspeedError
from tests.signer.ledgers import NOW
from tests.signer.processes import children_of, processes_of, wait_until

SIGNER = Path(sys.executable).with_name("ocsp-signer")


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For sockets, whose paths have at most 107 octets."""
    return tmp_path_factory.mktemp("s") / "demo"


def check(directory: Path) -> "subprocess.CompletedProcess[str]":
    command = [str(SIGNER), "demo", "--check", "--certs", "200", "--seed", "7", "--dir", str(directory)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_check(directory: Path) -> None:
    done = check(directory)
    assert done.returncode == 0, done.stderr
    assert "all checks passed" in done.stderr
    assert "openssl ocsp says revoked.pem: revoked, Response verify OK" in done.stderr
    assert "Traceback" not in done.stderr
    assert processes_of(directory) == []


def test_what_is_not_a_demo_is_left_alone(directory: Path) -> None:
    directory.mkdir()
    (directory / "ca.key").write_text("precious")
    done = check(directory)
    assert done.returncode == 1
    assert "not empty, and not from an earlier demo" in done.stderr
    assert "--dir" in done.stderr
    assert [path.name for path in directory.iterdir()] == ["ca.key"]
    assert (directory / "ca.key").read_text() == "precious"


def test_prepare_directory(tmp_path: Path) -> None:
    fresh = tmp_path / "a" / "b"
    prepare_directory(fresh).close()
    assert [path.name for path in fresh.iterdir()] == [MARKER]
    (fresh / "old").touch()
    prepare_directory(fresh).close()
    assert [path.name for path in fresh.iterdir()] == [MARKER]
    assert fresh.stat().st_mode & 0o777 == 0o700
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(OcspeedError, match="not a directory"):
        prepare_directory(file)


@contextmanager
def staying(directory: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A demo that has passed its checks and stays, while its usual ports belong to somebody else."""
    directory.parent.mkdir(exist_ok=True)
    with ExitStack() as stack:
        for port in (2560, 9560):
            taken = stack.enter_context(socket.socket())
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):  # busy is what they are to be
                taken.bind(("127.0.0.1", port))
                taken.listen()
        output = stack.enter_context((directory.parent / "demo.log").open("wb"))
        command = [str(SIGNER), "demo", "--certs", "200", "--dir", str(directory)]
        process = stack.enter_context(
            subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        )
        try:
            yield process
        finally:
            process.kill()


def log_of(directory: Path) -> str:
    return (directory.parent / "demo.log").read_text()


def has_keys(store: redis.Redis) -> bool:
    try:
        return bool(store.dbsize())
    except redis.RedisError:
        return False


def test_it_stays_on_other_ports_until_told_to_go(directory: Path) -> None:
    with staying(directory) as process:
        wait_until(lambda: "Ctrl-C ends it" in log_of(directory) or process.poll() is not None, 60)
        found = re.search(r"serving on (http://127\.0\.0\.1:(\d+))", log_of(directory))
        assert found is not None, log_of(directory)
        assert found[2] != "2560"
        with pytest.raises(OcspeedError, match="a demo is at work there"):
            prepare_directory(directory)
        with urllib.request.urlopen(f"{found[1]}/crl/demo/0-0.crl", timeout=10) as answer:
            assert x509.load_der_x509_crl(answer.read()).next_update_utc is not None
        assert children_of(process.pid)
        with redis.Redis(unix_socket_path=str(socket_path(directory / ".ocspeed"))) as store:
            os.kill(store.info("server")["process_id"], signal.SIGKILL)
            wait_until(lambda: has_keys(store))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0, log_of(directory)
    assert "Traceback" not in log_of(directory)
    wait_until(lambda: processes_of(directory) == [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_ended_on_the_way_it_leaves_nothing_behind(directory: Path, number: signal.Signals) -> None:
    """As soon as the responder is there, before the checks are done."""
    with staying(directory) as process:
        wait_until(lambda: (directory / "responder.log").exists() or process.poll() is not None, 60)
        process.send_signal(number)
        assert process.wait(30) != 0
    wait_until(lambda: processes_of(directory) == [])


def test_the_authority(tmp_path: Path) -> None:
    """Its certificates chain, and its index.txt is what `openssl ca` keeps."""
    authority = create_authority(
        tmp_path, 300, NOW, "http://o.example", lambda serial: "http://c.example/0.crl", 5
    )
    ca = x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes())
    for name in ("responder", "good", "revoked"):
        x509.load_pem_x509_certificate((tmp_path / f"{name}.pem").read_bytes()).verify_directly_issued_by(ca)
    for key in ("ca.key", "responder.key"):
        assert (tmp_path / key).stat().st_mode & 0o777 == 0o600
    rows = authority.index.read_text().splitlines()
    states = {line.split("\t")[3]: line[0] for line in rows}
    assert len(states) == 300
    assert sum(state == "R" for state in states.values()) == 3
    assert states[f"{authority.good.serial:X}"] == "V"
    assert states[f"{authority.revoked.serial:X}"] == "R"


@pytest.mark.parametrize(("seed", "same"), [(5, True), (6, False)])
def test_a_seed_makes_the_same_serials_again(tmp_path: Path, seed: int, same: bool) -> None:
    made = []
    for name, chosen in (("a", 5), ("b", seed)):
        (tmp_path / name).mkdir()
        made.append(
            create_authority(tmp_path / name, 100, NOW, "http://o", lambda serial: "http://c", chosen)
        )
    assert (made[0].good.serial == made[1].good.serial) is same
    assert (made[0].index.read_text() == made[1].index.read_text()) is same
