"""The intake API of a real `ocsp-signer run`: callers, what they may say, and what is durable when it is answered."""

import base64
import contextlib
import json
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from _fastpath.page import hash32
from signer.admin.openapi import document
from store.clock import SystemClock
from tests.signer.processes import wait_until
from tests.signer.works import Works

TOKEN = "ra-frontend-0123456789abcdef0123456789abcdef"
OTHER = "revoker-0123456789abcdef0123456789abcdef0123"
DOCUMENT = Path(__file__).parents[2] / "docs" / "intake-openapi.json"
URL = "http://crl.example/demo/0-1.crl"
BATCH = {"Content-Type": "application/x-ndjson"}


def later(days: int = 50) -> str:
    return f"{datetime.now(UTC) + timedelta(days):%Y-%m-%dT%H:%M:%SZ}"


END = later()


class Signer:
    """`ocsp-signer run` over a CA of its own, and a client of its intake API."""

    def __init__(self, works: Works) -> None:
        self.works = works
        self.log = works.directory / "run.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.address = ""
        self.client = httpx.Client()

    def change(self, before: str, after: str) -> None:
        """Of the configuration."""
        text = self.works.file.read_text()
        assert before in text
        self.works.file.write_text(text.replace(before, after))

    def write_tokens(self, text: str, mode: int = 0o600) -> Path:
        path = self.works.directory / "intake.tokens"
        path.write_text(text)
        path.chmod(mode)
        return path

    def run(self) -> "subprocess.Popen[bytes]":
        """Start it; the caller ends it."""
        program = Path(sys.executable).with_name("ocsp-signer")
        command = [str(program), "run", "--config", str(self.works.file)]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        wait_until(lambda: bool(self._find_address()) or self.process.poll() is not None, 60)  # type: ignore[union-attr]
        self.address = self._find_address()
        assert self.address, self.log.read_text()
        self.client = httpx.Client(
            base_url=f"http://{self.address}", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30
        )
        return self.process

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        assert self.process is not None
        self.client.close()
        self.process.send_signal(number)
        self.process.wait(30)

    def _find_address(self) -> str:
        for line in self.log.read_text().splitlines():
            if '"admin listener"' in line:
                return str(json.loads(line)["address"])
        return ""

    def post(self, verb: str, body: Any, issuer: str = "demo", **options: Any) -> httpx.Response:
        if isinstance(body, dict):
            options["json"] = body
        else:
            options["content"] = body
        return self.client.post(f"/intake/v1/{issuer}/{verb}", **options)

    def issue(self, serial: str, **more: Any) -> httpx.Response:
        return self.post("certificates", {"serial": serial, "not_after": END} | more)

    def revoke(self, serial: str, **more: Any) -> httpx.Response:
        return self.post("revocations", {"serial": serial, **more})

    def find(self, serial: str) -> httpx.Response:
        return self.client.get(f"/intake/v1/demo/certificates/{serial}")

    def batch(
        self, verb: str, lines: list[Any], expect: int | None = None
    ) -> tuple[list[Any], dict[str, Any]]:
        """Answers a line, and the counts with the id of the batch."""
        response = self.post_lines(verb, lines, expect)
        assert response.status_code == 200, response.text
        *told, counts = [json.loads(line) for line in response.text.splitlines()]
        assert counts["lines"] == len(told) == sum(counts["outcomes"].values())
        return told, counts

    def post_lines(self, verb: str, lines: list[Any], expect: object = None) -> httpx.Response:
        body = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines)
        params = {} if expect is None else {"expect": expect}
        return self.post(verb, body.encode(), headers=BATCH, params=params)

    def issue_certificate(self, serial: int, *, poison: bool = False, url: str | None = None) -> bytes:
        """DER, signed by the CA."""
        ca = x509.load_pem_x509_certificate((self.works.directory / "ca.pem").read_bytes())
        key = load_pem_private_key((self.works.directory / "ca.key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        now = datetime.now(UTC)
        end = datetime.fromisoformat(END)
        builder = x509.CertificateBuilder(ca.subject, x509.Name([]), key.public_key(), serial, now, end)
        if poison:
            builder = builder.add_extension(x509.PrecertPoison(), critical=True)
        if url is not None:
            point = x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)
            builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
        return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert found["status"] == status
    assert "Traceback" not in response.text
    return found


def made(directory: Path) -> Signer:
    works = Works(directory, None, SystemClock())
    assert works.issuer  # the ledger is there
    signer = Signer(works)
    signer.write_tokens(f"# who may\nra {TOKEN}\nrevoker {OTHER}\n")
    section = '[intake]\ntokens = "intake.tokens"\nline_limit = 2000\nbody_limit = "1MiB"\n'
    signer.change("[signer]\n", f"{section}[signer]\n")
    return signer


@contextlib.contextmanager
def at_work(directory: Path) -> Iterator[Signer]:
    """With two tokens. What it logged is looked at in the end."""
    found = made(directory)
    with found.works.context:
        found.run()
        try:
            yield found
        finally:
            found.end()
    assert "Traceback" not in found.log.read_text()
    assert TOKEN not in found.log.read_text()


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signer]:
    with at_work(tmp_path_factory.mktemp("s")) as found:
        yield found


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signer]:
    """Not started, for tests that kill it or configure it."""
    found = made(tmp_path_factory.mktemp("s"))
    with found.works.context:
        try:
            yield found
        finally:
            if found.process is not None and found.process.poll() is None:
                found.end()


