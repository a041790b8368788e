"""CRLs of a real responder, asked directly and through every proxy: whole versions, parts of them, and memory."""

import contextlib
import hashlib
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from _fastpath.crl import encode_crl, encode_tbs_cert_list
from _fastpath.crl_reader import Crl
from signer.crl.publish import publish
from store.model import subject_name
from store.objects import open_object_store
from tests.clients.commands import wait_until
from tests.proxies.fronts import Front
from tests.proxies.origin import Origin, origin, serving
from tests.responder.ca import CA, P256_SHA256

pytestmark = pytest.mark.slow  # nginx, HAProxy and Varnish are installed by tests/tools.sh

TARGET = "/crl/one/0-0.crl"
DAY = 86_400
CLIENTS = 200
CONTENT = ("content-type", "content-length", "last-modified", "etag", "expires")


def crl(ca: CA, number: int, *, entries: int = 3, this_update: int | None = None) -> bytes:
    """By the CA of an origin; each number has entries of its own."""
    start = int(time.time()) - 3600 + number if this_update is None else this_update
    serials = ((1 << 120 | number << 64 | index).to_bytes(16) for index in range(entries))
    tbs = encode_tbs_cert_list(
        ((serial, start - 10, 1) for serial in serials),
        signature_algorithm=P256_SHA256,
        issuer_name=subject_name(ca.certificate),
        this_update=start,
        next_update=start + 7 * DAY - 1,
        authority_key_identifier=b"\x01" * 20,
        crl_number=number,
        issuing_distribution_point=None,
    )
    return encode_crl(tbs, P256_SHA256, ca.key.sign(tbs, ec.ECDSA(hashes.SHA256())))


def put(made: Origin, data: bytes, before: int | None = None, path: str = TARGET) -> None:
    store = open_object_store(str(made.service.directory / "objects"))
    publish(store, path[1:], data, before)


@pytest.mark.conformance("U-01", "U-07", "U-09", "U-10", "K-11", "H-09")
def test_through_a_proxy(front: Front, responder: Origin) -> None:
    """Twice: from the responder and from a cache."""
    path = f"/crl/one/7-{front.port}.crl"
    data = crl(responder.shelf().ca, 1, entries=2000)
    put(responder, data, path=path)
    direct = responder.web.request("GET", path)
    assert (direct.code, direct.body) == (200, data)
    for _ in range(2):
        got, head = front.web.request("GET", path), front.web.request("HEAD", path)
        assert (got.code, got.body, head.code, head.body) == (200, data, 200, b"")
        for name in CONTENT:
            assert got.headers[name] == head.headers[name] == direct.headers[name], name
        same = front.web.request("GET", path, headers={"If-None-Match": direct.headers["etag"]})
        assert (same.code, same.body) == (304, b"")
        stray = front.web.request("GET", path, headers={"Content-Range": "bytes 10-20/30"})
        assert (stray.code, stray.body) == (200, data)
        part = front.web.request("GET", path, headers={"Range": "bytes=10-19"})
        assert (part.code, part.body) in ((200, data), (206, data[10:20]))
        other = front.web.request("GET", path, headers={"Range": "bytes=10-19", "If-Range": '"another"'})
        assert (other.code, other.body) == (200, data)


