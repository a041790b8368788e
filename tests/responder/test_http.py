"""The public listener over real sockets: what clients send, and what must come back byte for byte."""

import base64
import socket
import subprocess
from email.utils import parsedate_to_datetime
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from _fastpath import der
from _fastpath.certid import SHA1, serial_from_int
from _fastpath.ocsp import INTERNAL_ERROR, MALFORMED_REQUEST, TRY_LATER, UNAUTHORIZED
from responder.config import Settings, load_settings
from responder.counters import Counters
from responder.resolver import Resolver
from store.schema import issuer_key
from tests.responder.ca import CA, NOW, THIS_UPDATE, VALIDITY, Shelf, good
from tests.responder.conftest import GOOD, REVOKED, FakeClock, serving, write_config

OCSP_TYPE = "application/ocsp-request"
NO_STORE = "no-store"


def raw(port: int, *segments: bytes, timeout: float = 10.0) -> bytes:
    """Everything that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout) as connection:
        for segment in segments:
            connection.sendall(segment)
        received = b""
        while chunk := connection.recv(1 << 16):
            received += chunk
        return received


def status_of(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


def one_response(port: int, request: bytes) -> tuple[HTTPResponse, bytes]:
    """A response to a request whose bytes are given, with `Connection: close` or not."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(request)
        response = HTTPResponse(connection)
        response.begin()
        return response, response.read()


def url_path(request: bytes) -> str:
    return "/" + quote(base64.b64encode(request).decode(), safe="")


@pytest.fixture
def http(port: int) -> Any:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        yield client


@pytest.fixture
def request_der(ca: CA) -> bytes:
    return ca.request(GOOD)


@pytest.mark.conformance("Q-01", "H-10", "H-12")
def test_get_head_and_post_give_one_answer(http: httpx.Client, request_der: bytes) -> None:
    """Q-01, H-10, H-12: the same header fields, the same body, which HEAD leaves out."""
    path = url_path(request_der)
    get, head = http.get(path), http.head(path)
    post = http.post("/", content=request_der, headers={"Content-Type": OCSP_TYPE})
    elsewhere = http.post("/any/path?x=y", content=request_der, headers={"Content-Type": OCSP_TYPE})
    assert [answer.status_code for answer in (get, head, post, elsewhere)] == [200] * 4
    assert get.content == post.content == elsewhere.content
    assert head.content == b""
    assert get.headers == head.headers == post.headers == elsewhere.headers
    assert ocsp.load_der_ocsp_response(get.content).certificate_status == ocsp.OCSPCertStatus.GOOD


@pytest.mark.conformance("H-02", "H-03", "H-04", "H-07", "H-08", "H-13")
def test_header_fields_of_an_answer(http: httpx.Client, request_der: bytes) -> None:
    """H-02 to H-08, H-13: exactly these."""
    response = http.get(url_path(request_der), headers={"Accept-Encoding": "gzip, br", "Accept": "text/html"})
    assert list(response.headers) == [
        "date",
        "content-type",
        "content-length",
        "last-modified",
        "etag",
        "expires",
        "cache-control",
    ]
    headers = response.headers
    seconds = {
        name: int(parsedate_to_datetime(headers[name]).timestamp())
        for name in ("date", "last-modified", "expires")
    }
    assert seconds == {"date": NOW, "last-modified": THIS_UPDATE + 2, "expires": THIS_UPDATE + VALIDITY}
    assert headers["content-type"] == "application/ocsp-response"
    assert headers["content-length"] == str(len(response.content))
    assert headers["cache-control"] == "max-age=3600, public, no-transform, must-revalidate"
    signature = ocsp.load_der_ocsp_response(response.content).signature
    assert headers["etag"].startswith('"') and len(headers["etag"]) == 2 * 32 + 2 + 2
    assert headers["etag"][1:5] in signature.hex()