@pytest.mark.invariant("A1", "A4", "G5")
@pytest.mark.conformance("R-10", "R-09")
def test_issued_then_revoked_is_answered(signer: Signer) -> None:
    """A4, A1: the store has the answer right after, from the same running process."""
    serial = 0x1001
    response = signer.post(
        "certificates",
        signer.issue_certificate(serial, poison=True, url=URL),
        headers={"Content-Type": "application/pkix-cert"},
    )
    assert response.status_code == 200, response.text
    assert response.json()["status"] == "good"
    number = serial.to_bytes(2)
    wait_until(lambda: signer.works.response(number) is not None)
    assert not signer.works.is_revoked(number)
    # the certificate itself, after its precertificate, is the same
    final = signer.issue_certificate(serial, url=URL)
    again = signer.post("certificates", {"certificate": base64.b64encode(final).decode()})
    assert again.json() == response.json()
    date = f"{datetime.now(UTC) - timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}"
    revoked = signer.revoke("1001", reason="keyCompromise", date=date)
    assert revoked.status_code == 200
    assert revoked.json() == response.json() | {"status": "revoked", "reason": 1, "revoked_at": date}
    wait_until(lambda: signer.works.is_revoked(number))
    assert signer.revoke("1001", reason=4).json() == revoked.json()  # neither later nor less grave (A6)
    assert signer.find("10:01").json() == revoked.json()
    again = signer.post("certificates", {"certificate": base64.b64encode(final).decode()})
    assert again.json() == revoked.json()  # nothing un-revokes (G5)


@pytest.mark.conformance("C-19", "R-08")
def test_a_reserved_serial_keeps_its_place(signer: Signer) -> None:
    first = signer.post("reservations", {"serial": "0x2F01"})
    place = hash32(b"\x2f\x01") % 3
    assert first.json() == {
        "serial": "2f01",
        "status": "reserved",
        "not_after": None,
        "revoked_at": None,
        "reason": None,
        "crl_url": f"http://crl.example/demo/0-{place}.crl",
        "ocsp_url": None,
    }
    assert signer.post("reservations", {"serial": "2f01"}).json() == first.json()
    assert signer.find("2f01").json() == first.json()
    assert signer.works.response(b"\x2f\x01") is None  # reserved is not issued
    assert "record the certificate" in problem(signer.revoke("2f01"), 404)["remedy"]
    wrong = signer.issue_certificate(0x2F01, url=f"http://crl.example/demo/0-{(place + 1) % 3}.crl")
    found = problem(
        signer.post("certificates", wrong, headers={"Content-Type": "application/pkix-cert"}), 409
    )
    assert f"but a reservation said {first.json()['crl_url']}" in found["detail"]
    right = x509.load_der_x509_certificate(signer.issue_certificate(0x2F01, url=first.json()["crl_url"]))
    done = signer.post(
        "certificates", right.public_bytes(Encoding.PEM), headers={"Content-Type": "application/x-pem-file"}
    )
    assert done.json() == first.json() | {"status": "good", "not_after": END}
    assert (
        "never reserved"
        in problem(signer.post("reservations", {"serial": signer.issue("2f02").json()["serial"]}), 409)[
            "detail"
        ]
    )


