"""CRLs over the public listener: header fields, conditions, renewal, and what is not there."""

import datetime
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from responder import crl_versions
from responder.config import Settings
from responder.counters import Counters
from tests.responder.ca import CA, NOW
from tests.responder.conftest import FakeClock

PATH = "/crl/demo/1-0.crl"
WEEK = 7 * 86400


def crl(ca: CA, number: int, this_update: int, lifetime: int = WEEK) -> bytes:
    def when(seconds: int) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC)

    builder = x509.CertificateRevocationListBuilder(
        ca.certificate.subject, when(this_update), when(this_update + lifetime)
    )
    builder = builder.add_extension(x509.CRLNumber(number), False)
    return builder.sign(ca.key, hashes.SHA256()).public_bytes(Encoding.DER)


def publish(settings: Settings, data: bytes, path: str = PATH) -> None:
    """Put a CRL in its place as the signer does: whole or not at all."""
    target = Path(settings.objects.location) / path[1:]
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_suffix(".new")
    draft.write_bytes(data)
    draft.rename(target)


@pytest.fixture
def http(port: int) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        yield client


@pytest.mark.conformance("U-05", "U-07", "U-09", "H-10", "U-08", "P-07")
def test_header_fields(http: httpx.Client, settings: Settings, ca: CA) -> None:
    """U-05, U-07, U-09."""
    data = crl(ca, 1, NOW - 600)
    publish(settings, data)
    response = http.get(PATH)
    assert (response.status_code, response.content) == (200, data)
    headers = response.headers
    assert headers["content-type"] == "application/pkix-crl"
    assert headers["content-length"] == str(len(data))
    assert headers["cache-control"] == "public, max-age=14400, no-transform"
    times = [
        parsedate_to_datetime(headers[name]).timestamp() for name in ("date", "last-modified", "expires")
    ]
    assert times == [NOW, NOW - 600, NOW - 600 + WEEK]
    head = http.head(PATH)
    assert (head.headers, head.content) == (headers, b"")


@pytest.mark.conformance("U-10", "K-11", "H-09")
def test_conditions_and_ranges(http: httpx.Client, settings: Settings, ca: CA) -> None:
    """U-10: 206 to a Range alone, never to the stray Content-Range of CRLite."""
    data = crl(ca, 1, NOW - 600)
    publish(settings, data)
    full = http.get(PATH)
    tag, modified = full.headers["etag"], full.headers["last-modified"]
    assert full.headers["accept-ranges"] == "bytes"
    for headers in ({"If-None-Match": tag}, {"If-Modified-Since": full.headers["date"]}):
        for more in ({}, {"Range": "bytes=0-9"}):
            response = http.get(PATH, headers=headers | more)
            assert (response.status_code, response.content) == (304, b"")
            assert response.headers["etag"] == tag
    part = http.get(PATH, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, data[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(data)}"
    described = {"content-length", "content-range", "date"}
    assert {name: value for name, value in part.headers.items() if name not in described} == {
        name: value for name, value in full.headers.items() if name not in described
    }
    beyond = http.get(PATH, headers={"Range": f"bytes={len(data)}-"})
    assert (beyond.status_code, beyond.content) == (416, b"")
    assert beyond.headers["content-range"] == f"bytes */{len(data)}"
    assert beyond.headers["cache-control"] == "no-store"
    for condition, code in ((tag, 206), (f"W/{tag}", 200), (modified, 206), (full.headers["date"], 200)):
        part = http.get(PATH, headers={"Range": "bytes=-5", "If-Range": condition})
        assert (part.status_code, part.content) == (code, data[-5:] if code == 206 else data), condition
    for headers in ({"Content-Range": "bytes 10-20/30"}, {"Range": "bytes=0-1,3-4"}, {"Range": "bytes=9-0"}):
        response = http.get(PATH, headers=headers)
        assert (response.status_code, response.content) == (200, data)
    head = http.head(PATH, headers={"Range": "bytes=0-9"})
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(data)))