@pytest.mark.conformance("K-01", "Q-08")
def test_openssl_reads_the_answers(port: int, ca: CA, tmp_path: Path) -> None:
    """K-01: openssl's own client, over HTTP/1.0 with a nonce that is not echoed, for both hashes."""
    (tmp_path / "ca.pem").write_bytes(ca.certificate.public_bytes(Encoding.PEM))
    for serial, status in ((GOOD, "good"), (REVOKED, "revoked")):
        for option in ("-sha1", "-sha256"):
            command = [
                "openssl",
                "ocsp",
                "-issuer",
                "ca.pem",
                option,
                "-serial",
                str(serial),
                "-CAfile",
                "ca.pem",
            ]
            command += ["-url", f"http://127.0.0.1:{port}/", "-no_cert_verify", "-timeout", "10"]
            result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
            assert f"{serial}: {status}" in result.stdout
            assert "Response verify OK" in result.stderr
            assert "no nonce in response" in result.stderr


@pytest.mark.conformance("R-02", "R-11", "H-06")
@pytest.mark.invariant("A8", "E3")
def test_unknown_serials_and_strangers_are_unauthorized_over_http(http: httpx.Client, ca: CA) -> None:
    """K-12, R-02, E3: five octets that no cache keeps."""
    for request in (ca.request(GOOD + 1), CA("demo").request(GOOD), ca.request(GOOD, hashes.SHA512())):
        for response in (http.get(url_path(request)), http.post("/", content=request)):
            assert response.status_code == 200
            assert response.content == UNAUTHORIZED
            assert response.headers["cache-control"] == NO_STORE
            assert "etag" not in response.headers and "expires" not in response.headers


def spellings(request: bytes) -> dict[str, str]:
    plain = base64.b64encode(request).decode()
    escaped = quote(plain, safe="")
    return {
        "plain": f"/{plain}",
        "escaped": f"/{escaped}",
        "lower-case escapes": "/" + escaped.replace("%2F", "%2f").replace("%2B", "%2b").replace("%3D", "%3d"),
        "two slashes": f"//{plain}",
        "many slashes": f"////{escaped}",
        "escaped leading slash": f"/%2F{plain}",
        "no padding": "/" + plain.rstrip("="),
        "every octet escaped": "/" + "".join(f"%{octet:02X}" for octet in plain.encode()),
        "query": f"/{plain}?ignored=1",
        "url alphabet": "/" + plain.replace("+", "-").replace("/", "_"),
        "escaped space for plus": "/" + plain.replace("+", "%20"),
        "line breaks": f"/{plain[:60]}%0D%0A{plain[60:]}",
        "twice escaped": f"/%25{ord(plain[0]):02X}{plain[1:]}",
        "absolute form": f"http://ocsp.test/{plain}",
    }


@pytest.mark.conformance("H-14", "H-15", "H-19")
@pytest.mark.invariant("E1")
def test_path_spellings_are_one_request(port: int, ca: CA, shelf: Shelf) -> None:
    """E1, H-14, H-15: for a request with `+`, `/` and `//` in its base64."""
    serial = next(
        serial
        for serial in range(1 << 60, (1 << 60) + 1_000_000)
        if b"//" in (text := base64.b64encode(ca_request(ca, serial))) and b"+" in text
    )
    shelf.put(good(serial))
    for name, target in spellings(ca_request(ca, serial)).items():
        request = f"GET {target} HTTP/1.1\r\nHost: ocsp.test\r\nConnection: close\r\n\r\n".encode()
        response, body = one_response(port, request)
        assert response.status == 200, name
        assert ocsp.load_der_ocsp_response(body).response_status == ocsp.OCSPResponseStatus.SUCCESSFUL, name
        assert ocsp.load_der_ocsp_response(body).serial_number == serial, name


def ca_request(ca: CA, serial: int) -> bytes:
    """A request without the cost of a certificate to ask about."""
    content = ca.issuer.id.encode_cert_id(SHA1, serial_from_int(serial))
    for _ in range(4):
        content = der.encode(0x30, content)
    return content


@pytest.mark.conformance("H-15")
def test_strict_paths(tmp_path: Path, ca: CA, settings: Settings, shelf: Shelf, clock: FakeClock) -> None:
    """H-15: strict mode refuses what is else tolerated."""
    path = write_config(tmp_path, ca, settings.store.url, "strict_base64 = true")
    request = ca.request(GOOD)
    with serving(load_settings(path), Counters.private(), clock) as port:
        base = f"http://127.0.0.1:{port}"
        assert len(httpx.get(base + url_path(request)).content) > 100
        for spelling in ("line breaks", "twice escaped"):
            assert httpx.get(base + spellings(request)[spelling]).content == MALFORMED_REQUEST