def test_a_batch_is_told_line_by_line(signer: Signer) -> None:
    told, counts = signer.batch(
        "certificates",
        [
            {"serial": "3001", "not_after": END},
            {"serial": "xyz", "not_after": END},
            {"serial": "3001", "not_after": END},
            "",
            {"serial": "3001", "not_after": later(60)},
            "{",
            '{"serial": "3002", "serial": "3003", "not_after": "2030-01-01T00:00:00Z"}',
            '{"serial": "3002", "not_after": "' + "x" * 70_000 + '"}',
            {
                "serial": "3004",
                "not_after": END,
                "revoked_at": "2020-01-01T00:00:00Z",
                "reason": "certificateHold",
            },
        ],
    )
    assert [one["line"] for one in told] == [1, 2, 3, 5, 6, 7, 8, 9]
    assert [one["outcome"] for one in told] == ["recorded", "rejected", "known"] + 4 * ["rejected"] + [
        "recorded"
    ]
    statuses = [one["problem"]["status"] for one in told if "problem" in one]
    assert statuses == [400, 409, 400, 400, 400]
    details = [one["problem"]["detail"] for one in told if "problem" in one]
    starts = (
        "serial:",
        "serial 3001: recorded with another",
        "line: not JSON",
        "serial: is there twice",
        "line: longer",
    )
    assert all(one.startswith(start) for one, start in zip(details, starts, strict=True)), details
    assert told[-1]["certificate"]["reason"] == 0
    assert "not allowed" in told[-1]["certificate"]["notes"][0]
    assert counts["outcomes"] == {"recorded": 2, "known": 1, "rejected": 5}
    assert signer.find("3002").status_code == 404
    told, counts = signer.batch("revocations", [{"serial": "3001"}, {"serial": "3005"}, {"serial": "3001"}])
    assert [one["outcome"] for one in told] == ["revoked", "rejected", "known"]
    told, counts = signer.batch(
        "reservations", [{"serial": f"{n:04x}"} for n in range(0x4000, 0x4000 + 1200)]
    )
    assert (counts["lines"], counts["outcomes"]) == (1200, {"reserved": 1200})


def many(signer: Signer, first: int, count: int) -> list[dict[str, Any]]:
    """Revocations of so many certificates that there are."""
    serials = [f"{number:06x}" for number in range(first, first + count)]
    signer.batch("certificates", [{"serial": serial, "not_after": END} for serial in serials])
    return [{"serial": serial, "reason": "superseded"} for serial in serials]


