"""Every request of `wire`, as raw octets, to a responder whose cache is cold, then warm, and to two without a store."""

import base64
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from _fastpath import der
from _fastpath.certid import SHA1, SHA256, serial_from_int
from _fastpath.ocsp import TRY_LATER, UNAUTHORIZED
from responder.config import Settings, load_settings
from responder.counters import Counters
from store.embedded import EmbeddedStore
from tests.clients.wire import CAPTURED, FROM_SOURCE
from tests.responder.ca import CA, NOW, Shelf, good
from tests.responder.conftest import FakeClock, serving, wait_until, write_config
from tests.responder.test_crls import PATH, crl, publish

SHAPES = CAPTURED | FROM_SOURCE
ALGORITHMS = {"sha1": SHA1, "sha256": SHA256}
SERIALS = {name: 0x5A17_0000_0000_0100 + number for number, name in enumerate(SHAPES)}  # one each: cold once
MAX_UNVERIFIED = 300  # seconds: the default
LEFT_TO_THE_LIBRARY = {"probe", "trustd form"}  # slashes, and a media type that is no OCSP request's
NEVER_ISSUED = 0x7A17_0000_0000_0001
LOCATOR = der.encode(0x30, der.encode(0x30, b""))  # an empty name and no locator


@dataclass(frozen=True)
class Answer:
    """A response as it came."""

    status: int
    headers: dict[str, str]
    body: bytes
    ended: bool  # the server closed the connection

    @property
    def max_age(self) -> int:
        return int(self.headers["cache-control"].partition("max-age=")[2].partition(",")[0])


def exchange(port: int, request: bytes) -> Answer:
    """One request on a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(request)
        response = HTTPResponse(connection, method=request[: request.index(b" ")].decode())
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        body = response.read()
        connection.settimeout(0.0 if not response.will_close else 10)
        try:
            ended = connection.recv(1) == b""
        except BlockingIOError:
            ended = False
        return Answer(response.status, headers, body, ended)


@dataclass(frozen=True)
class Stage:
    """A CA whose answers are in a store, and what is needed to serve them."""

    ca: CA
    settings: Settings
    client: redis.Redis

    def request(self, name: str, serial: int | None = None) -> bytes:
        """The OCSPRequest that a client makes for its certificate, or for another."""
        shape = SHAPES[name]
        number = serial_from_int(SERIALS[name] if serial is None else serial)
        cert_id = self.ca.issuer.id.encode_cert_id(ALGORITHMS[shape.digest], number)
        return shape.der(cert_id, os.urandom(shape.nonce), LOCATOR)

    def ask(self, port: int, name: str, serial: int | None = None) -> Answer:
        return exchange(port, SHAPES[name].http(self.request(name, serial), port))


@contextmanager
def staged(directory: Path) -> Iterator[Stage]:
    ca = CA("demo")
    with EmbeddedStore(directory) as store:
        with redis.Redis.from_url(store.url, protocol=3) as client:
            Shelf(ca, client).put(*(good(serial) for serial in SERIALS.values()))
            path = write_config(directory, ca, store.url, "lookup_timeout_ms = 5000")
            yield Stage(ca, load_settings(path), client)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("s")) as made:
        publish(made.settings, crl(made.ca, 1, NOW - 600))
        yield made


@pytest.fixture(scope="module")
def counters() -> Counters:
    """Those of the worker at `port`."""
    return Counters.private()


@pytest.fixture(scope="module")
def port(stage: Stage, counters: Counters) -> Iterator[int]:
    with serving(stage.settings, counters, FakeClock()) as port:
        yield port


@dataclass(frozen=True)
class CutOff:
    """Two workers whose store was stopped: one that had answered everything before, one that had answered nothing."""

    stage: Stage
    before: dict[str, Answer]
    warm: int
    cold: int


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CutOff]:
    directory = tmp_path_factory.mktemp("s")
    counters = Counters.private(), Counters.private()
    with staged(directory) as stage:
        publish(stage.settings, crl(stage.ca, 1, NOW - 600))
        with (
            serving(stage.settings, counters[0], FakeClock()) as warm,
            serving(stage.settings, counters[1], FakeClock()) as cold,
        ):
            wait_until(lambda: all(it.value("store_up") for it in counters))
            before = {name: stage.ask(warm, name) for name in SHAPES}
            stage.client.shutdown(nosave=True)
            wait_until(lambda: not any(it.value("store_up") for it in counters))
            yield CutOff(stage, before, warm, cold)


@dataclass(frozen=True)
class Looked:
    """How often a record was read, by the store's own count, and what the worker says of its cache."""

    reads: int
    hits: int
    misses: int
    slow: int

    @classmethod
    def so_far(cls, stage: Stage, counters: Counters) -> "Looked":
        read = stage.client.info("commandstats").get("cmdstat_hget", {"calls": 0})["calls"]
        found = (
            counters.value("ocsp_cache_lookups_total", "worker", result)
            for result in ("hit", "miss", "stale")
        )
        hits, misses, stale = found
        assert stale == 0
        return cls(read, hits, misses, counters.value("http_slow_requests_total"))

    def __sub__(self, before: "Looked") -> "Looked":
        return Looked(
            self.reads - before.reads,
            self.hits - before.hits,
            self.misses - before.misses,
            self.slow - before.slow,
        )