@pytest.mark.conformance("H-14")
def test_mount_prefix(tmp_path: Path, ca: CA, settings: Settings, shelf: Shelf, clock: FakeClock) -> None:
    path = write_config(tmp_path, ca, settings.store.url, 'prefix = "/ocsp"')
    request = ca.request(GOOD)
    with serving(load_settings(path), Counters.private(), clock) as port:
        base = f"http://127.0.0.1:{port}"
        expected = httpx.get(f"{base}/ocsp{url_path(request)}").content
        assert len(expected) > 100
        for good_post in ("/ocsp", "/ocsp/"):
            assert httpx.post(base + good_post, content=request).content == expected
        assert httpx.get(f"{base}/ocsp").content == MALFORMED_REQUEST
        for outside in ("/", url_path(request), "/ocspx" + url_path(request)):
            assert httpx.get(base + outside).status_code == 404
        assert httpx.post(f"{base}/", content=request).status_code == 404


@pytest.mark.conformance("Q-02", "H-01", "H-06")
def test_malformed_requests(http: httpx.Client, request_der: bytes) -> None:
    """Q-02: five octets, 200, never a 5xx."""
    corpus = [b"", b"\x30", b"\x30\x00", request_der[:-1], request_der + b"\0", b"\x31" + request_der[1:]]
    corpus += [request_der[:cut] for cut in range(0, len(request_der), 5)]
    corpus += [b"\x30\x84\xff\xff\xff\xff" + request_der, b"\xff" * 300, b"\x30\x80" + request_der + b"\0\0"]
    for body in corpus:
        response = http.post("/", content=body)
        assert (response.status_code, response.content) == (200, MALFORMED_REQUEST)
        assert response.headers["cache-control"] == NO_STORE
        assert http.get(url_path(body)).content == MALFORMED_REQUEST
    for path in ("/", "/favicon.ico", "/MEUw!", "/..%2F..%2Fetc", "/%00", "/M", "/%zz"):
        response = http.get(path)
        assert (response.status_code, response.content) == (200, MALFORMED_REQUEST), path


@pytest.mark.conformance("Q-02")
def test_mutated_requests_never_fail(http: httpx.Client, request_der: bytes) -> None:
    for place in range(len(request_der)):
        for mask in (0x01, 0x80, 0xFF):
            body = request_der[:place] + bytes([request_der[place] ^ mask]) + request_der[place + 1 :]
            response = http.post("/", content=body)
            assert response.status_code == 200
            if response.content not in (MALFORMED_REQUEST, UNAUTHORIZED):
                answer = ocsp.load_der_ocsp_response(response.content)
                assert answer.serial_number in (GOOD, REVOKED)


@pytest.mark.conformance("H-01", "K-09")
def test_media_types(http: httpx.Client, request_der: bytes) -> None:
    """H-01, K-09: none at all, octet-stream and form are parsed; others are not."""
    accepted = (
        None,
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "APPLICATION/OCSP-REQUEST",
    )
    for media_type in (*accepted, "application/ocsp-request; charset=x"):
        headers = {} if media_type is None else {"Content-Type": media_type}
        assert len(http.post("/", content=request_der, headers=headers).content) > 100
    for media_type in ("text/html", "application/json", "application/ocsp-response"):
        response = http.post("/", content=request_der, headers={"Content-Type": media_type})
        assert (response.status_code, response.content) == (415, b"")
        assert response.headers["cache-control"] == NO_STORE


@pytest.mark.conformance("H-01")
def test_methods(http: httpx.Client, request_der: bytes) -> None:
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
        response = http.request(method, url_path(request_der))
        assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD, POST")
        assert response.headers["cache-control"] == NO_STORE


