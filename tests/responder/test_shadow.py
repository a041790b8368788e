"""`ocsp-responder shadow` between responders of ours and servers that are wrong: what is asked, what counts as different."""

import base64
import gzip
import json
import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from _fastpath.ocsp import TRY_LATER, UNAUTHORIZED
from responder.config import load_settings
from responder.counters import Counters
from responder.shadow.command import Output, issuers_of, shadow
from responder.shadow.fields import FIELDS, Choice
from responder.shadow.recorded import Corpus
from responder.shadow.replay import Plan, Unreachable
from store.asking import Asker
from store.embedded import EmbeddedStore
from store.errors import UsageError
from store.model import Issuer
from tests.ports import free_port
from tests.responder.ca import CA, NOW, Shelf, good, revoked
from tests.responder.conftest import GOOD, GOOD_TOO, REVOKED, FakeClock, serving, write_config
from tests.responder.test_serve import run
from tests.signer.crl_server import http_message, saying

pytestmark = pytest.mark.invariant("G7")

UNISSUED = 0x77
TYPE = "application/ocsp-response"


class Sides:
    """Two URLs, a file of requests, and what `shadow --json` says of them."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str], left: str, right: str) -> None:
        self.file = directory / "requests"
        self.left = left
        self.right = right
        self._directory = directory
        self._capsys = capsys
        self.errors = ""

    def write(self, *lines: str) -> None:
        self.file.write_text("".join(line + "\n" for line in lines))

    def replay(self, code: int, **options: Any) -> Any:
        """Options of Corpus, of Choice, of Plan and `keep`."""
        corpus = Corpus(
            options.pop("sources", (self.file,)), options.pop("prefix", ""), options.pop("odd", False)
        )
        choice = Choice.of(options.pop("ignore", ()), options.pop("require", ()), options.pop("tolerance", 0))
        keep = options.pop("keep", None)
        plan = Plan(left=self.left, right=self.right, choice=choice, **options)
        found = shadow(corpus, plan, Output(keep, as_json=True, quiet=True))
        out, self.errors = self._capsys.readouterr()
        assert found == code, out
        return json.loads(out)


def line(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def path(octets: bytes) -> str:
    return "/" + quote(line(octets), safe="")


def fields_of(report: Any) -> dict[str, int]:
    return {one["field"]: one["count"] for one in report["fields"]}


@pytest.fixture(scope="module")
def two(
    tmp_path_factory: pytest.TempPathFactory, ca: CA, server: EmbeddedStore
) -> Iterator[tuple[str, str, Shelf, Shelf]]:
    """Responders over two stores of one CA: their URLs, and what is in them."""
    urls = [f"{server.url}?db={number}" for number in (2, 3)]
    shelves = []
    for url in urls:
        client = redis.Redis.from_url(url, protocol=3)
        shelf = Shelf(ca, client)
        shelf.put(good(GOOD), revoked(REVOKED))
        shelves.append(shelf)
    settings = [
        load_settings(write_config(tmp_path_factory.mktemp("c"), ca, url, "lookup_timeout_ms = 5000"))
        for url in urls
    ]
    clock = FakeClock()
    with (
        serving(settings[0], Counters.private(), clock) as left,
        serving(settings[1], Counters.private(), clock) as right,
    ):
        yield f"http://127.0.0.1:{left}", f"http://127.0.0.1:{right}", shelves[0], shelves[1]
    for shelf in shelves:
        shelf.client.close()


@pytest.fixture
def sides(two: tuple[str, str, Shelf, Shelf], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Sides:
    return Sides(tmp_path, capsys, two[0], two[1])


@pytest.fixture
def ca_file(tmp_path: Path, ca: CA) -> Path:
    file = tmp_path / "ca.pem"
    file.write_bytes(ca.certificate.public_bytes(Encoding.PEM))
    return file


def test_two_that_agree(sides: Sides, ca: CA, ca_file: Path) -> None:
    asked = [ca.request(GOOD), ca.request(REVOKED, hashes.SHA256()), ca.request(UNISSUED)]
    sides.write("# recorded on a Sunday", *map(line, asked), "", *map(path, asked))
    report = sides.replay(0, issuers=issuers_of([ca_file]), methods="both")
    assert (report["compared"], report["agree"], report["differ"], report["rejected"]) == (12, 12, 0, 0)
    outcomes = {(one["left"], one["right"]): one["count"] for one in report["outcomes"]}
    assert outcomes == {("good", "good"): 4, ("revoked", "revoked"): 4, ("unauthorized", "unauthorized"): 4}
    assert report["left"]["url"] == sides.left and 0 < report["right"]["p50_seconds"] < 10
    # Signed at different moments by one signer: the same but for the signature, which is no field.
    assert fields_of(report) == {}


@pytest.mark.invariant("G7")
def test_what_differs_is_named(
    two: tuple[str, str, Shelf, Shelf], sides: Sides, ca: CA, tmp_path: Path
) -> None:
    """Another status, time, reason; a certificate that one does not know; later times, which are only told."""
    left, right = two[2:]
    serials = [0x5A17_0000_0000_1000 + number for number in range(4)]
    at = NOW - 7200
    left.put(good(serials[0]), revoked(serials[1]), good(serials[2]), good(serials[3]))
    moved = revoked(serials[1])
    other = type(moved)(
        moved.serial_number,
        this_update=moved.this_update,
        produced_at=moved.produced_at,
        next_update=moved.next_update,
        revocation_time=at + 60,
        reason=4,
    )
    right.put(revoked(serials[0]), other, good(serials[2], this_update=NOW - 600))
    sides.write(*(line(ca.request(serial)) for serial in serials))
    keep = tmp_path / "differ"
    report = sides.replay(1, keep=keep, concurrency=1)
    assert (report["agree"], report["differ"]) == (1, 3)
    assert {name: fields_of(report)[name] for name in ("cert_status", "response_status", "reason")} == {
        "cert_status": 2,
        "response_status": 1,
        "reason": 2,
    }
    by_name = {one["field"]: one for one in report["fields"]}
    assert by_name["cert_status"]["first"][0] == {
        "method": "POST",
        "request": line(ca.request(serials[0])),
        "left": "good",
        "right": "revoked",
    }
    assert not by_name["this_update"]["disagree"]
    assert by_name["this_update"]["right_ahead_seconds"] == {"least": 0, "most": 3000}
    assert by_name["revocation_time"]["right_ahead_seconds"] == {"least": 60, "most": 60}
    assert by_name["revocation_time"]["first"][1]["left"].endswith("Z")
    assert keep.read_text().splitlines() == [line(ca.request(serials[at])) for at in (0, 1, 3)]
    # What was kept can be asked again.
    assert sides.replay(1, sources=(keep,))["differ"] == 3
    sides.write(line(ca.request(serials[1])))
    assert sides.replay(1, ignore=["reason"])["differ"] == 1
    assert sides.replay(0, ignore=["reason"], tolerance=60)["differ"] == 0
    assert sides.replay(1, ignore=["reason"], tolerance=59)["differ"] == 1
    sides.write(line(ca.request(serials[2])))
    assert sides.replay(1, require=["this_update"], tolerance=2999)["differ"] == 1
    assert sides.replay(0, require=["this_update"], tolerance=3000)["differ"] == 0


def test_what_is_recorded_is_asked_as_it_was(
    two: tuple[str, str, Shelf, Shelf], tmp_path: Path, capsys: pytest.CaptureFixture[str], ca: CA
) -> None:
    """Paths octet for octet, whatever they come from; what has no GET in it is passed over and counted."""
    seen: list[tuple[str, str]] = []
    lock = threading.Lock()

    def said(method: str, target: str) -> bytes:
        with lock:
            seen.append((method, target))
        return http_message(200, UNAUTHORIZED, Content_Type=TYPE)

    asked = ca.request(GOOD)
    bare, escaped = line(asked), quote(line(asked), safe="")
    log = tmp_path / "access.log.gz"
    log.write_bytes(
        gzip.compress(
            "\n".join(
                [
                    f'192.0.2.1 - - [22/Nov/2026:08:00:00 +0000] "GET /ocsp//{bare} HTTP/1.1" 200 1500 "-" "x"',
                    f'{{"time": 1, "request": "GET http://ocsp.example/ocsp/{escaped}?x=1 HTTP/1.0", "status": 200}}',
                    '192.0.2.1 - - [22/Nov/2026:08:00:00 +0000] "POST /ocsp/ HTTP/1.1" 200 1500 "-" "x"',
                    '192.0.2.1 - - [22/Nov/2026:08:00:00 +0000] "GET /robots.txt HTTP/1.1" 404 0 "-" "x"',
                    "no request at all",
                    "M===",
                    "/" + "A" * 100_000,
                ]
            ).encode()
            + b"\n\xff\n"
        )
    )
    ders = tmp_path / "ders"
    ders.mkdir()
    (ders / "one.der").write_bytes(asked)
    (ders / "bad.orq").write_bytes(b"\x30\x00")
    (ders / "README").write_text("not looked at")
    with saying(said) as left, saying(said) as right:
        sides = Sides(tmp_path, capsys, left, right + "/base/")
        report = sides.replay(3, sources=(log, ders), prefix="/ocsp", methods="get")
        expected = [f"//{bare}", f"/{escaped}?x=1", f"/{escaped}"]
        assert sorted(seen) == sorted(("GET", start + one) for one in expected for start in ("", "/base"))
        assert (report["compared"], report["passed_over"], report["rejected"]) == (3, 3, 4)
        assert f"{log}:5: neither a path" in sides.errors
        seen.clear()
        sides.replay(3, sources=(log, ders), prefix="/ocsp", odd=True, limit=3, concurrency=1)
        assert ("GET", "/robots.txt") in seen and ("GET", "/base/robots.txt") in seen and len(seen) == 6


@pytest.mark.invariant("G7")
@pytest.mark.parametrize(
    ("answer", "field", "also_alike"),
    [
        (http_message(301, Location="/", Content_Type="text/html"), "http_status", False),
        (http_message(200, UNAUTHORIZED, Content_Type="text/html"), "content_type", False),
        (http_message(404, UNAUTHORIZED, Content_Type=TYPE), "http_status", False),
        (http_message(200, TRY_LATER, Content_Type=TYPE), "response_status", False),
        (http_message(200, b"\x30\x03\x0a\x01", Content_Type=TYPE), "response_status", True),
        (http_message(200, b"", Content_Type=TYPE), "response_status", True),
        (http_message(200, UNAUTHORIZED, Content_Type=TYPE, Content_Length="9"), "transport", True),
        (http_message(200, bytes(70_000), Content_Type=TYPE), "transport", True),
        (b"", "transport", True),
        (b"\x15\x03\x01\x00\x02\x02\x46", "transport", True),
    ],
    ids=["redirect", "type", "404", "other", "cut-off", "empty", "short", "endless", "nothing", "tls"],
)
def test_what_is_wrong_is_no_agreement(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ca: CA, answer: bytes, field: str, also_alike: bool
) -> None:
    """Beside a right answer; and two who send what is no answer do not agree on it."""
    right = http_message(200, UNAUTHORIZED, Content_Type=TYPE, Cache_Control="no-store")
    with saying(lambda *_: right) as one, saying(lambda *_: answer) as other:
        sides = Sides(tmp_path, capsys, one, other)
        sides.write(path(ca.request(GOOD)))
        report = sides.replay(1)
        assert field in [found["field"] for found in report["fields"] if found["disagree"]]
        sides.left = other
        assert sides.replay(int(also_alike))["differ"] == int(also_alike)


@pytest.fixture
def body(two: tuple[str, str, Shelf, Shelf], ca: CA) -> bytes:
    """The answer to `GOOD`."""
    with Asker(two[0]) as asker:
        return asker.post(ca.request(GOOD)).body


def faults(sides: Sides, body: bytes, asked: bytes, issuers: list[Issuer]) -> dict[str, str]:
    """What is said of an answer that both sides give."""
    message = http_message(200, body, Content_Type=TYPE)
    with saying(lambda *_: message) as url:
        sides.left = sides.right = url
        sides.write(path(asked))
        return {one["field"]: one["first"][0]["left"] for one in sides.replay(1, issuers=issuers)["fields"]}


@pytest.mark.invariant("G7")
def test_signatures_that_do_not_hold(sides: Sides, body: bytes, ca: CA) -> None:
    """A fault, though both sides have it."""
    asked, right = ca.request(GOOD), ca.issuer
    signature = ocsp.load_der_ocsp_response(body).signature
    flipped = body.replace(signature, signature[:-1] + bytes([signature[-1] ^ 1]))
    says = "not made by the CA or by a responder that it certified"
    assert faults(sides, flipped, asked, [right]) == {"signature": says}
    assert faults(sides, body, asked, [CA("x").issuer]) == {"signature": "by a CA that is not given"}
    # Of its name and key hashes, but not with its key.
    impostor = replace(right, certificate=CA("x").certificate)
    found = faults(sides, body, asked, [impostor])
    assert set(found) == {"signature"} and "not one of the CA" in found["signature"]


@pytest.mark.invariant("G7")
def test_the_answer_to_another_question(sides: Sides, body: bytes, ca: CA) -> None:
    found = faults(sides, body, ca.request(GOOD_TOO), [])
    assert set(found) == {"cert_id"} and found["cert_id"].endswith(f" {GOOD:x}")


def test_a_rate_and_an_end(sides: Sides, ca: CA) -> None:
    sides.write(*[line(ca.request(GOOD))] * 1000)
    report = sides.replay(0, rate=200.0, limit=20)
    assert report["compared"] == 20


def test_sides_that_are_not_there(sides: Sides, ca: CA) -> None:
    sides.write(line(ca.request(GOOD)))
    sides.right = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Unreachable, match="Connection refused"):
        sides.replay(0)
    sides.right = "ocsp.example"
    with pytest.raises(UsageError, match="not a URL"):
        sides.replay(0)


def test_input_that_cannot_be_used(sides: Sides, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        sides.replay(0)
    sides.write("# nothing")
    with pytest.raises(UsageError, match="no OCSPRequest in it"):
        sides.replay(0)
    with pytest.raises(UsageError, match="colour: not a field") as caught:
        sides.replay(0, ignore=["colour"])
    assert caught.value.remedy is not None and ", ".join(FIELDS) in caught.value.remedy
    with pytest.raises(UsageError, match="cannot be written"):
        sides.replay(0, keep=tmp_path / "none" / "keep")


def test_the_command(sides: Sides, ca: CA, ca_file: Path) -> None:
    """Its tables, its exit codes, and what servers say without what steers a terminal."""
    sides.write(line(ca.request(GOOD)))
    ends = ("--left", sides.left, "--right", sides.right)
    done = run("shadow", *ends, "--ca", str(ca_file), str(sides.file), "--method", "both")
    assert done.returncode == 0, done.stderr
    assert "2 asked: 2 answered alike, 0 differently; 0 passed over, 0 not understood" in done.stdout
    evil = http_message(200, UNAUTHORIZED, Content_Type="x\x1b[31m[red]")
    with saying(lambda *_: evil) as url:
        told = run("shadow", "--left", sides.left, "--right", url, "--method", "get", str(sides.file))
    assert told.returncode == 1
    assert "answered differently" in told.stdout and "x\\x1b[31m[red]" in told.stdout
    assert "\x1b" not in told.stdout
    assert "Traceback" not in told.stderr


def test_memory_does_not_grow_with_the_input(tmp_path: Path, ca: CA) -> None:
    """Lines are read as they are asked for, and what cannot be used leaves a count behind."""
    log = tmp_path / "access.log"
    other, request = '"GET /favicon.ico HTTP/1.1" 404\n', f'"GET {path(ca.request(GOOD))} HTTP/1.1" 200\n'
    log.write_text((other * 9 + request + "?\n") * 1000)
    corpus = Corpus((log,))
    tracemalloc.start()
    try:
        assert sum(one is not None for one in corpus) == 1000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (corpus.passed_over, corpus.rejected) == (9000, 1000)
    assert peak < 250_000 < log.stat().st_size