def test_more_than_a_hundred_revocations_have_to_be_expected(signer: Signer) -> None:
    """They are for ever. Nothing is revoked by who counts otherwise, and one batch has one id in the journal."""
    asked = many(signer, 0x100000, 620)
    asked[7]["reason"] = "keyCompromise"
    lines = [*asked, asked[0], {"serial": "1fffff"}, {"serial": "xyz"}]
    summary: dict[str, Any] = {
        "issuer": "demo",
        "named": 621,
        "revoked": 620,
        "already": 0,
        "updated": 0,
        "rejected": 1,
    }
    summary |= {"reasons": {"keyCompromise": 1, "superseded": 619}}
    found = problem(signer.post_lines("revocations", lines), 422)
    assert found["summary"] == summary and found["remedy"].endswith("?expect=621")
    found = problem(signer.post_lines("revocations", lines, 620), 409)
    assert found["summary"] == summary and found["detail"] == "621 certificates are named, not 620"
    assert (found["lines"], found["outcomes"]) == (0, {})
    for wrong in ("", "x", "-1", "1e3", "1" * 10, ["621", "621"], "٦٢١"):
        assert (
            "expect: not a number" in problem(signer.post_lines("revocations", lines, wrong), 400)["detail"]
        )
    assert {signer.find(asked[place]["serial"]).json()["status"] for place in (0, 7, 619)} == {"good"}
    told, counts = signer.batch("revocations", lines, 621)
    assert counts["outcomes"] == {"revoked": 620, "known": 1, "rejected": 2}
    entries = [one for one in signer.works.ledger.journal_entries() if one.event == "revoke"]
    of_batch = [one.detail for one in entries if one.detail.get("batch") == counts["batch"]]
    assert sum(one["certificates"] for one in of_batch) == 620 and len(of_batch) > 1
    again, more = signer.batch("revocations", lines, 621)
    assert more["outcomes"] == {"known": 621, "rejected": 2} and more["batch"] != counts["batch"]
    assert [one.get("certificate") for one in again] == [one.get("certificate") for one in told]


def test_a_hundred_revocations_need_no_count(signer: Signer) -> None:
    asked = many(signer, 0x200000, 101)
    assert problem(signer.post_lines("revocations", asked), 422)["summary"]["named"] == 101
    assert problem(signer.post_lines("revocations", asked[:2], 3), 409)
    _, counts = signer.batch("revocations", asked[:100])
    assert counts["outcomes"] == {"revoked": 100}
    last = asked[100]
    assert problem(signer.post("revocations", last, params={"expect": 2}), 409)["summary"]["named"] == 1
    assert problem(signer.post("revocations", {"serial": "xyz"}, params={"expect": 1}), 400)
    assert signer.find(last["serial"]).json()["status"] == "good"
    assert signer.post("revocations", last, params={"expect": 1}).json()["status"] == "revoked"


def test_revocations_of_which_not_all_came_are_not_begun_with(signer: Signer) -> None:
    """Of those that did come nobody knows whether they are what was meant."""
    asked = many(signer, 0x300000, 90)
    found = problem(signer.post_lines("revocations", asked * 23), 413)  # more lines than are allowed
    assert found["lines"] == 0
    assert signer.find(asked[0]["serial"]).json()["status"] == "good"


@pytest.mark.invariant("G5")
def test_callers_that_are_not_known(signer: Signer) -> None:
    for header in ("", "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", f"Bearer {TOKEN[:-1]}", "Bearer \xff"):
        response = signer.post(
            "certificates",
            {"serial": "5001", "not_after": END},
            headers={"Authorization": header.encode("latin-1")},
        )
        assert "caller is not known" in problem(response, 401)["detail"]
        assert response.headers["www-authenticate"].startswith("Bearer")
    assert problem(signer.client.get("/intake/v1/demo/certificates/5001", headers={"Authorization": ""}), 401)
    assert signer.find("5001").status_code == 404
    other = {"Authorization": f"Bearer {OTHER}"}
    assert signer.post("certificates", {"serial": "5001", "not_after": END}, headers=other).status_code == 200
    entries = [one for one in signer.works.ledger.journal_entries() if one.event == "issue"]
    assert entries[-1].actor == "intake revoker"
    assert entries[0].actor == "intake ra"