@pytest.mark.conformance("Q-12", "H-01")
@pytest.mark.invariant("F1")
def test_body_limit(http: httpx.Client, port: int) -> None:
    """Q-12: 16,384 octets are read, one more is 413, also where the length is not told or is a lie."""
    assert http.post("/", content=b"\x30" * 16384).content == MALFORMED_REQUEST
    assert http.post("/", content=b"\x30" * 16385).status_code == 413
    head = b"POST / HTTP/1.1\r\nHost: x\r\n"
    assert status_of(raw(port, head + b"Content-Length: 99999999999999999\r\n\r\n")) == 413
    pieces = b"Transfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + b"0" * 4096 + b"\r\n"
    more = b"1000\r\n" + b"0" * 4096 + b"\r\n"
    assert status_of(raw(port, head + pieces + 4 * more)) == 413
    closing = head + b"Connection: close\r\n" + pieces + 3 * more + b"0\r\n\r\n"
    assert raw(port, closing).endswith(MALFORMED_REQUEST)


@pytest.mark.conformance("Q-12", "H-01")
@pytest.mark.invariant("F1")
def test_target_limit(port: int) -> None:
    """Q-12: a target of 8,192 octets is read, one more is 414, with or without a query."""
    for template in ("/{}", "/?{}", "/M?{}"):
        for size, status in ((8192, 200), (8193, 414), (200_000, 414)):
            target = template.format("A" * (size - len(template) + 2))
            assert len(target) == size
            request = f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
            response, _ = one_response(port, request)
            assert response.status == status
            assert response.getheader("date")


