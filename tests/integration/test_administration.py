"""G5: every administrative verb twice, as everybody who might call, over every listener; and every command of the signer twice.

Who is not known changes nothing, what is done twice is done once, and what is revoked stays revoked, whatever is called.
"""

import json
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer

from _fastpath.ocsp import MALFORMED_REQUEST
from signer.cli import app
from tests.integration.service import Service
from tests.ports import free_port
from tests.signer.processes import wait_until
from tests.signer.test_intake_api import END, TOKEN, Signer, made, write_pair
from tests.signer.works import Works

pytestmark = [pytest.mark.slow, pytest.mark.invariant("G5")]

BATCH = {"Content-Type": "application/x-ndjson"}
INTAKE = "/intake/v1/demo"
ISSUED, REVOKED, RESERVED = "0a01", "0a02", "0a03"  # serials that are so from the beginning
WRONG = "x" * len(TOKEN)

Ask = Callable[[httpx.Client], httpx.Response]


def post(verb: str, *, batch: bool = False, **body: str) -> Ask:
    if batch:
        content = json.dumps(body).encode() + b"\n"
        return lambda client: client.post(f"{INTAKE}/{verb}", content=content, headers=BATCH)
    return lambda client: client.post(f"{INTAKE}/{verb}", json=body)


def verbs(serial: str) -> dict[str, Ask]:
    """Everything that the intake API does, for one serial."""
    return {
        "reserve": post("reservations", serial=serial),
        "issue": post("certificates", serial=serial, not_after=END),
        "find": lambda client: client.get(f"{INTAKE}/certificates/{serial}"),
        "revoke": post("revocations", serial=serial, reason="superseded"),
        "reserve in a batch": post("reservations", batch=True, serial=serial),
        "issue in a batch": post("certificates", batch=True, serial=serial, not_after=END),
        "revoke in a batch": post("revocations", batch=True, serial=serial, reason="superseded"),
    }


def recorded(works: Works, *, journal: bool = True) -> list[str]:
    """All that the ledger has: certificates, reservations and, unless told otherwise, the journal."""
    connection = sqlite3.connect(works.directory / "ledger.db")
    try:
        lines = list(connection.iterdump())
    finally:
        connection.close()
    wanted = ('"certificate"', '"reservation"', *(('"journal"',) if journal else ()))
    return [line for line in lines if line.startswith(tuple(f"INSERT INTO {table}" for table in wanted))]


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signer]:
    """`ocsp-signer run` that takes tokens and client certificates, and a responder beside it."""
    found = made(tmp_path_factory.mktemp("s"))
    here = found.works.directory
    ca = write_pair(here, "clients", None, "clients")
    write_pair(here, "admin", ca, "localhost")
    write_pair(here, "ra", ca, "issuance")
    others = write_pair(here, "others", None, "others")
    write_pair(here, "spy", others, "issuance")
    tls = 'client_ca = "clients.pem"\ncertificate = "admin.pem"\nkey = "admin.key"\n'
    found.change('tokens = "intake.tokens"\n', 'tokens = "intake.tokens"\n' + tls)
    with found.works.context:
        found.run()
        try:
            with client_of(found, TOKEN) as known:
                for serial in (ISSUED, REVOKED):
                    assert verbs(serial)["issue"](known).status_code == 200
                assert verbs(REVOKED)["revoke"](known).json()["status"] == "revoked"
                assert verbs(RESERVED)["reserve"](known).status_code == 200
            wait_until(lambda: found.works.is_revoked(bytes.fromhex(REVOKED)), 60)
            yield found
        finally:
            found.end()


def client_of(signer: Signer, token: str | None = None, certificate: str | None = None) -> httpx.Client:
    here = signer.works.directory
    context = ssl.create_default_context(cafile=here / "clients.pem")
    if certificate is not None:
        context.load_cert_chain(here / f"{certificate}.pem", here / f"{certificate}.key")
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    port = signer.address.rpartition(":")[2]
    return httpx.Client(base_url=f"https://localhost:{port}", verify=context, headers=headers, timeout=60)