def assert_good(answer: Answer, name: str, ca: CA) -> None:
    """Everything that some client insists on."""
    shape = SHAPES[name]
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/ocsp-response"  # K-05: no parameters
    assert "transfer-encoding" not in answer.headers  # H-16
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.ended == shape.closes  # K-06 reads to the end, K-02 keeps the connection
    assert len(answer.body) < 10_240  # K-06, K-04
    response = ocsp.load_der_ocsp_response(answer.body)
    (single,) = response.responses  # K-07, R-03
    assert single.certificate_status is ocsp.OCSPCertStatus.GOOD
    assert single.serial_number == SERIALS[name]
    assert single.next_update_utc is not None
    assert isinstance(single.hash_algorithm, hashes.SHA1 if shape.digest == "sha1" else hashes.SHA256)
    assert len(response.extensions) == 0
    key = response.certificates[0].public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(hashes.SHA256()))
    response.certificates[0].verify_directly_issued_by(ca.certificate)


@pytest.mark.conformance(
    "K-01", "K-02", "K-03", "K-04", "K-05", "K-06", "K-07", "K-08", "K-09", "K-10", "K-12"
)
@pytest.mark.conformance("R-03", "R-07", "H-01", "H-16", "Q-06", "Q-08")
@pytest.mark.parametrize("name", SHAPES)
def test_cold_and_warm(stage: Stage, port: int, counters: Counters, name: str) -> None:
    """The first answer about a certificate and the second are the same octets, fit for this client.

    The first is read from the store, the second from the worker's cache.
    """
    begin = Looked.so_far(stage, counters)
    cold = stage.ask(port, name)
    between = Looked.so_far(stage, counters)
    warm = stage.ask(port, name)
    end = Looked.so_far(stage, counters)
    if name in LEFT_TO_THE_LIBRARY:
        assert between - begin == Looked(reads=1, hits=0, misses=0, slow=1)
        assert end - between == Looked(reads=0, hits=0, misses=0, slow=1)
    else:
        assert between - begin == Looked(reads=1, hits=0, misses=1, slow=0)
        assert end - between == Looked(reads=0, hits=1, misses=0, slow=0)
    assert_good(cold, name, stage.ca)
    assert_good(warm, name, stage.ca)
    assert warm.body == cold.body
    assert warm.headers["etag"] == cold.headers["etag"]


@pytest.mark.conformance(
    "K-01", "K-02", "K-03", "K-04", "K-05", "K-06", "K-07", "K-08", "K-09", "K-10", "K-12"
)
@pytest.mark.conformance("R-11", "H-01", "H-06")
@pytest.mark.parametrize("name", SHAPES)
def test_without_a_store(cut_off: CutOff, name: str) -> None:
    """Nobody is told more than was known: tryLater, or what this worker said while the store was there (F4)."""
    cold = cut_off.stage.ask(cut_off.cold, name)
    assert (cold.status, cold.body) == (200, TRY_LATER)
    assert cold.headers["content-type"] == "application/ocsp-response"
    assert cold.headers["cache-control"] == "no-store"
    assert cold.ended == SHAPES[name].closes
    warm, before = cut_off.stage.ask(cut_off.warm, name), cut_off.before[name]
    assert_good(before, name, cut_off.stage.ca)
    assert_good(warm, name, cut_off.stage.ca)
    assert (warm.body, warm.headers["etag"]) == (before.body, before.headers["etag"])
    assert 0 < warm.max_age <= MAX_UNVERIFIED < before.max_age