@dataclass
class Reader:
    """One who asks again and again over one connection, and what went wrong."""

    port: int
    over: threading.Event
    numbers: list[int]
    faults: list[str]

    def read(self) -> None:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        half, tag = b"", ""
        while not self.over.is_set():
            body, tag_now = self._whole(connection)
            rest = self._rest(connection, tag, len(half)) if half else None
            if rest is not None and f'"{hashlib.sha256(half + rest).hexdigest()}"' != tag:
                self.faults.append("a part is of another version")
            half, tag = body[: len(body) // 2], tag_now
        connection.close()

    def _whole(self, connection: HTTPConnection) -> tuple[bytes, str]:
        connection.request("GET", TARGET)
        answer = connection.getresponse()
        body, tag = answer.read(), answer.getheader("ETag", "")
        if tag != f'"{hashlib.sha256(body).hexdigest()}"' or answer.getheader("Content-Length") != str(
            len(body)
        ):
            self.faults.append(f"{answer.status}: {len(body)} octets are not what the header says")
        self.numbers.append(Crl(body).crl_number)
        return body, tag

    def _rest(self, connection: HTTPConnection, tag: str, start: int) -> bytes | None:
        """Of the version that `tag` is of, if it is still there."""
        connection.request("GET", TARGET, headers={"Range": f"bytes={start}-", "If-Range": tag})
        answer = connection.getresponse()
        body = answer.read()
        return body if answer.status == 206 else None


@pytest.fixture
def one_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    with origin(tmp_path_factory.mktemp("o")) as made, serving(made):
        yield made


@pytest.mark.conformance("U-06", "U-09", "U-10")
def test_readers_see_whole_versions_and_none_goes_back(one_worker: Origin) -> None:
    """D1, D9: published again and again while they read; body, length and ETag are of one version."""
    ca, over = one_worker.shelf().ca, threading.Event()
    put(one_worker, crl(ca, 1, entries=20_000))
    readers = [Reader(one_worker.port, over, [], []) for _ in range(4)]
    threads = [threading.Thread(target=reader.read) for reader in readers]
    for thread in threads:
        thread.start()
    try:
        for number in range(2, 40):
            put(one_worker, crl(ca, number, entries=20_000 - number), number - 1)
            time.sleep(0.2)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    for reader in readers:
        assert reader.faults == []
        assert reader.numbers == sorted(reader.numbers)
        assert len(set(reader.numbers)) > 3  # versions were taken up meanwhile


def resident(session: int) -> int:
    """Octets of memory of all processes of a session."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            if os.getsid(int(status.parent.name)) == session:
                found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text())
                total += int(found[1]) * 1024 if found else 0
    return total


@pytest.mark.invariant("F2")
@pytest.mark.conformance("U-10", "P-03")
def test_slow_readers_share_one_copy(tmp_path_factory: pytest.TempPathFactory) -> None:
    """F2: whole CRLs and parts that hundreds do not read take no memory of their own; who reads on gets all of it."""
    with contextlib.ExitStack() as stack:
        made = stack.enter_context(origin(tmp_path_factory.mktemp("o")))
        session = stack.enter_context(made.service.serving()).pid
        data = crl(made.shelf().ca, 1, entries=200_000)
        assert 9_000_000 < len(data) < 10_000_000
        put(made, data)
        assert made.web.request("GET", TARGET).body == data
        before = resident(session)
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", made.port), 20))
            for _ in range(CLIENTS)
        ]
        for index, client in enumerate(clients):
            part = b"Range: bytes=%d-\r\n" % (index + 1) if index % 2 else b""
            client.sendall(b"GET %s HTTP/1.1\r\nHost: c.test\r\n%s\r\n" % (TARGET.encode(), part))
        for client in clients:
            assert client.recv(1, socket.MSG_PEEK) == b"H"
        grown = resident(session) - before
        assert before > len(data)
        assert grown < 10 * len(data), f"{grown >> 20} MiB for {CLIENTS} readers"
        for index in (0, 1):
            assert _body(clients[index]) == (data[index + 1 :] if index % 2 else data)


def _body(client: socket.socket) -> bytes:
    with client.makefile("rb") as file:
        length = 0
        while (line := file.readline().strip()) != b"":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split()[1])
        return file.read(length)


@pytest.mark.conformance("U-06")
def test_a_version_that_is_being_read_is_read_to_its_end(one_worker: Origin) -> None:
    """D9: another one is published and served meanwhile."""
    ca = one_worker.shelf().ca
    first, second = crl(ca, 1, entries=220_000), crl(ca, 2, entries=5)
    put(one_worker, first)
    with socket.create_connection(("127.0.0.1", one_worker.port), 20) as slow:
        slow.sendall(b"GET %s HTTP/1.1\r\nHost: c.test\r\n\r\n" % TARGET.encode())
        assert slow.recv(1, socket.MSG_PEEK) == b"H"
        put(one_worker, second, 1)
        wait_until(lambda: one_worker.web.request("GET", TARGET).body == second, "the second is served")
        assert _body(slow) == first
