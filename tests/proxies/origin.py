"""What stands behind the proxies: `ocsp-responder serve` with two CAs over a store that the tests write themselves."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import redis
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from _fastpath.certid import SHA1, SHA256, serial_from_int
from _fastpath.der import encode
from _fastpath.ocsp import SingleResponse
from store.embedded import EmbeddedStore
from tests.clients.commands import wait_until
from tests.conformance.http import Client
from tests.integration.service import Service
from tests.ports import free_port
from tests.responder.ca import CA, Shelf

__all__ = [
    "ALGORITHMS",
    "Origin",
    "asks_about",
    "fresh",
    "is_about",
    "ocsp_request",
    "origin",
    "serial_of",
    "serving",
]

Identity = tuple[str, bytes, bytes, int]  # hash, issuer name hash, issuer key hash, serial
ALGORITHMS: dict[int, hashes.HashAlgorithm] = {SHA1: hashes.SHA1(), SHA256: hashes.SHA256()}


@dataclass
class Origin:
    """The responder with its store; `service` serves it while `serving` is open."""

    service: Service
    store: EmbeddedStore
    shelves: dict[str, Shelf] = field(default_factory=dict)
    issued: int = 0x5EED_0000_0000_0000

    @property
    def port(self) -> int:
        return self.service.port

    @property
    def web(self) -> Client:
        """A client that asks it without a proxy."""
        return Client(self.port)

    def new_serial(self) -> int:
        """One that no test had before."""
        self.issued += 1
        return self.issued

    def settled(self, request: bytes, before: bytes) -> bytes:
        """What it says once every worker says something else than `before`."""
        seen: list[bytes] = []

        def changed() -> bool:
            seen[:] = [self.web.post(request).body for _ in range(20)]
            return before not in seen

        wait_until(changed, "another answer")
        assert len(set(seen)) == 1
        return seen[0]

    def shelf(self, name: str = "one") -> Shelf:
        return self.shelves[name]


def fresh(serial: int, *, revoked: bool = False, valid: int = 345_599) -> SingleResponse:
    """Signed now, for `valid` seconds."""
    now = int(time.time())
    return SingleResponse(
        serial_from_int(serial),
        this_update=now,
        produced_at=now,
        next_update=now + valid,
        revocation_time=now - 1 if revoked else None,
        reason=1 if revoked else 0,
    )


def ocsp_request(ca: CA, serial: int, algorithm: int = SHA1, *, nonce: bytes = b"") -> bytes:
    """DER of an OCSPRequest for one certificate."""
    request = encode(0x30, encode(0x30, ca.issuer.id.encode_cert_id(algorithm, serial_from_int(serial))))
    if nonce:
        value = bytes.fromhex("06092b0601050507300102") + encode(0x04, encode(0x04, nonce))
        request += encode(0xA2, encode(0x30, encode(0x30, value)))
    return encode(0x30, encode(0x30, request))


def asks_about(request: bytes) -> Identity:
    """The CertID of a request, as cryptography reads it."""
    return _identity(ocsp.load_der_ocsp_request(request))


def is_about(answer: bytes, asked: Identity) -> bool:
    """Whether an OCSPResponse is a successful one for this CertID, and says no nonce."""
    read = ocsp.load_der_ocsp_response(answer)
    return (
        read.response_status is ocsp.OCSPResponseStatus.SUCCESSFUL
        and _identity(read) == asked
        and not list(read.extensions)
    )


def serial_of(answer: bytes) -> int:
    """Whom a successful OCSPResponse is about."""
    return ocsp.load_der_ocsp_response(answer).serial_number


def _identity(read: ocsp.OCSPRequest | ocsp.OCSPResponse) -> Identity:
    return read.hash_algorithm.name, read.issuer_name_hash, read.issuer_key_hash, read.serial_number


@contextlib.contextmanager
def origin(directory: Path, responder: str = "") -> Iterator[Origin]:
    """Two CAs with one name and two keys, a store, and the configuration with these lines in [responder]."""
    made = {name: CA(name) for name in ("one", "two")}
    service = Service(directory, free_port())
    (directory / "objects").mkdir(parents=True)
    with EmbeddedStore(directory / "s") as store, redis.Redis.from_url(store.url, protocol=3) as client:
        tables = f'{responder}\n[store]\nurl = "{store.url}"\n'
        for name, ca in made.items():
            (directory / f"{name}.pem").write_bytes(ca.certificate.public_bytes(Encoding.PEM))
            tables += f'[[issuer]]\nname = "{name}"\ncertificate = "{name}.pem"\n'
        service.write_config(f"lookup_timeout_ms = 2000\n{tables}")
        shelves = {
            name: Shelf(ca, client, template_number=number)
            for number, (name, ca) in enumerate(made.items(), 1)
        }
        for shelf in shelves.values():
            shelf.publish()
        yield Origin(service, store, shelves)


@contextlib.contextmanager
def serving(made: Origin) -> Iterator["subprocess.Popen[bytes]"]:
    """`ocsp-responder serve`; it reads the issuers within a second."""
    with made.service.serving() as process:
        wait_until(lambda: made.web.request("GET", "/").code == 200, "the responder")
        yield process
