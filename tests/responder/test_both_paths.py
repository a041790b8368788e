"""The fast path and the slow one give the same octets and close the same connections, whatever is asked in whatever form."""

import asyncio
import base64
import random
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import hashes

from _fastpath.certid import SHA1, serial_from_int
from _fastpath.der import encode
from responder.app import Application
from responder.config import load_settings
from responder.counters import Counters
from store.embedded import EmbeddedStore
from tests.fastpath.test_head import mutate
from tests.responder.ca import CA, NOW, VALIDITY, Shelf, good
from tests.responder.conftest import GOOD, REVOKED, FakeClock, write_config
from tests.responder.connections import Worker

CASES = [5_000, pytest.param(1_000_000, marks=pytest.mark.slow)]
BATCH = 250

EXPIRED, EARLY, UNISSUED = GOOD + 16, GOOD + 18, GOOD + 20


@pytest.fixture
def shelf(shelf: Shelf) -> Shelf:
    """With one answer that is too old to be sent and one that is too young."""
    shelf.put(
        good(EXPIRED, this_update=NOW - VALIDITY + 30, next_update=NOW + 30),
        good(EARLY, this_update=NOW + 100, next_update=NOW + VALIDITY),
    )
    return shelf


@pytest.fixture(params=["", "/ocsp"], ids=["root", "prefix"])
async def mounted(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    ca: CA,
    server: EmbeddedStore,
    shelf: Shelf,
    counters: Counters,
    clock: FakeClock,
) -> AsyncIterator[tuple[Application, bytes]]:
    section = f'lookup_timeout_ms = 5000\nprefix = "{request.param}"'
    settings = load_settings(write_config(tmp_path, ca, server.url, section))
    application = Application(settings, counters, clock)
    await application.start()
    yield application, request.param.encode()
    await application.stop()


def questions(ca: CA) -> dict[str, bytes]:
    """OCSPRequests by what becomes of them."""
    request = ca.request(GOOD)
    good, other = (ca.issuer.id.encode_cert_id(SHA1, serial_from_int(serial)) for serial in (GOOD, REVOKED))
    return {
        "good": request,
        "revoked": ca.request(REVOKED),
        "unissued": ca.request(UNISSUED),
        "stranger": CA("other", "Somebody else").request(GOOD),
        "expired": ca.request(EXPIRED),
        "early": ca.request(EARLY),
        "malformed": request[:-1],
        "garbage": b"0\x03\x02\x01",
        "another hash": ca.request(GOOD, hashes.SHA512()),
        "twice the same": request_for(good, good),
        "two certificates": request_for(good, other),
    }


def request_for(*cert_ids: bytes) -> bytes:
    """An OCSPRequest for encoded CertIDs."""
    requests = b"".join(encode(0x30, cert_id) for cert_id in cert_ids)
    return encode(0x30, encode(0x30, encode(0x30, requests)))


def path_of(request: bytes) -> bytes:
    return b"/" + quote(base64.b64encode(request), safe="").encode()


def get(target: bytes, *lines: bytes, version: bytes = b"1.1", method: bytes = b"GET") -> bytes:
    fields = b"".join(line + b"\r\n" for line in (b"Host: x", *lines))
    return b"%b %b HTTP/%b\r\n%b\r\n" % (method, target, version, fields)


def post(target: bytes, der: bytes, *lines: bytes, version: bytes = b"1.1") -> bytes:
    length = b"Content-Length: %d" % len(der)
    return get(target, *lines, length, version=version, method=b"POST") + der


@dataclass(frozen=True)
class Question:
    """A question, and the tag of its answer."""

    prefix: bytes
    der: bytes
    etag: bytes

    @property
    def target(self) -> bytes:
        return self.prefix + path_of(self.der)

    @property
    def bare(self) -> bytes:
        return self.prefix + b"/" + base64.b64encode(self.der)