STRANGERS: dict[str, dict[str, str]] = {
    "nobody": {},
    "a wrong token": {"token": WRONG},
    "a token cut short": {"token": TOKEN[:-1]},
    "a certificate of another CA": {"certificate": "spy"},
}


@pytest.mark.parametrize("who", STRANGERS)
def test_who_is_not_known_does_nothing(signer: Signer, who: str) -> None:
    before = recorded(signer.works)
    for serial in (ISSUED, REVOKED, RESERVED, "0aff"):
        for ask in verbs(serial).values():
            for _ in range(2):
                with client_of(signer, **STRANGERS[who]) as client:
                    try:
                        answer = ask(client)
                    except httpx.TransportError:
                        assert who == "a certificate of another CA"
                        continue
                assert answer.status_code == 401
                assert "serial" not in answer.json()
    assert recorded(signer.works) == before


@pytest.mark.parametrize("who", ["token", "certificate"])
def test_who_is_known_does_everything_once(signer: Signer, who: str) -> None:
    """The second time nothing is recorded but that somebody asked, and it is answered alike."""
    known: dict[str, str] = {"token": TOKEN} if who == "token" else {"certificate": "ra"}
    with client_of(signer, **known) as client:
        for number, name in enumerate(verbs("")):
            serial = f"0b{len(who):02x}{number:02x}"
            if "revoke" in name or name == "find":
                assert verbs(serial)["issue"](client).status_code == 200
            first = verbs(serial)[name](client)
            assert first.status_code == 200, first.text
            before = recorded(signer.works, journal=False)
            second = verbs(serial)[name](client)
            assert second.status_code == 200, second.text
            assert recorded(signer.works, journal=False) == before, name
            if "batch" not in name:
                assert second.json() == first.json()


def test_nothing_un_revokes(signer: Signer) -> None:
    """Nor makes it later, by any verb, twice."""
    with client_of(signer, TOKEN) as client:
        held = verbs(REVOKED)["find"](client).json()
        assert held["status"] == "revoked"
        for name, ask in verbs(REVOKED).items():
            for _ in range(2):
                ask(client)
                assert verbs(REVOKED)["find"](client).json() == held, name
        for method in ("DELETE", "PUT", "PATCH"):
            for path in (f"{INTAKE}/certificates/{REVOKED}", f"{INTAKE}/revocations"):
                assert client.request(method, path, json={"status": "good"}).status_code in (404, 405)
        assert verbs(REVOKED)["find"](client).json() == held
    assert signer.works.is_revoked(bytes.fromhex(REVOKED))


@contextmanager
def answering(signer: Signer) -> Iterator[Service]:
    service = Service(signer.works.directory, free_port())
    text = signer.works.file.read_text()
    service.config.write_text(
        f'{text}[responder]\nlisten = "127.0.0.1:{service.port}"\nadmin = "127.0.0.1:{service.admin_port}"\n'
    )
    try:
        with service.serving():
            yield service
    finally:
        service.config.write_text(text)


def test_no_listener_of_the_responder_has_it(signer: Signer) -> None:
    """With the right token: the public one answers OCSP and nothing else, that for operators has three paths."""
    before = recorded(signer.works)
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    own = ("/livez", "/readyz", "/metrics")
    with answering(signer) as service, ExitStack() as stack:
        public = stack.enter_context(httpx.Client(base_url=service.url, headers=bearer, timeout=60))
        admin_url = f"http://127.0.0.1:{service.admin_port}"
        admin = stack.enter_context(httpx.Client(base_url=admin_url, headers=bearer, timeout=60))
        for path in (*own, "/healthz", "/intake/v1/openapi.json"):
            answer = public.get(path)
            assert (answer.status_code, answer.content) == (200, MALFORMED_REQUEST)
            assert admin.get(path).status_code == (200 if path in own else 404)
            assert admin.post(path).status_code in (404, 405)
        for serial in (ISSUED, REVOKED, "0aff"):
            for ask in verbs(serial).values():
                for _ in range(2):
                    assert ask(public).content in (MALFORMED_REQUEST, b"")
                    assert ask(admin).status_code == 404
    assert recorded(signer.works) == before