@pytest.mark.parametrize(
    ("verb", "body", "status", "says"),
    [
        ("certificates", b"", 400, "line: not JSON"),
        ("certificates", b"[]", 400, "Expected `object`"),
        ("certificates", b'{"serial": "1"}', 400, "not_after: "),
        ("certificates", b'{"serial": "1", "not_after": "2030-01-01"}', 400, "not_after: '2030-01-01' is not a time"),
        ("certificates", b'{"serial": "1", "not_after": "2030-01-01T00:00:00Z", "x": 1}', 400, "x: "),
        ("certificates", b'{"serial": "' + b"ff" * 21 + b'", "not_after": "2030-01-01T00:00:00Z"}', 400, "21 octets"),
        ("certificates", b'{"certificate": "AAAA"}', 400, "certificate: not DER"),
        ("certificates", b'{"certificate": "-----BEGIN CERTIFICATE-----"}', 400, "no END"),
        ("certificates", b"x" * 70_000, 413, "more than 65536 octets"),
        ("certificates", b"\xff\xfe", 400, "line: not JSON"),
        ("revocations", b'{"serial": "1", "reason": "certificateHold"}', 400, "not for subscriber certificates"),
        ("revocations", b'{"serial": "1", "reason": 99999999999999999999999}', 400, "reason"),
        ("revocations", b'{"serial": "1", "date": "2999-01-01T00:00:00Z"}', 400, "in the future"),
        ("revocations", b'{"serial": "abcdef99"}', 404, "no certificate is recorded"),
        ("reservations", b'{"serial": 5}', 400, "serial: "),
    ],
)  # fmt: skip
def test_what_says_nothing_certain(signer: Signer, verb: str, body: bytes, status: int, says: str) -> None:
    assert says in problem(signer.post(verb, body), status)["detail"]


@pytest.mark.parametrize(
    ("not_after", "told"),
    [
        ("0502-08-09T20:01:06.5-22:31", "0502-08-10T18:32:06Z"),
        ("0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59Z"),
    ],
)
def test_times_at_the_ends(signer: Signer, not_after: str, told: str) -> None:
    """An import takes them too."""
    serial = f"0c{not_after[:4]}"
    assert signer.issue(serial, not_after=not_after).json()["not_after"] == told


def test_elsewhere_and_otherwise(signer: Signer) -> None:
    found = problem(signer.post("certificates", {}, issuer="nobody"), 404)
    assert found["remedy"] == "known issuers: demo"
    assert problem(signer.post("reservations", b"", headers={"Content-Type": "text/plain"}), 415)
    assert problem(signer.client.delete("/intake/v1/demo/certificates/1"), 405)
    assert problem(signer.client.get("/intake/v2"), 404)
    assert "not hexadecimal" in problem(signer.find("xyz"), 400)["detail"]
    ca = x509.load_pem_x509_certificate((signer.works.directory / "responder.pem").read_bytes())
    own = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(
        ca.issuer, x509.Name([]), own.public_key(), 9, datetime.now(UTC), datetime.fromisoformat(END)
    )
    forged = builder.sign(own, hashes.SHA256()).public_bytes(Encoding.DER)
    body = {"certificate": base64.b64encode(forged).decode()}
    assert "not made with the key of issuer demo" in problem(signer.post("certificates", body), 400)["detail"]


def test_bodies_without_end(signer: Signer) -> None:
    """By what they announce, and by what comes; what came before is done and counted."""
    huge = {"Content-Length": str(1 << 40), **BATCH}
    with socket.create_connection(signer.address.split(":")) as raw:  # type: ignore[arg-type]
        head = "".join(f"{name}: {value}\r\n" for name, value in huge.items())
        raw.sendall(
            f"POST /intake/v1/demo/certificates HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n{head}\r\n".encode()
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 413")

    def endless() -> Iterator[bytes]:
        yield json.dumps({"serial": "6001", "not_after": END}).encode() + b"\n"
        for _ in range(20):
            yield b" " * 65_536

    found = problem(signer.post("certificates", endless(), headers=BATCH), 413)
    assert "more than 1048576 octets" in found["detail"]
    assert (found["lines"], found["outcomes"]) == (2, {"recorded": 1, "rejected": 1})
    lines = b"".join(b'{"serial": "%x"}\n' % number for number in range(0x7000, 0x7000 + 2001))
    found = problem(signer.post("reservations", lines, headers=BATCH), 413)
    assert (found["lines"], found["outcomes"]) == (2000, {"reserved": 2000})
    assert signer.find("77cf").json()["status"] == "reserved"
    assert signer.find("77d0").status_code == 404


def test_two_callers_at_once(signer: Signer) -> None:
    """The same serials from both: each is recorded once, both are told the same."""

    def work(seed: int) -> list[Any]:
        with httpx.Client(
            base_url=f"http://{signer.address}", headers={"Authorization": f"Bearer {TOKEN}"}
        ) as client:
            return [
                client.post(
                    "/intake/v1/demo/certificates", json={"serial": f"{0x8000 + n:x}", "not_after": END}
                ).json()
                for n in range(40)
            ]

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(work, range(2))
    assert first == second
    entries = [one.detail for one in signer.works.ledger.journal_entries() if one.event == "issue"]
    assert signer.works.ledger.verify_journal() >= 40
    spans = [(one["first_generation"], one["last_generation"]) for one in entries]
    assert all(low[1] < high[0] for low, high in zip(spans, spans[1:], strict=False))


def test_anyone_near_may_look(signer: Signer) -> None:
    """Health and metrics need no credential; neither does the document, which is the one that is kept."""
    assert signer.issue("0b01").status_code == 200
    assert signer.post("certificates", b"", headers={"Authorization": ""}).status_code == 401
    with httpx.Client(base_url=f"http://{signer.address}") as client:
        wait_until(lambda: 'crl_entries{issuer="demo",shard="0-0"}' in client.get("/metrics").text)
        assert client.get("/livez").text == "ok\n"
        health = client.get("/healthz")
        assert (health.status_code, health.json()) == (200, {"healthy": True, "causes": []})
        text = client.get("/metrics").text
        served = client.get("/intake/v1/openapi.json").json()
    assert served == document() == json.loads(DOCUMENT.read_text())
    for name in (
        "ocsp_build_info",
        "signer_leader 1.0",
        'ocsp_signatures_total{issuer="demo",result="signed"}',
    ):
        assert name in text
    assert 'intake_problems_total{status="401"}' in text
    assert 'intake_items_total{issuer="demo",outcome="recorded",verb="certificates"}' in text


@pytest.mark.invariant("G5")
def test_a_token_taken_out_is_void_at_once(own: Signer) -> None:
    own.run()
    assert own.issue("01").status_code == 200
    own.write_tokens(f"revoker {OTHER}\n")
    assert problem(own.issue("02"), 401)
    own.write_tokens(f"ra {TOKEN}\n", 0o644)
    assert "file of tokens" in problem(own.issue("02"), 503)["detail"]
    (own.works.directory / "intake.tokens").unlink()
    assert problem(own.issue("02"), 503)
    own.write_tokens(f"ra {TOKEN}\n")
    assert own.issue("02").status_code == 200


@pytest.mark.invariant("A4")
@pytest.mark.parametrize("turns", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_what_was_answered_survives_kill(own: Signer, turns: int) -> None:
    """SIGKILL right after the answer: nothing acknowledged is lost, and it is signed afterwards."""
    said: list[str] = []
    for turn in range(turns):
        own.run()
        issued = [f"{turn + 1:02x}{number:02x}" for number in range(20)]
        for serial in issued[:-5]:
            assert own.issue(serial).status_code == 200
        told, _ = own.batch("certificates", [{"serial": one, "not_after": END} for one in issued[-5:]])
        assert len(told) == 5
        said += issued
        assert own.revoke(issued[0]).json()["status"] == "revoked"
        own.end(signal.SIGKILL)
    rows = {
        row.serial.hex(): row.revoked
        for row in own.works.ledger.snapshot(own.works.issuer.id, 0, 2**32 - 1).rows
    }
    numbers = said
    assert set(numbers) <= set(rows)
    assert [one for one in numbers if rows[one]] == numbers[::20]
    own.run()
    for one in numbers[::20]:
        wait_until(lambda one=one: own.works.is_revoked(bytes.fromhex(one)))  # type: ignore[misc]


@pytest.mark.slow
def test_a_ledger_that_another_holds(own: Signer) -> None:
    """503, and once it is free what was said before is not half there."""
    own.change("[intake]\n", '[intake]\ntimeout = "1s"\n')
    own.run()
    with own.works.ledger._write():
        response = own.issue("01")
        assert "sent twice is no harm" in problem(response, 503)["remedy"]
        assert response.headers["retry-after"] == "1"
        assert own.find("01").status_code == 404
        assert own.client.get("/livez").status_code == 200
    assert own.issue("01").json()["status"] == "good"


@pytest.mark.slow
def test_who_says_nothing_is_let_go(own: Signer) -> None:
    own.change("[intake]\n", '[intake]\ntimeout = "2s"\nlimit_concurrency = 1\n')
    own.run()
    host, _, port = own.address.partition(":")
    head = f"POST /intake/v1/demo/revocations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    there = (host, int(port))
    with socket.create_connection(there) as body, socket.create_connection(there) as header:
        header.sendall(head.encode())
        body.sendall(f"{head}Content-Length: 20\r\n\r\n{{".encode())
        wait_until(lambda: own.issue("01").status_code == 503, 2)
        body.settimeout(10)
        assert body.recv(100).startswith(b"HTTP/1.1 408")
        header.settimeout(20)
        with contextlib.suppress(ConnectionResetError):
            assert header.recv(100) == b""
    assert own.issue("01").status_code == 200


@pytest.mark.invariant("G5")
@pytest.mark.slow
def test_off_without_credentials(own: Signer) -> None:
    own.change('tokens = "intake.tokens"\n', "")
    own.run()
    assert "the intake API is off" in problem(own.issue("01"), 403)["detail"]
    assert own.client.get("/livez").status_code == 200


def write_pair(directory: Path, name: str, ca: tuple[Any, Any] | None, host: str) -> tuple[Any, Any]:
    """A certificate of `ca`, or a CA, with its key, as NAME.pem and NAME.key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    issuer = subject if ca is None else ca[0].subject
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), 5, now, now + timedelta(1))
    builder = builder.add_extension(x509.BasicConstraints(ca is None, None), critical=True)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    builder = builder.add_extension(names, critical=False)
    if ca is None:
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, critical=True)
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
    else:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca[1].public_key())
        builder = builder.add_extension(identifier, critical=False)
    certificate = builder.sign(key if ca is None else ca[1], hashes.SHA256())
    (directory / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (directory / f"{name}.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return certificate, key


@pytest.mark.invariant("G5")
@pytest.mark.slow
def test_client_certificates(own: Signer, tmp_path: Path) -> None:
    here = own.works.directory
    ca = write_pair(here, "clients", None, "clients")
    write_pair(here, "admin", ca, "localhost")
    write_pair(tmp_path, "ra", ca, "issuance")
    stranger = write_pair(tmp_path, "others", None, "others")
    write_pair(tmp_path, "spy", stranger, "issuance")
    tls = 'client_ca = "clients.pem"\ncertificate = "admin.pem"\nkey = "admin.key"\n'
    own.change('tokens = "intake.tokens"\n', tls)
    own.run()
    url = f"https://localhost:{own.address.rpartition(':')[2]}"

    def client(name: str | None) -> httpx.Client:
        context = ssl.create_default_context(cafile=here / "clients.pem")
        if name is not None:
            context.load_cert_chain(tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
        return httpx.Client(base_url=url, verify=context)

    body = {"serial": "01", "not_after": END}
    with client("ra") as known, client(None) as nobody, client("spy") as spy:
        assert known.post("/intake/v1/demo/certificates", json=body).status_code == 200
        assert nobody.get("/livez").status_code == 200
        assert problem(nobody.post("/intake/v1/demo/certificates", json=body), 401)
        with pytest.raises(httpx.TransportError):
            spy.post("/intake/v1/demo/certificates", json=body)
    (entry,) = [one for one in own.works.ledger.journal_entries() if one.event == "issue"]
    assert entry.actor == "intake issuance"