@pytest.mark.invariant("F1")
@pytest.mark.conformance("H-01")
@pytest.mark.parametrize("target", ["/M", "/M?slow"])
def test_header_limit_to_the_octet(port: int, target: str) -> None:
    """Of all fields together, each with four octets more than its name and value."""
    for fields in (1, 7):
        for excess, status in ((0, 200), (1, 431)):
            room = 32_768 + excess - len("ConnectioncloseHostx") - 8 - fields * (4 + len("X"))
            values = [room // fields] * (fields - 1)
            values.append(room - sum(values))
            lines = "".join(f"X: {'a' * value}\r\n" for value in values)
            head = f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n"
            assert status_of(raw(port, head.encode())) == status


@pytest.mark.invariant("F1")
@pytest.mark.conformance("Q-12")
def test_lengths_that_lie(port: int, request_der: bytes) -> None:
    """What is claimed takes nothing: more than comes, and more than there may be, in HTTP and in DER."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    for claimed in (16_385, 1 << 31, 1 << 32, 1 << 40, (1 << 63) - 1):
        assert status_of(raw(port, head + b"Content-Length: %d\r\n\r\n" % claimed + request_der)) == 413
    for size in (b"5000", b"7fffffff", b"ffffffff", b"7fffffffffffffff"):
        content = size + b"\r\n" + bytes(17_000)
        assert status_of(raw(port, head + b"Transfer-Encoding: chunked\r\n\r\n" + content)) == 413
    short = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (len(request_der) - 1) + request_der
    answers = raw(port, short)  # the last octet begins what is no request
    assert MALFORMED_REQUEST in answers and answers.count(b"HTTP/1.1 400 ") == 1
    for octets in range(1, 5):
        for first in (0x7F, 0xFF):
            lie = bytes([0x30, 0x80 | octets, first, *[0xFF] * (octets - 1)]) + request_der
            post = head + b"Content-Length: %d\r\n\r\n" % len(lie) + lie
            assert raw(port, post).endswith(MALFORMED_REQUEST)


@pytest.mark.invariant("F1")
@pytest.mark.conformance("H-01")
def test_header_limit(port: int) -> None:
    head = b"GET /M HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    assert status_of(raw(port, head + b"X: " + b"a" * 32_000 + b"\r\n\r\n")) == 200
    response, _ = one_response(port, head + b"X: " + b"a" * 33_000 + b"\r\n\r\n")
    assert response.status == 431


@pytest.mark.conformance("H-01")
@pytest.mark.invariant("E5")
@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=[
        "tls",
        "no-version",
        "two-lengths",
        "length-and-chunked",
        "negative-length",
        "space-colon",
        "raw-octet",
    ],
)
def test_what_is_not_http_is_400_and_closed(port: int, request_bytes: bytes) -> None:
    """H-01, E5."""
    response = raw(port, request_bytes)
    assert status_of(response) == 400
    assert b"\r\ndate: " in response and b"\r\nconnection: close\r\n" in response


@pytest.mark.conformance("H-16")
def test_http_1_0_closes_and_never_chunks(port: int, request_der: bytes) -> None:
    """H-16: Apache reads to the end of the stream."""
    body = request_der
    request = (
        b"POST / HTTP/1.0\r\nContent-Type: application/ocsp-request\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    for response in (
        raw(port, request + body),
        raw(port, request, body[:10], body[10:]),
        raw(port, f"GET {url_path(body)} HTTP/1.0\r\n\r\n".encode()),
    ):
        assert status_of(response) == 200
        assert b"transfer-encoding" not in response
        assert ocsp.load_der_ocsp_response(response.partition(b"\r\n\r\n")[2]).serial_number == GOOD


@pytest.mark.invariant("E2", "E6")
def test_pipelined_requests_are_answered_in_order(port: int, ca: CA) -> None:
    """E6: good, revoked, unknown, malformed and a refusal, in one segment, one by one."""
    order = [GOOD, REVOKED, GOOD + 1, GOOD, REVOKED] * 4
    requests = [
        f"GET {url_path(ca.request(serial))} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for serial in order
    ]
    requests.append(b"PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    whole = b"".join(requests)
    for segments in ([whole], [whole[:700], whole[700:701], whole[701:]]):
        rest = raw(port, *segments)
        for serial in order:
            head, _, rest = rest.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            body, rest = rest[:length], rest[length:]
            if serial == GOOD + 1:
                assert body == UNAUTHORIZED
            else:
                assert ocsp.load_der_ocsp_response(body).serial_number == serial
        assert status_of(rest) == 405


def test_an_upgrade_is_declined_and_the_request_answered(port: int, request_der: bytes) -> None:
    upgrade = b"Host: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    response = raw(port, f"GET {url_path(request_der)} HTTP/1.1\r\n".encode() + upgrade + b"\r\n")
    assert status_of(response) == 200
    assert ocsp.load_der_ocsp_response(response.partition(b"\r\n\r\n")[2]).serial_number == GOOD
    length = b"Content-Length: %d\r\n\r\n" % len(request_der)
    assert status_of(raw(port, b"POST / HTTP/1.1\r\n" + upgrade + length + request_der)) == 400


@pytest.mark.invariant("E5")
def test_expect_continue_and_bodies_of_get(port: int, request_der: bytes) -> None:
    """E5."""
    length = b"Content-Length: %d\r\n" % len(request_der)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n" + length + b"\r\n"
    response = raw(port, head, request_der)
    assert response.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")
    get = f"GET {url_path(request_der)} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n".encode()
    twice = raw(port, get + b"\r\njunk" + get + b"Connection: close\r\n\r\njunk")
    assert twice.count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.conformance("H-01")
def test_a_body_that_does_not_come_is_408(
    tmp_path: Path, ca: CA, settings: Settings, shelf: Shelf, clock: FakeClock
) -> None:
    path = write_config(tmp_path, ca, settings.store.url, "body_timeout = 0")
    with serving(load_settings(path), Counters.private(), clock) as port:
        response = raw(port, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 80\r\n\r\n\x30")
    assert status_of(response) == 408
    assert b"connection: close" in response


@pytest.mark.conformance("H-01", "H-20")
@pytest.mark.invariant("F5")
def test_too_many_connections_are_503(
    tmp_path: Path, ca: CA, settings: Settings, shelf: Shelf, clock: FakeClock
) -> None:
    """H-20: at transport level, with Retry-After, never as a status."""
    path = write_config(tmp_path, ca, settings.store.url, "limit_concurrency = 1")
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    counters = Counters.private()
    with (
        serving(load_settings(path), counters, clock) as port,
        socket.create_connection(("127.0.0.1", port), 10) as first,
    ):
        first.sendall(request)
        assert status_of(first.recv(1 << 16)) == 200
        refused = raw(port, request)
        assert status_of(refused) == 503
        assert b"\r\nretry-after: 1\r\n" in refused and b"\r\ndate: " in refused
        first.sendall(request)
        assert status_of(first.recv(1 << 16)) == 200
    assert counters.value("http_refusals_total", "503") == 1


@pytest.mark.conformance("H-09", "H-10")
def test_conditional_requests(http: httpx.Client, request_der: bytes) -> None:
    """H-09."""
    path = url_path(request_der)
    full = http.get(path)
    etag, modified = full.headers["etag"], full.headers["last-modified"]
    earlier, later = "Sat, 01 Jan 2000 00:00:00 GMT", "Sat, 01 Jan 2050 00:00:00 GMT"
    table: list[tuple[dict[str, str], int]] = [
        ({"If-None-Match": etag}, 304),
        ({"If-None-Match": f"W/{etag}"}, 304),
        ({"If-None-Match": f'"other", {etag}'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"other"'}, 200),
        ({"If-None-Match": etag.strip('"')}, 200),
        ({"If-None-Match": ""}, 200),
        ({"If-Modified-Since": modified}, 304),
        ({"If-Modified-Since": later}, 304),
        ({"If-Modified-Since": earlier}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-None-Match": '"other"', "If-Modified-Since": later}, 200),
        ({"If-None-Match": etag, "If-Modified-Since": earlier}, 304),
    ]
    for headers, status in table:
        for method in ("GET", "HEAD"):
            assert http.request(method, path, headers=headers).status_code == status, headers
    response = http.get(path, headers={"If-None-Match": etag})
    assert response.content == b""
    expected = {name: value for name, value in full.headers.items() if not name.startswith("content-")}
    assert dict(response.headers) == expected
    assert http.post("/", content=request_der, headers={"If-None-Match": etag}).status_code == 200


@pytest.mark.conformance("H-06", "H-09")
def test_errors_are_never_304(http: httpx.Client, ca: CA) -> None:
    response = http.get(url_path(ca.request(GOOD + 1)), headers={"If-None-Match": "*"})
    assert (response.status_code, response.content) == (200, UNAUTHORIZED)


@pytest.mark.conformance("H-04", "R-11")
@pytest.mark.invariant("B1")
def test_nothing_is_sent_close_to_next_update(
    http: httpx.Client, request_der: bytes, clock: FakeClock, counters: Counters
) -> None:
    """B1, R-11, H-04: around nextUpdate - 60 s; max-age falls to 0 before."""
    next_update = THIS_UPDATE + VALIDITY
    for offset, servable in (
        (-62, True),
        (-61, True),
        (-60, False),
        (-59, False),
        (0, False),
        (30 * 86400, False),
    ):
        clock.seconds = next_update + offset
        response = http.get(url_path(request_der))
        assert (response.content != TRY_LATER) == servable
        expected = "max-age=0, public, no-transform, must-revalidate" if servable else NO_STORE
        assert response.headers["cache-control"] == expected
    assert counters.value("ocsp_try_later_total", "expired") == 4


@pytest.mark.conformance("R-06", "H-08")
@pytest.mark.invariant("B1")
def test_nothing_is_sent_before_its_time(http: httpx.Client, ca: CA, shelf: Shelf, clock: FakeClock) -> None:
    """R-06: neither thisUpdate nor producedAt lies in the future."""
    shelf.put(good(0x99, this_update=NOW - 10, produced_at=NOW - 5))
    for offset, servable in ((-11, False), (-10, False), (-6, False), (-5, True), (-4, True)):
        clock.seconds = NOW + offset
        response = http.get(url_path(ca.request(0x99)))
        assert (response.content != TRY_LATER) == servable
        if servable:
            last_modified, date = (
                parsedate_to_datetime(response.headers[n]) for n in ("last-modified", "date")
            )
            assert last_modified <= date


@pytest.mark.conformance("H-04")
def test_max_age_ends_before_the_replacement_is_due(
    http: httpx.Client, request_der: bytes, clock: FakeClock
) -> None:
    deadline = THIS_UPDATE + min((VALIDITY + 1) // 2, 345600)
    clock.seconds = THIS_UPDATE + VALIDITY // 2 - 100
    value = http.get(url_path(request_der)).headers["cache-control"]
    assert 0 < int(value.partition("max-age=")[2].partition(",")[0]) <= deadline - clock.seconds


@pytest.mark.conformance("R-11")
def test_a_lost_store_is_try_later(
    http: httpx.Client, request_der: bytes, shelf: Shelf, counters: Counters
) -> None:
    """A8: connections cut, again and again: an answer or tryLater, never anything else."""
    for _ in range(5):
        shelf.client.client_kill_filter(_type="pubsub", skipme=True)
        shelf.client.client_kill_filter(_type="normal", skipme=True)
        for _ in range(5):
            response = http.post("/", content=request_der)
            assert response.status_code == 200
            assert len(response.content) > 100 or response.content == TRY_LATER
    assert counters.value("store_connections_total") > 1


@pytest.mark.conformance("H-01", "H-06", "R-02")
@pytest.mark.invariant("A8")
def test_an_unforeseen_fault_is_internal_error(
    http: httpx.Client, request_der: bytes, counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H-01: never a 500, and kept by no cache."""

    async def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Resolver, "resolve", fail)
    for response in (
        http.post("/", content=request_der, params="slow"),
        http.get(url_path(request_der), params="slow"),
    ):
        assert (response.status_code, response.content) == (200, INTERNAL_ERROR)
        assert response.headers["cache-control"] == NO_STORE
    assert counters.value("ocsp_responses_total", "internal_error", "POST") == 1


@pytest.mark.conformance("R-11")
def test_an_issuer_record_with_too_many_templates_is_try_later(
    http: httpx.Client, request_der: bytes, ca: CA, shelf: Shelf
) -> None:
    fields: dict[Any, Any] = {f"template:{slot}": "7" for slot in range(2000)}
    shelf.client.hset(issuer_key(ca.name).decode(), mapping=fields)
    answers = [http.post("/", content=request_der) for _ in range(20)]
    assert {(answer.status_code, answer.content) for answer in answers[10:]} == {(200, TRY_LATER)}


def test_what_is_counted(http: httpx.Client, ca: CA, counters: Counters) -> None:
    http.get(url_path(ca.request(GOOD)))
    http.post("/", content=ca.request(REVOKED))
    http.head(url_path(ca.request(GOOD + 1)))
    http.get("/")
    http.put("/")
    http.get("/" + base64.b64encode(ca.request(GOOD)).decode().rstrip("=") + "%0A")
    wanted = {
        ("ocsp_responses_total", "good", "GET"): 2,
        ("ocsp_responses_total", "revoked", "POST"): 1,
        ("ocsp_responses_total", "unauthorized", "HEAD"): 1,
        ("ocsp_responses_total", "malformed_request", "GET"): 1,
        ("ocsp_unauthorized_total", "no_record"): 1,
        ("http_refusals_total", "405"): 1,
        ("ocsp_tolerated_total", "line_break"): 1,
        ("ocsp_request_seconds",): 6,
        ("ocsp_response_age_seconds",): 3,
    }
    assert {labels: counters.value(*labels) for labels in wanted} == wanted


def chunked(body: bytes, trailer: bytes) -> bytes:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(body), body, trailer)


@pytest.mark.invariant("E5")
@pytest.mark.parametrize(
    "trailer", [b"Content-Type: text/plain\r\n", b"Expect: 100-continue\r\n", b"X: y\r\n"]
)
def test_a_trailer_is_no_header(port: int, request_der: bytes, trailer: bytes) -> None:
    """RFC 9110 section 6.5.1: it changes nothing."""
    responses = [raw(port, chunked(request_der, fields)) for fields in (b"", trailer)]
    assert status_of(responses[0]) == 200 and responses[0] == responses[1]


@pytest.mark.invariant("E5")
@pytest.mark.parametrize("version", ["0.9", "2.0", "1.2", "3.0"])
def test_other_versions_are_400_and_closed(port: int, request_der: bytes, version: str) -> None:
    response = raw(port, f"GET {url_path(request_der)} HTTP/{version}\r\nHost: x\r\n\r\n".encode())
    assert status_of(response) == 400 and b"connection: close" in response
