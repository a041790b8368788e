"""deploy/acl on a real server: what each role may and may not do (C5), and that the rights suffice."""

import hashlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from _fastpath.page import PageHeader
from store.config import StoreSection
from store.connection import Endpoint, check_server
from store.embedded import find_program
from store.errors import StoreError, StoreUnavailable
from store.reader import StoreReader
from store.schema import IssuerRecord
from store.writer import PageWriter, PutStatus, check_functions, install_functions
from tests.store.conftest import REDIS, VALKEY, Engine
from tests.store.pages import ISSUER, KEY, TEMPLATE, page

DEPLOY = Path(__file__).parents[2] / "deploy"
RESPONDER, SIGNER, ADMIN = "ocsp-responder", "ocsp-signer", "ocsp-admin"
PASSWORD = "correct horse"
KEY_TEXT = KEY.decode()

# command, responder may, signer may
COMMANDS = [
    (f"HGET {KEY_TEXT} f", True, True),
    (f"HLEN {KEY_TEXT}", True, True),
    (f"HGETALL {KEY_TEXT}", True, True),
    ("HGETALL ocsp:issuer:demo", True, True),
    ("GET ocsp:template:1", True, True),
    (f"HMGET {KEY_TEXT} f g", True, False),
    ("PING", True, True),
    ("SELECT 1", True, True),
    ("HELLO 3", True, True),
    ("INFO replication", True, True),
    ("CLIENT SETNAME x", True, True),
    ("CLIENT ID", True, True),
    ("CLIENT TRACKING ON BCAST PREFIX ocsp:", True, False),
    (f"OBJECT ENCODING {KEY_TEXT}", False, True),
    (f"FCALL ocspeed_page_put 1 {KEY_TEXT}", False, True),
    (f"FCALL ocspeed_page_restore 1 {KEY_TEXT}", False, True),
    (f"FCALL ocspeed_record_put 1 {KEY_TEXT}", False, True),
    ("FCALL_RO ocspeed_digest 0", False, True),
    (f"HSET {KEY_TEXT} f v", False, True),
    ("HSET ocsp:issuer:demo f v", False, True),
    ("SET ocsp:template:1 v NX", False, True),
    (f"DEL {KEY_TEXT}", False, True),
    ("MULTI", False, True),
    ("EXEC", False, True),
    (f"UNLINK {KEY_TEXT}", False, True),
    ("HGET other f", False, False),
    ("GET other", False, False),
    ("HSET other f v", False, False),
    ("SET other v", False, False),
    ("DEL other", False, False),
    ("FCALL ocspeed_page_put 1 other", False, False),
    (f"HDEL {KEY_TEXT} f", False, False),
    (f"RESTORE {KEY_TEXT} 0 v", False, True),
    ("RESTORE other 0 v", False, False),
    (f"EXPIRE {KEY_TEXT} 1", False, False),
    (f"RENAME {KEY_TEXT} ocsp:x", False, False),
    ("EVAL return 0", False, False),
    ("EVALSHA x 0", False, False),
    ("SCRIPT LOAD x", False, False),
    ("FUNCTION LOAD x", False, False),
    ("FUNCTION DELETE ocspeed", False, False),
    ("FUNCTION FLUSH", False, False),
    ("FUNCTION RESTORE x", False, False),
    ("CONFIG GET maxmemory", False, False),
    ("CONFIG SET maxmemory 1", False, False),
    ("KEYS *", False, False),
    ("SCAN 0", False, False),
    ("FLUSHALL", False, False),
    ("FLUSHDB", False, False),
    ("SHUTDOWN", False, False),
    ("REPLICAOF NO ONE", False, False),
    ("ACL LIST", False, False),
    ("DEBUG SLEEP 0", False, False),
    ("MODULE LIST", False, False),
    ("MONITOR", False, False),
    ("CLIENT KILL ID 1", False, False),
    ("CLIENT LIST", False, False),
    ("PUBLISH x y", False, False),
    ("SUBSCRIBE x", False, False),
    ("SAVE", False, False),
]

