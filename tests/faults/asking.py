"""Asking a responder over HTTP, and judging each answer: about the certificate asked for, signed under its CA, in its time."""

import contextlib
import os
import re
import socket
import time
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from _fastpath import der
from _fastpath.certid import SHA256
from store.model import load_issuer

__all__ = ["Answer", "Asker", "Judge", "Outcome", "spread"]


class Outcome(IntEnum):
    """What an answer comes to. WRONG is what nobody may ever get; NONE is no answer at all."""

    GOOD = 0
    REVOKED = 1
    TRY_LATER = 2
    UNAUTHORIZED = 3
    WRONG = 4
    NONE = 5


STATUSES = {
    ocsp.OCSPResponseStatus.TRY_LATER: Outcome.TRY_LATER,
    ocsp.OCSPResponseStatus.UNAUTHORIZED: Outcome.UNAUTHORIZED,
}


@dataclass(frozen=True, slots=True)
class Answer:
    outcome: Outcome
    max_age: int  # seconds; -1: none


class Judge:
    """Knows the CA. What it has judged once it knows by its octets."""

    def __init__(self, certificate: Path) -> None:
        self._ca = load_issuer("demo", certificate)
        self._known: dict[bytes, Outcome] = {}

    def request(self, serial: bytes) -> bytes:
        """DER of an OCSPRequest."""
        cert_id = self._ca.id.encode_cert_id(SHA256, serial)
        return der.encode(0x30, der.encode(0x30, der.encode(0x30, der.encode(0x30, cert_id))))

    def outcome(self, serial: bytes, body: bytes) -> Outcome:
        key = serial + body
        if key not in self._known:
            self._known[key] = self._judge(serial, body)
        return self._known[key]

    def _judge(self, serial: bytes, body: bytes) -> Outcome:
        try:
            response = ocsp.load_der_ocsp_response(body)
            if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
                return STATUSES.get(response.response_status, Outcome.WRONG)
            if not self._is_right(serial, response):
                return Outcome.WRONG
        except (ValueError, InvalidSignature):
            return Outcome.WRONG
        good = response.certificate_status is ocsp.OCSPCertStatus.GOOD
        return Outcome.GOOD if good else Outcome.REVOKED

    def _is_right(self, serial: bytes, response: ocsp.OCSPResponse) -> bool:
        signer = response.certificates[0]
        signer.verify_directly_issued_by(self._ca.certificate)
        key = signer.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(hashes.SHA256()))
        end = response.next_update_utc
        return (
            response.serial_number == int.from_bytes(serial)
            and response.issuer_name_hash + response.issuer_key_hash == self._ca.id.lookup_key(SHA256)
            and end is not None
            and end.timestamp() > time.time()
        )


class Asker:
    """One kept connection; the next question opens another one where it was lost."""

    def __init__(self, port: int, judge: Judge) -> None:
        self._port = port
        self._judge = judge
        self._socket: socket.socket | None = None
        self._rest = b""

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def holder(self) -> int:
        """The process at the other end of it; 0 where there is none."""
        if self._socket is None:
            return 0
        ends = f":{self._port:04X}", f":{self._socket.getsockname()[1]:04X}"
        for line in Path("/proc/net/tcp").read_text().splitlines():
            _, here, there, *_, inode = line.split()[:10]
            if (here[-5:], there[-5:]) == ends:
                return _holder_of(inode)
        return 0

    def ask(self, serial: bytes) -> Answer:
        body = self._judge.request(serial)
        head, answer = self.post(body)
        found = re.search(rb"max-age=(\d+)", head)
        outcome = self._judge.outcome(serial, answer) if head.startswith(b"HTTP/1.1 200") else Outcome.NONE
        return Answer(outcome, int(found[1]) if found else -1)

    def post(self, body: bytes) -> tuple[bytes, bytes]:
        """Head and body of the answer; empty where there is none."""
        try:
            if self._socket is None:
                self._socket, self._rest = socket.create_connection(("127.0.0.1", self._port), 20), b""
            self._socket.sendall(
                b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body
            )
            return self._read(self._socket)
        except OSError:
            self.close()
            return b"", b""

    def _read(self, source: socket.socket) -> tuple[bytes, bytes]:
        data = self._rest
        while b"\r\n\r\n" not in data:
            data += _more(source)
        head, _, data = data.partition(b"\r\n\r\n")
        size = re.search(rb"(?i)content-length: (\d+)", head)
        assert size is not None, head
        while len(data) < int(size[1]):
            data += _more(source)
        self._rest = data[int(size[1]) :]
        if b"connection: close" in head.lower():
            self.close()
        return head, data[: int(size[1])]


def _more(source: socket.socket) -> bytes:
    data = source.recv(1 << 16)
    if not data:
        raise ConnectionError("the responder closed the connection")
    return data


def spread(port: int, judge: Judge, processes: int, each: int) -> list[Asker]:
    """Connections to a responder, so many to each of its processes: the kernel gives them to whom it likes."""
    kept: dict[int, list[Asker]] = {}
    while len(kept) < processes or min(map(len, kept.values())) < each:
        asker = Asker(port, judge)
        while not (holder := asker.holder()):
            asker.post(b"")  # it is somebody's once it is answered
        found = kept.setdefault(holder, [])
        if len(found) < each:
            found.append(asker)
        else:
            asker.close()
    return [asker for found in kept.values() for asker in found]


def _holder_of(inode: str) -> int:
    """The process that has a socket; 0 where it is nobody's yet. Processes that end meanwhile have none."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if os.readlink(link) == f"socket:[{inode}]":
                return int(link.parts[2])
    return 0
