"""Requests about serials of one CA, in DER and in the spellings that clients use."""

import base64
import random
from collections.abc import Callable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from bench.serve.generator import Load, Request

__all__ = ["SERIAL_BITS", "Questions"]

SERIAL_BITS = 126
SHA1_SIZE = 20
# What clients send with a GET: each connection takes one of these, with a number of its own in it.
HEADER_SETS = (
    "Host: ocsp.example\r\nUser-Agent: Microsoft-CryptoAPI/10.{n}\r\nAccept: */*\r\nConnection: Keep-Alive\r\n",
    "Host: o{n}.example:80\r\nAccept: */*\r\nAccept-Language: en-GB,en;q=0.9\r\nUser-Agent: com.apple.trustd/{n}.0\r\n",
    "User-Agent: Go-http-client/1.{n}\r\nHost: ocsp.example\r\nAccept-Encoding: gzip\r\n",
    "host: ocsp.example\r\naccept: text/html, image/gif, */*; q=.2\r\nuser-agent: Java/21.0.{n}\r\nconnection: keep-alive\r\n",
    "Accept: application/ocsp-response\r\nHost: ocsp.example\r\nX-Forwarded-For: 192.0.2.{n}\r\nUser-Agent: c\r\n",
)


class Questions:
    """Makes requests. A load asks about every serial once; `turn` moves each to another connection."""

    def __init__(self, ca: x509.Certificate) -> None:
        serial = 1 << SERIAL_BITS
        builder = ocsp.OCSPRequestBuilder().add_certificate(_leaf_of(ca, serial), ca, hashes.SHA1())
        der = builder.build().public_bytes(Encoding.DER)
        self._before, found, self._after = der.partition(serial.to_bytes(16))
        if not found:
            raise ValueError("the serial is not in the request")

    def der(self, serial: int) -> bytes:
        """An OCSPRequest with a SHA-1 CertID."""
        return self._before + serial.to_bytes(16) + self._after

    def path(self, serial: int, *, escaped: bool) -> bytes:
        """The target of a GET: base64 as it is, or with upper-case percent-encoding (RFC 6960 appendix A.1)."""
        text = base64.b64encode(self.der(serial))
        if escaped:
            text = text.replace(b"+", b"%2B").replace(b"/", b"%2F").replace(b"=", b"%3D")
        return b"/" + text

    def gets(self, serials: Sequence[int], connections: int, *, turn: int = 0) -> Load:
        """Kept connections, each with its own spelling and header fields."""

        def request(number: int, _index: int, serial: int) -> Request:
            return Request(_get(self.path(serial, escaped=number % 2 == 1), _fields(number)), serial)

        return _spread(request, serials, connections, turn)

    def old_gets(self, serials: Sequence[int], connections: int, *, turn: int = 0) -> Load:
        """In HTTP/1.0, without keep-alive."""

        def request(number: int, _index: int, serial: int) -> Request:
            path = self.path(serial, escaped=number % 2 == 1)
            return Request(b"GET " + path + b" HTTP/1.0\r\n\r\n", serial)

        return _spread(request, serials, connections, turn)

    def posts(self, serials: Sequence[int], connections: int, *, turn: int = 0, parts: bool = True) -> Load:
        """Kept connections, the body in a write of its own unless not in `parts`."""

        def request(number: int, _index: int, serial: int) -> Request:
            body = self.der(serial)
            head = b"POST / HTTP/1.1\r\nContent-Type: application/ocsp-request\r\n"
            head += b"Content-Length: %d\r\n" % len(body) + _fields(number)
            return Request(head + body, serial, first=len(head) if parts else 0)

        return _spread(request, serials, connections, turn)

    def hostile(self, serials: Sequence[int], connections: int, *, turn: int = 0) -> Load:
        """What no client means; one in nine is an honest GET, and alone has a serial."""

        def request(number: int, index: int, serial: int) -> Request:
            return self._attack(index, serial, _fields(number))

        return _spread(request, serials, connections, turn)

    def _attack(self, kind: int, serial: int, fields: bytes) -> Request:
        """Bad base64, bad DER, a CA that we do not know, too long, too large, not HTTP."""
        der = self.der(serial)
        key_hash = self._before[-2 - SHA1_SIZE : -2]  # the serial's tag and length follow it
        attacks: tuple[Callable[[], bytes], ...] = (
            lambda: _get(b"/" + b"M" * 63 + b"!", fields),
            lambda: _get(b"/M" + b"%zz" * 20, fields),
            lambda: _get(b"/" + base64.b64encode(der[:-3] + b"\xff\xff\xff"), fields),
            lambda: _get(b"/" + base64.b64encode(b"\x30\x84\xff\xff\xff\xff" + der), fields),
            lambda: _get(
                b"/" + base64.b64encode(der.replace(key_hash, serial.to_bytes(SHA1_SIZE), 1)), fields
            ),
            lambda: _get(b"/M" + b"A" * 9000, fields),
            lambda: b"POST / HTTP/1.1\r\nContent-Length: 99999\r\n" + fields,
            lambda: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + der,
        )
        kind %= len(attacks) + 1
        if kind == len(attacks):
            return Request(_get(self.path(serial, escaped=False), fields), serial)
        return Request(attacks[kind](), None)

    def unissued(self, count: int, chooser: random.Random) -> list[int]:
        """Serials that the CA did not issue: one in 2^126 would be a mistake."""
        return [chooser.getrandbits(SERIAL_BITS) | 1 << SERIAL_BITS for _ in range(count)]


def _spread(
    request: Callable[[int, int, int], Request], serials: Sequence[int], connections: int, turn: int
) -> Load:
    """Serials dealt out to connections; `request` gets the connection, the place in it and the serial."""
    return Load(
        [
            [
                request(number, index, serial)
                for index, serial in enumerate(serials[(number + turn) % connections :: connections])
            ]
            for number in range(connections)
        ]
    )


def _get(target: bytes, fields: bytes) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + fields


def _fields(connection: int) -> bytes:
    return HEADER_SETS[connection % len(HEADER_SETS)].format(n=connection).encode() + b"\r\n"


def _leaf_of(ca: x509.Certificate, serial: int) -> x509.Certificate:
    """A certificate to make a request from; nobody looks at its key or signature."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(
        ca.subject, ca.subject, key.public_key(), serial, ca.not_valid_before_utc, ca.not_valid_after_utc
    )
    return builder.sign(key, hashes.SHA256())