@pytest.mark.conformance("K-10", "H-09")
def test_windows_asks_whether_it_changed(stage: Stage, port: int, cut_off: CutOff) -> None:
    """A conditional GET with what the answer before carried."""
    first = stage.ask(port, "windows")
    validators = {"If-None-Match": first.headers["etag"], "If-Modified-Since": first.headers["last-modified"]}
    for name, value in validators.items():
        again = exchange(port, with_line(stage, port, f"{name}: {value}"))
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert again.headers["cache-control"] == first.headers["cache-control"]
        lost = exchange(cut_off.cold, with_line(cut_off.stage, cut_off.cold, f"{name}: {value}"))
        assert (lost.status, lost.body) == (200, TRY_LATER)


def with_line(stage: Stage, port: int, line: str) -> bytes:
    """The request of Windows with one more header line."""
    request = SHAPES["windows"].http(stage.request("windows"), port)
    return request.replace(b"\r\n\r\n", f"\r\n{line}\r\n\r\n".encode())


@pytest.mark.conformance("K-11", "U-09", "U-10")
def test_the_crlite_fetcher_tries_again(stage: Stage, port: int, cut_off: CutOff) -> None:
    """HEAD tells length and date; a stray Content-Range asks for nothing less than the whole. No store is needed."""
    for at in (port, cut_off.cold):
        lines = f"Host: 127.0.0.1:{at}\r\nX-Automated-Tool: https://github.com/mozilla/crlite\r\n"
        get = exchange(at, f"GET {PATH} HTTP/1.1\r\n{lines}\r\n".encode())
        head = exchange(at, f"HEAD {PATH} HTTP/1.1\r\n{lines}\r\n".encode())
        stray = "Content-Range: bytes: 100-\r\n"
        resumed = exchange(at, f"GET {PATH} HTTP/1.1\r\n{lines}{stray}\r\n".encode())
        assert [it.status for it in (get, head, resumed)] == [200, 200, 200]
        assert resumed.body == get.body and head.body == b""
        assert x509.load_der_x509_crl(get.body).extensions.get_extension_for_class(x509.CRLNumber)
        for name in ("content-length", "last-modified"):
            assert head.headers[name] == get.headers[name]
        assert get.headers["content-type"] == "application/pkix-crl"


@pytest.mark.conformance("K-12", "R-08", "R-11")
@pytest.mark.parametrize("name", ["probe", "caddy", "go get sha256", "openssl"])
def test_probes_for_what_nobody_issued(stage: Stage, port: int, cut_off: CutOff, name: str) -> None:
    """By GET and by POST; without a store nobody can say that it was never issued."""
    for serial in (NEVER_ISSUED, 1, SERIALS[name] ^ 0xFFFF):
        answer = stage.ask(port, name, serial)
        assert (answer.status, answer.body) == (200, UNAUTHORIZED)
        assert answer.headers["cache-control"] == "no-store"
        assert cut_off.stage.ask(cut_off.cold, name, serial).body == TRY_LATER
        assert cut_off.stage.ask(cut_off.warm, name, serial).body == TRY_LATER


@pytest.mark.conformance("K-12", "H-14")
def test_probes_with_many_slashes(stage: Stage, port: int) -> None:
    """Slashes in front belong to nothing, those within to the base64."""
    request = stage.request("probe")
    expected = stage.ask(port, "probe").body
    text = base64.b64encode(request).decode()
    for path in (f"/{text}", f"//{text}", f"/////////{text}", f"/%2F%2f{text}"):
        answer = exchange(port, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert answer.body == expected
