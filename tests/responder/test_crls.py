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

from responder import crls
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
    """U-10: never 206, also for the stray Content-Range of CRLite."""
    publish(settings, crl(ca, 1, NOW - 600))
    full = http.get(PATH)
    for headers in ({"If-None-Match": full.headers["etag"]}, {"If-Modified-Since": full.headers["date"]}):
        response = http.get(PATH, headers=headers)
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == full.headers["etag"]
    for headers in ({"Range": "bytes=0-9"}, {"Content-Range": "bytes 10-20/30"}):
        response = http.get(PATH, headers=headers)
        assert (response.status_code, response.content) == (200, full.content)


def test_a_new_crl_is_taken_up(
    http: httpx.Client, settings: Settings, ca: CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crls, "RECHECK", 0.0)
    first, second = crl(ca, 1, NOW - 600), crl(ca, 2, NOW - 300)
    publish(settings, first)
    assert [http.get(PATH).content for _ in range(2)] == [first, first]
    publish(settings, second)
    assert http.get(PATH).content == second


def test_memory_is_bounded(
    http: httpx.Client, settings: Settings, ca: CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {f"/crl/demo/1-{index}.crl": crl(ca, index + 1, NOW - 600) for index in range(5)}
    monkeypatch.setattr(crls, "MEMORY", 2 * len(contents[PATH]) + 10)
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
    "changed": lambda ca: changed(crl(ca, 6, NOW - 300)),
    "lower number": lambda ca: crl(ca, 4, NOW - 300),
    "earlier thisUpdate": lambda ca: crl(ca, 6, NOW - 601),
}


@pytest.mark.conformance("U-06")
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
    monkeypatch.setattr(crls, "RECHECK", 0.0)
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

    monkeypatch.setattr(crls, "read_object_async", fail)
    response = http.get(PATH)
    assert (response.status_code, response.headers["cache-control"]) == (503, "no-store")