# Without a login everybody may say these; they read and change nothing of the store.
FOR_ALL = {"auth", "hello", "quit", "reset"}
LISTED = {
    RESPONDER: FOR_ALL
    | {"client|id", "client|setname", "client|tracking", "get", "hget", "hgetall", "hlen", "hmget", "info"}
    | {"ping", "select"},
    SIGNER: FOR_ALL
    | {"client|id", "client|setname", "del", "exec", "fcall", "fcall_ro", "get", "hget", "hgetall", "hlen"}
    | {"hset", "info", "multi", "object|encoding", "ping", "restore", "select", "set", "unlink"},
}


def endpoint_of(directory: Path, user: str, password: str = PASSWORD) -> Endpoint:
    (directory / user).write_text(f"{password}\n", encoding="utf-8")
    section = StoreSection(
        url=f"unix://{directory}/valkey.sock", username=user, password_file=directory / user
    )
    return Endpoint.of(section, directory)


def write_users(path: Path) -> None:
    """The files of deploy/acl together, with passwords, as deploy/acl/README.md says."""
    digest = hashlib.sha256(PASSWORD.encode()).hexdigest()
    lines = "".join((DEPLOY / "acl" / f"{role}.acl").read_text() for role in ("responder", "signer", "admin"))
    path.write_text(lines.replace(" on ", f" on #{digest} "), encoding="utf-8")


@pytest.fixture(
    scope="module",
    params=[pytest.param(VALKEY, id="valkey"), pytest.param(REDIS, id="redis", marks=pytest.mark.slow)],
)
def directory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A server with deploy/valkey.conf and deploy/acl, its functions loaded by the administrator."""
    engine: Engine = request.param
    directory = tmp_path_factory.mktemp("acl")
    write_users(directory / "users.acl")
    options = {
        "port": "0",
        "unixsocket": str(directory / "valkey.sock"),
        "dir": str(directory),
        "aclfile": str(directory / "users.acl"),
    }
    command = [find_program(engine.program), str(DEPLOY / "valkey.conf")]
    for name, value in options.items():
        command += [f"--{name}", value]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        while not (directory / "valkey.sock").exists():
            assert process.poll() is None, (directory / "log").read_text()
            time.sleep(0.02)
        admin = endpoint_of(directory, ADMIN)
        with admin.client() as client:
            install_functions(client, admin.url)
        yield directory
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def admin(directory: Path) -> Iterator[redis.Redis]:
    with endpoint_of(directory, ADMIN).client() as client:
        yield client


@pytest.mark.invariant("C5")
@pytest.mark.parametrize(
    ("command", "responder_may", "signer_may"), COMMANDS, ids=[command for command, _, _ in COMMANDS]
)
def test_rights(admin: redis.Redis, command: str, responder_may: bool, signer_may: bool) -> None:
    words = command.split()
    for user, may in ((RESPONDER, responder_may), (SIGNER, signer_may)):
        verdict = admin.acl_dryrun(user, *words)
        assert (verdict in (b"OK", "OK")) is may, f"{user}: {command}: {verdict!r}"


def every_command(admin: redis.Redis) -> Iterator[tuple[str, list[str]]]:
    """All that the server has, those below others too, each with as many words as it needs at least."""
    listed: dict[str, dict[str, Any]] = admin.command()
    for name, about in listed.items():
        subcommands = [(one[0].decode(), int(one[1])) for one in about["subcommands"]]
        for full, arity in subcommands or [(name, int(about["arity"]))]:
            words = full.split("|")
            yield full, [*words, *[KEY_TEXT] * (abs(arity) - len(words))]


@pytest.mark.invariant("C5")
@pytest.mark.parametrize("user", [RESPONDER, SIGNER])
def test_of_every_command_those_listed_alone(admin: redis.Redis, user: str) -> None:
    """C5: with the store's own keys for every word, so that nothing but the command can be what is refused."""
    allowed, seen = set(), 0
    for name, words in every_command(admin):
        verdict = admin.acl_dryrun(user, *words)
        text = verdict.decode() if isinstance(verdict, bytes) else str(verdict)
        seen += 1
        if "no permissions to run the" not in text:
            allowed.add(name)
    assert seen > 300
    assert allowed == LISTED[user]