def test_the_signer_s_listener_answers_no_ocsp_and_shows_what_anyone_may_see(signer: Signer) -> None:
    with client_of(signer) as client:
        assert client.get("/livez").status_code == client.get("/metrics").status_code == 200
        assert client.get("/intake/v1/openapi.json").status_code == 200
        for path in ("/", "/MEIwQDA+", "/crl/demo/0-0.crl", "/admin", "/intake/v1/demo"):
            assert client.get(path).status_code == 404


# Commands: those that write, each as it is called twice; `{}` is a file that is not there.
COMMANDS: dict[str, tuple[str, ...]] = {
    "import": ("--issuer", "demo", "good.txt"),
    "watch": ("--issuer", "demo", "--once", "good.txt"),
    "revoke": ("--issuer", "demo", "0a02", "--reason", "superseded"),
    "sign": ("--all",),
    "crl build": (),
    "store init": (),
    "store repage": ("--issuer", "demo", "--bits", "3"),
    "resume": ("--accept-clock",),
    "ledger upgrade": (),
    "ledger backup": ("{}",),
    "ledger restore": ("backup.db",),
    "journal export": ("--to", "journal.ndjson"),
}
READING = {"status", "audit", "crl show", "crl diff", "crl verify", "journal verify"}
# They go on for ever, make a CA of their own, or are for one whose key is elsewhere (tests/signer/test_import_signed.py).
ELSEWHERE = {"init", "run", "demo", "import-signed"}


def all_commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[str]:
    children = getattr(command, "commands", {})
    if not children:
        yield " ".join(words)
    for name, child in children.items():
        yield from all_commands(child, (*words, name))


def test_no_command_was_forgotten() -> None:
    assert {*all_commands(typer.main.get_command(app))} == {*COMMANDS} | READING | ELSEWHERE


def test_no_command_un_revokes(tmp_path: Path) -> None:
    """Each twice, an old index and an old backup among them; in the end ledger, store and CRLs say what they said."""
    works = made(tmp_path).works
    with works.context:
        pass  # from here on the commands alone have ledger and store
    (tmp_path / "good.txt").write_text(f"V\t20301231235959Z\t\t{REVOKED.upper()}\tunknown\t/CN=x\n")
    command(works, "import", *COMMANDS["import"])
    command(works, "ledger backup", "backup.db")
    for name in ("revoke", "sign", "crl build"):
        command(works, name, *COMMANDS[name])
    held = revocations(works)
    assert list(held) == [bytes.fromhex(REVOKED)]
    for name, arguments in COMMANDS.items():
        for number in range(2):
            command(works, name, *(one.replace("{}", f"new-{number}.db") for one in arguments))
            assert revocations(works) == held, name
    for name in ("audit", "sign", "crl build"):  # a restored ledger is signed from once it was audited
        command(works, name)


def revocations(works: Works) -> dict[bytes, tuple[int, int]]:
    connection = sqlite3.connect(works.directory / "ledger.db")
    try:
        rows = connection.execute(
            "SELECT serial, revocation_time, reason FROM certificate WHERE revocation_time IS NOT NULL"
        ).fetchall()
    finally:
        connection.close()
    return {serial: (time, reason) for serial, time, reason in rows}


def command(works: Works, name: str, *arguments: str) -> str:
    program = Path(sys.executable).with_name("ocsp-signer")
    done = subprocess.run(
        [program, *name.split(), *arguments, "--config", works.file],
        cwd=works.directory,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout
