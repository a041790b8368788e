"""C5: each right of deploy/acl taken away alone. What needs it says so, and nobody gets a wrong answer for it."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from cryptography.x509 import ocsp
from structlog.testing import capture_logs

from responder import app
from responder.admin import check_readiness
from responder.app import Application
from responder.config import load_settings
from responder.counters import Counters
from responder.errors import TryLater, Unauthorized
from store.clock import SystemClock
from store.schema import HEAD_FIELD
from store.writer import install_functions
from tests.faults.servers import Server
from tests.integration.service import BIN
from tests.responder.ca import CA, Shelf, good, revoked
from tests.responder.conftest import GOOD, REVOKED, FakeClock, write_config
from tests.responder.test_resolver import ask
from tests.signer.works import DAY, Works, row_in_page
from tests.store.test_acl import PASSWORD, RESPONDER, SIGNER

ACL = Path(__file__).parents[2] / "deploy" / "acl"
ABSENT = 0x5A17_0000_0000_0007


def rights_of(role: str) -> list[str]:
    """As the file has them, without what comes before."""
    words = (ACL / f"{role}.acl").read_text().split()
    return words[words.index("-@all") + 1 :]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("s") / "store")
    yield server
    server.kill()


@pytest.fixture
def admin(server: Server) -> Iterator[redis.Redis]:
    with server.client() as client:
        client.flushall()
        install_functions(client, server.url)
        yield client


def login(admin: redis.Redis, server: Server, user: str, rights: list[str]) -> str:
    """The URL by which a user comes in that has these rights only."""
    words: tuple[str, ...] = (
        "on",
        "resetpass",
        f">{PASSWORD}",
        "resetkeys",
        "resetchannels",
        "-@all",
        *rights,
    )
    execute: Callable[..., object] = admin.execute_command
    execute("ACL SETUSER", user, *words)
    return f"redis://{user}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{server.port}"


async def outcome(worker: Application, ca: CA, serial: int) -> str:
    try:
        answer = await worker.resolver.resolve(ask(ca, serial))
    except TryLater:
        return "tryLater"
    except Unauthorized:
        return "unauthorized"
    return ocsp.load_der_ocsp_response(answer.body).certificate_status.name


# Without these it answers all the same: others need no right for the first two, redis-py and operators want the rest.
SPARE = {"+hello", "+auth", "+ping", "+client|id", "+client|setname", "+select", "+hmget"}
ALWAYS = ["GOOD", "REVOKED", "unauthorized"]


@pytest.mark.invariant("C5", "A8")
@pytest.mark.parametrize("right", rights_of("responder"))
async def test_a_responder_without_a_right(
    tmp_path: Path, ca: CA, server: Server, admin: redis.Redis, right: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers as always, or nothing but tryLater, which its log and /readyz give the reason of."""
    Shelf(ca, admin).put(good(GOOD), revoked(REVOKED))
    url = login(admin, server, RESPONDER, [one for one in rights_of("responder") if one != right])
    settings = load_settings(write_config(tmp_path, ca, url, "lookup_timeout_ms = 5000"))
    worker = Application(settings, Counters.private(), FakeClock())
    monkeypatch.setattr(app, "WARM_UP", 60.0 if right in SPARE else 0.2)
    with capture_logs() as logs:
        await worker.start()
        try:
            found = [await outcome(worker, ca, serial) for serial in (GOOD, REVOKED, ABSENT)]
        finally:
            await worker.stop()
    if right in SPARE:
        assert found == ALWAYS
        return
    assert "tryLater" in found
    assert all(one in ("tryLater", always) for one, always in zip(found, ALWAYS, strict=True))
    # Of changes being pushed it cannot know; the workers' store_up tells of that.
    assert check_readiness(settings, FakeClock()).ready is (right == "+client|tracking")
    refusals = [str(line["error"]) for line in logs if line["event"] == "store refused a command"]
    assert any("NOPERM" in line and right.strip("+%R~ocsp:*") in line for line in refusals)


def run(works: Works, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [str(BIN / "ocsp-signer"), *arguments, "--config", str(works.file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def works(tmp_path: Path, server: Server, admin: redis.Redis) -> Iterator[Works]:
    """With certificates and a revocation, nothing of it signed."""
    made = Works(tmp_path, server.url, SystemClock())
    with made.context:
        late = made.clock.now() + 50 * DAY
        made.add(row_in_page(page, number, not_after=late) for page in range(4) for number in range(3))
        made.revoke(row_in_page(1, 1).serial)
        yield made


# Without any of these nothing can be signed; the others are for connecting, for re-paging and for writing faster.
NEEDED = {"~ocsp:*", "+info", "+set", "+hget", "+hgetall", "+hlen", "+hset", "+fcall", "+fcall_ro"}


@pytest.mark.slow
@pytest.mark.invariant("C5", "A8")
@pytest.mark.parametrize("right", rights_of("signer"))
def test_a_signer_without_a_right(works: Works, server: Server, admin: redis.Redis, right: str) -> None:
    """It does its work or says what it lacks; what it leaves is never wrong."""
    url = login(admin, server, SIGNER, [one for one in rights_of("signer") if one != right])
    works.file.write_text(works.file.read_text().replace(server.url, url))
    done = run(works, "sign", "--json")
    assert "Traceback" not in done.stderr
    if right not in NEEDED:
        assert done.returncode == 0, done.stderr
        works.check_store()  # by who has all rights
        return
    assert done.returncode == 1
    assert "the user lacks a right" in done.stderr and right.strip("+~ocsp:*") in done.stderr
    assert all(
        admin.hget(key, HEAD_FIELD) is None for key in admin.scan_iter("ocsp:issuer:*")
    )  # nobody answers