def test_the_signers_rights_suffice(directory: Path, admin: redis.Redis) -> None:
    admin.delete(KEY)
    endpoint = endpoint_of(directory, SIGNER)
    with endpoint.client() as client:
        check_server(client, endpoint.url)
        check_functions(client, endpoint.url)
        writer, reader = PageWriter(client, endpoint.url), StoreReader(client, endpoint.url)
        results = writer.put_pages(
            [page({b"\1": True, b"\2": False}, 1), page({b"\2": False}, 2, removed=(b"\1",))]
        )
        assert [result.status for result in results] == [PutStatus.WRITTEN, PutStatus.WRITTEN]
        writer.write_template(1, TEMPLATE.encode())
        writer.write_issuer("demo", IssuerRecord(ISSUER.fingerprint, 1, 0, (1, 2), {0: 1}))
        assert reader.header("demo", 1, 0) == PageHeader(2, results[0].header.this_update, 1, 0)  # type: ignore[union-attr]
        assert client.object("ENCODING", KEY) == b"listpack"
        assert writer.unlink_pages("demo", 1, [0]) == 1


def test_the_responders_rights_suffice(directory: Path) -> None:
    endpoint = endpoint_of(directory, RESPONDER)
    with endpoint.client() as client:
        check_server(client, endpoint.url)
        assert StoreReader(client, endpoint.url).issuer("nobody") is None
        with pytest.raises(StoreError, match="lacks a right"):
            PageWriter(client, endpoint.url).put_pages([page({}, 1)])


@pytest.mark.invariant("C5")
def test_the_default_user_is_shut_out(directory: Path) -> None:
    endpoint = Endpoint(f"unix://{directory}/valkey.sock")
    with endpoint.client() as client, pytest.raises(StoreUnavailable, match="login was refused"):
        check_server(client, endpoint.url)


def test_a_wrong_password_says_what_to_check(directory: Path) -> None:
    endpoint = endpoint_of(directory, RESPONDER, "wrong")
    with endpoint.client() as client, pytest.raises(StoreUnavailable) as caught:
        check_server(client, endpoint.url)
    assert "password_file" in str(caught.value)
    assert "wrong" not in str(caught.value).replace("wrong number", "")


def test_users_have_no_password_as_shipped() -> None:
    for role in ("responder", "signer", "admin"):
        words = (DEPLOY / "acl" / f"{role}.acl").read_text().split()
        assert "nopass" not in words
        assert not any(word.startswith((">", "#")) for word in words)


def test_a_function_called_without_the_rights_writes_nothing(directory: Path, admin: redis.Redis) -> None:
    """Functions run with the caller's rights; a page that cannot be read is not taken for an absent one."""
    admin.delete(KEY)
    admin_endpoint = endpoint_of(directory, ADMIN)
    PageWriter(admin, admin_endpoint.url).put_pages([page({b"\1": True}, 5)])
    before = admin.hgetall(KEY)
    admin.acl_setuser(
        "blind",
        enabled=True,
        passwords=[f"+{PASSWORD}"],
        keys=["ocsp:*"],
        commands=["+fcall", "+hset", "+del"],
    )
    endpoint = endpoint_of(directory, "blind")
    with endpoint.client() as client, pytest.raises(StoreError, match="lacks a right"):
        PageWriter(client, endpoint.url).put_pages([page({b"\1": False}, 1)])
    assert admin.hgetall(KEY) == before


def test_a_signer_without_the_right_to_restore_writes_field_by_field(
    directory: Path, admin: redis.Redis
) -> None:
    """As users have it whose ACL is of an earlier release."""
    admin.delete(KEY)
    commands = ["+fcall", "+hget", "+hset", "+del"]
    admin.acl_setuser("old", enabled=True, passwords=[f"+{PASSWORD}"], keys=["ocsp:*"], commands=commands)
    endpoint = endpoint_of(directory, "old")
    with endpoint.client() as client:
        writer = PageWriter(client, endpoint.url)
        results = writer.put_pages(page({b"\1": True}, as_of) for as_of in (1, 2, 2, 3))
    stale = PutStatus.STALE
    assert [result.status for result in results] == [
        PutStatus.WRITTEN,
        PutStatus.WRITTEN,
        stale,
        PutStatus.WRITTEN,
    ]
    assert PageHeader.decode(admin.hget(KEY, "")).as_of == 3  # type: ignore[arg-type]