@pytest.mark.conformance("U-06")
@pytest.mark.invariant("D9")
def test_a_part_is_of_one_version(
    http: httpx.Client, settings: Settings, ca: CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D9: who has half of a CRL gets the rest of that one, or another one whole."""
    monkeypatch.setattr(crl_versions, "RECHECK", 0.0)
    publish(settings, crl(ca, 1, NOW - 600))
    half = http.get(PATH, headers={"Range": "bytes=0-99"})
    second = crl(ca, 2, NOW - 300)
    publish(settings, second)
    rest = http.get(PATH, headers={"Range": "bytes=100-", "If-Range": half.headers["etag"]})
    assert (rest.status_code, rest.content) == (200, second)


def test_a_new_crl_is_taken_up(
    http: httpx.Client, settings: Settings, ca: CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crl_versions, "RECHECK", 0.0)
    first, second = crl(ca, 1, NOW - 600), crl(ca, 2, NOW - 300)
    publish(settings, first)
    assert [http.get(PATH).content for _ in range(2)] == [first, first]
    publish(settings, second)
    assert http.get(PATH).content == second


@pytest.mark.invariant("F2")
def test_memory_is_bounded(
    http: httpx.Client, settings: Settings, ca: CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {f"/crl/demo/1-{index}.crl": crl(ca, index + 1, NOW - 600) for index in range(5)}
    monkeypatch.setattr(crl_versions, "MEMORY", 2 * len(contents[PATH]) + 10)
    for path, data in contents.items():
        publish(settings, data, path)
    for _ in range(2):
        assert {path: http.get(path).content for path in contents} == contents


@pytest.mark.parametrize(
    "path",
    [
        "/crl/demo/2-0.crl",
        "/crl/other/1-0.crl",
        "/crl/demo/manifest.json",
        "/crl/demo/1-0.crl/",
        "/crl//demo/1-0.crl",
        "/crl/../secret.crl",
        "/crl/demo/..%2F..%2Fsecret.crl",
        "/crl/%64emo/1-0.crl",
        "/crl/",
    ],
)
def test_what_is_not_a_crl_is_not_there(port: int, settings: Settings, ca: CA, path: str) -> None:
    publish(settings, crl(ca, 1, NOW - 600))
    publish(settings, b"{}", "/crl/demo/manifest.json")
    (Path(settings.objects.location) / "secret.crl").write_bytes(b"secret")
    connection = HTTPConnection("127.0.0.1", port, timeout=10)  # sends the path as it is
    connection.request("GET", path)
    response = connection.getresponse()
    assert response.status == 404
    assert response.headers["cache-control"] == "no-store"
    connection.close()


@pytest.mark.conformance("U-07")
@pytest.mark.invariant("B1")
def test_nothing_is_sent_past_next_update(
    http: httpx.Client, settings: Settings, ca: CA, clock: FakeClock
) -> None:
    """B1; U-07: max-age ends with the CRL."""
    publish(settings, crl(ca, 1, NOW - 600, lifetime=1600))
    assert http.get(PATH).headers["cache-control"] == "public, max-age=1000, no-transform"
    clock.seconds = NOW + 1000
    response = http.get(PATH)
    assert (response.status_code, response.content) == (503, b"")
    assert response.headers["cache-control"] == "no-store"


def test_what_cannot_be_read_is_503(http: httpx.Client, settings: Settings) -> None:
    publish(settings, b"not a CRL")
    assert http.get(PATH).status_code == 503


def test_a_post_below_crl_is_ocsp(http: httpx.Client, ca: CA) -> None:
    response = http.post(PATH, content=ca.request(1))
    assert response.headers["content-type"] == "application/ocsp-response"


def changed(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


STRANGER = CA("demo", "Another CA")
NAMESAKE = CA("demo")
NOT_SERVED: dict[str, Callable[[CA], bytes]] = {
    "noise": lambda ca: b"not a CRL",
    "empty": lambda ca: b"",
    "half": lambda ca: crl(ca, 6, NOW - 300)[:100],
    "another CA": lambda ca: crl(STRANGER, 6, NOW - 300),
    "another key": lambda ca: crl(NAMESAKE, 6, NOW - 300),
    "another name": lambda ca: crl(CA("demo", "Another CA", ca.key), 6, NOW - 300),
    "changed": lambda ca: changed(crl(ca, 6, NOW - 300)),
    "lower number": lambda ca: crl(ca, 4, NOW - 300),
    "earlier thisUpdate": lambda ca: crl(ca, 6, NOW - 601),
}


@pytest.mark.conformance("U-06")
@pytest.mark.invariant("D1")
@pytest.mark.parametrize("bad", NOT_SERVED.values(), ids=NOT_SERVED)
def test_what_does_not_follow_is_not_served(
    http: httpx.Client,
    settings: Settings,
    ca: CA,
    clock: FakeClock,
    counters: Counters,
    bad: Callable[[CA], bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """U-06: the version before stays until its nextUpdate, and the one after is taken up."""
    monkeypatch.setattr(crl_versions, "RECHECK", 0.0)
    served = crl(ca, 5, NOW - 600, lifetime=1600)
    publish(settings, served)
    assert http.get(PATH).content == served
    publish(settings, bad(ca))
    assert [http.get(PATH).content for _ in range(3)] == [served] * 3
    assert counters.value("crl_versions_refused_total") == 1  # looked at once
    clock.seconds = NOW + 1000
    response = http.get(PATH)
    assert (response.status_code, response.headers["cache-control"]) == (503, "no-store")
    after = crl(ca, 6, NOW + 900)
    publish(settings, after)
    assert http.get(PATH).content == after


@pytest.mark.conformance("U-06")
@pytest.mark.parametrize("stranger", [STRANGER, NAMESAKE], ids=["name", "key"])
def test_another_ca_s_crl_is_503(
    http: httpx.Client, settings: Settings, counters: Counters, stranger: CA
) -> None:
    publish(settings, crl(stranger, 1, NOW - 600))
    for _ in range(2):
        response = http.get(PATH)
        assert (response.status_code, response.headers["cache-control"]) == (503, "no-store")
    assert counters.value("crl_responses_total", "503") == 2


def test_only_configured_issuers_have_crls(http: httpx.Client, settings: Settings, ca: CA) -> None:
    publish(settings, crl(ca, 1, NOW - 600), "/crl/other/1-0.crl")
    assert http.get("/crl/other/1-0.crl").status_code == 404


def test_an_unforeseen_fault_is_503(
    http: httpx.Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H-01: never a 500."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(crl_versions, "read_object_async", fail)
    response = http.get(PATH)
    assert (response.status_code, response.headers["cache-control"]) == (503, "no-store")
