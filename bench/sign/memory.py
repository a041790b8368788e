"""What a response takes of a server's memory."""

import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from _fastpath.certid import IssuerID
from _fastpath.ocsp import SingleResponse
from _fastpath.page import encode_record, hash32
from _fastpath.template import Template
from bench.sign.corpus import REVOKED_EVERY, page_bits_for
from store.connection import check_server
from store.embedded import EmbeddedStore
from store.schema import page_key
from store.writer import PagePut, PageWriter

__all__ = ["Filling", "Memory", "measure_memory"]

ISSUER = IssuerID(bytes.fromhex("300d310b3009060355040613025553"), b"\x04" + bytes(64))
ALGORITHMS = {
    64: "300a06082a8648ce3d040302",
    256: "300d06092a864886f70d01010b0500",
}  # by size: P-256, RSA-2048
NOW = 1_795_255_200
PAGES_AT_A_TIME = 64
UNMEASURED = "unmeasured"  # whose one page brings a server to its usual state


@dataclass(frozen=True, slots=True)
class Filling:
    """Certificates with both CertIDs; sizes in octets."""

    certificates: int
    serial_size: int = 16
    signature_size: int = 64

    @property
    def key(self) -> str:
        """How results tell it from the others."""
        return ("" if self.signature_size == 64 else "_rsa2048") + (
            "" if self.serial_size == 16 else f"_{self.serial_size}"
        )


@dataclass(frozen=True, slots=True)
class Memory:
    """`used_memory` that a server came to have more, for each of two responses of a certificate."""

    server: str  # name and version
    filling: Filling
    bytes_per_response: float
    encoding: str  # of a page

    def as_json(self) -> dict[str, Any]:
        """Stable keys."""
        return {
            "server": self.server,
            "certificates": self.filling.certificates,
            "serial_octets": self.filling.serial_size,
            "signature_octets": self.filling.signature_size,
            "bytes_per_response": round(self.bytes_per_response, 2),
            "encoding": self.encoding,
        }


def measure_memory(filling: Filling, program: str | None) -> Memory:
    """Fill a new server. Raises StoreUnavailable where there is no such program.

    What stands for signatures is random: it has their size, and no server knows the difference.
    """
    with (
        tempfile.TemporaryDirectory(prefix="bench-sign-") as name,
        EmbeddedStore(Path(name), program=program) as store,
        redis.Redis.from_url(store.url) as client,
    ):
        writer = PageWriter(client, store.url)
        list(_put(writer, UNMEASURED, Filling(1, filling.serial_size, filling.signature_size)))
        before = _used(client)
        pages = sum(_put(writer, "bench", filling))
        grown = _used(client) - before
        encoding: Any = client.object("encoding", page_key("bench", 1, pages - 1))
        client.flushall()  # nothing is worth saving
        return Memory(
            check_server(client, store.url), filling, grown / (2 * filling.certificates), encoding.decode()
        )


def _used(client: redis.Redis) -> int:
    info: dict[str, Any] = client.info("memory")
    return int(info["used_memory"])


def _put(writer: PageWriter, issuer: str, filling: Filling) -> Iterator[int]:
    """How many pages each write had."""
    template = Template(
        signature_algorithm=bytes.fromhex(ALGORITHMS[filling.signature_size]),
        signature_size=filling.signature_size,
        responder_key_hash=bytes(20),
        certificates=b"",
        validity=345_599,
    )
    chooser = random.Random(filling.certificates)
    pages = list(_pages(issuer, filling, chooser))
    for start in range(0, len(pages), PAGES_AT_A_TIME):
        chunk = pages[start : start + PAGES_AT_A_TIME]
        writer.put_pages(
            PagePut(key, 1, NOW, {serial: _record(serial, template, chooser) for serial in serials})
            for key, serials in chunk
        )
        yield len(chunk)


def _pages(issuer: str, filling: Filling, chooser: random.Random) -> Iterator[tuple[bytes, list[bytes]]]:
    """Keys of all pages with the serials that are in them."""
    bits = page_bits_for(filling.certificates)
    pages: list[list[bytes]] = [[] for _ in range(1 << bits)]
    for _ in range(filling.certificates):
        serial = b"\x40" + chooser.randbytes(filling.serial_size - 1)
        pages[hash32(serial) << bits >> 32].append(serial)
    for number, serials in enumerate(pages):
        yield page_key(issuer, 1, number), serials


def _record(serial: bytes, template: Template, chooser: random.Random) -> bytes:
    response = SingleResponse(
        serial,
        this_update=NOW,
        produced_at=NOW,
        next_update=NOW + template.validity,
        revocation_time=NOW if serial[-1] * REVOKED_EVERY < 256 else None,
    )
    signatures = [chooser.randbytes(template.signature_size) for _ in range(2)]
    return encode_record(ISSUER, template, 0, response, *signatures)