# How one question can be put.
FORMS: dict[str, Callable[[Question], bytes]] = {
    "get": lambda q: get(q.target),
    "get close": lambda q: get(q.target, b"Connection: close"),
    "get keep-alive": lambda q: get(q.target, b"Connection: keep-alive"),
    "get 1.0": lambda q: get(q.target, version=b"1.0"),
    "get 1.0 keep-alive": lambda q: get(q.target, b"Connection: Keep-Alive", version=b"1.0"),
    "get unescaped": lambda q: get(q.bare),
    "get lower-case escapes": lambda q: get(q.target.lower() if b"%" in q.target else q.target),
    "post": lambda q: post(q.prefix + b"/", q.der),
    "post typed": lambda q: post(q.prefix or b"/", q.der, b"Content-Type: application/ocsp-request"),
    "post close": lambda q: post(q.prefix + b"/", q.der, b"Connection: close"),
    "post 1.0": lambda q: post(q.prefix + b"/", q.der, version=b"1.0"),
    "post anywhere": lambda q: post(q.prefix + b"/where/ever", q.der),
    "post with a tag": lambda q: post(q.prefix + b"/", q.der, b"If-None-Match: " + q.etag),
    "tag": lambda q: get(q.target, b"If-None-Match: " + q.etag),
    "tag close": lambda q: get(q.target, b"If-None-Match: " + q.etag, b"Connection: close"),
    "other tag": lambda q: get(q.target, b'If-None-Match: "00"'),
    "weak tag": lambda q: get(q.target, b"If-None-Match: W/" + q.etag),
    "tags": lambda q: get(q.target, b'If-None-Match: "00", ' + q.etag),
    "any tag": lambda q: get(q.target, b"If-None-Match: *"),
    "no tag": lambda q: get(q.target, b"If-None-Match:"),
    "date": lambda q: get(q.target, b"If-Modified-Since: Sat, 21 Nov 2037 10:00:00 GMT"),
    "old date": lambda q: get(q.target, b"If-Modified-Since: Sat, 21 Nov 2009 10:00:00 GMT"),
    "head": lambda q: get(q.target, method=b"HEAD"),
    "head with a tag": lambda q: get(q.target, b"If-None-Match: " + q.etag, method=b"HEAD"),
    "query": lambda q: get(q.target + b"?x"),
    "slashes": lambda q: get(q.prefix + b"/" + path_of(q.der)),
    "no padding": lambda q: get(q.bare.rstrip(b"=")),
    "url alphabet": lambda q: get(q.prefix + b"/" + base64.urlsafe_b64encode(q.der)),
    "twice escaped": lambda q: get(q.target.replace(b"%", b"%25")),
    "not below": lambda q: get(b"/elsewhere" + q.target),
    "beside": lambda q: get(q.prefix + b"x" + path_of(q.der)),
    "post beside": lambda q: post(q.prefix + b"x", q.der),
    "post of a form": lambda q: post(q.prefix + b"/", q.der, b"Content-Type: application/x-www-form-urlencoded"),
    "post of a text": lambda q: post(q.prefix + b"/", q.der, b"Content-Type: text/plain"),
    "post expects": lambda q: post(q.prefix + b"/", q.der, b"Expect: 100-continue"),
    "post of nothing": lambda q: post(q.prefix + b"/", b""),
    "post too long": lambda q: post(q.prefix + b"/", q.der + bytes(16384)),
    "put": lambda q: get(q.target, method=b"PUT"),
    "upgrade": lambda q: get(q.target, b"Connection: upgrade", b"Upgrade: h2c"),
    "absolute": lambda q: get(b"http://x" + q.target),
    "crl": lambda q: get(b"/crl/none.crl"),
    "chunked": lambda q: get(q.prefix + b"/", b"Transfer-Encoding: chunked", method=b"POST")
    + b"%x\r\n%b\r\n0\r\n\r\n" % (len(q.der), q.der),
}  # fmt: skip


@dataclass
class Outcome:
    """What one connection saw: after what was sent, and after the end of it."""

    received: bytes
    closed: bool
    afterwards: bytes


async def outcomes(worker: Worker, messages: Iterable[tuple[bytes, ...]], *, fast: bool) -> list[Outcome]:
    """A new connection each, all at once."""
    clients = []
    for segments in messages:
        client = worker.connect(fast=fast)
        client.send(*segments)
        clients.append(client)
    received = [(await client.settle(), client.closed) for client in clients]
    for client in clients:
        client.end()
    found = [
        Outcome(first, closed, await client.settle())
        for client, (first, closed) in zip(clients, received, strict=True)
    ]
    for client in clients:
        client.leave()
    return found


@pytest.mark.invariant("E1", "E5")
@pytest.mark.conformance("H-01", "H-09", "H-10", "H-14", "H-16", "H-19")
async def test_every_form_of_every_question(
    mounted: tuple[Application, bytes], ca: CA, counters: Counters
) -> None:
    """Out of the store, then out of the cache; the fast path answers plain ones, the slow one the others."""
    application, prefix = mounted
    worker = Worker(application)
    plain = 0
    for name, der in questions(ca).items():
        (first,) = await outcomes(worker, [(get(prefix + path_of(der)),)], fast=False)
        etag = first.received.partition(b"etag: ")[2].partition(b"\r\n")[0] or b'"00"'
        for form, put in FORMS.items():
            message = put(Question(prefix, der, etag))
            (expected,) = await outcomes(worker, [(message,)], fast=False)
            for segments in (
                (message,),
                (message[:-20], message[-20:]),
                (message.replace(b" HTTP/1", b"?x HTTP/1", 1),),
            ):
                for _ in ("store", "cache"):
                    before = worker.path.answered
                    (found,) = await outcomes(worker, [segments], fast=True)
                    assert found == expected, (name, form, segments)
                    plain += worker.path.answered - before
                application.source.cache.clear()
        assert expected.received.startswith(b"HTTP/1.1 ")
    assert plain > 150


@pytest.mark.parametrize("kind", ["good", "revoked", "unissued", "stranger", "malformed"])
@pytest.mark.parametrize(
    "form", ["get", "get close", "get 1.0", "post", "post close", "post 1.0", "post anywhere"]
)
async def test_plain_requests_take_the_fast_path(
    application: Application, ca: CA, counters: Counters, kind: str, form: str
) -> None:
    """Without this the comparison would compare nothing."""
    worker = Worker(application)
    message = FORMS[form](Question(b"", questions(ca)[kind], b'"00"'))
    await outcomes(worker, [(message,)], fast=True)  # makes the page known as whole
    slow, fast = counters.value("http_slow_requests_total"), worker.path.answered
    (found,) = await outcomes(worker, [(message,)], fast=True)
    assert found.received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert counters.value("http_slow_requests_total") == slow
    assert worker.path.answered == fast + 1


def change(source: random.Random, data: bytes) -> bytes:
    """Some octets, lightly damaged."""
    changed = bytearray(data)
    for _ in range(source.choice((1, 1, 1, 2, 4))):
        at = source.randrange(len(changed))
        kind = source.randrange(4)
        if kind < 2:
            changed[at] ^= 1 << source.randrange(8)
        elif kind == 2:
            changed[at] = source.randrange(256)
        elif len(changed) > 2:
            del changed[at]
    return bytes(changed)


def message_of(source: random.Random, ders: list[bytes], etag: bytes) -> tuple[bytes, ...]:
    """A request of some form, damaged somewhere, in one segment or two."""
    der = source.choice(ders)
    damage = source.randrange(8)
    if damage < 4:
        der = change(source, der)
    names = PLAIN if source.random() < 0.7 else OTHERS
    message = FORMS[source.choice(names)](Question(b"", der, etag))
    if damage in (3, 4, 5):
        message = mutate(source, message)
    elif damage == 6:
        message = change(source, message)
    at = source.randrange(len(message)) if source.random() < 0.3 else len(message)
    return message[:at], message[at:]


PLAIN = ["get", "get close", "get 1.0", "get unescaped", "post", "post close", "post 1.0", "tag"]
OTHERS = [
    "post typed",
    "tags",
    "date",
    "head",
    "query",
    "slashes",
    "chunked",
    "no padding",
    "upgrade",
    "post expects",
]


@pytest.mark.invariant("E5", "F6")
@pytest.mark.conformance("H-19", "Q-01")
@pytest.mark.parametrize("cases", CASES)
async def test_damaged_requests_are_answered_alike(application: Application, ca: CA, cases: int) -> None:
    """E5, F6: heads, paths and bodies with bits, octets and lines changed: status, fields, body, and the end."""
    worker = Worker(application)
    source = random.Random(cases)
    ders = [*questions(ca).values(), ca.request(GOOD)]
    (first,) = await outcomes(worker, [(get(path_of(ders[0])),)], fast=True)
    etag = first.received.partition(b"etag: ")[2].partition(b"\r\n")[0]
    for _ in range(cases // BATCH):
        messages = [message_of(source, ders, etag) for _ in range(BATCH)]
        fast, slow = await asyncio.gather(
            outcomes(worker, messages, fast=True), outcomes(worker, messages, fast=False)
        )
        for message, one, other in zip(messages, fast, slow, strict=True):
            assert one == other, message
    assert worker.path.answered > cases // 4  # about a third: or the comparison would compare little
